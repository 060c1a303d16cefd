//! Locks and descriptors that threads sleep on.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};

/// Locks. What is behind it is consistent between any two statements that may panic.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Readable from when it is set until it is cleared.
#[derive(Debug)]
pub(crate) struct Signal(EventFd);

impl Signal {
    pub(crate) fn new() -> nix::Result<Self> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Self)
    }

    /// It can only fail when the counter is full, and then it is readable.
    pub(crate) fn set(&self) {
        let _ = self.0.write(1);
    }

    /// It can only fail when it is clear already.
    pub(crate) fn clear(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sleeps until one of the descriptors is readable, a signal comes, or the deadline passes. Tells
/// which are readable.
pub(crate) fn sleep<const N: usize>(
    sources: [BorrowedFd<'_>; N],
    used: usize,
    deadline: Option<Instant>,
) -> nix::Result<[bool; N]> {
    let mut fds = sources.map(|source| PollFd::new(source, PollFlags::POLLIN));
    // Rounded up, so as not to spin through the last millisecond.
    let timeout = deadline.map_or(PollTimeout::NONE, |at| {
        let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    });
    let mut ready = [false; N];
    match poll(fds.get_mut(..used).unwrap_or_default(), timeout) {
        Ok(_) => ready
            .iter_mut()
            .zip(fds.iter().take(used))
            .for_each(|(ready, fd)| *ready = fd.any().unwrap_or(false)),
        Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    Ok(ready)
}

pub(crate) fn has_passed(deadline: Instant) -> bool {
    deadline <= Instant::now()
}
