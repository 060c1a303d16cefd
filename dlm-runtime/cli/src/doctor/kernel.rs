//! The module, the file systems of the kernel, and what is known of this kernel.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::Finding;

pub(super) fn look() -> Vec<Finding> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if !Path::new("/sys/kernel/dlm").exists() {
        return vec![Finding::bad(
            "module",
            format!("kernel {release} has no DLM loaded"),
            "modprobe dlm",
        )];
    }
    vec![Finding::ok("module", format!("kernel {release} has the DLM")), debugfs(), configfs()]
}

fn debugfs() -> Finding {
    let check = "debugfs";
    match fs::metadata("/sys/kernel/debug/dlm") {
        Ok(_) => Finding::ok(check, "the queues of all lockspaces can be seen"),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Finding::unknown(check, "only root may look; try sudo")
        }
        Err(_) => Finding::bad(
            check,
            "it is not mounted: the queues cannot be seen",
            "mount -t debugfs none /sys/kernel/debug",
        ),
    }
}

fn configfs() -> Finding {
    let check = "configfs";
    match fs::metadata("/sys/kernel/config/dlm") {
        Ok(_) => Finding::ok(check, "it is mounted"),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Finding::unknown(check, "only root may look; try sudo")
        }
        Err(_) => Finding::bad(
            check,
            "it is not mounted: dlm_controld cannot tell the kernel of the cluster",
            "mount -t configfs none /sys/kernel/config",
        ),
    }
}

/// What this kernel is known to do wrong.
pub(super) fn hazards() -> Vec<Finding> {
    let check = "hazards";
    let found = if dlm_sys::first_requests_can_meet() {
        Finding::note(
            check,
            "two first requests for a resource at the same time can both be granted EX on this kernel",
            "programs with this library are kept apart on a node; others should have an NL lock on \
             each resource first",
        )
    } else {
        Finding::ok(check, "first requests at the same time are granted one after the other")
    };
    vec![found]
}
