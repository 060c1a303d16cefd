//! System calls on other machines, by `syscall(2)` of the C library, which is no cancellation point.

use core::ffi::c_long;

use super::of_c_library;

/// A system call with up to three arguments.
///
/// # Safety
///
/// As for the call with these arguments.
#[inline]
pub(super) unsafe fn call(number: c_long, [first, second, third]: [usize; 3]) -> isize {
    // SAFETY: the caller's promise is passed on.
    of_c_library(unsafe { libc::syscall(number, first, second, third) } as isize)
}

/// A system call with up to five arguments.
///
/// # Safety
///
/// As for the call with these arguments.
#[cfg(target_arch = "loongarch64")]
#[inline]
pub(super) unsafe fn call5(
    number: c_long,
    [first, second, third, fourth, fifth]: [usize; 5],
) -> isize {
    // SAFETY: the caller's promise is passed on.
    of_c_library(unsafe { libc::syscall(number, first, second, third, fourth, fifth) } as isize)
}
