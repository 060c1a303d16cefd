//! The Rust API's face of a driver: callbacks as closures, notices for handles.

use std::task::Waker;

use dlm_core::Kind;
use dlm_proto::{LockId, LockStatus, Mode, StatusFlags, Token};

use crate::blocking::{BlockingSlot, Running};
use crate::driver::{Driver, Face, Notice};
use crate::event::{Completion, CompletionCallback};

/// The Rust API.
#[derive(Debug)]
pub(crate) struct Native;

/// The data kept for a lock.
#[derive(Default)]
pub(crate) struct LockData {
    pub(crate) blocking: BlockingSlot,
    /// The strongest mode that [`Lock::notices`](crate::Lock::notices) has not told yet.
    pub(crate) unseen: Option<Mode>,
    /// The task that waits for such notices.
    pub(crate) notice_waker: Option<Waker>,
    /// Callbacks that use the lock now; see [`BlockedLock`](crate::BlockedLock).
    pub(crate) users: u32,
    /// The handle is dropped.
    pub(crate) is_dropped: bool,
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
            && lock.notice_waker.is_none()
    }

    fn noticed(lock: &mut LockData, mode: Mode) -> Notice {
        match &mut lock.blocking {
            BlockingSlot::Idle(_) => return Notice::Callback,
            BlockingSlot::Running(backlog) => backlog.push(mode),
            BlockingSlot::Noted => {
                lock.unseen = lock.unseen.max(Some(mode));
                if let Some(waker) = lock.notice_waker.take() {
                    return Notice::Wake(waker);
                }
            }
            BlockingSlot::Unwanted => {}
        }
        Notice::Nothing
    }

    fn take_waker(lock: &mut LockData) -> Option<Waker> {
        lock.notice_waker.take()
    }

    fn run(driver: &Driver<Self>, token: Token, (callback, completion): Self::Due) {
        let is_gone = completion.mode.is_none();
        let mut state = driver.state();
        if state.core.is_plain(token) {
            // Nobody has dropped its handle, and nothing is kept for it that is to be dropped.
            if is_gone {
                state.core.remove_plain(token);
            }
            drop(state);
            return callback.run(completion);
        }
        // The handle may have been dropped since the callback became due.
        let is_wanted = !state.core.is_released(token)
            && state.core.face_mut(token).is_some_and(|lock| !lock.is_dropped);
        let lock = if is_gone { state.core.settle(token) } else { None };
        drop(state);
        if let Some(lock) = lock {
            driver.guarded(move || drop(lock));
        }
        if is_wanted {
            callback.run(completion);
        } else {
            driver.guarded(move || drop(callback));
        }
    }

    #[inline]
    fn run_gone(_: &Driver<Self>, (callback, completion): Self::Due) {
        callback.run(completion);
    }

    #[inline]
    fn run_at_once(driver: &Driver<Self>, token: Token, due: Self::Due) {
        let (callback, completion) = due;
        if completion.mode.is_some() {
            return callback.run(completion);
        }
        Self::run(driver, token, (callback, completion));
    }

    fn run_blocking(driver: &Driver<Self>, token: Token, mode: Mode) {
        Running::run(driver, token, mode);
    }

    fn failed(_: &mut LockData, callback: CompletionCallback, errno: i32) -> Option<Self::Due> {
        let status = LockStatus::from_raw(errno.saturating_neg());
        let completion = Completion { status, flags: StatusFlags::empty(), mode: None, lvb: None };
        Some((callback, completion))
    }
}
