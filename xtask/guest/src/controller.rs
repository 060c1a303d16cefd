//! Stands in for dlm_controld in a cluster of one node.
//!
//! Creating a lockspace and releasing it for the last time both sleep, safe from every signal,
//! until somebody writes `event_done`. So every event is answered, also when the work for it
//! failed: then with an error, which the kernel hands to the waiting process.

use crate::uevent::Uevents;
use nix::errno::Errno;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const CLUSTER: &str = "/sys/kernel/config/dlm/cluster";
const NODE: &str = "1";

/// Describes the cluster to the kernel and starts answering.
pub(crate) fn start(events: Uevents) -> io::Result<()> {
    let node = Path::new(CLUSTER).join("comms").join(NODE);
    make_folder(Path::new(CLUSTER))?;
    make_folder(&node)?;
    fs::write(node.join("nodeid"), NODE)?;
    fs::write(node.join("addr"), loopback_address())?;
    fs::write(node.join("local"), "1")?;
    std::thread::Builder::new().name("controller".into()).spawn(move || {
        loop {
            match events.next() {
                Ok(event) if event.variable("SUBSYSTEM") == Some(b"dlm") => {
                    let lockspace = event.variable("LOCKSPACE").map(OsStr::from_bytes);
                    match (event.variable("ACTION"), lockspace) {
                        (Some(b"online"), Some(name)) => answer(name, join(name)),
                        (Some(b"offline"), Some(name)) => answer(name, leave(name)),
                        _ => {}
                    }
                }
                Ok(_) => {}
                // ENOBUFS: events were lost. Nothing can be repaired, but it must be readable.
                Err(e) => crate::klog::say(&format!("lockspace controller: {e}")),
            }
        }
    })?;
    Ok(())
}

fn join(lockspace: &OsStr) -> io::Result<()> {
    let member = members(lockspace).join("nodes").join(NODE);
    make_folder(&members(lockspace))?;
    make_folder(&member)?;
    fs::write(member.join("nodeid"), NODE)?;
    fs::write(member.join("weight"), "1")?;
    // Any number will do while no other node has to agree; it must differ between lockspaces.
    let id = lockspace
        .as_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    fs::write(control(lockspace).join("id"), id.to_string())?;
    fs::write(control(lockspace).join("control"), "1")
}

fn leave(lockspace: &OsStr) -> io::Result<()> {
    fs::write(control(lockspace).join("control"), "0")?;
    let members = members(lockspace);
    fs::remove_dir(members.join("nodes").join(NODE))?;
    fs::remove_dir(members)
}

fn answer(lockspace: &OsStr, result: io::Result<()>) {
    let code = match result {
        Ok(()) => 0,
        Err(e) => {
            crate::klog::say(&format!("lockspace {}: {e}", lockspace.display()));
            e.raw_os_error().unwrap_or(Errno::EIO as i32).saturating_neg()
        }
    };
    if let Err(e) = fs::write(control(lockspace).join("event_done"), code.to_string()) {
        crate::klog::say(&format!("lockspace {}: event_done: {e}", lockspace.display()));
    }
}

fn members(lockspace: &OsStr) -> PathBuf {
    Path::new(CLUSTER).join("spaces").join(sysfs_name(lockspace))
}

fn control(lockspace: &OsStr) -> PathBuf {
    Path::new("/sys/kernel/dlm").join(sysfs_name(lockspace))
}

/// sysfs shows a slash in a name as an exclamation mark.
fn sysfs_name(lockspace: &OsStr) -> std::ffi::OsString {
    let bytes = lockspace.as_bytes().iter().map(|b| if *b == b'/' { b'!' } else { *b });
    std::os::unix::ffi::OsStringExt::from_vec(bytes.collect())
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// A `sockaddr_storage` with 127.0.0.1; the kernel adds the port itself.
fn loopback_address() -> [u8; 128] {
    let mut storage = [0; 128];
    let family = u16::try_from(nix::libc::AF_INET).unwrap_or_default().to_ne_bytes();
    let address = family.into_iter().chain([0, 0, 127, 0, 0, 1]);
    for (place, byte) in storage.iter_mut().zip(address) {
        *place = byte;
    }
    storage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_names_are_what_the_kernel_expects() {
        let address = loopback_address();
        assert_eq!(address[..2], 2_u16.to_ne_bytes());
        assert_eq!(address[2..8], [0, 0, 127, 0, 0, 1]);
        assert_eq!(address[8..], [0; 120]);
        assert_eq!(control(OsStr::new("a/b")), Path::new("/sys/kernel/dlm/a!b"));
    }
}
