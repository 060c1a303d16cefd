//! Locks and operations that nobody wants any more.

use dlm_core::{Follow, Submission};
use dlm_proto::Token;

use super::begun::Begun;
use super::face::Face;
use super::read::{Read, Role};
use super::shared::Driver;
use crate::error::ErrorKind;

/// Results that are read for others by who drops a lock, or in one poll.
pub(crate) const READ_BUDGET: usize = 64;

impl<F: Face> Driver<F> {
    /// Nobody wants this lock any more. Never waits for an answer, but the `write` of the unlock
    /// blocks while the lockspace is stopped, unless there is a thread for it.
    pub(crate) fn release(&self, token: Token) {
        let mut submission = Submission::new();
        let (released, is_flushed) = {
            let mut state = self.state();
            let released = state.core.release(token, &mut submission);
            for user in &released.users {
                state.handed_out(user.as_ref());
            }
            let is_flushed = state.core.released() == 0 && !self.flush.is_idle();
            (released, is_flushed)
        };
        let dlm_core::Released { users, face, follow } = released;
        if users.iter().any(Option::is_some) || !F::is_vacant(&face) {
            self.guarded(move || drop(users));
            self.guarded(move || drop(face));
        }
        match follow {
            Follow::Write if self.writer.is_some() => self.write_later(submission),
            Follow::Write => self.push(&mut submission),
            Follow::Gone(face) => self.guarded(move || drop(face)),
            Follow::Nothing | Follow::Failed { .. } => {}
        }
        if is_flushed {
            self.wake_flushed();
        }
        self.settle_left_overs();
    }

    /// Reads what is there and leaves callbacks to those who run them.
    ///
    /// # Errors
    ///
    /// The end of the lockspace, or a read that failed.
    pub fn read_all(&self) -> Result<(), ErrorKind> {
        while self.read_one()? {}
        Ok(())
    }

    /// The same with one result. `false`: there was none.
    pub(crate) fn read_one(&self) -> Result<bool, ErrorKind> {
        match self.read(Role::Other)? {
            Read::Empty => return Ok(false),
            Read::Handled | Read::Mine(..) => {}
            Read::Due(due) => self.leave_due(due),
            Read::Effects(effects) => _ = self.apply(*effects, false),
        }
        Ok(true)
    }

    /// Brings what is left over to its end as far as that is possible now, and leaves the rest to
    /// others.
    fn settle_left_overs(&self) {
        if self.state().core.left_over() == 0 {
            return;
        }
        if self.writer.is_none() {
            for _ in 0..READ_BUDGET {
                if !matches!(self.read_one(), Ok(true)) {
                    break;
                }
            }
        }
        self.see_to_left_overs();
    }

    /// Nobody waits for this operation any more. When it ends nobody is told; if it is a request
    /// that is granted after all, the lock is unlocked. Tells whether it had ended with the lock held,
    /// of which nobody was told.
    pub(crate) fn abandon(&self, begun: Begun) -> bool {
        let Begun { token, serial } = begun;
        let (user, is_held) = {
            let mut state = self.state();
            let user = state.core.give_up(token, serial);
            state.handed_out(user.as_ref());
            // The end may have come meanwhile.
            (user, state.take_held(begun))
        };
        if user.is_some() {
            self.tell_given_up(begun);
        }
        self.guarded(move || drop(user));
        self.release_given_up(token);
        self.see_to_left_overs();
        is_held
    }

    /// Lets go of a lock whose request was given up, if it has no handle that does.
    pub(crate) fn release_given_up(&self, token: Token) {
        let is_given_up = || self.state().core.view(token).is_some_and(|view| view.is_released);
        if !F::HAS_HANDLES && is_given_up() {
            self.release(token);
        }
    }
}
