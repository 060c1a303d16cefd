//! Locks of the Linux kernel's Distributed Lock Manager.
//!
//! A lock is taken on a *resource*, a name of up to 64 bytes in a *lockspace*, in one of six
//! [modes](Mode). Locks on one resource in compatible modes are granted together, others wait in
//! line, on all nodes of the cluster. Each resource carries a *lock value block* of 32 bytes that
//! travels with its locks. A holder can be told when somebody waits (a *blocking AST*).
//!
//! ```no_run
//! use dlm_runtime::{Lockspace, Mode};
//!
//! let lockspace = Lockspace::create("example")?;
//! let lock = lockspace.lock("disk0", Mode::Ex).wait()?;
//! // disk0 is ours, on all nodes
//! lock.unlock().wait()?;
//! lockspace.release()?;
//! # Ok::<(), dlm_runtime::Error>(())
//! ```
//!
//! # Which way to choose
//!
//! | the program | way | results are read by | example |
//! |---|---|---|---|
//! | takes a lock, works, unlocks; has threads | blocking: [`wait`](LockRequest::wait) | the thread that waits: one write, one read | `adopt` |
//! | has callbacks, and no loop of its own | [`start`](LockRequest::start) and [`Lockspace::start_delivery`] | a [`DeliveryThread`] | `delivery_thread`, `handover` |
//! | has a loop of its own (poll, epoll, mio) | `start`, the descriptor ([`AsFd`](std::os::fd::AsFd)), [`Lockspace::dispatch`] | the loop | `poll_dispatch`, `mio_loop` |
//! | is async | `.await`, see [`future`] | a driver for tokio or async-io, or a delivery thread | `tokio_tasks`, `service` |
//! | reads the same things again and again | [`cache`]: a lock is kept until somebody else wants it | whichever of these | `cache`, `key_value`; by hand `stream_cache` |
//! | wants a mutex, a leader, a sequence of numbers | [`sync`] | whichever of these | `election`, `upgrade` |
//!
//! They mix: a lock that was awaited can be converted in a blocking call. The examples are in
//! `dlm-runtime/examples`, and run on kernels in this project's tests. Most run without one, with `--engine`.
//!
//! # Modes
//!
//! | | beside it may be | for |
//! |---|---|---|
//! | [`Nl`](Mode::Nl) | all | interest: keeps the resource and its value block |
//! | [`Cr`](Mode::Cr) | all but EX | reading while others write |
//! | [`Cw`](Mode::Cw) | NL, CR, CW | writing beside other writers |
//! | [`Pr`](Mode::Pr) | NL, CR, PR | reading, with no writer beside: "shared" |
//! | [`Pw`](Mode::Pw) | NL, CR | writing beside readers that can bear it |
//! | [`Ex`](Mode::Ex) | NL | alone |
//!
//! Holders of PW and EX write the value block; new locks and conversions upwards read it.
//!
//! # In a daemon
//!
//! [`manual::daemon`] has the life of a lockspace from start to stop, the ways in which a lock is lost and
//! how to learn of them, and the clock of deadlines. [`Error`] has a predicate for each thing that a daemon
//! decides by (the example `error_decisions`).
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `engine` | the module `engine`: a lock manager in the process, for tests |
//! | `tokio` | `Lockspace::drive_tokio` |
//! | `async-io` | `Lockspace::drive_async_io`, for any executor |
//! | `serde` | the module `serde`: modes, flags, names and value blocks in the data of a program |
//! | `tracing` | events: requests, grants with their waiting time, notices, writes that were held up; why cached locks gave way |
//!
//! None is on by default.
//!
//! # Locks of others
//!
//! [`inspect`] tells who holds a lock and who waits for it, on all nodes; the program `dlm`
//! (`dlm-runtime/cli`) shows it.
//!
//! # Ready-made coordination
//!
//! The module `sync` has mutexes, elections, semaphores and more, built from locks, each with what it
//! promises when a node dies.
//!
//! # Without a kernel
//!
//! With the feature `engine`, the module `engine` is a lock manager in the process, for tests and
//! simulations; [`backend`] says what one of your own must do, and lets calls fail on purpose.
//!
//! # What a program must know
//!
//! * Every request is a `write` on the lockspace's device. While the kernel has stopped the
//!   lockspace, for a change of the cluster's members, `write` and `close` block, and no signal
//!   ends that.
//! * Locks belong to the open lockspace. A process that dies loses them; a forked child must open
//!   the lockspace anew, and is refused with [`ErrorKind::Forked`] otherwise.
//! * Kernels since 6.10 can grant EX twice when the first requests for a resource come at the same
//!   time. On a node this library keeps them apart; what is left, and what it costs:
//!   [two resources of one name](manual::hazards#two-resources-of-one-name).

#![forbid(unsafe_code)]
#![cfg_attr(dlm_model, allow(dead_code, reason = "schedules have no C face and poll nothing"))]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "dlm-runtime needs Linux, whose kernel has the DLM; the engine for tests, too, as it is polled by \
     Linux' descriptors. dlm-proto, dlm-core and dlm-engine build for other systems"
);

#[cfg(not(dlm_model))]
pub mod backend;
mod blocking;
pub mod cache;
mod callbacks;
mod control;
mod convert;
mod counters;
mod delivery;
#[doc(hidden)]
pub mod driver;
#[cfg(all(feature = "engine", not(dlm_model)))]
pub mod engine;
mod error;
mod event;
#[cfg(any(feature = "tokio", feature = "async-io"))]
mod executor;
mod flush;
pub mod future;
#[cfg(not(dlm_model))]
pub mod inspect;
mod lock;
mod lockspace;
pub mod manual;
#[cfg(dlm_model)]
#[doc(hidden)]
pub mod model;
mod native;
mod notices;
mod options;
mod orphan;
mod poll;
mod request;
#[cfg(feature = "serde")]
pub mod serde;
#[cfg(not(dlm_model))]
mod several;
pub mod simple;
mod status;
#[cfg(not(dlm_model))]
pub mod sync;
mod threads;
mod trace;
mod unlock;
mod wait_blocked;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The device version that the kernel of this node states.
///
/// # Errors
///
/// [`ErrorKind::Device`]: no module, no permission, or a version that is not supported.
pub fn kernel_version() -> Result<Version, Error> {
    let control = dlm_sys::ControlDevice::open();
    control.map(|control| control.version()).map_err(|error| Error::new(Operation::Open, error))
}

pub use blocking::BlockedLock;
pub use convert::ConvertRequest;
pub use counters::Counters;
pub use delivery::DeliveryThread;
pub use error::{Error, ErrorKind, Operation};
pub use event::{Blocking, Completion, CompletionHandler};
pub use flush::PendingDrops;
pub use lock::{Lock, LockInfo};
pub use lockspace::Lockspace;
pub use notices::BlockingNotices;
pub use options::LockspaceOptions;
pub use orphan::AdoptRequest;
pub use request::LockRequest;
pub use status::{State, Status};
pub use unlock::{UnlockError, UnlockRequest};

pub use dlm_core::Lvb;

pub use dlm_proto::{
    LockFlags, LockId, LockStatus, LockspaceName, Minor, Mode, NameError, NodeId, ResourceName,
    StatusFlags, ValueBlock, Version,
};

/// The examples in the READMEs, so that they compile.
#[cfg(all(doctest, feature = "engine"))]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../README.md")]
struct Readmes;
