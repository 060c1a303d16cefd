//! Running the callbacks of the Rust API.

use std::sync::Arc;
use std::time::Instant;

use dlm_proto::Token;

use crate::driver::delivery::Control;
use crate::driver::host::at_once;
use crate::driver::{Driver, Due, Face, Host, PlainDue};
use crate::error::ErrorKind;
use crate::event::Blocking;
use crate::native::{BlockingCallback, BlockingSlot, Native};

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
        match self.start_turn(|plain| run_plain(self, plain)) {
            Ok(ran) => Ok(ran),
            Err(start) => at_once(self.dispatch_after(&Here, start)),
        }
    }

    /// As [`Driver::dispatch`], once there is something to run.
    pub(crate) fn dispatch_until(&self, deadline: Option<Instant>) -> Result<usize, ErrorKind> {
        match self.start_turn(|plain| run_plain(self, plain)) {
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
fn run_plain(driver: &Driver<Native>, plain: PlainDue<Native>) {
    let PlainDue { token, due, is_gone } = plain;
    if is_gone { complete_gone(due) } else { complete_now(driver, token, due) }
}

/// Runs a callback. Nothing is locked meanwhile.
#[inline]
pub(crate) fn run(driver: &Driver<Native>, due: Due<Native>) {
    match due {
        Due::Completion(token, due) => complete(driver, token, due),
        Due::Now(token, due) => complete_now(driver, token, due),
        Due::Gone(due) => complete_gone(due),
        Due::Blocking(token, notice) => Running::run(driver, token, notice),
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

/// A blocking callback outside its lock's entry. It goes back there, also when it panics.
struct Running<'a> {
    driver: &'a Driver<Native>,
    token: Token,
    /// It uses the lock.
    needs_lock: bool,
    /// Always there until the drop.
    callback: Option<BlockingCallback>,
}

impl<'a> Running<'a> {
    /// Runs a lock's blocking callback, unless it runs already: then it is left to that thread.
    fn run(driver: &'a Driver<Native>, token: Token, notice: Blocking) {
        let callback = {
            let mut state = driver.state();
            let data = state.core.face_mut(token).filter(|data| !data.is_dropped);
            let Some(data) = data else { return };
            match std::mem::replace(&mut data.blocking, BlockingSlot::Running(Vec::new())) {
                BlockingSlot::Idle(callback) => {
                    data.users += u32::from(callback.needs_lock());
                    callback
                }
                BlockingSlot::Running(mut backlog) => {
                    backlog.push(notice);
                    data.blocking = BlockingSlot::Running(backlog);
                    return;
                }
                other => {
                    data.blocking = other;
                    return;
                }
            }
        };
        let needs_lock = callback.needs_lock();
        let mut running = Self { driver, token, needs_lock, callback: Some(callback) };
        let mut next = Some(notice);
        while let Some(notice) = next {
            running.call(notice);
            next = running.next();
        }
    }

    fn call(&mut self, notice: Blocking) {
        if let Some(callback) = &mut self.callback {
            callback.call(self.driver, self.token, notice);
        }
    }

    /// What came while the callback ran, the oldest first.
    fn next(&self) -> Option<Blocking> {
        let mut state = self.driver.state();
        let data = state.core.face_mut(self.token).filter(|data| !data.is_dropped)?;
        match &mut data.blocking {
            BlockingSlot::Running(backlog) if !backlog.is_empty() => Some(backlog.remove(0)),
            _ => None,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut backlog = Vec::new();
        {
            let mut state = self.driver.state();
            let data = state.core.face_mut(self.token);
            // Otherwise the lock is gone, or has another callback: this one is dropped, below.
            let slot = data.map(|data| &mut data.blocking);
            if let Some(slot @ BlockingSlot::Running(_)) = slot {
                if let Some(callback) = self.callback.take() {
                    let running = std::mem::replace(slot, BlockingSlot::Idle(callback));
                    if let BlockingSlot::Running(notices) = running {
                        backlog = notices;
                    }
                }
            }
        }
        let callback = self.callback.take();
        self.driver.guarded(move || drop(callback));
        if self.needs_lock && self.driver.end_use(self.token) {
            return;
        }
        for notice in backlog {
            self.driver.leave_due(Due::Blocking(self.token, notice));
        }
    }
}
