//! The functions that the compiler itself calls: it expects them of every C library.
//!
//! In assembly, because a loop in Rust that copies bytes is compiled to a call of `memcpy`. Made
//! for size; the largest block in this program is a record of the kernel. The direction flag is
//! clear at every call, as C's calling convention has it.

#![allow(unsafe_code, reason = "global assembly counts as unsafe")]

core::arch::global_asm!(
    ".pushsection .text.memcpy, \"ax\", @progbits",
    ".globl memcpy",
    ".type memcpy, @function",
    "memcpy:",
    "    mov rax, rdi",
    "    mov rcx, rdx",
    "    rep movsb",
    "    ret",
    ".size memcpy, . - memcpy",
    ".popsection",
);

core::arch::global_asm!(
    ".pushsection .text.memset, \"ax\", @progbits",
    ".globl memset",
    ".type memset, @function",
    "memset:",
    "    mov r8, rdi",
    "    mov eax, esi",
    "    mov rcx, rdx",
    "    rep stosb",
    "    mov rax, r8",
    "    ret",
    ".size memset, . - memset",
    ".popsection",
);

// With no bytes to compare, the flags are still those of the `xor`: equal.
core::arch::global_asm!(
    ".pushsection .text.memcmp, \"ax\", @progbits",
    ".globl memcmp",
    ".type memcmp, @function",
    ".globl bcmp",
    ".type bcmp, @function",
    "memcmp:",
    "bcmp:",
    "    mov rcx, rdx",
    "    xor eax, eax",
    "    repe cmpsb",
    "    je 2f",
    "    movzx eax, byte ptr [rdi - 1]",
    "    movzx ecx, byte ptr [rsi - 1]",
    "    sub eax, ecx",
    "2:  ret",
    ".size memcmp, . - memcmp",
    ".size bcmp, . - bcmp",
    ".popsection",
);
