//! What happens to a resource, and what follows from it.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use dlm_proto::Token;

use super::level::Level;
use super::machine::{Action, Now, Refusal, Turn, Wish};
use super::shared::{Entry, Slow};
use super::trace::Note;
use super::waiter::{Outcome, Waiter};
use super::word::Word;
use crate::error::ErrorKind;

/// What is left to do when the mutex is not held.
#[derive(Default)]
pub(super) struct Todo {
    pub(super) wakers: Vec<Waker>,
    /// With the number of the operation.
    pub(super) action: Option<(u32, Action)>,
    pub(super) look_at: Option<Instant>,
    /// The cache has one lock more.
    pub(super) is_new: bool,
    /// It has one less.
    pub(super) is_gone: bool,
    /// A lock of which only the table knows any more.
    pub(super) stray: Option<Token>,
    pub(super) note: Option<Note>,
    /// What nobody needs any more.
    pub(super) retired: Option<Box<Slow>>,
}

impl Entry {
    /// Tells the machine of an event, and does what comes out.
    pub(super) fn tell<T>(
        self: &Arc<Self>,
        event: impl FnOnce(&mut Slow, &Word, Now, &mut Turn<Arc<Waiter>>) -> T,
    ) -> T {
        let now = self.now();
        let (todo, answer) = {
            let mut state = self.state();
            let slow = state.wake(&self.cache);
            let mut turn = Turn::default();
            let answer = event(slow, &self.word, now, &mut turn);
            let todo = slow.settle(self, turn);
            (Todo { retired: state.retire(), ..todo }, answer)
        };
        self.carry_out(todo);
        answer
    }

    /// A guard the long way. `None`: the waiter waits.
    pub(super) fn ask(self: &Arc<Self>, waiter: &Arc<Waiter>, wish: Wish) -> Option<Outcome> {
        if let Err(kind) = self.cache.driver.check_fork() {
            return Some(Err(kind));
        }
        let theirs = Arc::clone(waiter);
        self.tell(|slow, word, now, turn| slow.machine.ask(word, now, theirs, wish, turn));
        waiter.take()
    }

    /// The waiter waits no longer. If it has been told, that is what counts.
    pub(super) fn withdraw(self: &Arc<Self>, waiter: &Arc<Waiter>) -> Option<Outcome> {
        self.tell(|slow, word, now, turn| {
            slow.machine.withdraw(word, now, |other| Arc::ptr_eq(other, waiter), turn);
        });
        waiter.take()
    }

    /// Time is up for a waiter, if it still waits: then it is told that.
    pub(super) fn expire(self: &Arc<Self>, waiter: &Arc<Waiter>, why: ErrorKind) -> Option<Waker> {
        let is_waiting = self.tell(|slow, word, now, turn| {
            slow.machine.withdraw(word, now, |other| Arc::ptr_eq(other, waiter), turn)
        });
        if is_waiting { waiter.settle(Err(why)) } else { None }
    }

    /// The lockspace has ended, and the lock with it.
    pub(super) fn lose(self: &Arc<Self>) {
        let (from, lost) = self.tell(|slow, word, now, turn| {
            let held = Some(slow.machine.held()).filter(|_| !word.is_lost());
            (held, slow.lose(word, now, turn))
        });
        for begun in lost.into_iter().flatten() {
            self.cache.release(Some(begun.token));
        }
        if let Some(from) = from.filter(|from| *from >= Level::Shared) {
            Note::Lost { from }.tell(&self.name);
        }
    }

    /// A guard went away while somebody must look.
    #[cold]
    #[inline(never)]
    pub(super) fn left(self: &Arc<Self>) {
        // A child that drops its parent's guard.
        if self.cache.driver.check_fork().is_ok() {
            self.tell(|slow, word, now, turn| slow.machine.left(word, now, turn));
        }
    }
}

impl Slow {
    /// Tells those who wait no longer, and takes out what is left to do.
    pub(super) fn settle(&mut self, entry: &Entry, turn: Turn<Arc<Waiter>>) -> Todo {
        let mut todo = Todo { look_at: turn.look_at, ..Todo::default() };
        for (waiter, outcome) in turn.settled {
            let outcome = outcome.map_err(|why| self.reason(entry, why));
            todo.wakers.extend(waiter.settle(outcome));
        }
        if let Some(action) = turn.action {
            if matches!(action, Action::Raise { .. } | Action::Lower { .. }) {
                self.flight.next(action);
            }
            todo.action = Some((self.flight.number(), action));
        }
        let is_there = self.machine.held() != Level::None;
        todo.is_new = is_there && !self.is_counted;
        todo.is_gone = !is_there && self.is_counted;
        self.is_counted = is_there;
        todo
    }

    fn reason(&self, entry: &Entry, why: Refusal) -> ErrorKind {
        match why {
            Refusal::WouldBlock => ErrorKind::Status(dlm_proto::LockStatus::Again),
            Refusal::Crowded => ErrorKind::Illegal(
                "a resource has 524,288 shared guards already: drop some before taking another",
            ),
            Refusal::Failed | Refusal::NotLoaded => {
                self.failure.as_deref().map_or(ErrorKind::LockGone, ErrorKind::copy)
            }
            Refusal::Ended => entry.cache.driver.end_or(ErrorKind::Closed),
        }
    }
}
