//! The driver: the device, the threads and the callbacks around a [`dlm_core::Core`].
//!
//! One driver serves one open lockspace. What is generic in it is the [`Face`]: the Rust API of
//! this crate, or the C libraries (`dlm-runtime/capi`).
//!
//! * `call`: what is asked for, and what is written for it; `plain`: the commonest of that.
//! * `read`, `effects`: a result, and what is left to do when nothing is locked.
//! * `wait`, `wait_queue`: threads that wait in a call; `host`: who sleeps and runs callbacks for
//!   those.
//! * `due`, `dispatch`, `delivery`: callbacks, and who runs them.
//! * `alarm`, `settler`: deadlines, and what is left over when nobody reads.
//! * `device`, `signal`, `readiness`, `writer`: descriptors, and a thread that writes.
//! * `open`, `end`, `fork`: from the opening of a lockspace to its end, in each process.
//!
//! # What may be locked when
//!
//! The gate is locked for one read and its routing, and inside of it the table for the routing.
//! Foreign code (callbacks, wakers, drops of users' values) and writes happen when nothing is
//! locked and the thread has no role that others wait for.

mod alarm;
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
mod release;
mod settle;
mod settler;
mod shared;
#[cfg(not(dlm_model))]
pub(crate) mod signal;
mod sleep;
mod state;
mod tell;
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
pub use self::face::{Due, Face, Notice, Notify};
pub use self::first::KeepApart;
#[cfg(not(dlm_model))]
pub use self::fork::Frozen;
pub use self::host::{Host, Quiet};
pub use self::open::DriverOptions;
pub(crate) use self::plain::Rest;
pub use self::shared::Driver;
#[cfg(not(dlm_model))]
pub use self::signal::poll_millis;
pub use self::signal::{Ready, Source};
pub use self::state::{OthersEnd, State};
pub use self::wait::Unfinished;
pub use self::wait_queue::Waiter;
pub use crate::control::Manager;
pub use crate::threads::now;
