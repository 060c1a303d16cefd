//! A program on a node: an open lockspace and workers that use it.

use super::super::driver::RESOURCES;
use super::super::history::Owner;
use super::super::work::Kind;
use anyhow::{Context, Result};
use dlm_runtime::{Completion, Lock, Lockspace, Mode};
use std::sync::mpsc::Sender;

/// Workers of one program.
pub(super) const WORKERS: usize = 3;

/// The most microseconds that a message and its answer take.
pub(super) const ROUND_TRIP: u64 = 1000;

/// One run of a program.
pub(super) struct Program {
    pub(super) owner: Owner,
    pub(super) space: Lockspace,
    /// Null locks that keep the value blocks.
    pub(super) keepers: Vec<Lock>,
    /// How many of them are granted.
    pub(super) kept: usize,
    /// It is the first of all, and writes the value blocks once: the lock managers say nothing of
    /// the loss of a block that did not exist.
    pub(super) is_first: bool,
    pub(super) workers: [Worker; WORKERS],
    /// Calls that wait until the lockspace runs and the node does not stand still: a thread would
    /// be in `write` there.
    pub(super) held_up: Vec<Call>,
    pub(super) sender: Sender<Heard>,
}

impl Program {
    pub(super) fn new(owner: Owner, space: Lockspace, sender: Sender<Heard>) -> Self {
        let held_up = (0..RESOURCES.len()).map(Call::Keep).collect();
        let workers = Default::default();
        let is_first = owner.run == 1;
        Self { owner, space, keepers: Vec::new(), kept: 0, is_first, workers, held_up, sender }
    }

    /// Whether it does what it is for.
    pub(super) fn works(&self) -> bool {
        self.kept == RESOURCES.len()
    }

    pub(super) fn worker(&mut self, number: usize) -> Result<&mut Worker> {
        self.workers.get_mut(number).context("no such worker")
    }
}

/// One after the other, a worker takes and drops locks.
#[derive(Default)]
pub(super) struct Worker {
    /// Counts its operations, to know what is meant for one that is over.
    pub(super) serial: u64,
    pub(super) operation: Option<Operation>,
}

impl Worker {
    /// The operation of this number, if it is the present one.
    pub(super) fn at(&mut self, serial: u64) -> Option<&mut Operation> {
        self.operation.as_mut().filter(|_| self.serial == serial)
    }
}

/// One lock, from its request to its end.
pub(super) struct Operation {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) resource: &'static str,
    pub(super) mode: Mode,
    pub(super) stage: Stage,
    pub(super) lock: Option<Lock>,
    /// What the value block must have at least.
    pub(super) at_least: u64,
    /// The value that was read, and whether it is valid.
    pub(super) read: (u64, bool),
    /// What is being written.
    pub(super) writes: Option<u64>,
    /// A cancel was written, because of the kind.
    pub(super) is_cancelled: bool,
    /// When the present stage began, in time without faults.
    pub(super) since: u64,
    /// The same of the request, once it is written.
    pub(super) written: Option<u64>,
}

impl Operation {
    /// Whether a request for a lock that writes the block may not have been answered yet.
    pub(super) fn may_be_on_its_way(&self, quiet_time: u64) -> bool {
        let recently = |written| quiet_time - written <= ROUND_TRIP;
        self.mode >= Mode::Pw && self.stage == Stage::Asks && self.written.is_some_and(recently)
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Asks,
    Holds,
    /// It is converted or unlocked as soon as that call can be made.
    Ends,
    ConvertsUp,
    ConvertsDown,
    Unlocks,
}

impl Stage {
    /// Whether an answer must come by itself.
    pub(super) fn waits(self) -> bool {
        self != Self::Holds
    }
}

/// A call that writes to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Keep(usize),
    Found(usize),
    Ask(usize),
    Cancel(usize, u64),
    ConvertUp(usize),
    ConvertDown(usize),
    Unlock(usize),
}

/// What a callback was told.
pub(super) struct Heard {
    pub(super) run: u64,
    pub(super) who: Who,
    pub(super) what: What,
}

/// Whose lock it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    /// A worker's, and which of its operations.
    Worker(usize, u64),
    /// The null lock that keeps this block.
    Keeper(usize),
}

pub(super) enum What {
    Ended(Completion),
    Blocked,
}
