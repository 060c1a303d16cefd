//! System calls on 64-bit ARM: the number in X8, the arguments from X0 on, the answer in X0.
//! The kernel keeps all other general registers, and of the vector registers the lower 128 bits
//! (Documentation/arch/arm64/sve.rst): as a C function, and no more, may be relied on here.

use core::arch::asm;
use core::ffi::c_long;

/// A system call with up to three arguments.
///
/// # Safety
///
/// As for the call with these arguments.
#[inline]
pub(super) unsafe fn call(number: c_long, [first, second, third]: [usize; 3]) -> isize {
    // SAFETY: the caller's promise is passed on; the others are not looked at.
    unsafe { call5(number, [first, second, third, 0, 0]) }
}

/// A system call with up to five arguments.
///
/// # Safety
///
/// As for the call with these arguments.
#[inline]
pub(super) unsafe fn call5(
    number: c_long,
    [first, second, third, fourth, fifth]: [usize; 5],
) -> isize {
    let answer;
    // SAFETY: the registers that the kernel changes are among those that C functions may change,
    // which are named. It uses no stack of this process, and memory only as this call does, for
    // which the caller vouches; the compiler assumes that any memory is read and written here that
    // a pointer was exposed to.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => answer,
            in("x1") second,
            in("x2") third,
            in("x3") fourth,
            in("x4") fifth,
            clobber_abi("C"),
            options(nostack),
        );
    }
    answer
}
