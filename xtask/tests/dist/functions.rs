//! The functions that the libraries have.

use dlm_lab::vm::unpacked;
use goblin::elf::Elf;
use std::collections::BTreeSet;
use std::fs;

/// Those of both libraries.
pub(crate) const COMMON: [&str; 21] = [
    "dlm_close_lockspace",
    "dlm_create_lockspace",
    "dlm_dispatch",
    "dlm_get_fd",
    "dlm_kernel_version",
    "dlm_library_version",
    "dlm_lock",
    "dlm_lock_wait",
    "dlm_ls_deadlock_cancel",
    "dlm_ls_get_fd",
    "dlm_ls_lock",
    "dlm_ls_lock_wait",
    "dlm_ls_lockx",
    "dlm_ls_purge",
    "dlm_ls_unlock",
    "dlm_ls_unlock_wait",
    "dlm_new_lockspace",
    "dlm_open_lockspace",
    "dlm_release_lockspace",
    "dlm_unlock",
    "dlm_unlock_wait",
];

/// Those of libdlm alone, which the header declares with `_REENTRANT` only.
pub(crate) const THREADED: [&str; 5] = [
    "dlm_ls_pthread_init",
    "dlm_pthread_cleanup",
    "dlm_pthread_init",
    "lock_resource",
    "unlock_resource",
];

/// Functions that a shared object offers.
pub(crate) fn exported(content: &[u8]) -> BTreeSet<String> {
    let elf = Elf::parse(content).unwrap();
    elf.dynsyms
        .iter()
        .filter(|symbol| symbol.is_function() && !symbol.is_import())
        .map(|symbol| elf.dynstrtab.get_at(symbol.st_name).unwrap().to_owned())
        .collect()
}

#[test]
fn the_lists_are_those_of_debian() {
    let Some(root) = crate::fetched("libdlm3", unpacked::libdlm()) else { return };
    for (name, more) in [("libdlm.so.3", &THREADED[..]), ("libdlm_lt.so.3", &[])] {
        let content = fs::read(root.join("usr/lib/x86_64-linux-gnu").join(name)).unwrap();
        let ours: BTreeSet<_> = COMMON.iter().chain(more).map(ToString::to_string).collect();
        assert_eq!(exported(&content), ours, "{name}");
    }
}
