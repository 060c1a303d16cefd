//! Telling those who wait, and running foreign code, when nothing is locked.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dlm_core::{Failure, Rejected};
use dlm_proto::{LockStatus, Token};

use super::begun::Begun;
use super::face::{Due, Face, Notify};
use super::shared::Driver;
use super::waiting::Awaiting;
use crate::event::Completion;

impl<F: Face> Driver<F> {
    /// Leaves a callback to those who run callbacks.
    pub(crate) fn leave_due(&self, due: Due<F>) {
        let is_waker = matches!(due, Due::Wake(_));
        if self.due.push(due.put_off()) {
            self.readiness.raise();
            if F::RUNS_IN_WAITS {
                self.waits.stir();
            }
        }
        if is_waker {
            self.read_for_tasks();
        }
    }

    /// Makes sure that somebody reads what a task waits for, or wakes one that is due. The task is
    /// registered, or its waker is in the queue.
    pub(crate) fn read_for_tasks(&self) {
        self.task_reader.task_waits();
        if self.has_threads && !self.others_read() {
            let (driver, attend) = (self.weak_self.clone(), self.attend);
            self.task_reader.wake_or_start(move |bell| attend(&driver, bell));
        }
    }

    /// Some who read have gone, and tasks may wait.
    pub(crate) fn readers_left(&self) {
        let is_awaited = || self.has_waiting_tasks() || self.due.has_wakers();
        if self.task_reader.has_tasks() && is_awaited() {
            self.read_for_tasks();
        }
    }

    /// Whether somebody reads who was asked to.
    pub(crate) fn others_read(&self) -> bool {
        self.task_reader.others_read() || self.delivery.is_there()
    }

    pub(crate) fn has_waiting_tasks(&self) -> bool {
        self.state().awaited() > 0 || !self.flush.is_idle() || !self.end_wakers.is_empty()
    }

    /// Runs foreign code that is nobody's callback: a panic in it ends it alone, and is counted.
    pub(crate) fn guarded(&self, foreign: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(foreign)) {
            self.discard_panic(payload);
        }
    }

    /// Counts a panic of foreign code. Its payload may panic when it is dropped.
    #[cold]
    pub(crate) fn discard_panic(&self, payload: Box<dyn std::any::Any + Send>) {
        self.callback_panics.add();
        if let Err(worse) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            // There is no end to this unless somebody stops.
            std::mem::forget(worse);
        }
    }

    /// Tells the owner of an operation that it has failed without a result, after [`State::fail`].
    pub(crate) fn tell_failure(&self, token: Token, user: Option<Notify<F>>, failure: Failure) {
        if let Some(user) = user {
            self.lose(token, user, errno_of(&failure));
        }
    }

    /// Wakes the owner of an operation that has failed, or of a lock that is gone, or runs his
    /// callback. Who waits finds out the reason.
    pub(crate) fn lose(&self, token: Token, user: Notify<F>, errno: i32) {
        match user {
            Notify::Thread(waiter) => {
                if let Some(waiter) = waiter {
                    self.waits.wake(&waiter);
                }
            }
            Notify::Task(waker) => self.guarded(|| waker.wake()),
            Notify::Callback(callback) => self.fail_callback(token, callback, errno),
        }
    }

    pub(crate) fn fail_callback(&self, token: Token, callback: F::Callback, errno: i32) {
        let due = {
            let mut state = self.state();
            let mut none = F::Lock::default();
            F::failed(state.core.face_mut(token).unwrap_or(&mut none), callback, errno)
        };
        if let Some(due) = due {
            self.leave_due(Due::Completion(token, due));
        }
    }

    /// Wakes those who wait until released locks are gone, if that is so.
    pub(crate) fn check_flushed(&self) {
        if !self.flush.is_idle() && self.is_flushed() {
            self.wake_flushed();
        }
    }

    /// Makes sure that somebody sees to what is left over, if anything is.
    pub(crate) fn see_to_left_overs(&self) {
        if self.state().core.left_over() == 0 {
            return;
        }
        if self.has_threads {
            self.start_settler();
        } else {
            self.leave_to_calls();
        }
    }

    /// Something is to be done later, and there may be no thread for it.
    pub(crate) fn leave_to_calls(&self) {
        self.settler.set_waits_for_call(!self.has_threads);
    }

    /// Gets the thread for what is left over to look, or starts it. `false`: there can be none.
    pub(crate) fn start_settler(&self) -> bool {
        let (driver, settle) = (self.weak_self.clone(), self.settle);
        self.settler.wake_or_start(move |bell| settle(&driver, bell))
    }

    /// Lets that thread end, if others have seen to all that was left over.
    pub(crate) fn dismiss_settler(&self) {
        if self.has_threads && self.state().core.left_over() == 0 {
            self.settler.stop();
        }
    }

    /// Whether each released lock is gone.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.flush.is_in_use() && self.state().core.released() == 0
    }

    /// Wakes those who wait until released locks are gone.
    pub(crate) fn wake_flushed(&self) {
        for awaiting in self.flush.take() {
            match awaiting {
                Awaiting::Thread(waiter) => self.waits.wake(&waiter),
                Awaiting::Task(waker) => self.guarded(|| waker.wake()),
            }
        }
    }

    /// Tells the observers of an operation that its owner has given it up.
    pub(crate) fn tell_given_up(&self, begun: Begun) {
        let Begun { token, serial } = begun;
        let mut threads = Vec::new();
        let mut state = self.state();
        if state.observers.is_empty() {
            return;
        }
        let completion = Completion::plain(LockStatus::TimedOut, state.core.mode(token));
        state.tell_observers(token, serial, &completion, &mut threads);
        drop(state);
        threads.iter().for_each(|waiter| self.waits.wake(waiter));
    }
}

/// The error number that tells a callback of a failure.
fn errno_of(failure: &Failure) -> i32 {
    match failure {
        Failure::Refused(errno) => *errno,
        Failure::Rejected(Rejected::LockGone) => nix::libc::ENOENT,
        Failure::Rejected(Rejected::Ended) => nix::libc::ENODEV,
        Failure::Rejected(_) => nix::libc::EINVAL,
        Failure::TimedOut => nix::libc::ETIMEDOUT,
        Failure::Lost => nix::libc::EIO,
    }
}
