//! The C library's work before `main` and after it, and the end on a panic.

#![allow(unsafe_code, reason = "global assembly counts as unsafe, and the exit is a system call")]

use core::arch::global_asm;

// The kernel enters here with the arguments on a stack that is aligned to 16 bytes. They are not
// looked at. `call` leaves the stack as each function expects it.
global_asm!(
    ".globl _start",
    "_start:",
    "    xor ebp, ebp",
    "    call {run}",
    "    movzx edi, al",
    "    jmp {exit}",
    run = sym start,
    exit = sym exit,
);

/// The exit status after a panic. It is not that of any step.
const PANICKED: u8 = 101;

extern "C" fn start() -> u8 {
    super::run()
}

/// Ends the process.
extern "C" fn exit(status: u8) -> ! {
    const EXIT_GROUP: u32 = 231;
    // SAFETY: exit_group(2) reads one integer, touches no memory and never returns, so nothing
    // that the compiler assumes about what comes afterwards matters.
    unsafe {
        core::arch::asm!(
            "syscall",
            in("eax") EXIT_GROUP,
            in("edi") u32::from(status),
            options(noreturn, nostack),
        )
    }
}

/// Required by the language. `cargo xtask size` fails if the linker keeps it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(PANICKED)
}
