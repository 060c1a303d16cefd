//! Deadlines of operations that end in a callback or wake a task, and second attempts.

use std::time::{Duration, Instant};

use dlm_core::{CancelKind, Expired, Failure, Kind};
use dlm_proto::{LockId, LockStatus};

use super::begun::Begun;
use super::face::{Due, Face, Notify};
use super::shared::Driver;
use crate::error::ErrorKind;
use crate::event::Completion;

/// The longest time that a cancel may take to end an operation whose deadline has passed, before
/// its caller is told that time ran out. One that has to go to another node can take longer; what
/// comes of it is then seen to by others.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_millis(100);

impl<F: Face> Driver<F> {
    /// Sets the deadline of an operation.
    pub(crate) fn set_deadline(&self, at: Instant, begun: Begun) {
        let at = self.time(at);
        let is_next = {
            let mut state = self.state();
            let next = state.next_alarm();
            state.core.set_deadline(at, begun.token, begun.serial);
            next.is_none_or(|next| at < next)
        };
        if is_next {
            self.set_alarms();
        }
    }

    /// Sees to what is overdue: cancels operations, gives up those whose cancel is not answered, and
    /// has tasks woken whose time has come.
    pub(crate) fn serve_alarms(&self) -> Result<(), ErrorKind> {
        let mut served = false;
        loop {
            let now = self.time_now();
            let mut state = self.state();
            if state.next_alarm().is_none_or(|next| next > now) {
                break;
            }
            if let Some(waker) = state.timers.take_due(now) {
                drop(state);
                served = true;
                self.leave_due(Due::Wake(waker));
                continue;
            }
            let expired = state.core.expired(now);
            drop(state);
            served = true;
            match expired {
                None => break,
                Some(Expired::Retry(token)) => self.follow_up(token),
                Some(Expired::Deadline { token, serial }) => {
                    self.serve_deadline(Begun { token, serial });
                }
            }
        }
        if served {
            self.set_alarms();
        }
        Ok(())
    }

    /// The deadline of an operation has passed, for the first time or, after its cancel, again.
    fn serve_deadline(&self, begun: Begun) {
        let Begun { token, serial } = begun;
        let is_first = {
            let mut state = self.state();
            state.core.mark_timed_out(token, serial);
            state.core.want_cancel(token, serial, CancelKind::Plain)
        };
        if is_first {
            let again = self.time_now().saturating_add(CANCEL_GRACE);
            self.state().core.set_deadline(again, token, serial);
            self.follow_up(token);
            return;
        }
        let (user, kind) = {
            let mut state = self.state();
            let kind = state.core.view(token).and_then(|view| view.op).map(|op| op.kind);
            let user = state.core.give_up(token, serial);
            state.fail(begun, user.as_ref(), Failure::TimedOut);
            (user, kind)
        };
        self.tell_given_up(begun);
        self.tell_of_time_out(begun, user, kind.unwrap_or(Kind::Request));
        self.release_given_up(token);
        self.see_to_left_overs();
    }

    fn tell_of_time_out(&self, begun: Begun, user: Option<Notify<F>>, kind: Kind) {
        let Begun { token, .. } = begun;
        match user {
            Some(Notify::Callback(callback)) => {
                let due = {
                    let mut state = self.state();
                    let (mode, id) = match kind {
                        Kind::Request => (None, LockId(0)),
                        _ => (state.core.mode(token), state.core.id(token)),
                    };
                    let completion = Completion::plain(LockStatus::TimedOut, mode);
                    let face = state.core.face_mut(token);
                    face.and_then(|face| F::ended(face, kind, Some(callback), &completion, id))
                };
                if let Some(due) = due {
                    self.leave_due(Due::Completion(token, due));
                }
            }
            user => self.tell_failure(token, user, Failure::TimedOut),
        }
    }
}
