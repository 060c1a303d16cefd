//! The system calls. The only `unsafe` of the crate: nix needs `std`, and this must not.

#![allow(unsafe_code)]

use core::ffi::{CStr, c_int, c_short, c_uint, c_void};
use core::mem::MaybeUninit;
use core::time::Duration;

use crate::errno::Errno;

#[cfg(feature = "std")]
pub(crate) mod uevents;

/// An open file descriptor, closed when dropped.
#[derive(Debug)]
pub(crate) struct Fd(c_int);

/// What `fstat` says of a node of a file system.
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

fn last_errno() -> Errno {
    // SAFETY: `__errno_location` has no precondition and returns a pointer that is valid and
    // properly aligned for the life of the calling thread (errno(3)).
    let location = unsafe { libc::__errno_location() };
    // SAFETY: see above; only this thread writes to it, and not during this read.
    Errno::from_raw(unsafe { location.read() })
}

/// Repeats a call that a signal interrupted.
#[inline]
fn retry(mut call: impl FnMut() -> isize) -> Result<isize, Errno> {
    loop {
        let value = call();
        if value >= 0 {
            return Ok(value);
        }
        match last_errno() {
            Errno::EINTR => {}
            errno => return Err(errno),
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
    let mode: c_uint = 0o600;
    // SAFETY: `path` is a NUL-terminated string that lives across the call, and the third argument
    // is the one that belongs to O_CREAT, and is not read without it.
    let open = || unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) } as isize;
    let fd = retry(open)?;
    // `open` returned it as a c_int.
    Ok(Fd(c_int::try_from(fd).map_err(|_| Errno::EBADF)?))
}

/// Sleeps for milliseconds, by a `poll(2)` of nothing. A signal ends it early.
pub(crate) fn pause(millis: u16) {
    // SAFETY: with a count of zero no record is read or written, so none need be there.
    unsafe { libc::poll(core::ptr::null_mut(), 0, millis.into()) };
}

impl Fd {
    /// `read(2)`.
    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let (pointer, len) = (buffer.as_mut_ptr().cast::<c_void>(), buffer.len());
        // SAFETY: `pointer` and `len` describe `buffer`, which is exclusively borrowed across the
        // call. The DLM device writes up to 72 bytes even if told less (52 to 71), which the
        // callers in this crate rule out: they pass 12, or 104 and more.
        let read = || unsafe { libc::read(self.0, pointer, len) };
        retry(read).map(isize::unsigned_abs)
    }

    /// `write(2)`, with the return value as the device gave it: it is no byte count.
    #[inline]
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<isize, Errno> {
        let (pointer, len) = (bytes.as_ptr().cast::<c_void>(), bytes.len());
        // SAFETY: `pointer` and `len` describe `bytes`, which is borrowed across the call; the
        // kernel only reads it.
        retry(|| unsafe { libc::write(self.0, pointer, len) })
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
        // SAFETY: `pollfd` is one valid record, exclusively borrowed across the call.
        match unsafe { libc::poll(&raw mut pollfd, 1, millis) } {
            0 => Ok(false),
            value if value > 0 => Ok(true),
            _ => match last_errno() {
                Errno::EINTR => Ok(false),
                errno => Err(errno),
            },
        }
    }

    /// Takes an exclusive `flock(2)`, which ends with [`Fd::unlock`] or the last close. `false`:
    /// another open file has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Result<bool, Errno> {
        let how = libc::LOCK_EX | libc::LOCK_NB;
        // SAFETY: `flock` takes two integers and touches no memory of ours.
        match retry(|| unsafe { libc::flock(self.0, how) } as isize) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Ends the `flock`. It cannot fail on a lock that this open file holds.
    pub(crate) fn unlock(&self) {
        // SAFETY: as above.
        let _ = retry(|| unsafe { libc::flock(self.0, libc::LOCK_UN) } as isize);
    }

    /// `fstat(2)`.
    pub(crate) fn node(&self) -> Result<Node, Errno> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `stat` is writable memory of the size and alignment that `fstat` fills.
        retry(|| unsafe { libc::fstat(self.0, stat.as_mut_ptr()) } as isize)?;
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
        // SAFETY: this value owns the descriptor, and nothing uses it afterwards. On Linux the
        // descriptor is gone whatever `close` returns.
        unsafe { libc::close(self.0) };
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
