//! The Rust API's face of a driver: callbacks as closures, notices for handles.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use dlm_core::Kind;
use dlm_proto::{LockId, LockStatus, Mode, StatusFlags, Token};

use crate::blocking::{BlockingSlot, Running};
use crate::driver::delivery::Control;
use crate::driver::host::at_once;
use crate::driver::{Driver, Due, Face, Host, Notice};
use crate::error::ErrorKind;
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

    fn failed(_: &mut LockData, callback: CompletionCallback, errno: i32) -> Option<Self::Due> {
        let status = LockStatus::from_raw(errno.saturating_neg());
        let completion = Completion { status, flags: StatusFlags::empty(), mode: None, lvb: None };
        Some((callback, completion))
    }
}

/// A thread that runs callbacks where it is. A panic of one is the caller's.
#[derive(Debug)]
struct Here;

impl Host<Native> for Here {
    #[inline]
    async fn run(&self, driver: &Driver<Native>, due: Due<Native>) {
        run(driver, due);
    }
}

/// The same, of which a panic ends the callback alone.
#[derive(Debug)]
struct Guarded;

impl Host<Native> for Guarded {
    #[inline]
    async fn run(&self, driver: &Driver<Native>, due: Due<Native>) {
        driver.guarded(|| run(driver, due));
    }
}

impl Driver<Native> {
    /// Reads what is there and runs the callbacks that are due, as [`Driver::dispatch_on`].
    pub(crate) fn dispatch(&self) -> Result<usize, ErrorKind> {
        match self.start_turn(|token, due, is_gone| run_plain(self, token, due, is_gone)) {
            Ok(ran) => Ok(ran),
            Err(start) => at_once(self.dispatch_after(&Here, start)),
        }
    }

    /// As [`Driver::dispatch`], once there is something to run.
    pub(crate) fn dispatch_until(&self, deadline: Option<Instant>) -> Result<usize, ErrorKind> {
        match self.start_turn(|token, due, is_gone| run_plain(self, token, due, is_gone)) {
            Ok(ran) => Ok(ran),
            Err(start) => at_once(self.dispatch_until_on(&Here, start, deadline)),
        }
    }

    /// Starts the thread that runs callbacks.
    pub(crate) fn start_delivery(&self) -> Result<Arc<Control>, ErrorKind> {
        self.start_delivery_on(Guarded)
    }
}

/// Runs the callback that is due by the plain end of an operation. Nothing is locked meanwhile.
#[inline(always)]
fn run_plain(driver: &Driver<Native>, token: Token, due: <Native as Face>::Due, is_gone: bool) {
    if is_gone { complete_gone(due) } else { complete_now(driver, token, due) }
}

/// Runs a callback. Nothing is locked meanwhile.
#[inline]
fn run(driver: &Driver<Native>, due: Due<Native>) {
    match due {
        Due::Completion(token, due) => complete(driver, token, due),
        Due::Now(token, due) => complete_now(driver, token, due),
        Due::Gone(due) => complete_gone(due),
        Due::Blocking(token, mode) => Running::run(driver, token, mode),
        Due::Wake(waker) => driver.guarded(|| waker.wake()),
    }
}

fn complete(driver: &Driver<Native>, token: Token, (callback, completion): <Native as Face>::Due) {
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
fn complete_gone((callback, completion): <Native as Face>::Due) {
    callback.run(completion);
}

#[inline]
fn complete_now(driver: &Driver<Native>, token: Token, due: <Native as Face>::Due) {
    let (callback, completion) = due;
    if completion.mode.is_some() {
        return callback.run(completion);
    }
    complete(driver, token, (callback, completion));
}
