//! The devices of the module and of the lockspaces.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::Finding;

/// The major number of misc devices.
const MISC_MAJOR: u64 = 10;

pub(super) fn look() -> Vec<Finding> {
    let misc = fs::read("/proc/misc").unwrap_or_default();
    let mut found = vec![control(&misc)];
    let lockspaces = misc
        .split(|&byte| byte == b'\n')
        .filter_map(dlm_sys::misc::parse_line)
        .filter(|(_, name)| name.starts_with(b"dlm_") && *name != b"dlm_plock");
    for (minor, name) in lockspaces {
        let name = String::from_utf8_lossy(name);
        let node = format!("/dev/{name}");
        found.extend(wrong("lockspace device", &node, minor));
    }
    found.push(links());
    found
}

fn control(misc: &[u8]) -> Finding {
    let check = "control device";
    let lines = misc.split(|&byte| byte == b'\n');
    let mut lines = lines.filter_map(dlm_sys::misc::parse_line);
    let Some((minor, _)) = lines.find(|(_, name)| *name == b"dlm-control") else {
        return Finding::bad(
            check,
            "the kernel has none, although its module is loaded",
            "modprobe -r dlm; modprobe dlm",
        );
    };
    wrong(check, "/dev/dlm-control", minor)
        .unwrap_or_else(|| Finding::ok(check, "/dev/dlm-control is the kernel's"))
}

/// What is wrong with the node of a device.
fn wrong(check: &'static str, node: &str, minor: u32) -> Option<Finding> {
    let make = format!("rm -f {node}; mknod -m 600 {node} c {MISC_MAJOR} {minor}");
    let Ok(metadata) = fs::metadata(node) else {
        return Some(Finding::bad(check, format!("{node} is not there"), make));
    };
    let (major, found) =
        (nix::sys::stat::major(metadata.rdev()), nix::sys::stat::minor(metadata.rdev()));
    if !metadata.file_type().is_char_device() || (major, found) != (MISC_MAJOR, minor.into()) {
        return Some(Finding::bad(
            check,
            format!("{node} is another device than the kernel's ({MISC_MAJOR}:{minor})"),
            make,
        ));
    }
    let mode = metadata.mode() & 0o777;
    match mode {
        mode if mode & 0o600 != 0o600 => Some(Finding::bad(
            check,
            format!("{node} has the mode {mode:03o}: not even its owner may use it"),
            format!("chmod u+rw {node}"),
        )),
        mode if mode & 0o002 != 0 && node != "/dev/dlm-control" => Some(Finding::note(
            check,
            format!(
                "{node} has the mode {mode:03o}: everybody may lock, and end the locks of others"
            ),
            format!("chmod o-rw {node}"),
        )),
        _ => None,
    }
}

/// C libdlm looks for its devices below /dev/misc only.
fn links() -> Finding {
    let check = "devices for C libdlm";
    if Path::new("/dev/misc/dlm-control").exists() {
        return Finding::ok(check, "/dev/misc/dlm-control is there");
    }
    Finding::note(
        check,
        "no /dev/misc/dlm-control: programs with C libdlm wait ten seconds and fail",
        "install 51-dlm.rules of dlm-controld and run: udevadm trigger --subsystem-match=misc",
    )
}
