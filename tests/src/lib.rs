//! The helpers that tests against a lock manager share.
//!
//! The tests themselves stand in the folders beside this one, of which `kernel`, `runtime`,
//! `engine` and `isolated` are a program each, and their files its modules. Those that need a
//! kernel with a DLM and root are ignored unless asked for (`--ignored`); `cargo xtask test` runs
//! each module of them in a virtual machine of its own. Tests run at the same time, so each makes a
//! [`Lockspace`] of its own; what cannot share its process is in `isolated`.
//!
//! Most tests of dlm-runtime (`runtime`) are functions of a [`Place`], from which [`everywhere!`]
//! makes one test on the kernel and one on each kind of engine, which run on any machine. Those
//! that are about the kernel's side of things say so in the reason for which they are ignored.
//!
//! * [`Lockspace`]: made for one test, and removed at its end with whatever is left in it.
//! * [`Session`]: an open device, one line per request; results are awaited with a deadline.
//! * [`Outcome`]: one result, with checks that name what differs.
//! * [`Kernel`]: which of the known generations runs, where they answer differently.
//! * [`process`], [`Task`], [`as_nobody`]: a second process, what a thread is waiting in, and a
//!   thread without privileges.
//! * [`scenario`]: what the kernel does, in files that people can read.
//! * [`conformance`]: the same random scripts on the kernel and on an engine.
//!
//! A test that shows a fact of the account of the kernel (`dlm-proto/docs/interface.md`,
//! `dlm-runtime/docs/locks.md`) cites its heading (#reuse-of-ids); `cargo xtask facts` makes a page
//! of that.

pub mod conformance;
mod kernel;
mod lockspace;
mod outcome;
mod place;
mod privilege;
pub mod process;
mod request;
pub mod scenario;
mod session;
mod spin_barrier;
mod sync;
mod task;
mod wait;

pub use dlm_runtime::engine::Profile;
pub use kernel::Kernel;
pub use lockspace::{Lockspace, Stopped, control_device};
pub use outcome::Outcome;
pub use place::{Place, StopGuard};
pub use privilege::as_nobody;
pub use request::{block, cookies, encode, encode_as};
pub use session::Session;
pub use spin_barrier::SpinBarrier;
pub use sync::{Kept, WAYS, Way};
pub use task::Task;
pub use wait::{PATIENCE, PROMPT, block_on, eventually, within};
