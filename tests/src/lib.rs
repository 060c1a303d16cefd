//! What the tests against a real kernel share.
//!
//! The tests themselves stand in the files beside this folder. Each is ignored unless asked for
//! (`--ignored`), because it needs a kernel with a DLM and root; `cargo xtask test` runs them in a
//! virtual machine. They run at the same time, so each makes a [`Lockspace`] of its own.
//!
//! * [`Lockspace`]: made for one test, and removed at its end with whatever is left in it.
//! * [`Session`]: an open device, one line per request; results are awaited with a deadline.
//! * [`Outcome`]: one result, with checks that name what differs.
//! * [`Kernel`]: which of the known generations runs, where they answer differently.
//! * [`process`], [`Task`], [`as_nobody`]: a second process, what a thread is waiting in, and a
//!   thread without privileges.
//! * [`scenario`]: what the kernel does, in files that people can read.
//!
//! Lines such as "l20" in the tests' names are those of the checklist from which they were written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: to fail loudly is their purpose"
)]

mod kernel;
mod lockspace;
mod meeting;
mod outcome;
mod privilege;
pub mod process;
mod request;
mod runtime;
pub mod scenario;
mod session;
mod task;
mod wait;

pub use kernel::Kernel;
pub use lockspace::{Lockspace, Stopped, control_device};
pub use meeting::Meeting;
pub use outcome::Outcome;
pub use privilege::as_nobody;
pub use request::{block, cookies, encode, encode_as};
pub use runtime::open_twice;
pub use session::Session;
pub use task::Task;
pub use wait::{PATIENCE, eventually, within};
