//! Which locks are given back, and when.

use std::sync::Arc;

use super::cause::Cause;
use super::shared::{Entry, Inner};

/// Locks looked at for each one that is too many. Those that were used since the last look stay.
const LOOKS: usize = 64;

impl Inner {
    /// The cache has one lock more, or one less.
    pub(super) fn count_lock(self: &Arc<Self>, entry: &Arc<Entry>, is_more: bool) {
        if !is_more {
            let count = self.kept.remove();
            return self.clear_if_over(count);
        }
        let is_known = std::mem::replace(&mut entry.state().is_in_clock, true);
        if !is_known {
            self.kept.put(Arc::clone(entry));
        }
        let count = self.kept.add();
        // It may be gone again, and told of that before.
        self.clear_if_over(count);
        if count > self.options.capacity && !self.is_closed() {
            self.evict();
        }
    }

    /// A closed cache lets go of all it has when the last lock is gone.
    pub(super) fn clear_if_over(&self, count: usize) {
        if count == 0 && self.is_closed() {
            self.kept.clear();
            self.workers.end();
        }
    }

    /// Looks at some locks, and gives back up to `most` of those that have not been used since the last
    /// look, or of all that nobody uses now. Returns how many.
    fn give_back(&self, looks: usize, most: usize, cause: Cause, is_eager: bool) -> usize {
        let mut count = 0;
        for _ in 0..looks {
            let Some(entry) = self.kept.next() else { break };
            let is_old = entry.tell(|slow, word, now, turn| slow.machine.age(word, now, turn));
            let is_given = (is_old || is_eager)
                && entry
                    .tell(|slow, word, now, turn| slow.machine.give_back(word, now, cause, turn));
            count += usize::from(is_given);
            let is_there = {
                let mut state = entry.state();
                state.is_in_clock = state.get().is_some_and(|slow| slow.is_counted);
                state.is_in_clock
            };
            if is_there {
                // Still: that may take its time.
                self.kept.put(entry);
                // The last lock may have gone while this entry was not among them.
                self.clear_if_over(self.kept.count());
            } else {
                self.forget(&entry);
            }
            if count == most {
                break;
            }
        }
        count
    }

    /// There are more locks than there may be.
    fn evict(&self) {
        // Two for one, as long as there are too many.
        self.give_back(LOOKS, 2, Cause::Capacity, false);
    }

    /// Gives back the locks that nobody has used since the last call, and forgets the resources that
    /// nobody has a handle of.
    pub(super) fn sweep(&self) {
        let looks = self.kept.len();
        self.give_back(looks, looks, Cause::Idle, false);
        self.forget_unused();
    }

    pub(super) fn shrink(&self, most: usize) -> usize {
        let looks = self.kept.len();
        let count = self.give_back(looks, most, Cause::Shrink, true);
        self.forget_unused();
        count
    }

    fn forget_unused(&self) {
        for entry in self.table.unused() {
            self.forget(&entry);
        }
    }

    /// Forgets a resource that nobody else has.
    fn forget(&self, entry: &Arc<Entry>) {
        if let Some(entry) = self.table.forget(entry) {
            self.counts.note_forgotten(entry.word.hits());
        }
    }
}
