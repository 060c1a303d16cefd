//! The locks that a cache keeps, and which of them it gives back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::threads::{Condvar, Mutex, lock, now, wait_until};

/// The locks that a cache has, as a clock whose hand goes round: one that has not been used since the
/// hand was there is given back.
pub(super) struct Kept<T> {
    state: Mutex<State<T>>,
    /// A lock was given back.
    changed: Condvar,
}

struct State<T> {
    /// Threads tell of a lock that is there or gone when they come to it, not in that order.
    count: i64,
    clock: VecDeque<Arc<T>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        let state = State { count: 0, clock: VecDeque::new() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Kept<T> {
    /// One more. Returns how many there are.
    pub(super) fn add(&self) -> usize {
        let mut state = lock(&self.state);
        state.count += 1;
        usize::try_from(state.count).unwrap_or(0)
    }

    /// One that the hand is to pass.
    pub(super) fn put(&self, entry: Arc<T>) {
        lock(&self.state).clock.push_back(entry);
    }

    pub(super) fn clear(&self) {
        let entries = std::mem::take(&mut lock(&self.state).clock);
        drop(entries);
    }

    /// One less. Returns how many there are.
    pub(super) fn remove(&self) -> usize {
        let count = {
            let mut state = lock(&self.state);
            state.count -= 1;
            state.count
        };
        self.changed.notify_all();
        usize::try_from(count).unwrap_or(0)
    }

    pub(super) fn count(&self) -> usize {
        usize::try_from(lock(&self.state).count).unwrap_or(0)
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.state).clock.iter().cloned().collect()
    }

    /// Waits until there is none. `false`: there still are, at the deadline.
    pub(super) fn wait_none(&self, deadline: Option<Instant>) -> bool {
        let mut state = lock(&self.state);
        while state.count > 0 {
            if deadline.is_some_and(|at| at <= now()) {
                return false;
            }
            state = wait_until(&self.changed, state, deadline);
        }
        true
    }

    /// The next under the hand.
    pub(super) fn next(&self) -> Option<Arc<T>> {
        lock(&self.state).clock.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.state).clock.len()
    }
}
