//! The system calls. The only `unsafe` of the crate: nix needs `std`, and this must not.

#![allow(unsafe_code)]

use core::ffi::{CStr, c_int, c_short};
use core::mem::MaybeUninit;
use core::time::Duration;

use crate::errno::Errno;

mod call;
#[cfg(feature = "std")]
pub(crate) mod uevents;

/// An open file descriptor, closed when dropped.
#[derive(Debug)]
pub(crate) struct Fd(c_int);

/// What `fstat` says of a device node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) is_char_device: bool,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) links: u64,
}

/// Repeats a call that a signal interrupted. It answers as the kernel does.
#[inline]
fn retry(mut call: impl FnMut() -> isize) -> Result<isize, Errno> {
    loop {
        match call::answer(call()) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

/// `open(2)` for reading and writing, with CLOEXEC, and with NONBLOCK if asked for.
pub(crate) fn open(path: &CStr, nonblock: bool) -> Result<Fd, Errno> {
    let flags = libc::O_RDWR | libc::O_CLOEXEC | if nonblock { libc::O_NONBLOCK } else { 0 };
    let fd = retry(|| call::open(path, flags))?;
    // The kernel returned it as a c_int.
    Ok(Fd(c_int::try_from(fd).map_err(|_| Errno::EBADF)?))
}

impl Fd {
    /// `read(2)`.
    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        retry(|| call::read(self.0, buffer)).map(isize::unsigned_abs)
    }

    /// `write(2)`, with the return value as the device gave it: it is no byte count.
    #[inline]
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<isize, Errno> {
        retry(|| call::write(self.0, bytes))
    }

    /// `poll(2)` for reading. `None` waits without end; `false` means that the time is over.
    /// A signal ends the wait early, as if the time were over.
    pub(crate) fn poll_readable(&self, timeout: Option<Duration>) -> Result<bool, Errno> {
        let events: c_short = libc::POLLIN;
        let mut pollfd = libc::pollfd { fd: self.0, events, revents: 0 };
        // Rounded up, so that a caller with a deadline does not spin through its last millisecond.
        let millis = timeout.map_or(-1, |time| {
            c_int::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
        });
        match call::answer(call::poll(core::slice::from_mut(&mut pollfd), millis)) {
            Ok(ready) => Ok(ready != 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Takes an exclusive `flock(2)`, which ends with [`Fd::unlock`] or the close.
    pub(crate) fn lock_exclusive(&self) -> Result<(), Errno> {
        retry(|| call::flock(self.0, libc::LOCK_EX)).map(|_| ())
    }

    /// Ends the `flock`. It cannot fail on a lock that this open file holds.
    pub(crate) fn unlock(&self) {
        let _ = retry(|| call::flock(self.0, libc::LOCK_UN));
    }

    /// `fstat(2)`.
    pub(crate) fn node(&self) -> Result<Node, Errno> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        retry(|| call::fstat(self.0, &mut stat))?;
        // SAFETY: `fstat` succeeded, so it has filled in the whole record.
        let stat = unsafe { stat.assume_init() };
        Ok(Node {
            is_char_device: stat.st_mode & libc::S_IFMT == libc::S_IFCHR,
            major: libc::major(stat.st_rdev),
            minor: libc::minor(stat.st_rdev),
            #[allow(clippy::useless_conversion, reason = "32 bits wide on 32-bit machines")]
            links: stat.st_nlink.into(),
        })
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // On Linux the descriptor is gone whatever this returns.
        call::close(self.0);
    }
}

/// Has `child` run in each forked child of this process. `false` if that cannot be had.
#[cfg(feature = "std")]
pub(crate) fn at_fork(child: unsafe extern "C" fn()) -> bool {
    // SAFETY: `child` is a function for the life of the program; the other two handlers are absent,
    // which the interface allows (pthread_atfork(3)).
    unsafe { libc::pthread_atfork(None, None, Some(child)) == 0 }
}

#[cfg(feature = "std")]
impl Fd {
    pub(crate) fn raw(&self) -> c_int {
        self.0
    }

    /// The descriptor as the standard library borrows it.
    pub(crate) fn borrow(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self`, which the result borrows, and it is
        // not -1, as `open` succeeded.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(self.0) }
    }
}
