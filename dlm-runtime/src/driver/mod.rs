//! The driver: the device, the threads and the callbacks around a [`dlm_core::Core`].
//!
//! One driver serves one open lockspace. What is generic in it is the [`Face`]: the Rust API of
//! this crate, or the C libraries (`dlm-runtime/capi`).
//!
//! # Layers
//!
//! Each file uses those of the rows above its own, and within a row those named before it.
//!
//! 1. Parts, which know nothing of a driver. `signal`, `lazy_signal`, `device`, `readiness`:
//!    descriptors. `wait_queue`, `waiting`: who waits. `timers`: until when. `face`, `begun`, `due`:
//!    what is kept for an operation, and callbacks that are due. `writer`, `delivery`,
//!    `short_lived`, `settler`, `task_reader`: threads, for those who start and wake them. `first`:
//!    requests that are kept apart.
//! 2. `state`, the table; `shared`, all that threads share.
//! 3. `tell`: who waits is told. `host`: who sleeps and runs callbacks for a wait. `end`: the end of the
//!    lockspace.
//! 4. `follow`: writes, the kernel's answers, and the next write.
//! 5. `effects`, what is left to do when nothing is locked; `read`, a result and its way; `release`, what
//!    nobody wants any more.
//! 6. `alarm`: deadlines. `sleep`; `settle` and `attend`, what is left over and what tasks wait for when
//!    nobody reads; `wait`: threads that wait in a call.
//! 7. `plain` and `call`: what is asked for; `plain` is the commonest of that.
//! 8. `dispatch`, `deliver`: running callbacks.
//! 9. `open`, `fork`: from the opening of a lockspace to its end, in each process.
//!
//! The one way up are `Driver::settle` and `Driver::attend`: the threads that a low layer starts for what
//! nobody reads run in the sixth.
//!
//! # What may be locked when
//!
//! The gate is locked for one read and its routing, and inside of it the table for the routing.
//! Foreign code (callbacks, wakers, drops of users' values) and writes happen when nothing is
//! locked and the thread has no role that others wait for.

mod alarm;
mod attend;
pub(crate) mod begun;
pub(crate) mod call;
mod deliver;
pub(crate) mod delivery;
pub(crate) mod device;
mod dispatch;
mod due;
mod effects;
pub(crate) mod end;
pub(crate) mod face;
pub(crate) mod first;
mod follow;
#[cfg(not(dlm_model))]
mod fork;
pub(crate) mod host;
mod lazy_signal;
mod open;
mod plain;
pub(crate) mod read;
mod readiness;
pub(crate) mod release;
mod settle;
mod settler;
mod shared;
mod short_lived;
#[cfg(not(dlm_model))]
pub(crate) mod signal;
mod sleep;
mod state;
mod task_reader;
mod tell;
mod timers;
pub(crate) mod wait;
pub(crate) mod wait_queue;
pub(crate) mod waiting;
mod writer;

#[cfg(dlm_model)]
pub(crate) use crate::model::signal;

pub use self::begun::{Begun, Prepared};
pub use self::call::Prepare;
pub use self::deliver::Duty;
pub use self::delivery::{Control, THREAD_NAME};
pub use self::dispatch::{PlainStep, PlainTurn, Start};
pub use self::face::{Due, Face, Notice, Notify};
pub use self::first::KeepApart;
#[cfg(not(dlm_model))]
pub use self::fork::Frozen;
pub use self::host::{Host, Quiet};
pub use self::open::DriverOptions;
pub use self::plain::Otherwise;
pub(crate) use self::plain::Rest;
pub use self::read::PlainDue;
pub use self::shared::Driver;
#[cfg(not(dlm_model))]
pub use self::signal::poll_millis;
pub use self::signal::{Ready, Source};
pub use self::state::{OthersEnd, State};
pub use self::wait::{First, Unfinished};
pub use self::wait_queue::Waiter;
pub use crate::control::Manager;
pub use crate::threads::now;
