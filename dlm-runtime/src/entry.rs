//! A lock in the table: what is known of it, and who is told.

use std::task::Waker;

use dlm_proto::{Mode, ResourceName};

use crate::error::ErrorKind;
use crate::event::{BlockingCallback, CompletionCallback};
use crate::settle::Leaving;
use crate::shared::Shared;
use crate::state::{Ended, LockState};
use crate::trace::Started;

/// Who is told that an operation ended.
#[derive(Default)]
pub(crate) enum Contract {
    /// Nobody: the handle was dropped.
    #[default]
    Forget,
    /// A thread that waits in the call. It finds the outcome in the entry, unless it reads the
    /// completion itself.
    Wait,
    /// A callback, run by dispatch or the delivery thread.
    Callback(CompletionCallback),
    /// A future; it finds the outcome as a thread does.
    Wake(Waker),
    /// Nobody, but what comes of it must be released: somebody has to read the completion.
    Release,
}

impl Contract {
    /// Whether somebody must read the completion who is not the one that waits for it.
    pub(crate) const fn needs_delivery(&self) -> bool {
        matches!(self, Self::Callback(_) | Self::Wake(_) | Self::Release)
    }
}

/// Who is to be told of an operation that begins. It becomes a [`Contract`] when nothing can refuse
/// it any more; by its type each kind of operation has code of its own.
pub(crate) trait Claim: Into<Contract> {
    /// As [`Contract::needs_delivery`].
    const NEEDS_DELIVERY: bool;
}

/// The claim of a thread that waits in the call.
pub(crate) struct Waiting;

impl From<Waiting> for Contract {
    #[inline]
    fn from(Waiting: Waiting) -> Self {
        Self::Wait
    }
}

impl From<CompletionCallback> for Contract {
    #[inline]
    fn from(callback: CompletionCallback) -> Self {
        Self::Callback(callback)
    }
}

impl From<Waker> for Contract {
    #[inline]
    fn from(waker: Waker) -> Self {
        Self::Wake(waker)
    }
}

impl Claim for Waiting {
    const NEEDS_DELIVERY: bool = false;
}

impl Claim for CompletionCallback {
    const NEEDS_DELIVERY: bool = true;
}

impl Claim for Waker {
    const NEEDS_DELIVERY: bool = true;
}

/// The blocking callback of a lock.
#[derive(Default)]
pub(crate) enum BlockingSlot {
    /// None: the kernel is told not to send notices.
    #[default]
    Unwanted,
    /// No callback, but the notices are remembered for the handle.
    Noted,
    /// Waiting for a notice.
    Idle(BlockingCallback),
    /// Running in some thread, with what came in the meantime.
    Running(Vec<Mode>),
}

impl BlockingSlot {
    /// Whether notices may come at all, and if so, whether a callback waits for them.
    pub(crate) const fn interest(&self) -> Option<bool> {
        match self {
            Self::Unwanted => None,
            Self::Noted | Self::Idle(_) | Self::Running(_) => Some(true),
        }
    }
}

/// A lock in the table.
#[derive(Default)]
pub(crate) struct Entry {
    pub(crate) name: ResourceName,
    pub(crate) state: LockState,
    pub(crate) contract: Contract,
    /// What a waiting thread or a future finds: the end, or a write that was put off and failed.
    /// No other operation begins before it is found. (Such a failure is rare, and large.)
    pub(crate) outcome: Option<Result<Ended, Box<ErrorKind>>>,
    pub(crate) blocking: BlockingSlot,
    /// The strongest mode that somebody was told to wait for since the last grant.
    pub(crate) blocked: Option<Mode>,
    /// The strongest mode that [`Lock::notices`](crate::Lock::notices) has not told yet.
    pub(crate) unseen: Option<Mode>,
    /// The task that waits for such notices.
    pub(crate) notice_waker: Option<Waker>,
    /// The handle is gone; the entry goes with the lock.
    pub(crate) dropped: Option<Leaving>,
    /// Callbacks that use the lock now; see [`BlockedLock`](crate::BlockedLock).
    pub(crate) lent: u32,
    /// Counts the operations on this lock.
    pub(crate) serial: u64,
    /// When the last of them began.
    pub(crate) started: Started,
    /// The operation in flight was cancelled because its deadline passed.
    pub(crate) timed_out: bool,
}

/// What the entry of a lock that is gone had of others. It is dropped when nothing is locked, as
/// callbacks and wakers may own anything, locks among them.
#[derive(Default)]
#[must_use = "it is dropped when nothing is locked"]
pub(crate) struct Trash(Option<Box<Rest>>);

impl Trash {
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

type Rest = (Contract, Option<Waker>, BlockingSlot, Option<Leaving>);

impl Entry {
    /// Makes a vacant entry that of a lock.
    #[inline]
    pub(crate) fn occupy(
        &mut self,
        name: &ResourceName,
        state: LockState,
        contract: impl Into<Contract>,
        blocking: &mut BlockingSlot,
    ) {
        self.name.clone_from(name);
        self.state = state;
        // A vacant entry has nothing to drop, and wants no notices.
        std::mem::forget(std::mem::replace(&mut self.contract, contract.into()));
        if blocking.interest().is_some() {
            std::mem::swap(&mut self.blocking, blocking);
        }
        self.started = Started::now();
    }

    /// Makes it vacant.
    #[inline]
    pub(crate) fn vacate(&mut self) -> Trash {
        if self.outcome.is_some() {
            self.outcome = None;
        }
        self.blocked = None;
        self.unseen = None;
        self.lent = 0;
        self.serial = 0;
        self.timed_out = false;
        let is_clean = matches!(self.contract, Contract::Forget)
            && matches!(self.blocking, BlockingSlot::Unwanted)
            && self.notice_waker.is_none()
            && self.dropped.is_none();
        if is_clean { Trash(None) } else { self.clear() }
    }

    #[inline(never)]
    fn clear(&mut self) -> Trash {
        let (contract, blocking) = (&mut self.contract, &mut self.blocking);
        let (waker, dropped) = (self.notice_waker.take(), self.dropped.take());
        let rest = (std::mem::take(contract), waker, std::mem::take(blocking), dropped);
        Trash(Some(Box::new(rest)))
    }

    /// A new operation begins.
    #[inline]
    pub(crate) fn begin(&mut self, contract: impl Into<Contract>) -> u64 {
        // Nobody is left to be told of the last one: there is nothing to drop.
        std::mem::forget(std::mem::replace(&mut self.contract, contract.into()));
        self.timed_out = false;
        self.started = Started::now();
        self.serial += 1;
        self.serial
    }

    /// The handle is dropped.
    pub(crate) fn leave(&mut self, shared: &Shared) {
        self.dropped.get_or_insert_with(|| shared.settling.enter());
    }

    /// Whether this very operation has not ended yet.
    pub(crate) fn is_in_flight(&self, serial: u64) -> bool {
        self.serial == serial && self.state.pending().is_some()
    }
}
