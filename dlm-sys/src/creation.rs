//! The lock that keeps creations and removals of lockspaces on a node apart.
//!
//! The kernel hands a minor number out anew while the removal of its former lockspace still waits,
//! and loses track of its devices when creations and removals meet: `/proc/misc` without end, a
//! crash on 6.12. So each is written under a lock (`flock`) that processes of this library share.
//!
//! The control device itself will not do for it: everybody may open that, and would hold up root
//! for ever. These files only root can open.

use core::ffi::CStr;

use crate::error::{Call, Cause, Error};
use crate::sys::{self, Fd};

/// The file that is locked while a lockspace is created or removed. Who holds it is told by
/// `lslocks` and `/proc/locks`.
pub const LOCK_FILE: &CStr = c"/run/dlm-rs.lock";

/// A file that is there with the module, whether or not there is a `/run` and it can be written.
const FILE_OF_MODULE: &CStr = c"/sys/module/dlm/sections/.text";

/// The lock of those who may open none of these.
const CONTROL_DEVICE: &CStr = c"/dev/dlm-control";

/// The longest that a lock is waited for, whatever the caller says, in milliseconds.
const LONGEST: u32 = 600_000;

/// The longest pause between two attempts, in milliseconds. The first is of one.
const LONGEST_PAUSE: u16 = 64;

/// Keeps others from creating and removing lockspaces until it is dropped.
#[derive(Debug)]
pub(crate) struct CreationLock<'c> {
    /// Closing them ends their locks. Processes that see one of them only meet in that one, so all
    /// that can be had are locked, in this order.
    _files: [Option<Fd>; 2],
    control: Option<&'c Fd>,
}

impl<'c> CreationLock<'c> {
    /// Waits for it, at most for so many milliseconds. `control` is the open control device.
    pub(crate) fn take(control: &'c Fd, mut patience: u32) -> Result<Self, Error> {
        patience = patience.min(LONGEST);
        let files = [
            (LOCK_FILE, sys::open_or_create_private(LOCK_FILE)),
            (FILE_OF_MODULE, sys::open_for_reading(FILE_OF_MODULE)),
        ];
        let mut locked = [None, None];
        for ((path, file), locked) in files.into_iter().zip(&mut locked) {
            let file = match file {
                Ok(file) => file,
                // Those who can open it would be met without it.
                Err(errno) if errno.is_shortage() => {
                    return Err(Error::os(Call::SerialiseCreate, errno));
                }
                // No such folder, read-only, not permitted: so it is for all.
                Err(_) => continue,
            };
            if is_roots_own(&file) {
                wait_for(&file, path, &mut patience)?;
                *locked = Some(file);
            }
        }
        let control = locked.iter().all(Option::is_none).then_some(control);
        if let Some(control) = control {
            wait_for(control, CONTROL_DEVICE, &mut patience)?;
        }
        Ok(Self { _files: locked, control })
    }
}

impl Drop for CreationLock<'_> {
    fn drop(&mut self) {
        if let Some(control) = self.control {
            control.unlock();
        }
    }
}

/// Whether nobody but root can have opened a file.
fn is_roots_own(file: &Fd) -> bool {
    file.node().is_ok_and(|node| node.is_file && node.owner == 0 && node.permissions & 0o077 == 0)
}

/// Takes a lock. No call waits for one and has a deadline, so it is asked for time and again.
fn wait_for(file: &Fd, path: &'static CStr, patience: &mut u32) -> Result<(), Error> {
    let fail = |errno| Error::os(Call::SerialiseCreate, errno);
    let mut pause = 1;
    while !file.try_lock().map_err(fail)? {
        if *patience == 0 {
            return Err(Error::new(Call::SerialiseCreate, Cause::Held(path)));
        }
        sys::pause(pause);
        *patience = patience.saturating_sub(pause.into());
        pause = LONGEST_PAUSE.min(2 * pause);
    }
    Ok(())
}
