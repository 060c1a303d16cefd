//! A safe layer over the system calls on the Linux DLM's devices: open, read, write and poll.
//!
//! Despite the `-sys` in its name the crate links no C library of the DLM; it replaces one. It
//! knows file descriptors and paths, and it knows how each command's `write` is to be read. It
//! does not know callbacks, threads or the rules of locking: those are in `dlm-runtime`.
//!
//! * [`ControlDevice`]: the device version; create and remove lockspaces, one at a time on a node
//!   ([`LOCK_FILE`]).
//! * [`LockspaceDevice`]: submit requests and read results.
//! * [`misc`]: the kernel's list of misc devices, where lockspaces and their minor numbers stand.
//!
//! # Without `std`
//!
//! The crate is `no_std` and makes its system calls itself. On x86-64 it wants nothing of a C
//! library; on 32-bit x86, arm64, riscv64 and s390x it wants `fstat` and `__errno_location`, and on
//! other machines `syscall`, too. `static/` in this folder is a program without any. No panic, no
//! formatting and no allocation is linked into a program that does not ask for them itself.
//!
//! None of the calls is a point where a thread can be cancelled (pthread_cancel(3)).
//!
//! The default feature `std` adds what needs an allocator, nix or more of libc: waiting for device
//! nodes ([`LockspaceDevice::open_within`]) and for udev ([`create_lockspace`]), noticing that a
//! lockspace goes ([`RemovalWatch`]), that the process was forked ([`fork_count`]) or what the
//! kernel does wrong ([`first_requests_can_meet`]), and conversions to the standard library's
//! descriptors.
//!
//! # Errors
//!
//! An [`Error`] names the call, the cause and, where one is known, the remedy.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "dlm-sys makes system calls of Linux, whose kernel has the DLM: build for Linux. dlm-proto, dlm-core \
     and dlm-engine build for other systems, too"
);

mod control;
mod creation;
mod errno;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod lockspace;
pub mod misc;
mod sys;

#[cfg(feature = "std")]
mod create;
#[cfg(feature = "std")]
mod discover;
#[cfg(feature = "std")]
mod fork;
#[cfg(feature = "std")]
mod kernel;
#[cfg(feature = "std")]
mod removal;
#[cfg(feature = "std")]
mod udev;
#[cfg(feature = "std")]
mod uevent;

pub use control::ControlDevice;
#[cfg(feature = "std")]
pub use create::create_lockspace;
pub use creation::LOCK_FILE;
#[cfg(feature = "std")]
pub use discover::find_lockspace;
pub use errno::Errno;
pub use error::{Call, Cause, Error};
#[cfg(feature = "std")]
pub use fork::{fork_count, known_fork_count, redirect};
#[cfg(feature = "std")]
pub use kernel::{first_requests_can_meet, hash_table_seen};
pub use lockspace::{Accepted, LockspaceDevice};
#[cfg(feature = "std")]
pub use removal::{LazyRemovalWatch, RemovalWatch};
