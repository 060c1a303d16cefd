//! The end of an open lockspace: closed, removed, or lost.

use std::task::Waker;

use dlm_core::{Follow, Submission};
use dlm_proto::Token;

use super::device::CloseReason;
use super::face::{Face, Notify};
use super::shared::Driver;
use crate::error::ErrorKind;
use crate::threads::lock;

impl<F: Face> Driver<F> {
    /// The error that tells of the end of the lockspace, or this one if it has not ended.
    #[cold]
    #[inline(never)]
    pub(crate) fn end_or(&self, other: ErrorKind) -> ErrorKind {
        self.slot.get().err().map_or(other, ErrorKind::from)
    }

    /// Looks whether the lockspace was removed, after its watch became readable.
    pub(crate) fn check_removed(&self) -> Result<(), ErrorKind> {
        let removed = {
            let device = self.slot.get()?;
            device.was_removed()?
        };
        if removed {
            self.end(CloseReason::Removed);
            return Err(ErrorKind::Removed);
        }
        Ok(())
    }

    /// Whoever reads for others cannot go on, for this reason. They would wait for ever: it is the end
    /// of the lockspace.
    pub(crate) fn end_reading(&self, why: &ErrorKind) {
        if let ErrorKind::Device(error) = why {
            self.end(CloseReason::Failed(*error));
        }
    }

    /// Takes the device away, and tells everybody. Every lock is gone.
    pub(crate) fn end(&self, why: CloseReason) {
        let Some(device) = self.slot.empty(why) else { return };
        let users = {
            let mut state = self.state();
            let users = state.core.end();
            state.delivered = 0;
            // Not the last one: it is in hand here.
            state.device = None;
            users
        };
        *lock(&self.gate) = None;
        let (mut threads, mut tasks, mut callbacks) = (Vec::new(), Vec::new(), Vec::new());
        for (token, _, user) in users {
            match user {
                Notify::Thread(waiter) => threads.extend(waiter),
                Notify::Task(waker) => tasks.push(waker),
                Notify::Callback(callback) => callbacks.push((token, callback)),
            }
        }
        {
            let mut state = self.state();
            threads.extend(state.observers.iter_mut().filter_map(|other| other.waiter.take()));
        }
        for waiter in &threads {
            self.waits.wake(waiter);
        }
        for (token, callback) in callbacks {
            // He who closes a lockspace gives its callbacks up with it.
            if why == CloseReason::Closed {
                self.guarded(move || drop(callback));
            } else {
                self.fail_callback(token, callback, nix::libc::ENODEV);
            }
        }
        let tokens = self.state().core.tokens();
        for token in tokens {
            self.discard_ended(token);
        }
        self.notice_waiters.wake_all(&self.waits);
        self.readiness.raise();
        self.delivery.wake();
        self.settler.stop();
        self.task_reader.ring();
        for waker in
            tasks.into_iter().chain(self.take_notice_wakers()).chain(self.end_wakers.take())
        {
            self.guarded(|| waker.wake());
        }
        self.wake_flushed();
        // Last: closing may block.
        drop(device);
    }

    /// The lockspace of a lock has ended. One that nobody wants any more is gone now; nothing is to be
    /// written for any.
    fn discard_ended(&self, token: Token) {
        let follow = self.state().core.follow(token, &mut Submission::new());
        let face = match follow {
            Follow::Gone(face) => Some(face),
            Follow::Failed { user, failure, .. } => return self.tell_failure(token, user, failure),
            Follow::Nothing | Follow::Write if F::HAS_HANDLES => None,
            Follow::Nothing | Follow::Write => self.state().core.settle(token),
        };
        self.guarded(move || drop(face));
    }

    /// The wakers of tasks that wait for notices of locks.
    fn take_notice_wakers(&self) -> Vec<Waker> {
        let mut state = self.state();
        let tokens = state.core.tokens();
        tokens
            .into_iter()
            .filter_map(|token| state.core.face_mut(token).and_then(F::take_waker))
            .collect()
    }
}
