//! Going on as far as that is possible.

use std::time::Instant;

use super::terms::{Action, Admission, Now, Refusal, Turn, Wish};
use super::{End, Machine, Queued, Step};
use crate::cache::cause::Cause;
use crate::cache::level::Level;
use crate::cache::word::Word;

impl<W: 'static> Machine<W> {
    pub(super) fn note_grant(&mut self, held: Level, grant: u64, now: Now, turn: &mut Turn<W>) {
        self.held = held;
        self.grant = grant;
        self.demand = None;
        self.rare.wanted_since = None;
        self.rare.not_before = None;
        match self.rare.early {
            Some((of, left)) if of == grant => {
                self.rare.early = None;
                if left < held {
                    self.demand(left, now, turn);
                }
            }
            Some((of, _)) if of < grant => self.rare.early = None,
            _ => {}
        }
    }

    pub(super) fn demand(&mut self, left: Level, now: Now, turn: &mut Turn<W>) {
        self.demand = Some(self.demand.map_or(left, |other| other.min(left)));
        if self.rare.wanted_since.is_none() {
            self.rare.wanted_since = Some(now.time);
            turn.look_at = self.due_at(now).filter(|at| *at > now.time);
        }
    }

    /// When the lock gives way to a demand.
    fn due_at(&self, now: Now) -> Option<Instant> {
        self.since?.checked_add(now.minimum_hold)
    }

    pub(super) fn refuse_all(&mut self, why: Refusal, turn: &mut Turn<W>) {
        let all = std::mem::take(&mut self.rare.queue).into_iter();
        turn.settled.extend(all.map(|queued| (queued.waiter, Err(why))));
    }

    /// Refuses the one that waits for nobody. There is no second one.
    pub(super) fn refuse_no_queue(&mut self, turn: &mut Turn<W>) -> bool {
        let at = self.rare.queue.iter().position(|queued| queued.wish.no_queue);
        let queued = at.and_then(|at| self.rare.queue.remove(at));
        let is_there = queued.is_some();
        turn.settled.extend(queued.map(|queued| (queued.waiter, Err(Refusal::WouldBlock))));
        is_there
    }

    pub(super) fn cancel_if_unwanted(&mut self, turn: &mut Turn<W>) {
        if let Step::Raise { is_cancelled, .. } = &mut self.step {
            if self.rare.queue.is_empty() && !*is_cancelled {
                *is_cancelled = true;
                turn.action = Some(Action::Cancel);
            }
        }
    }

    /// How far the lock gives way now, and why.
    fn fall(&self, now: Now) -> Option<(Level, Cause)> {
        if self.rare.not_before.is_some_and(|at| now.time < at) || self.held == Level::None {
            return None;
        }
        if self.end == End::Closed {
            return Some((Level::None, Cause::Closed));
        }
        if let Some(cause) = self.give_back {
            return Some((Level::None, cause));
        }
        if self.held >= Level::Shared {
            if self.is_unloaded {
                return Some((Level::Null, Cause::NotLoaded));
            }
            if self.is_deadlocked {
                return Some((Level::Null, Cause::Deadlock));
            }
        }
        let left = self.demand.filter(|left| *left < self.held)?;
        let head = self.rare.queue.front();
        if self.is_fresh && head.is_some_and(|head| head.wish.level <= self.held) {
            // Otherwise two nodes could take it from each other, and nobody ever comes in.
            return None;
        }
        // What waits for more must not wait while it holds what another one waits for.
        let wants_more = head.is_some_and(|head| head.wish.level > self.held);
        let is_due = self.due_at(now).is_none_or(|at| at <= now.time);
        (wants_more || is_due).then_some((left, Cause::Wanted(left)))
    }

    /// Goes on as far as that is possible now.
    pub(super) fn pump(&mut self, word: &Word, now: Now, turn: &mut Turn<W>) {
        if self.end == End::Lost {
            return self.pump_lost(word, turn);
        }
        loop {
            if self.step != Step::Rest {
                word.bar();
                return;
            }
            if let Some((mut to, mut cause)) = self.fall(now) {
                let users = word.bar();
                let is_read = users.readers > 0 && !users.writer;
                if is_read && self.demand == Some(Level::Shared) && self.held == Level::Exclusive {
                    // So far it can give way now.
                    (to, cause) = (Level::Shared, Cause::Wanted(Level::Shared));
                }
                let can_stay = to == Level::Shared && !users.writer;
                if can_stay || users.is_none() {
                    self.refuse_no_queue(turn);
                    self.give_way(word, to, cause, turn);
                    return;
                }
                if self.refuse_no_queue(turn) {
                    continue;
                }
                return;
            }
            let Some(head) = self.rare.queue.front() else { break };
            let Wish { level, no_queue, seen } = head.wish;
            let users = word.bar();
            if self.held < level {
                self.step = Step::Raise { to: level, is_cancelled: false };
                turn.action = Some(Action::Raise { from: self.held, to: level, no_queue });
                return;
            }
            let is_free = if level == Level::Exclusive { users.is_none() } else { !users.writer };
            if !is_free {
                if self.refuse_no_queue(turn) {
                    continue;
                }
                return;
            }
            self.is_fresh = false;
            let Some(Queued { waiter, .. }) = self.rare.queue.pop_front() else { return };
            if level == Level::Shared && !word.has_room() {
                turn.settled.push((waiter, Err(Refusal::Crowded)));
                continue;
            }
            let is_kept = seen == Some(self.version);
            if level == Level::Exclusive {
                self.version = self.version.wrapping_add(1);
            }
            word.admit(level);
            turn.settled.push((waiter, Ok(Admission { is_kept })));
        }
        self.is_fresh = false;
        self.rare.tidy();
        if self.end == End::No && !self.is_aged {
            word.open();
        }
    }

    fn give_way(&mut self, word: &Word, to: Level, cause: Cause, turn: &mut Turn<W>) {
        word.set_level(to);
        let (from, attempt) = (self.held, self.attempt);
        if self.has_hooks && from >= Level::Shared {
            self.step = Step::Flush { to, cause };
            turn.action = Some(Action::Flush { to, cause, attempt });
        } else {
            self.step = Step::Lower { to, cause };
            turn.action = Some(Action::Lower { from, to, cause });
        }
    }

    /// All that is left is to tell the hooks, once the last guard has gone.
    fn pump_lost(&mut self, word: &Word, turn: &mut Turn<W>) {
        if self.step != Step::Rest || self.held == Level::None || !word.users().is_none() {
            return;
        }
        if self.has_hooks && self.held >= Level::Shared {
            let (to, cause) = (Level::None, Cause::Lost);
            self.step = Step::Flush { to, cause };
            turn.action = Some(Action::Flush { to, cause, attempt: 0 });
        } else {
            self.held = Level::None;
        }
    }
}
