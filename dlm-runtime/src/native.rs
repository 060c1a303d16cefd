//! The Rust API's face of a driver: callbacks as closures, notices for handles.

use std::task::Waker;

use dlm_core::Kind;
use dlm_proto::{LockId, LockStatus, Token};

use crate::driver::{Driver, Face, Notice};
use crate::event::{Blocking, Completion, CompletionCallback};

/// The Rust API.
#[derive(Debug)]
pub(crate) struct Native;

/// The data kept for a lock.
#[derive(Default)]
pub(crate) struct LockData {
    pub(crate) blocking: BlockingSlot,
    /// For [`Lock::notices`](crate::Lock::notices), if there is something.
    pub(crate) notes: Option<Box<Notes>>,
    /// Callbacks that use the lock now; see [`BlockedLock`](crate::BlockedLock).
    pub(crate) users: u32,
    /// The handle is dropped.
    pub(crate) is_dropped: bool,
}

/// The notices of a lock that a stream tells.
#[derive(Default)]
pub(crate) struct Notes {
    /// The strongest one that was not told yet.
    pub(crate) unseen: Option<Blocking>,
    /// The task that waits for it.
    pub(crate) waker: Option<Waker>,
}

/// A blocking callback of either kind.
pub(crate) trait BlockingCall: Send {
    /// Whether the lock must stay while it runs.
    fn needs_lock(&self) -> bool;

    fn call(&mut self, driver: &Driver<Native>, token: Token, notice: Blocking);
}

pub(crate) type BlockingCallback = Box<dyn BlockingCall>;

/// One that is told the mode.
struct ModeCallback<F>(F);

impl<F: FnMut(Blocking) + Send> BlockingCall for ModeCallback<F> {
    fn needs_lock(&self) -> bool {
        false
    }

    fn call(&mut self, _: &Driver<Native>, _: Token, notice: Blocking) {
        (self.0)(notice);
    }
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
    Running(Vec<Blocking>),
}

impl BlockingSlot {
    pub(crate) fn with_mode(callback: impl FnMut(Blocking) + Send + 'static) -> Self {
        Self::Idle(Box::new(ModeCallback(callback)))
    }

    /// Whether notices may come at all.
    pub(crate) const fn wants_notices(&self) -> bool {
        !matches!(self, Self::Unwanted)
    }
}

impl Face for Native {
    type Callback = CompletionCallback;
    type Lock = LockData;
    type Due = (CompletionCallback, Completion);

    const RUNS_IN_WAITS: bool = false;
    const HAS_HANDLES: bool = true;

    /// There is nothing to keep.
    #[inline]
    fn keep_plain(_: &mut LockData, _: &mut LockData) {}

    #[inline]
    fn ended(
        _: &mut LockData,
        _: Kind,
        callback: Option<CompletionCallback>,
        completion: &Completion,
        _: LockId,
    ) -> Option<Self::Due> {
        callback.map(|callback| (callback, *completion))
    }

    fn overtaken(callback: CompletionCallback, completion: &Completion) -> Option<Self::Due> {
        Some((callback, *completion))
    }

    #[inline]
    fn is_vacant(lock: &LockData) -> bool {
        matches!(lock.blocking, BlockingSlot::Unwanted | BlockingSlot::Noted)
            && lock.notes.as_deref().is_none_or(|notes| notes.waker.is_none())
    }

    fn noticed(lock: &mut LockData, notice: Blocking) -> Notice {
        match &mut lock.blocking {
            BlockingSlot::Idle(_) => return Notice::Callback,
            BlockingSlot::Running(backlog) => backlog.push(notice),
            BlockingSlot::Noted => {
                let Notes { unseen, waker } = &mut **lock.notes.get_or_insert_default();
                let strongest = unseen.map_or(notice.mode, |other| other.mode.max(notice.mode));
                *unseen = Some(Blocking { mode: strongest, ..notice });
                if let Some(waker) = waker.take() {
                    return Notice::Wake(waker);
                }
            }
            BlockingSlot::Unwanted => {}
        }
        Notice::Nothing
    }

    fn take_waker(lock: &mut LockData) -> Option<Waker> {
        lock.notes.as_deref_mut()?.waker.take()
    }

    fn failed(_: &mut LockData, callback: CompletionCallback, errno: i32) -> Option<Self::Due> {
        let status = LockStatus::from_raw(errno.saturating_neg());
        Some((callback, Completion::plain(status, None)))
    }
}
