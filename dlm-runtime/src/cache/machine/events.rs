//! What happens to a lock.

use super::terms::{Action, Now, Raised, Refusal, Turn, Wish};
use super::{End, Machine, Queued, Step};
use crate::cache::cause::Cause;
use crate::cache::level::Level;
use crate::cache::word::Word;

impl<W: 'static> Machine<W> {
    /// Somebody could not come in the short way.
    pub(crate) fn ask(&mut self, word: &Word, now: Now, waiter: W, wish: Wish, turn: &mut Turn<W>) {
        self.is_aged = false;
        if self.end != End::No {
            turn.settled.push((waiter, Err(Refusal::Ended)));
            // Its shared guard went with it, if it had one.
            return self.pump(word, now, turn);
        }
        if wish.level == Level::Shared && !word.has_room() {
            return turn.settled.push((waiter, Err(Refusal::Crowded)));
        }
        let is_free = self.step == Step::Rest && self.rare.queue.is_empty();
        if wish.no_queue && !is_free {
            return turn.settled.push((waiter, Err(Refusal::WouldBlock)));
        }
        if self.step == Step::Rest {
            // It is used after all.
            self.give_back = None;
        }
        let queued = Queued { waiter, wish };
        match wish.seen {
            None => self.rare.queue.push_back(queued),
            Some(_) => self.rare.queue.push_front(queued),
        }
        self.pump(word, now, turn);
        let is_asked = matches!(self.step, Step::Raise { .. });
        if wish.no_queue && !is_asked && self.refuse_no_queue(turn) {
            self.pump(word, now, turn);
        }
    }

    /// A guard went away, while the word was barred.
    pub(crate) fn left(&mut self, word: &Word, now: Now, turn: &mut Turn<W>) {
        self.is_aged = false;
        self.pump(word, now, turn);
    }

    /// Somebody waits no longer. `false`: he was told already how it ended.
    pub(crate) fn withdraw(
        &mut self,
        word: &Word,
        now: Now,
        is_it: impl Fn(&W) -> bool,
        turn: &mut Turn<W>,
    ) -> bool {
        let Some(at) = self.rare.queue.iter().position(|queued| is_it(&queued.waiter)) else {
            return false;
        };
        self.rare.queue.remove(at);
        self.cancel_if_unwanted(turn);
        self.pump(word, now, turn);
        true
    }

    /// Somebody on another node waits, and leaves this much of a grant. `false`: that is over.
    pub(crate) fn noticed(
        &mut self,
        word: &Word,
        now: Now,
        (grant, left): (u64, Level),
        turn: &mut Turn<W>,
    ) -> bool {
        if self.held == Level::None || grant > self.grant {
            let left = match self.rare.early {
                Some((of, other)) if of == grant => left.min(other),
                _ => left,
            };
            self.rare.early = Some((grant, left));
            return true;
        }
        if grant < self.grant || left >= self.held {
            return false;
        }
        self.demand(left, now, turn);
        self.pump(word, now, turn);
        true
    }

    /// A request or a conversion to more has ended.
    pub(crate) fn raised(&mut self, word: &Word, now: Now, how: Raised, turn: &mut Turn<W>) {
        let Step::Raise { to, .. } = self.step else { return };
        self.step = Step::Rest;
        match how {
            Raised::Granted(grant) => {
                let from = self.held;
                self.since = Some(now.time);
                self.is_fresh = true;
                self.is_deadlocked = false;
                self.give_back = None;
                self.note_grant(to, grant, now, turn);
                if self.has_hooks {
                    self.step = Step::Load { from };
                    turn.action = Some(Action::Load { from, to });
                    return;
                }
                word.set_level(to);
            }
            Raised::Again => {}
            Raised::Deadlock if self.held >= Level::Shared => self.is_deadlocked = true,
            Raised::Deadlock | Raised::Failed => self.refuse_all(Refusal::Failed, turn),
            Raised::Cancelled => {}
        }
        if self.held < to {
            self.refuse_no_queue(turn);
        }
        self.pump(word, now, turn);
    }

    /// A conversion to less, or an unlock, has ended: granted by the operation of this number, or
    /// refused.
    pub(crate) fn lowered(&mut self, word: &Word, now: Now, how: Option<u64>, turn: &mut Turn<W>) {
        let Step::Lower { to, cause } = self.step else { return };
        let Some(grant) = how else {
            self.step = Step::Paused { to, cause };
            self.rare.not_before = now.time.checked_add(now.pause);
            turn.look_at = self.rare.not_before;
            return;
        };
        self.step = Step::Rest;
        self.note_grant(to, grant, now, turn);
        if to <= Level::Null {
            self.version = self.version.wrapping_add(1);
            self.is_deadlocked = false;
            self.is_unloaded = false;
        }
        if to == Level::None {
            self.give_back = None;
            self.rare.early = None;
        }
        word.set_level(to);
        self.pump(word, now, turn);
    }

    /// The hook for a new grant has returned.
    pub(crate) fn loaded(&mut self, word: &Word, now: Now, is_loaded: bool, turn: &mut Turn<W>) {
        let Step::Load { from } = self.step else { return };
        self.step = Step::Rest;
        if is_loaded {
            word.set_level(self.held);
        } else if self.end != End::Lost {
            self.refuse_all(Refusal::NotLoaded, turn);
            if from <= Level::Null {
                let cause = Cause::NotLoaded;
                self.step = Step::Lower { to: Level::Null, cause };
                turn.action = Some(Action::Lower { from: self.held, to: Level::Null, cause });
                return;
            }
            self.is_unloaded = true;
        }
        self.pump(word, now, turn);
    }

    /// The hook before giving way has returned.
    pub(crate) fn flushed(&mut self, word: &Word, now: Now, is_done: bool, turn: &mut Turn<W>) {
        let Step::Flush { to, cause } = self.step else { return };
        self.step = Step::Rest;
        if self.end == End::Lost {
            if cause == Cause::Lost {
                self.held = Level::None;
            }
        } else if is_done {
            self.attempt = 0;
            self.step = Step::Lower { to, cause };
            turn.action = Some(Action::Lower { from: self.held, to, cause });
            return;
        } else {
            if !self.rare.queue.is_empty() {
                self.give_back = None;
            }
            self.attempt = self.attempt.saturating_add(1);
            self.rare.not_before = now.time.checked_add(now.pause);
            turn.look_at = self.rare.not_before;
            word.set_level(self.held);
        }
        self.pump(word, now, turn);
    }

    /// Time has passed.
    pub(crate) fn look(&mut self, word: &Word, now: Now, turn: &mut Turn<W>) {
        if self.rare.not_before.is_some_and(|at| at <= now.time) {
            self.rare.not_before = None;
            if let Step::Paused { to, cause } = self.step {
                self.step = Step::Lower { to, cause };
                turn.action = Some(Action::Lower { from: self.held, to, cause });
                return;
            }
        }
        self.pump(word, now, turn);
    }

    /// Notes that nobody uses the lock now. `true`: nobody has since the last call.
    pub(crate) fn age(&mut self, word: &Word, now: Now, turn: &mut Turn<W>) -> bool {
        if self.held == Level::None || !self.is_idle(word) {
            self.is_aged = false;
            self.pump(word, now, turn);
            return false;
        }
        std::mem::replace(&mut self.is_aged, true)
    }

    /// Gives the lock back, if nobody uses it or waits for it. `false`: somebody does.
    pub(crate) fn give_back(
        &mut self,
        word: &Word,
        now: Now,
        cause: Cause,
        turn: &mut Turn<W>,
    ) -> bool {
        let can = self.held != Level::None && self.is_idle(word);
        if can {
            self.is_aged = false;
            self.give_back = Some(cause);
        }
        self.pump(word, now, turn);
        can
    }

    /// Bars the word if nobody is there.
    fn is_idle(&self, word: &Word) -> bool {
        self.end == End::No
            && self.step == Step::Rest
            && self.rare.queue.is_empty()
            && word.bar().is_none()
    }

    /// Nobody comes in any more, and the lock is given back when the last has left.
    pub(crate) fn close(&mut self, word: &Word, now: Now, turn: &mut Turn<W>) {
        if self.end != End::No {
            return;
        }
        self.end = End::Closed;
        word.bar();
        self.refuse_all(Refusal::Ended, turn);
        self.cancel_if_unwanted(turn);
        self.pump(word, now, turn);
    }

    /// The lockspace has ended, and the lock with it.
    pub(crate) fn lose(&mut self, word: &Word, now: Now, turn: &mut Turn<W>) {
        self.end = End::Lost;
        word.lose();
        self.refuse_all(Refusal::Ended, turn);
        // Hooks return; of operations nothing is heard any more.
        if !matches!(self.step, Step::Load { .. } | Step::Flush { .. }) {
            self.step = Step::Rest;
        }
        self.pump(word, now, turn);
    }
}
