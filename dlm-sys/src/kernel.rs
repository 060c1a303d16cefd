//! Known defects of the running kernel.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::sync::OnceLock;

/// The release of the kernel. Unlike `uname` it does not depend on the process's personality.
const RELEASE: &str = "/proc/sys/kernel/osrelease";
/// The types of the dlm module, if the kernel was built with that information.
const TYPES: &str = "/sys/kernel/btf/dlm";
/// The names of all functions of the kernel and its modules; addresses are of no interest.
const SYMBOLS: &str = "/proc/kallsyms";

/// The first release whose lockspaces keep their resources in one resizable hash table.
const HASH_TABLE_SINCE: (u32, u32) = (6, 10);

/// Bytes that are read of a file of types; those of the dlm module are about 45,000.
const MOST_TYPES: u64 = 4 << 20;
/// Bytes that are read of the list of symbols; usual are 5 to 15 million.
const MOST_SYMBOLS: u64 = 256 << 20;

/// Whether two requests at the same time, for a resource that nobody uses yet, can each make a
/// resource of that name on this kernel, and both be granted EX (two processors needed).
///
/// It came with the hash table for resources, in 6.10; no repair is known. Kernels of distributions
/// can have that table in an older version, so those are looked into: at the types of the dlm
/// module (`/sys/kernel/btf/dlm`), or else at the names of its functions (`/proc/kallsyms`, which
/// takes some tens of milliseconds). What cannot be told is answered with `true`. Looked up once in
/// each process.
///
/// [`LockspaceDevice::try_lock_node`](crate::LockspaceDevice::try_lock_node) is what helps against
/// it.
#[must_use]
pub fn first_requests_can_meet() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let release = fs::read_to_string(RELEASE).unwrap_or_default();
        is_new(&release) || seen_in_types().or_else(seen_in_symbols).unwrap_or(true)
    })
}

/// Whether the loaded module has the hash table, whatever the release is, by its types and by its
/// symbols; `None` where they cannot be seen. For a test on real kernels.
#[doc(hidden)]
#[must_use]
pub fn hash_table_seen() -> [Option<bool>; 2] {
    [seen_in_types(), seen_in_symbols()]
}

/// Whether a release has the hash table by its number alone. One that is no number has it.
fn is_new(release: &str) -> bool {
    let mut parts = release.split(|byte: char| !byte.is_ascii_digit()).map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= HASH_TABLE_SINCE,
        _ => true,
    }
}

fn seen_in_types() -> Option<bool> {
    let mut types = Vec::new();
    File::open(TYPES).ok()?.take(MOST_TYPES).read_to_end(&mut types).ok()?;
    by_types(&types)
}

fn seen_in_symbols() -> Option<bool> {
    by_symbols(BufReader::new(File::open(SYMBOLS).ok()?.take(MOST_SYMBOLS)))
}

/// By the names in a file of types, each of which ends with a NUL: `dlm_rsbtable` is a bucket of
/// the old table, with a lock of its own under which a resource is looked for and made.
fn by_types(types: &[u8]) -> Option<bool> {
    let has = |wanted: &[u8]| types.split(|&byte| byte == 0).any(|name| name == wanted);
    // A member of the structure of a lockspace, of either kind.
    has(b"ls_rsbtbl").then(|| !has(b"dlm_rsbtable"))
}

/// By the symbols of the module: what frees the resources of the hash table has this name, and the
/// other is a function that each dlm has.
fn by_symbols(list: impl BufRead) -> Option<bool> {
    let mut is_dlm_seen = false;
    for line in list.split(b'\n') {
        let line = line.ok()?;
        // Address, type, name, and for modules a TAB and their name.
        match line.split(|byte| byte.is_ascii_whitespace()).nth(2) {
            Some(b"rhash_free_rsb" | b"dlm_rhash_rsb_params") => return Some(true),
            Some(b"dlm_find_lockspace_local") => is_dlm_seen = true,
            _ => {}
        }
    }
    is_dlm_seen.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        for new in ["6.10.0", "6.12.95+deb12-amd64", "7.2", "10.0-rc1", "6.10-rc1", "", "next", "6"]
        {
            assert!(is_new(new), "{new}");
        }
        for old in ["6.9.12", "6.1.0-50-amd64\n", "5.14.0-503.el9.x86_64", "5.10.0", "4.18"] {
            assert!(!is_new(old), "{old}");
        }
    }

    #[test]
    fn the_types_tell_the_tables_apart() {
        let old = b"\x9f\xeb\x01\0dlm_rsbtable\0ls_rsbtbl\0ls_rsbtbl_size\0";
        let new = b"\x9f\xeb\x01\0res_node\0ls_rsbtbl\0ls_rsbtbl_lock\0";
        assert_eq!(by_types(old), Some(false));
        assert_eq!(by_types(new), Some(true));
        assert_eq!(by_types(b""), None);
        assert_eq!(by_types(b"my_ls_rsbtbl\0dlm_rsbtable\0"), None);
    }

    #[test]
    fn the_symbols_tell_the_tables_apart() {
        let line = |name: &str| format!("0000000000000000 t {name}\t[dlm]\n");
        let answer = |names: &[&str]| {
            let list: String = names.iter().map(|name| line(name)).collect();
            by_symbols(list.as_bytes())
        };
        let any = "dlm_find_lockspace_local";
        assert_eq!(answer(&["vfs_read", any]), Some(false));
        assert_eq!(answer(&["rhash_free_rsb", any]), Some(true));
        assert_eq!(answer(&[any, "dlm_rhash_rsb_params"]), Some(true));
        // Of a dlm that cannot be seen nothing is known.
        assert_eq!(answer(&["vfs_read"]), None);
        assert_eq!(by_symbols("dlm_find_lockspace_local\n\n".as_bytes()), None);
    }
}
