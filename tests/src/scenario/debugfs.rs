//! The dump of a lockspace in the kernel's debugfs: its file `NAME_all`.
//!
//! A resource has a line `rsb POINTER ... LENGTH str NAME`, or `hex` and its bytes, then a line
//! `lvb SEQUENCE LENGTH BYTES` if it has a value block, then a line `lkb ID ...` for each lock.

use super::backend::{Lock, Queue, Resource};

/// The resources that have locks, by name.
///
/// # Errors
///
/// The line that is not understood.
pub(super) fn parse(text: &str) -> Result<Vec<Resource>, String> {
    let mut resources: Vec<Resource> = Vec::new();
    // The first line names the fields.
    for line in text.lines().skip(1) {
        let understood = match line.split_once(' ') {
            Some(("rsb", rest)) => name(rest).map(|name| {
                resources.push(Resource { name, lvb: None, locks: Vec::new() });
            }),
            Some(("lvb", rest)) => block(rest)
                .and_then(|block| resources.last_mut().map(|last| last.lvb = Some(block))),
            Some(("lkb", rest)) => {
                lock(rest).and_then(|lock| resources.last_mut().map(|last| last.locks.push(lock)))
            }
            _ => None,
        };
        understood.ok_or_else(|| format!("debugfs has a line `{line}`"))?;
    }
    resources.retain(|resource| !resource.locks.is_empty());
    resources.sort();
    Ok(resources)
}

fn name(rest: &str) -> Option<Vec<u8>> {
    let mut parts = rest.splitn(10, ' ');
    let len: usize = parts.by_ref().nth(7)?.parse().ok()?;
    match (parts.next()?, parts.next().unwrap_or_default()) {
        ("str", name) => Some(name.as_bytes().to_vec()).filter(|name| name.len() == len),
        ("hex", digits) => bytes(digits).filter(|name| name.len() == len),
        _ => None,
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    digits.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

fn block(rest: &str) -> Option<[u8; 32]> {
    let mut parts = rest.splitn(3, ' ');
    bytes(parts.nth(2)?)?.try_into().ok()
}

fn lock(rest: &str) -> Option<Lock> {
    let fields: Vec<&str> = rest.split(' ').collect();
    let hex = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
    let mode = |at: usize| fields.get(at)?.parse::<i8>().ok();
    let queue = match *fields.get(7)? {
        "2" => Queue::Granted,
        "3" => Queue::Converting,
        "1" => Queue::Waiting,
        _ => return None,
    };
    Some(Lock {
        id: hex(0)?,
        queue,
        granted: mode(8)?,
        requested: mode(9)?,
        flags: hex(5)?,
        owner: fields.get(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read() {
        let text = "version rsb 1.1 lvb 1.1 lkb 1.1\n\
            rsb 00000000d5629aa6 0 0 0 0 0 0 3 hex 73 01 78\n\
            lkb 4 0 0 89 7 8 1 2 5 -1 0 0 0 0 2802511588 0\n\
            rsb 00000000d5629aa7 0 0 0 0 0 0 1 str t\n\
            rsb 00000000b1e9e130 0 0 0 0 0 0 1 str r\n\
            lkb 1f 0 0 89 0 4 1 3 3 5 0 0 0 0 2801925701 0\n\
            lkb 3 0 0 89 0 1000 1 1 -1 5 0 0 0 0 2802376566 0\n";
        let lock = |id, queue, granted, requested, flags| Lock {
            id,
            queue,
            granted,
            requested,
            flags,
            owner: 89,
        };
        let wanted = [
            Resource {
                name: b"r".to_vec(),
                lvb: None,
                locks: vec![
                    lock(0x1f, Queue::Converting, 3, 5, 4),
                    lock(3, Queue::Waiting, -1, 5, 0x1000),
                ],
            },
            Resource {
                name: b"s\x01x".to_vec(),
                lvb: None,
                locks: vec![lock(4, Queue::Granted, 5, -1, 8)],
            },
        ];
        assert_eq!(parse(text).unwrap(), wanted);
        for bad in ["h\nxyz 1", "h\nrsb 1 2", "h\nlkb 1 0 0 89 0 4 1 3 3 5"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
