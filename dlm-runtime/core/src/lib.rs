//! The rules of DLM locks, without input and output.
//!
//! A [`Core`] is what one open lockspace knows of its locks. It holds the table of locks, the index
//! of their ids, the rules of one lock, the deadlines and the meaning of each result. It performs
//! no system call, starts no thread, reads no clock and runs no callback: a driver does that around
//! it.
//!
//! # Calls, submissions, results
//!
//! A call such as [`Core::lock`] checks what is asked for and fills in a [`Submission`]: the bytes
//! to write to the lockspace's device, and a [`Ticket`] that names what they are for. The driver
//! writes them with nothing locked, and reports the kernel's answer by [`Core::accepted`] or
//! [`Core::refused`]. Each result that is read goes to [`Core::receive`], which says what has ended
//! and whose it was. Time comes in as a value: [`Core::expired`] says what is overdue.
//!
//! What a driver keeps for an operation (a waker, a callback) is its type `O`, what it keeps for a
//! lock is its type `L`. The core stores both and hands them back; it never drops one while it is
//! called, as their drop is foreign code, which must run when nothing is locked.
//!
//! # One write at a time for each lock
//!
//! The kernel lists a new lock with its owner only after it has queued the grant. A lock that ends
//! in between (#ended-before-its-write-returned) leaves freed memory on that list, and a cancel
//! that is written too early or too late hits another operation, or another lock. So nothing is
//! written for a lock while another write for it has not returned. What is asked for meanwhile is
//! kept in its entry, and handed out by [`Core::follow`] when the write has returned: to the thread
//! that wrote, which writes it next.
//!
//! # Two sets of rules
//!
//! [`Rules::Checked`] refuses whatever the kernel would refuse, ignore or be harmed by.
//! [`Rules::AsAsked`] is for the C libraries, whose callers may do all that C libdlm lets them do;
//! it refuses only what harms the kernel.
//!
//! Sources: the kernel's `fs/dlm/user.c` and `fs/dlm/lock.c`, and the project's tests on kernels.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod alarms;
mod asked;
mod core;
mod deadline;
mod entry;
mod follow;
mod index;
mod lock_state;
mod operation;
mod plain;
mod receive;
mod submission;
mod submit;
mod table;
#[cfg(test)]
mod tests;
mod validate;

pub use crate::core::{Core, Counts, LockView, Options, Rules};
pub use alarms::Time;
pub use asked::{CancelStep, Conversion, NewLock, Queueing, Unlocking};
pub use deadline::Expired;
pub use follow::{Accepted, Follow, Refused, Released};
pub use operation::{CancelKind, Ended, Failure, Kind, Lvb, Moved, Operation, Rejected, UnlockLvb};
pub use plain::PlainUnlock;
pub use receive::{Received, Report, Usual};
pub use submission::{Refusal, Submission, Ticket};
