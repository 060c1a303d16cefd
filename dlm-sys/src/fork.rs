//! Noticing a fork, without a system call per request.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use std::os::fd::{AsFd, BorrowedFd};

use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::lockspace::LockspaceDevice;
use crate::sys;

static COUNT: AtomicU32 = AtomicU32::new(0);
static REGISTERED: AtomicBool = AtomicBool::new(false);

extern "C" fn count_fork() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// The number of forks between this process and the first one of the program that called this.
///
/// A handle that remembers the count at its opening knows by another count that it was inherited:
/// the device is shared with the parent then, and either process would read the other's results.
/// Only `fork(3)` of the C library is counted, not a bare `clone(2)`.
#[inline]
pub fn fork_count() -> u32 {
    if !REGISTERED.load(Ordering::Relaxed) && !REGISTERED.swap(true, Ordering::Relaxed) {
        // Out of memory is the only failure; forks then go unnoticed, as with a bare clone.
        let _ = sys::at_fork(count_fork);
    }
    COUNT.load(Ordering::Relaxed)
}

/// As [`fork_count`], for those who know that it was called before: it is one load.
#[inline]
pub fn known_fork_count() -> u32 {
    COUNT.load(Ordering::Relaxed)
}

/// Has a descriptor lead to the open file of another one from now on. For a forked child, which
/// gets files of its own behind the descriptors that somebody has the numbers of.
///
/// # Errors
///
/// Those of `dup3(2)`.
pub fn redirect(place: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    sys::redirect(place, to)
}

impl LockspaceDevice {
    /// Takes the open device out of this one, which leads to `instead` from now on. For a forked
    /// child: what its parent's other threads held of this one, they never let go of there, and the
    /// device would not be closed with what is returned.
    ///
    /// # Errors
    ///
    /// No descriptor is left; then nothing is changed.
    pub fn take_out(&self, instead: BorrowedFd<'_>) -> Result<Self, Error> {
        let fail = |errno| Error::os(Call::OpenLockspace, errno);
        let taken = self.duplicate().map_err(fail)?;
        redirect(self.as_fd(), instead).map_err(fail)?;
        Ok(taken)
    }
}
