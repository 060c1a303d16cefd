//! Points in time for tasks that wait for something that has no deadline of its own.

use std::task::Waker;

use dlm_core::Time;

/// The tasks that are to be woken at some time. There is none, as a rule.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    last: u64,
    set: Vec<(Time, u64, Waker)>,
}

impl Timers {
    /// The time of the first one.
    pub(crate) fn next(&self) -> Option<Time> {
        self.set.iter().map(|(at, ..)| *at).min()
    }

    /// Has a task woken at a time. Returns the number of the timer.
    pub(crate) fn set(&mut self, at: Time, waker: Waker) -> u64 {
        self.last += 1;
        self.set.push((at, self.last, waker));
        self.last
    }

    /// Takes a timer whose time has come.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<Waker> {
        let index = self.set.iter().position(|(at, ..)| *at <= now)?;
        Some(self.set.swap_remove(index).2)
    }

    /// Takes the timer of this number, if its time has not come.
    pub(crate) fn take(&mut self, number: u64) -> Option<Waker> {
        let index = self.set.iter().position(|(_, it, _)| *it == number)?;
        Some(self.set.swap_remove(index).2)
    }
}
