//! The functions of C libdlm and libdlm_lt, on top of dlm-runtime.
//!
//! Programs built for C libdlm run on these unchanged. The two libraries differ as the originals
//! do, see [`Flavour`]; each is a thin crate (`libdlm`, `libdlm_lt`) that exports the functions of
//! this one, and `cargo xtask capi` links the shared libraries.
//!
//! What is kept of the originals' behaviour, and what is not, stands in README.md.
//!
//! # Inside
//!
//! * `export`, `entry`, `arguments`, `spaces`: the exported functions, their pointers, and `errno`.
//! * `border`, `frame`, `ast_thread`: where threads may be left.
//! * `turn`, `task`, `semaphore`, `polled`: what sleeps or runs ASTs.
//! * `lksb`: the callers' memory, and the contract under which it is touched.
//! * `backend`: the lock manager, the kernel's or, with `DLM_BACKEND=engine`, one in the process.
//! * `environment`: the variables that are read; `flavour`: the one of the two libraries.
//! * `handles`, `slots`: open lockspaces by handle and by descriptor.
//! * `face`: what the driver of dlm-runtime, which does the rest, is told of ASTs and status
//!   blocks.
//! * `session`, `fork`: opening and closing, and forked children.
//! * `lock`, `unlock`: the calls on locks.
//! * `model`: schedules, which run `face`, `turn`, `task`, `session`, `lock` and `unlock`.

#![cfg_attr(
    dlm_model,
    allow(dead_code, unreachable_pub, reason = "schedules call what is behind the exports")
)]

#[cfg(not(dlm_model))]
mod arguments;
#[cfg(not(dlm_model))]
mod ast_thread;
#[cfg(not(dlm_model))]
mod backend;
#[cfg(not(dlm_model))]
mod border;
#[cfg(not(dlm_model))]
#[doc(hidden)]
pub mod entry;
mod environment;
mod errno;
#[cfg(not(dlm_model))]
mod export;
mod face;
mod flavour;
#[cfg(not(dlm_model))]
mod fork;
#[cfg(not(dlm_model))]
mod frame;
#[cfg(not(dlm_model))]
mod handles;
mod lksb;
mod lock;
#[cfg(dlm_model)]
mod model;
#[cfg(not(dlm_model))]
mod polled;
#[cfg(not(dlm_model))]
mod semaphore;
mod session;
#[cfg(not(dlm_model))]
mod slots;
#[cfg(not(dlm_model))]
#[doc(hidden)]
pub mod spaces;
mod task;
#[cfg(test)]
#[cfg(not(dlm_model))]
mod tests;
mod turn;
mod unlock;

pub use self::flavour::Flavour;

/// The functions that the export macros use.
#[cfg(not(dlm_model))]
#[doc(hidden)]
pub mod ffi {
    pub use std::ffi::{c_char, c_int, c_uint, c_void};
    pub use std::ptr::{null, null_mut};

    pub use libc::mode_t;

    pub use crate::arguments::{LockArguments, UnlockArguments};
    pub use crate::entry::{self, Space};
    pub use crate::flavour::Flavour;
    pub use crate::handles::Handle;
    pub use crate::lksb::{AstRoutine, Lksb};
    pub use crate::spaces;
}
