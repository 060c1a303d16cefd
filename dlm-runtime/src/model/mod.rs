//! Schedules: the code of this crate, run with its threads interleaved in chosen ways.
//!
//! A build with `--cfg dlm_model` takes mutexes, condition variables, atomics, threads and time
//! from [shuttle](https://docs.rs/shuttle) instead of the standard library (`crate::threads`), and
//! descriptors and the device from here. Everything above those is the code that users get: table,
//! hand-over, leadership, dispatch, deadlines, futures, delivery thread. Each test runs one
//! scenario under thousands of schedules and checks what must hold in all of them. The scenarios in
//! here are programs with the Rust API; those of C programs are in dlm-capi, in a module of the same
//! name, on the same stage.
//!
//! # What this shows, and what it does not
//!
//! The lock manager in here is [dlm-engine](dlm_engine), as one of two nodes, and like Linux 6.1 or
//! 6.12 by chance. Which node is the master of a resource is chance, too, and the messages between
//! them arrive when the scheduler says so. What a kernel does is shown by the tests that run on
//! kernels; what is shown here is about *our* threads: no completion lost, no callback run twice or in
//! a wrong place, no deadlock, nothing left behind. Each open device is behind the engine's monitor
//! ([`dlm_engine::strict`]), which fails the test for each request that no kernel must be sent. A
//! `write` and a `read` have a beginning and an end, between which others run.
//!
//! Shuttle runs one thread at a time and takes every atomic operation as sequentially consistent:
//! mistakes in memory orderings do not show. Nor do those of real descriptors, fork and signals. The
//! closure of a `thread::scope` must not wait for anything but its threads: shuttle wakes the thread
//! that runs it whenever one of those ends.
//!
//! # Running them
//!
//! `cargo xtask test` does. By hand, from the root of the workspace, with more schedules of each
//! kind for each scenario than the usual ones:
//!
//! ```sh
//! export RUSTFLAGS='--cfg dlm_model' CARGO_TARGET_DIR=target/model CARGO_PROFILE_TEST_OPT_LEVEL=1
//! DLM_SCHEDULES=100000 cargo test -p dlm-runtime -p dlm-capi --lib model::
//! ```
//!
//! A schedule that fails is kept in a file, and the command that repeats it is printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

pub(crate) mod clock;
pub(crate) mod device;
mod run;
pub(crate) mod signal;
mod space;
mod stage;

#[cfg(test)]
mod test_blocked;
#[cfg(test)]
mod test_cache;
#[cfg(test)]
mod test_cancel;
#[cfg(test)]
mod test_delivery;
#[cfg(test)]
mod test_drop;
#[cfg(test)]
mod test_early;
#[cfg(test)]
mod test_edge;
#[cfg(test)]
mod test_end;
#[cfg(test)]
mod test_first;
#[cfg(test)]
mod test_flush;
#[cfg(test)]
mod test_foreign;
#[cfg(test)]
mod test_future;
#[cfg(test)]
mod test_late;
#[cfg(test)]
mod test_notices;
#[cfg(test)]
mod test_refused;
#[cfg(test)]
mod test_waiters;

pub use self::clock::{advance, note_failure, while_time_passes};
pub use self::run::check;
pub use self::signal::{Signal, Sources};
pub use self::space::Space;
pub use self::stage::{Dispatcher, Exclusive, Stage};
