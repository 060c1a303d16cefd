//! The eight functions of a C library that dlm-sys calls, as system calls.
//!
//! In assembly throughout, so that they are to the compiler what the real ones are: functions from
//! elsewhere with C's calling convention. (`open` has variable arguments, which Rust cannot define.)
//!
//! * C's first three integer arguments are in the registers in which the kernel expects them, and
//!   no function here has more.
//! * The kernel keeps all registers but RAX, RCX and R11, which belong to the callee in C.
//! * It returns -4095 to -1 for an error number.
//! * The records, `struct pollfd` and `struct stat`, are the kernel's own on x86-64.
//!
//! There is one error number and not one per thread: this program has one thread.

#![allow(unsafe_code, reason = "global assembly counts as unsafe")]

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_pointer_width = "64")))]
compile_error!("system calls are written down for x86-64 Linux only");

/// Defines a C function that is a system call with the same arguments.
macro_rules! system_call {
    ($name:literal, $number:literal) => {
        core::arch::global_asm!(
            concat!(".pushsection .text.", $name, ", \"ax\", @progbits"),
            concat!(".globl ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            concat!("    mov eax, ", $number),
            "    syscall",
            "    jmp system_call_end",
            concat!(".size ", $name, ", . - ", $name),
            ".popsection",
        );
    };
}

// The numbers are those of asm/unistd_64.h; fstat is `newfstat` there.
system_call!("read", "0");
system_call!("write", "1");
system_call!("open", "2");
system_call!("close", "3");
system_call!("fstat", "5");
system_call!("poll", "7");
system_call!("flock", "73");

core::arch::global_asm!(
    ".pushsection .text.system_call_end, \"ax\", @progbits",
    ".type system_call_end, @function",
    "system_call_end:",
    "    cmp rax, -4095",
    "    jae 2f",
    "    ret",
    "2:  neg eax",
    "    mov dword ptr [rip + error_number], eax",
    "    or rax, -1",
    "    ret",
    ".size system_call_end, . - system_call_end",
    ".globl __errno_location",
    ".type __errno_location, @function",
    "__errno_location:",
    "    lea rax, [rip + error_number]",
    "    ret",
    ".size __errno_location, . - __errno_location",
    ".popsection",
    ".pushsection .bss.error_number, \"aw\", @nobits",
    ".balign 4",
    ".type error_number, @object",
    "error_number:",
    "    .skip 4",
    ".size error_number, 4",
    ".popsection",
);
