//! Schedules of C programs: the C face, run with its threads interleaved in chosen ways.
//!
//! A build with `--cfg dlm_model` puts the lock manager, the clock and the threads of
//! [`dlm_runtime::model`] under the driver, whose documentation says what schedules show and how to
//! run them. What runs here is this crate's own `face`, `task`, `session`, `lock` and `unlock`. Not
//! there are the exported functions in front of those, with their border, their handles, their choice
//! of a lock manager and what they do about forks.
//!
//! * `block`: status blocks, which notice who touches them out of turn.
//! * `routine`: AST routines.
//! * `outer`: the outermost frame of a call, which sleeps, runs ASTs, and may be left.
//! * `client`: an open lockspace with its calls, as C programs make them.
//! * `test_*`: the scenarios. At the end of each nothing is left in the table and in the lock manager,
//!   and each status block is as the program has left it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[cfg(test)]
mod block;
#[cfg(test)]
mod client;
mod outer;
#[cfg(test)]
mod routine;

#[cfg(test)]
mod test_ast;
#[cfg(test)]
mod test_blocking;
#[cfg(test)]
mod test_cancel;
#[cfg(test)]
mod test_close;
#[cfg(test)]
mod test_convert;
#[cfg(test)]
mod test_deadline;
#[cfg(test)]
mod test_early;
#[cfg(test)]
mod test_leave;
#[cfg(test)]
mod test_waits;

use dlm_runtime::driver::Manager;

use crate::errno::Errno;

pub(crate) use self::outer::{Polled, Semaphore};

/// The lock manager of a schedule.
#[allow(clippy::unnecessary_wraps, reason = "as that of the module `backend`")]
pub(crate) fn manager() -> Result<&'static Manager, Errno> {
    static MANAGER: Manager = Manager::Kernel;
    Ok(&MANAGER)
}
