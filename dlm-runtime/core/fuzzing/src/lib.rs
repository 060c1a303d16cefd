//! A [`dlm_core::Core`] against a [`dlm_engine::Engine`], call by call and without a thread: the body
//! of the fuzz target `core`.
//!
//! The bytes of an input are what a driver, its callers, other programs and the network do: calls,
//! writes that reach the lock manager late and return later still, refusals, results that come late,
//! come again, are forged or lost, deadlines, handles that are dropped, and the end. It panics if one
//! of these does not hold:
//!
//! * The owner of each operation that was accepted is handed out once, and neither an owner nor what
//!   is kept for a lock is dropped in the core.
//! * One write at a time is under way for a lock.
//! * No request that harms a kernel (`dlm_engine::strict`) is written (module `watch`).
//! * The core's counters and indices agree with its locks, and its modes with the engine's.
//! * An unlock that is not to touch the value block leaves it, or marks it invalid.
//! * When the handles are dropped, the alarms served and the results read, neither the core nor the
//!   engine has a lock left.
//!
//! What was made of a lock by a forged or lost result, or by a program that used its id, is nobody's
//! fault: such a lock is left out of the last four (`Book::taint`).

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "this is what a fuzz target is for"
)]

mod action;
mod book;
mod check;
mod driver;
mod finish;
#[path = "../../src/tests/kept.rs"]
mod kept;
mod result;
mod watch;
mod world;

use action::{Actions, Setup};
use driver::Driver;

/// Does what the bytes say, and ends it. The first three bytes choose the rules, the kernel and the
/// network; each action takes six.
pub fn core(bytes: &[u8]) {
    let (setup, rest) = Setup::new(bytes);
    let mut driver = Driver::new(setup);
    for action in Actions::new(rest) {
        driver.act(action);
        driver.check();
    }
    driver.finish();
}
