//! Scenarios: what the kernel does, step by step, in files that are easy to read and write.
//!
//! `tests/scenarios/README.md` explains the files. A [`Executor`] does their steps on a [`Backend`]:
//! [`Devices`] is the kernel that runs, and
//! [`EngineDevices`] an engine. [`FILES`] are all files of the folder, compiled in, as the
//! virtual machines have no copy of it.

mod backend;
mod bytes;
mod corpus;
mod cursor;
mod device;
mod engine;
mod executor;
mod expect;
mod matcher;
mod parse;
mod record;
mod run;
mod show;
mod step;
mod text;

pub use backend::{Backend, Lock, Queue, Resource, Thread};
pub use corpus::{FILES, named, scenario};
pub use device::Devices;
pub use engine::EngineDevices;
pub use executor::{Executor, Handle, Observed};
pub use run::{on_engine, on_kernel, rerecord, run};
pub use step::{
    Ask, Body, Device, Frame, LockRef, MAIN, Name, Owner, Placed, Queues, Result, Scenario, Step,
    Wanted, What, Words,
};
pub use text::Mistake;
