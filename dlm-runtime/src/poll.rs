//! The end of an operation, looked for in a poll.

use std::task::{Context, Poll};

use crate::driver::read::{Read, Role};
use crate::driver::release::READ_BUDGET;
use crate::driver::{Begun, Driver, Notify};
use crate::error::ErrorKind;
use crate::event::Completion;
use crate::native::Native;

impl Driver<Native> {
    /// Looks for the end of an operation that was begun for a task, reading what is there to read.
    pub(crate) fn poll_end(
        &self,
        begun: Begun,
        cx: &mut Context<'_>,
        first: First,
    ) -> Poll<Result<Completion, ErrorKind>> {
        let role = Role::Waiter(begun.token, begun.serial);
        // The end of an operation that has just begun is still to be read, as a rule.
        let mut is_worth_a_look = matches!(first, First::Earlier);
        let mut read = match first {
            First::Read(read) => Some(read),
            First::Unread | First::Earlier => None,
        };
        for _ in 0..READ_BUDGET {
            if std::mem::replace(&mut is_worth_a_look, true) {
                if let Some(outcome) = self.take_end(begun) {
                    return Poll::Ready(outcome);
                }
            }
            match read.take().unwrap_or_else(|| self.read(role)) {
                Ok(Read::Mine(completion, _left)) => return Poll::Ready(Ok(completion)),
                Ok(Read::Due(due)) => self.leave_due(due),
                Ok(Read::Effects(effects)) => _ = self.apply(*effects, false),
                Ok(Read::Handled) => {}
                Err(kind) => {
                    let outcome = self.take_end(begun);
                    self.abandon(begun);
                    return Poll::Ready(outcome.unwrap_or(Err(kind)));
                }
                Ok(Read::Empty) => match self.register(begun, cx) {
                    Registered::Waits => {
                        self.read_for_tasks();
                        return Poll::Pending;
                    }
                    Registered::Ended => {}
                    Registered::Gone => {
                        let why = self.end_or(ErrorKind::LockGone);
                        return Poll::Ready(self.take_end(begun).unwrap_or(Err(why)));
                    }
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Stores the waker of the task that polled last.
    fn register(&self, begun: Begun, cx: &Context<'_>) -> Registered {
        // Cloned, and dropped, when nothing is locked: both are the executor's code.
        let mut new = None;
        loop {
            let mut state = self.state();
            if state.core.has_outcome(begun.token, begun.serial) {
                return Registered::Ended;
            }
            let Some(user) = state.core.user_mut(begun.token, begun.serial) else {
                return Registered::Gone;
            };
            match user {
                Notify::Task(current) if current.will_wake(cx.waker()) => return Registered::Waits,
                user => {
                    if let Some(new) = new.take() {
                        let old = std::mem::replace(user, new);
                        let before = state.awaited();
                        let is_more = !old.needs_delivery();
                        state.delivered += usize::from(is_more);
                        drop(state);
                        if is_more && before == 0 {
                            self.delivery.tell_of_interest();
                        }
                        drop(old);
                        return Registered::Waits;
                    }
                }
            }
            drop(state);
            new = Some(Notify::Task(cx.waker().clone()));
        }
    }
}

/// What a plain operation of a task has come to at the first look, if it has not ended well.
pub(crate) enum Tried<T> {
    /// Nothing was begun, or it was not granted.
    Refused(ErrorKind),
    /// It was begun, and has not ended, as far as this result says.
    Begun(T, Begun, Result<Read<Native>, ErrorKind>),
}

/// How a poll begins.
pub(crate) enum First {
    /// The operation has just begun, and nothing was read since.
    Unread,
    /// It has just begun, and this was read since.
    Read(Result<Read<Native>, ErrorKind>),
    /// It has begun in an earlier poll.
    Earlier,
}

enum Registered {
    Waits,
    Ended,
    Gone,
}
