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

/// The answer of `fstat` for a node of a file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) is_file: bool,
    pub(crate) is_char_device: bool,
    /// The permission bits.
    pub(crate) permissions: u32,
    /// The user's id.
    pub(crate) owner: u32,
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
    open_with(path, libc::O_RDWR | if nonblock { libc::O_NONBLOCK } else { 0 })
}

/// `open(2)` of a file that need not be there: a new one is for its owner only. Follows no link.
pub(crate) fn open_or_create_private(path: &CStr) -> Result<Fd, Errno> {
    open_with(path, libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK)
}

/// `open(2)` for reading. Follows no link.
pub(crate) fn open_for_reading(path: &CStr) -> Result<Fd, Errno> {
    open_with(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK)
}

fn open_with(path: &CStr, flags: c_int) -> Result<Fd, Errno> {
    let fd = retry(|| call::open(path, flags | libc::O_CLOEXEC))?;
    // The kernel returned it as a c_int.
    Ok(Fd(c_int::try_from(fd).map_err(|_| Errno::EBADF)?))
}

/// Sleeps for milliseconds, by a `poll(2)` of nothing. A signal ends it early.
pub(crate) fn pause(millis: u16) {
    call::poll(&mut [], millis.into());
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

    /// Takes an exclusive `flock(2)`, which ends with [`Fd::unlock`] or the last close. `false`:
    /// another open file has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Result<bool, Errno> {
        match retry(|| call::flock(self.0, libc::LOCK_EX | libc::LOCK_NB)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno),
        }
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
            is_file: stat.st_mode & libc::S_IFMT == libc::S_IFREG,
            is_char_device: stat.st_mode & libc::S_IFMT == libc::S_IFCHR,
            permissions: stat.st_mode & 0o7777,
            owner: stat.st_uid,
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

/// Has a descriptor lead to the open file of another one from now on.
#[cfg(feature = "std")]
pub(crate) fn redirect(
    place: std::os::fd::BorrowedFd<'_>,
    to: std::os::fd::BorrowedFd<'_>,
) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    // SAFETY: `dup3` takes integers, and touches no memory. Both descriptors are open, and the one
    // that is replaced stays its owner's: only the file behind it is another.
    let fd = unsafe { libc::dup3(to.as_raw_fd(), place.as_raw_fd(), libc::O_CLOEXEC) };
    if fd < 0 { Err(last_errno()) } else { Ok(()) }
}

/// The error of the last call of the C library.
#[cfg(feature = "std")]
fn last_errno() -> Errno {
    call::answer(call::of_c_library(-1)).err().unwrap_or(Errno::EIO)
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

    /// Another descriptor of the same open file.
    pub(crate) fn duplicate(&self) -> Result<Self, Errno> {
        // SAFETY: `fcntl` with F_DUPFD_CLOEXEC takes two integers, and touches no memory.
        let fd = unsafe { libc::fcntl(self.0, libc::F_DUPFD_CLOEXEC, 0) };
        if fd < 0 { Err(last_errno()) } else { Ok(Self(fd)) }
    }

    /// The descriptor as the standard library borrows it.
    pub(crate) fn borrow(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self`, which the result borrows, and it is
        // not -1, as `open` succeeded.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(self.0) }
    }
}
