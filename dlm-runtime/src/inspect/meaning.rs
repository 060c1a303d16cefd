//! What the names of well-known users stand for.
//!
//! lvmlockd (lvm2), OCFS2, GFS2 and clustered MD: the forms of their names are in their public
//! headers and manuals. A name that fits by chance is described wrongly, so this is for people to
//! read, and for nothing else.

/// What a resource of a lockspace stands for, if its name is one of a well-known user.
///
/// ```
/// use dlm_runtime::inspect::meaning;
///
/// let name = meaning("lvm_vg0", b"VGLK");
/// assert_eq!(name.as_deref(), Some("LVM: metadata of volume group vg0"));
/// assert_eq!(meaning("tests", b"disk0"), None);
/// ```
#[must_use]
pub fn meaning(lockspace: &str, resource: &[u8]) -> Option<String> {
    if let Some(group) = lockspace.strip_prefix("lvm_") {
        return lvm(group, resource);
    }
    ocfs2(resource).or_else(|| gfs2(resource)).or_else(|| md(resource))
}

/// Lockspaces of lvmlockd: `lvm_global` and `lvm_` with the volume group's name.
fn lvm(group: &str, resource: &[u8]) -> Option<String> {
    match resource {
        b"GLLK" => Some("LVM: global lock".to_owned()),
        b"VGLK" => Some(format!("LVM: metadata of volume group {group}")),
        // The id of a logical volume, in the form that lvs -o uuid prints.
        id if is_lvm_id(id) => {
            let id = String::from_utf8_lossy(id);
            Some(format!("LVM: logical volume {id} of volume group {group}"))
        }
        _ => None,
    }
}

/// Six characters, five times four, six: `aaaaaa-bbbb-bbbb-bbbb-bbbb-bbbb-cccccc`.
fn is_lvm_id(id: &[u8]) -> bool {
    let parts: Vec<&[u8]> = id.split(|&byte| byte == b'-').collect();
    parts.iter().map(|part| part.len()).eq([6, 4, 4, 4, 4, 4, 6])
        && parts.iter().all(|part| part.iter().all(u8::is_ascii_alphanumeric))
}

/// A letter, six zeros, a block number of 16 digits, a generation of 8.
fn ocfs2(resource: &[u8]) -> Option<String> {
    let (&kind, rest) = resource.split_first()?;
    let rest = rest.strip_prefix(b"000000")?;
    let block = hex(rest.get(..16)?)?;
    // Names may end with a NUL.
    let tail = rest.get(16..)?;
    let what = match kind {
        b'M' => "metadata of inode",
        b'D' => "data of inode",
        b'S' => "superblock",
        b'R' => "renames of directories",
        b'W' => "reads and writes of inode",
        b'O' => "open files of inode",
        b'F' => "flock of inode",
        b'Q' => "quota of inode",
        b'Y' => "NFS export",
        b'P' => "scan for orphaned inodes",
        b'T' => "reference counts of tree",
        b'I' => "trimming of free space",
        _ => return None,
    };
    hex(tail.get(..8)?)?;
    match kind {
        b'S' | b'R' | b'Y' | b'P' | b'I' => Some(format!("OCFS2: {what}")),
        _ => Some(format!("OCFS2: {what} {block}")),
    }
}

/// A kind in 8 columns and a number in 16, both in hexadecimal and padded with blanks.
fn gfs2(resource: &[u8]) -> Option<String> {
    let (kind, number) = resource.split_at_checked(8)?;
    if number.len() != 16 {
        return None;
    }
    let (kind, number) = (hex(kind.trim_ascii_start())?, hex(number.trim_ascii_start())?);
    let what = match kind {
        1 => match number {
            0 => return Some("GFS2: mount".to_owned()),
            1 => return Some("GFS2: live nodes".to_owned()),
            2 => return Some("GFS2: freezing".to_owned()),
            3 => return Some("GFS2: renames of directories".to_owned()),
            _ => "global lock",
        },
        2 => "inode",
        3 => "resource group",
        4 => "metadata",
        5 => "open files of inode",
        6 => "flock of inode",
        8 => "quota of id",
        9 => "journal",
        _ => return None,
    };
    Some(format!("GFS2: {what} {number}"))
}

/// The fixed names of clustered MD, and one for each node's bitmap.
fn md(resource: &[u8]) -> Option<String> {
    let resource = resource.strip_suffix(b"\0").unwrap_or(resource);
    let what = match resource {
        b"message" => "the message that is sent",
        b"token" => "the right to send a message",
        b"ack" => "the answer to a message",
        b"no-new-dev" => "the addition of a device",
        b"resync" => "the node that resyncs",
        _ => {
            let slot = str::from_utf8(resource.strip_prefix(b"bitmap")?).ok()?;
            if slot.len() != 4 {
                return None;
            }
            let slot: u16 = slot.parse().ok()?;
            return Some(format!("MD: bitmap of slot {slot}"));
        }
    };
    Some(format!("MD: {what}"))
}

fn hex(digits: &[u8]) -> Option<u64> {
    let text = str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_known_users_are_explained_and_others_are_not() {
        let id = b"7xHhb1-Zzzz-0000-aaaa-BBBB-cccc-dDeEfF";
        let cases: [(&str, &[u8], Option<&str>); 14] = [
            ("lvm_global", b"GLLK", Some("LVM: global lock")),
            ("lvm_vg", b"VGLK", Some("LVM: metadata of volume group vg")),
            (
                "lvm_vg",
                id,
                Some(
                    "LVM: logical volume 7xHhb1-Zzzz-0000-aaaa-BBBB-cccc-dDeEfF of volume group vg",
                ),
            ),
            ("lvm_vg", b"M00000000000000000000050000beef0", None),
            ("lvmx", b"VGLK", None),
            ("a", b"M000000000000000000000500000000a", Some("OCFS2: metadata of inode 5")),
            ("a", b"S000000000000000000000200000000", Some("OCFS2: superblock")),
            ("a", b"X000000000000000000000200000000", None),
            ("a", b"       2            1b42", Some("GFS2: inode 6978")),
            ("a", b"       1               0", Some("GFS2: mount")),
            ("a", b"       7               0", None),
            ("a", b"bitmap0003", Some("MD: bitmap of slot 3")),
            ("a", b"token", Some("MD: the right to send a message")),
            ("a", b"tokens", None),
        ];
        for (space, name, wanted) in cases {
            let found = meaning(space, name);
            assert_eq!(found.as_deref(), wanted, "{}", name.escape_ascii());
        }
    }
}
