//! System calls on 32-bit x86: the number in EAX, the arguments in EBX, ECX and EDX, the answer in
//! EAX. The kernel keeps all other registers (entry/entry_32.S, entry/entry_64_compat.S).

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
            "int 0x80",
            inlateout("eax") number => answer,
            in("ebx") first,
            in("ecx") second,
            in("edx") third,
            options(nostack),
        );
    }
    answer
}
