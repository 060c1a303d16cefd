//! System calls that are no cancellation points.
//!
//! The functions of a C library for `open`, `read`, `write`, `poll` and `close` are points at which
//! a thread can be cancelled, which unwinds its frames, and ours are none to be unwound. They also
//! cost 80 instructions more as soon as a second thread was ever started. So these calls go to the
//! kernel themselves where its calling convention is written down below, and by `syscall(2)`,
//! which is no such point either, elsewhere.
//!
//! Each function returns what the kernel does: a value, or an error number between -4095 and -1.

use core::ffi::{CStr, c_int, c_long};
use core::mem::MaybeUninit;

use crate::errno::Errno;

#[cfg_attr(all(target_arch = "x86_64", target_pointer_width = "64"), path = "call/x86_64.rs")]
#[cfg_attr(target_arch = "x86", path = "call/x86.rs")]
#[cfg_attr(all(target_arch = "aarch64", target_pointer_width = "64"), path = "call/aarch64.rs")]
#[cfg_attr(target_arch = "riscv64", path = "call/riscv64.rs")]
#[cfg_attr(target_arch = "s390x", path = "call/s390x.rs")]
#[cfg_attr(
    not(any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "x86",
        all(target_arch = "aarch64", target_pointer_width = "64"),
        target_arch = "riscv64",
        target_arch = "s390x"
    )),
    path = "call/other.rs"
)]
mod arch;

/// The most error numbers that the kernel can return, and the lowest value that is one, negated.
const MAX_ERRNO: isize = 4095;

/// The meaning of the kernel's answer.
#[inline]
pub(super) fn answer(value: isize) -> Result<isize, Errno> {
    if (-MAX_ERRNO..0).contains(&value) { Err(errno(value)) } else { Ok(value) }
}

#[cold]
fn errno(value: isize) -> Errno {
    // In the range that `answer` has checked.
    Errno::from_raw(i32::try_from(value.unsigned_abs()).unwrap_or_default())
}

/// The answer of a function of the C library, as the kernel would have given it.
#[cfg(any(feature = "std", not(all(target_arch = "x86_64", target_pointer_width = "64"))))]
pub(super) fn of_c_library(value: isize) -> isize {
    if value != -1 {
        return value;
    }
    // SAFETY: `__errno_location` has no precondition and returns a pointer that is valid and
    // properly aligned for the life of the calling thread (errno(3)).
    let location = unsafe { libc::__errno_location() };
    // SAFETY: see above; only this thread writes to it, and not during this read.
    let number = unsafe { location.read() };
    isize::try_from(number).map_or(value, |number| -number)
}

/// A system call with up to three arguments.
///
/// # Safety
///
/// As for the call with these arguments: what it does to memory is the caller's to vouch for.
/// Pointers among them are exposed.
#[inline]
unsafe fn call(number: c_long, arguments: [usize; 3]) -> isize {
    // SAFETY: the caller's promise is passed on as it is.
    unsafe { arch::call(number, arguments) }
}

/// The words of an argument that is a C `int`, widened as C does it.
#[inline]
fn int(value: c_int) -> usize {
    // A C int fits into a register on all machines that Linux runs on.
    isize::try_from(value).unwrap_or_default().cast_unsigned()
}

/// The permissions of a file that `open` makes.
const PRIVATE: usize = 0o600;

/// `open(2)`. A file that it makes is for its owner only.
pub(super) fn open(path: &CStr, flags: c_int) -> isize {
    let path = path.as_ptr().expose_provenance();
    // Newer machines have `openat` alone.
    #[cfg(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64"))]
    {
        let arguments = [int(libc::AT_FDCWD), path, int(flags), PRIVATE, 0];
        // SAFETY: the kernel reads a NUL-terminated string that lives across the call, and writes
        // to no memory of this process.
        unsafe { arch::call5(libc::SYS_openat, arguments) }
    }
    #[cfg(not(any(
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64"
    )))]
    // SAFETY: as above.
    unsafe {
        call(libc::SYS_open, [path, int(flags), PRIVATE])
    }
}

