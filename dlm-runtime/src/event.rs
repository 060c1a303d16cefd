//! What callbacks are told, and the queue of callbacks that are due.

use std::collections::VecDeque;

use dlm_proto::{LockStatus, Mode, StatusFlags, Token, ValueBlock};

use crate::lent::BlockingCall;
use crate::lvb::Lvb;
use crate::signal::{AsFd, Signal, Source};
use crate::state::Ended;
use crate::sync::{Mutex, lock};

/// What a completion callback (completion AST) is told: how an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// How it ended.
    pub status: LockStatus,
    /// DEMOTED, ALTMODE, VALNOTVALID.
    pub flags: StatusFlags,
    /// The mode that the lock holds now, or `None` if there is no lock (any more).
    pub mode: Option<Mode>,
    /// The lock value block, if this operation read or wrote it.
    pub lvb: Option<Lvb>,
}

impl Completion {
    /// Whether the request or conversion was granted.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.status == LockStatus::Granted
    }

    /// The lock value block, if this operation read or wrote it and it can be relied on. A block
    /// that is there but invalid is in [`lvb`](Self::lvb) only.
    #[must_use]
    pub fn valid_lvb(&self) -> Option<ValueBlock> {
        self.lvb.and_then(Lvb::if_valid)
    }
}

impl From<Ended> for Completion {
    fn from(ended: Ended) -> Self {
        let Ended { status, flags, mode, lvb } = ended;
        Self { status, flags, mode, lvb }
    }
}

/// What a blocking callback (blocking AST) is told: somebody waits for this lock.
///
/// It is a hint that comes at most once per grant and mode. A holder that cannot give way now
/// should remember it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocking {
    /// The mode that the other lock waits for.
    pub mode: Mode,
}

pub(crate) type CompletionCallback = Box<dyn FnOnce(Completion) + Send>;
pub(crate) type BlockingCallback = Box<dyn BlockingCall>;

/// A callback that is due.
pub(crate) enum Due {
    Completion(Token, CompletionCallback, Completion),
    Blocking(Token, Mode),
}

/// Callbacks that are due but were read by a thread that must not run them.
///
/// Its descriptor is readable while it holds any.
pub(crate) struct DueQueue {
    queue: Mutex<VecDeque<Due>>,
    ready: Signal,
}

impl DueQueue {
    pub(crate) fn new() -> nix::Result<Self> {
        Ok(Self { queue: Mutex::new(VecDeque::new()), ready: Signal::new()? })
    }

    pub(crate) fn push(&self, due: Due) {
        let mut queue = lock(&self.queue);
        if queue.is_empty() {
            self.ready.set();
        }
        queue.push_back(due);
    }

    pub(crate) fn pop(&self) -> Option<Due> {
        let mut queue = lock(&self.queue);
        let due = queue.pop_front()?;
        if queue.is_empty() {
            self.ready.clear();
        }
        Some(due)
    }

    pub(crate) fn source(&self) -> Source<'_> {
        self.ready.as_fd()
    }
}
