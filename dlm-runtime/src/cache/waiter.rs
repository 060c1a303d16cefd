//! A thread or task of this process that waits for a guard.

use std::task::Waker;
use std::time::Instant;

use super::machine::Admission;
use crate::error::ErrorKind;
use crate::threads::{Condvar, Mutex, lock, now, wait_until};

pub(super) const TIMED_OUT: ErrorKind =
    ErrorKind::TimedOut("the cached lock was not to be had in time");

pub(super) type Outcome = Result<Admission, ErrorKind>;

/// Somebody who waits for a guard.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Waiter {
    /// Tells the outcome. A thread is woken by this, a task by whoever has the waker and nothing
    /// locked.
    pub(super) fn settle(&self, outcome: Outcome) -> Option<Waker> {
        let waker = {
            let mut state = lock(&self.state);
            state.outcome = Some(outcome);
            state.waker.take()
        };
        self.settled.notify_one();
        waker
    }

    /// The outcome, if it is there. It is told once.
    pub(super) fn take(&self) -> Option<Outcome> {
        lock(&self.state).outcome.take()
    }

    /// Sleeps until the outcome is there, or until the deadline.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Option<Outcome> {
        let mut state = lock(&self.state);
        loop {
            if let Some(outcome) = state.outcome.take() {
                return Some(outcome);
            }
            if deadline.is_some_and(|at| at <= now()) {
                return None;
            }
            state = wait_until(&self.settled, state, deadline);
        }
    }

    /// The outcome, or else this waker is woken when it comes.
    pub(super) fn poll(&self, waker: &Waker) -> Option<Outcome> {
        // Cloned, and dropped, when nothing is locked: both are the executor's code.
        let mut new = None;
        loop {
            let mut state = lock(&self.state);
            if let Some(outcome) = state.outcome.take() {
                return Some(outcome);
            }
            if state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                return None;
            }
            if let Some(new) = new.take() {
                let old = state.waker.replace(new);
                drop(state);
                drop(old);
                return None;
            }
            drop(state);
            new = Some(waker.clone());
        }
    }
}
