//! System calls on s390x: the number in R1 with `svc 0`, the arguments in R2, R3 and R4, the answer
//! in R2. The kernel keeps all other registers (arch/s390/kernel/entry.S).

use core::arch::asm;
use core::ffi::c_long;

/// A system call with up to three arguments.
///
/// # Safety
///
/// As for the call with these arguments.
#[inline]
pub(super) unsafe fn call(number: c_long, [first, second, third]: [usize; 3]) -> isize {
    let answer;
    // SAFETY: all registers that the kernel changes are named. It uses no stack of this process,
    // and memory only as this call does, for which the caller vouches; the compiler assumes that
    // any memory is read and written here that a pointer was exposed to.
    unsafe {
        asm!(
            "svc 0",
            in("r1") number,
            inlateout("r2") first => answer,
            in("r3") second,
            in("r4") third,
            options(nostack),
        );
    }
    answer
}
