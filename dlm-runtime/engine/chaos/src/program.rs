//! A program on a node: an open lockspace and workers that use it.

use crate::history::Owner;
use crate::plan::Kind;
use crate::plan::RESOURCES;
use anyhow::{Context, Result};
use dlm_runtime::{Completion, Lock, Lockspace, Mode};
use std::sync::mpsc::Sender;

/// Workers of one program.
pub(crate) const WORKERS: usize = 3;

/// The most microseconds that a message and its answer take.
pub(crate) const ROUND_TRIP: u64 = 1000;

/// One run of a program.
pub(crate) struct Program {
    pub(crate) owner: Owner,
    pub(crate) space: Lockspace,
    /// Null locks that keep the value blocks.
    pub(crate) keepers: Vec<Lock>,
    /// How many of them are granted.
    pub(crate) kept: usize,
    /// It is the first of all, and writes the value blocks once: the lock managers say nothing of
    /// the loss of a block that did not exist.
    pub(crate) is_first: bool,
    pub(crate) workers: [Worker; WORKERS],
    /// Calls that wait until the lockspace runs and the node does not stand still: a thread would
    /// be in `write` there.
    pub(crate) held_up: Vec<Call>,
    pub(crate) sender: Sender<Heard>,
}

impl Program {
    pub(crate) fn new(owner: Owner, space: Lockspace, sender: Sender<Heard>) -> Self {
        let held_up = (0..RESOURCES.len()).map(Call::Keep).collect();
        let workers = Default::default();
        let is_first = owner.run == 1;
        Self { owner, space, keepers: Vec::new(), kept: 0, is_first, workers, held_up, sender }
    }

    /// Whether it does what it is for.
    pub(crate) fn works(&self) -> bool {
        self.kept == RESOURCES.len()
    }

    pub(crate) fn worker(&mut self, number: usize) -> Result<&mut Worker> {
        self.workers.get_mut(number).context("no such worker")
    }
}

/// One after the other, a worker takes and drops locks.
#[derive(Default)]
pub(crate) struct Worker {
    /// Counts its operations, to know what is meant for one that is over.
    pub(crate) serial: u64,
    pub(crate) operation: Option<Operation>,
}

impl Worker {
    /// The operation of this number, if it is the present one.
    pub(crate) fn at(&mut self, serial: u64) -> Option<&mut Operation> {
        self.operation.as_mut().filter(|_| self.serial == serial)
    }
}

/// One lock, from its request to its end.
pub(crate) struct Operation {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) resource: &'static str,
    pub(crate) mode: Mode,
    pub(crate) stage: Stage,
    pub(crate) lock: Option<Lock>,
    /// What the value block must have at least.
    pub(crate) at_least: u64,
    /// The value that was read, and whether it is valid.
    pub(crate) read: (u64, bool),
    /// What is being written.
    pub(crate) writes: Option<u64>,
    /// A cancel was written, because of the kind.
    pub(crate) is_cancelled: bool,
    /// When the present stage began, in time without faults.
    pub(crate) since: u64,
    /// The same of the request, once it is written.
    pub(crate) written: Option<u64>,
}

impl Operation {
    /// Whether a request for a lock that writes the block may not have been answered yet.
    pub(crate) fn may_be_on_its_way(&self, quiet_time: u64) -> bool {
        let recently = |written| quiet_time - written <= ROUND_TRIP;
        self.mode >= Mode::Pw && self.stage == Stage::Asks && self.written.is_some_and(recently)
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
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
    pub(crate) fn waits(self) -> bool {
        self != Self::Holds
    }
}

/// A call that writes to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Keep(usize),
    Found(usize),
    Ask(usize),
    Cancel(usize, u64),
    ConvertUp(usize),
    ConvertDown(usize),
    Unlock(usize),
}

/// What a callback was told.
pub(crate) struct Heard {
    pub(crate) run: u64,
    pub(crate) who: Who,
    pub(crate) what: What,
}

/// Whose lock it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// A worker's, and which of its operations.
    Worker(usize, u64),
    /// The null lock that keeps this block.
    Keeper(usize),
}

pub(crate) enum What {
    Ended(Completion),
    Blocked,
}
