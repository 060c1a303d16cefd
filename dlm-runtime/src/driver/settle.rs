//! The thread that sees to what is left over when nobody reads, and what takes its place.

use std::sync::{Arc, Weak};
use std::time::Instant;

use dlm_proto::Token;

use super::device::Device;
use super::face::Face;
use super::shared::Driver;
use super::signal::{AsFd, Signal, wait_any};
use super::sleep::{SLICE, earliest};
use crate::threads::atomic::Ordering;
use crate::threads::deadline_after;

impl<F: Face> Driver<F> {
    /// Sees to what is left over in a driver that may not start a thread for that. Each call begins
    /// with this.
    #[inline]
    pub fn tidy_up(&self) {
        if !self.is_tidy() {
            self.tidy_up_now();
        }
    }

    /// Whether [`Driver::tidy_up`] has nothing to do.
    #[must_use]
    #[inline]
    pub fn is_tidy(&self) -> bool {
        !self.settler.waits_for_call()
    }

    #[cold]
    fn tidy_up_now(&self) {
        // An error is told by what the caller does next.
        let _ = self.serve_alarms().and_then(|()| self.read_all());
        let state = self.state();
        if state.core.left_over() == 0 && state.core.next_alarm().is_none() {
            self.settler.set_waits_for_call(false);
        }
    }

    /// Has what follows for a lock written by another thread, or here if there can be none.
    pub(crate) fn settle_later(&self, token: Token) {
        if !self.has_threads {
            return self.follow_up(token);
        }
        self.settler.add_chore(token);
        if !self.start_settler() {
            // Nobody else can: what is left is seen to by whoever reads next.
            self.do_chores();
        }
    }

    /// Writes what is to be written for locks that were handed over.
    pub(crate) fn do_chores(&self) {
        while let Some(token) = self.settler.next_chore() {
            self.follow_up(token);
        }
    }

    /// One round of the thread. `None`: nothing is left to do, and the thread ends. Otherwise until
    /// when it may sleep.
    fn settle_once(&self) -> Option<(Arc<Device>, Option<Instant>)> {
        self.do_chores();
        let device = self.slot.get().ok();
        if device.is_some() {
            let _ = self.serve_alarms();
            let _ = self.read_all();
        }
        let is_left = |has_chores| has_chores || self.state().core.left_over() > 0;
        if self.settler.ends(|has_chores| device.is_none() || !is_left(has_chores)) {
            return None;
        }
        Some((device?, self.next_alarm()))
    }
}

/// The thread.
pub(crate) fn settle<F: Face>(driver: &Weak<Driver<F>>, bell: &Signal) {
    while let Some(strong) = driver.upgrade() {
        let Some((device, until)) = strong.settle_once() else { return };
        let is_short = strong.is_read_short.swap(false, Ordering::Relaxed);
        // The driver may go while this thread sleeps.
        drop(strong);
        let slice = if is_short { deadline_after(SLICE) } else { None };
        let (bell_source, results) = (bell.as_fd(), device.results());
        let sources = [bell_source, results];
        let sources = if is_short { sources.get(..1).unwrap_or(&sources) } else { &sources };
        if wait_any(sources, earliest(until, slice)).is_err() {
            return;
        }
        bell.clear();
    }
}
