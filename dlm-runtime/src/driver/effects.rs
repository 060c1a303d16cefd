//! The effects of a result, applied when nothing is locked.

use std::sync::Arc;
use std::task::Waker;

use dlm_proto::Token;

use super::face::{Due, Face, Notify};
use super::shared::Driver;
use super::wait_queue::Waiter;
use crate::trace::Note;

/// The work that is left when nothing is locked.
pub(crate) struct Effects<F: Face> {
    /// The threads that wait for the operation. Waking one runs no foreign code.
    pub(crate) threads: Vec<Arc<Waiter>>,
    /// The task that waits for it.
    pub(crate) task: Option<Waker>,
    /// The threads and tasks that wait for a notice of this lock are to be woken.
    pub(crate) is_noticed: Option<Token>,
    /// A callback for whoever runs callbacks.
    pub(crate) due: Option<Due<F>>,
    /// One that is due before it, of what an unlock was written over.
    pub(crate) overtaken: Option<Due<F>>,
    /// Data that is only to be dropped.
    pub(crate) discards: [Option<Notify<F>>; 2],
    pub(crate) lock: Option<F::Lock>,
    /// Something is to be written for this lock.
    pub(crate) follow: Option<Token>,
    /// The last released lock is gone.
    pub(crate) is_flushed: bool,
    /// The note for observers.
    pub(crate) note: Option<Note>,
}

impl<F: Face> Default for Effects<F> {
    fn default() -> Self {
        Self {
            threads: Vec::new(),
            task: None,
            is_noticed: None,
            due: None,
            overtaken: None,
            discards: [None, None],
            lock: None,
            follow: None,
            is_flushed: false,
            note: None,
        }
    }
}

impl<F: Face> Effects<F> {
    /// Whether something of this runs foreign code, or writes. Others must not wait for that.
    pub(crate) fn runs_foreign_code(&self) -> bool {
        self.task.is_some()
            || self.due.is_some()
            || self.overtaken.is_some()
            || self.discards.iter().any(Option::is_some)
            || self.lock.is_some()
            || self.follow.is_some()
            || self.is_flushed
            || self.note.is_some()
    }

    /// Keeps something to be dropped.
    pub(crate) fn discard(&mut self, user: Option<Notify<F>>) {
        if user.is_some() {
            let free = self.discards.iter_mut().find(|place| place.is_none());
            match free {
                Some(place) => *place = user,
                // There are never more than two. Leaked rather than dropped under a lock.
                None => std::mem::forget(user),
            }
        }
    }
}

impl<F: Face> Driver<F> {
    /// Does what is left to do after a result. Nothing is locked, and the thread has no role.
    /// Returns the callback that is due, if the caller is to run it.
    pub(crate) fn apply(&self, effects: Effects<F>, runs_callbacks: bool) -> Option<Due<F>> {
        let Effects { threads, task, is_noticed, due, overtaken, .. } = effects;
        let Effects { discards, lock, follow, is_flushed, note, .. } = effects;
        threads.iter().for_each(|waiter| self.waits.wake(waiter));
        if let Some(token) = is_noticed {
            self.notice_waiters.wake(token, &self.waits);
        }
        // Those that were read before come first.
        let runs_callbacks = runs_callbacks && overtaken.is_none() && self.due.is_empty();
        if let Some(due) = overtaken {
            self.leave_due(due);
        }
        let due = match due {
            Some(due) if !runs_callbacks => {
                self.leave_due(due);
                None
            }
            due => due,
        };
        if is_flushed {
            self.wake_flushed();
        }
        if let Some(token) = follow {
            self.follow_up(token);
        }
        if let Some(waker) = task {
            self.guarded(|| waker.wake());
        }
        if discards.iter().any(Option::is_some) || lock.is_some() {
            self.guarded(move || drop(discards));
            self.guarded(move || drop(lock));
        }
        if let Some(note) = note {
            self.guarded(move || note.tell());
        }
        due
    }
}
