//! System calls on x86-64: the number in RAX, the arguments in RDI, RSI and RDX, the answer in RAX.
//! The `syscall` instruction leaves the old program counter and flags in RCX and R11, and the kernel
//! keeps all other registers (x86-64 psABI, A.2.1).

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
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}