/// `close(2)`, of a descriptor that nothing uses afterwards.
pub(super) fn close(fd: c_int) -> isize {
    // SAFETY: one integer, and no memory of this process is touched.
    unsafe { call(libc::SYS_close, [int(fd), 0, 0]) }
}

/// `read(2)`.
///
/// The DLM device writes up to 72 bytes even if told less (52 to 71), which the callers in this
/// crate rule out: they pass 12, or 104 and more.
#[inline]
pub(super) fn read(fd: c_int, buffer: &mut [u8]) -> isize {
    let arguments = [int(fd), buffer.as_mut_ptr().expose_provenance(), buffer.len()];
    // SAFETY: the kernel writes at most as many bytes as it is told, see above for the one device
    // that does not, to a buffer that is exclusively borrowed across the call.
    unsafe { call(libc::SYS_read, arguments) }
}

/// `write(2)`.
#[inline]
pub(super) fn write(fd: c_int, bytes: &[u8]) -> isize {
    let arguments = [int(fd), bytes.as_ptr().expose_provenance(), bytes.len()];
    // SAFETY: the kernel reads as many bytes as it is told, of a slice that is borrowed across the
    // call, and writes to no memory of this process.
    unsafe { call(libc::SYS_write, arguments) }
}

/// `flock(2)`.
#[inline]
pub(super) fn flock(fd: c_int, operation: c_int) -> isize {
    // SAFETY: two integers, and no memory of this process is touched.
    unsafe { call(libc::SYS_flock, [int(fd), int(operation), 0]) }
}

/// `poll(2)`. A negative time is none.
#[inline]
pub(super) fn poll(fds: &mut [libc::pollfd], millis: c_int) -> isize {
    let pointer = fds.as_mut_ptr().expose_provenance();
    // Newer machines have `ppoll` alone.
    #[cfg(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64"))]
    {
        let mut time = libc::timespec {
            tv_sec: (millis / 1000).into(),
            tv_nsec: (millis % 1000 * 1_000_000).into(),
        };
        let time = if millis < 0 { core::ptr::null_mut() } else { &raw mut time };
        let arguments = [pointer, fds.len(), time.expose_provenance(), 0, 0];
        // SAFETY: the kernel reads and writes these records, which are exclusively borrowed across
        // the call, and the time, which is ours, or absent. There is no signal mask.
        unsafe { arch::call5(libc::SYS_ppoll, arguments) }
    }
    #[cfg(not(any(
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64"
    )))]
    // SAFETY: the kernel reads and writes these records, which are exclusively borrowed across the
    // call.
    unsafe {
        call(libc::SYS_poll, [pointer, fds.len(), int(millis)])
    }
}

/// `fstat(2)`, which fills the record if it succeeds. It is a cancellation point nowhere; with a
/// call of our own it takes no C library where the record is the kernel's.
pub(super) fn fstat(fd: c_int, record: &mut MaybeUninit<libc::stat>) -> isize {
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    {
        let arguments = [int(fd), record.as_mut_ptr().expose_provenance(), 0];
        // SAFETY: the kernel writes one `struct stat`, which on this machine is the C library's,
        // see below, to memory of that size that is exclusively borrowed across the call.
        unsafe { call(libc::SYS_fstat, arguments) }
    }
    #[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
    // SAFETY: the function writes one record to memory of its size and alignment, which is
    // exclusively borrowed across the call.
    of_c_library(unsafe { libc::fstat(fd, record.as_mut_ptr()) } as isize)
}

/// `struct stat` of the kernel's asm/stat.h.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<libc::stat>() == 144);
    assert!(offset_of!(libc::stat, st_nlink) == 16);
    assert!(offset_of!(libc::stat, st_mode) == 24);
    assert!(offset_of!(libc::stat, st_rdev) == 40);
};

#[cfg(all(test, feature = "std"))]
mod tests;
