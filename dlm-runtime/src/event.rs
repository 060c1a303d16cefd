//! What callbacks are told, and the queue of callbacks that are due.

use std::collections::VecDeque;
use std::sync::Arc;

use dlm_proto::{LockStatus, Mode, StatusFlags, Token, ValueBlock};

use crate::lent::BlockingCall;
use crate::lvb::Lvb;
use crate::signal::{AsFd, Signal, Source};
use crate::state::Ended;
use crate::sync::atomic::{AtomicUsize, Ordering};
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

/// For operations that did not move the value block.
impl From<Ended> for Completion {
    fn from(Ended { status, flags, mode, moved: _ }: Ended) -> Self {
        Self { status, flags, mode, lvb: None }
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

/// What runs the completions of many operations. It is told the tag that each of them was given.
///
/// It is made once and shared: unlike a callback of its own for each operation it allocates
/// nothing when an operation starts. See [`LockRequest::start_with`](crate::LockRequest::start_with).
pub type CompletionHandler = Arc<dyn Fn(u64, Completion) + Send + Sync>;

pub(crate) enum CompletionCallback {
    Once(Box<dyn FnOnce(Completion) + Send>),
    Shared(CompletionHandler, u64),
}

impl CompletionCallback {
    #[inline]
    pub(crate) fn run(self, completion: Completion) {
        match self {
            Self::Once(callback) => callback(completion),
            Self::Shared(handler, tag) => handler(tag, completion),
        }
    }
}

pub(crate) type BlockingCallback = Box<dyn BlockingCall>;

/// A callback that is due.
pub(crate) enum Due {
    /// It is left to others, and not run if the lock is dropped before.
    Completion(Token, CompletionCallback, Completion),
    Blocking(Token, Mode),
}

/// Callbacks that are due but were read by a thread that must not run them.
///
/// Its descriptor is readable while it holds any.
pub(crate) struct DueQueue {
    queue: Mutex<VecDeque<Due>>,
    /// Saves the look into an empty queue.
    len: AtomicUsize,
    ready: Signal,
}

impl DueQueue {
    pub(crate) fn new() -> nix::Result<Self> {
        Ok(Self { queue: Mutex::default(), len: AtomicUsize::new(0), ready: Signal::new()? })
    }

    pub(crate) fn push(&self, due: Due) {
        let mut queue = lock(&self.queue);
        // First: who is woken must not find nothing to do.
        self.len.store(queue.len() + 1, Ordering::Release);
        if queue.is_empty() {
            self.ready.set();
        }
        queue.push_back(due);
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Due> {
        if self.len.load(Ordering::Acquire) == 0 { None } else { self.pop_locked() }
    }

    fn pop_locked(&self) -> Option<Due> {
        let mut queue = lock(&self.queue);
        let due = queue.pop_front()?;
        if queue.is_empty() {
            self.ready.clear();
        }
        // Last: who finds it readable must not find it empty, and come back at once for ever.
        self.len.store(queue.len(), Ordering::Release);
        Some(due)
    }

    pub(crate) fn source(&self) -> Source<'_> {
        self.ready.as_fd()
    }
}
