//! Leftovers when nobody reads: locks that were given up and are still to be cancelled or
//! unlocked. A thread sees to them that lives only as long as there are any.

use std::sync::{Arc, Weak};
use std::time::Instant;

use dlm_proto::Token;

use super::Driver;
use super::device::Device;
use super::face::Face;
use super::read::{Read, Role};
use super::signal::{AsFd, Signal, wait_any};
use super::wait::earliest;
use crate::threads::atomic::{AtomicBool, Ordering};
use crate::threads::{Mutex, lock, now, thread};

/// The longest time that the thread sleeps when results cannot be read for want of memory.
const SLICE: std::time::Duration = std::time::Duration::from_millis(20);

#[derive(Debug, Default)]
struct State {
    /// Locks for which something is to be written.
    chores: Vec<Token>,
    /// Wakes the thread, while it runs.
    bell: Option<Arc<Signal>>,
}

/// The thread for what is left over, and what it is to do.
#[derive(Debug, Default)]
pub(crate) struct Settler {
    state: Mutex<State>,
    /// Saves the look for chores.
    has_chores: AtomicBool,
    /// There may be no thread, and something is left over.
    waits_for_call: AtomicBool,
}

impl Settler {
    /// Gets the thread to look again: it ends if nothing is left over, or if the lockspace has
    /// ended.
    pub(crate) fn stop(&self) {
        if let Some(bell) = &lock(&self.state).bell {
            bell.set();
        }
    }
}

impl<F: Face> Driver<F> {
    /// Has what follows for a lock written by another thread, or here if there can be none.
    pub(crate) fn settle_later(&self, token: Token) {
        if !self.has_threads {
            return self.follow_up(token);
        }
        {
            let mut settler = lock(&self.settler.state);
            settler.chores.push(token);
            self.settler.has_chores.store(true, Ordering::SeqCst);
        }
        self.start_settler();
    }

    /// Makes sure that somebody sees to what is left over, if anything is.
    pub(crate) fn see_to_left_overs(&self) {
        if self.state().core.left_over() == 0 {
            return;
        }
        if self.has_threads {
            self.start_settler();
        } else {
            self.leave_to_calls();
        }
    }

    /// Something is to be done later, and there may be no thread for it.
    pub(crate) fn leave_to_calls(&self) {
        self.settler.waits_for_call.store(!self.has_threads, Ordering::Relaxed);
    }

    /// Sees to what is left over in a driver that may not start a thread for that. Each call begins
    /// with this.
    #[inline]
    pub fn tidy_up(&self) {
        if self.settler.waits_for_call.load(Ordering::Relaxed) {
            self.tidy_up_now();
        }
    }

    #[cold]
    fn tidy_up_now(&self) {
        // An error is told by what the caller does next.
        let _ = self.serve_alarms().and_then(|()| self.read_all());
        let state = self.state();
        if state.core.left_over() == 0 && state.core.next_alarm().is_none() {
            self.settler.waits_for_call.store(false, Ordering::Relaxed);
        }
    }

    /// Lets the thread end, if others have seen to all that was left over.
    pub(crate) fn dismiss_settler(&self) {
        if self.has_threads && self.state().core.left_over() == 0 {
            self.settler.stop();
        }
    }

    fn start_settler(&self) {
        let mut settler = lock(&self.settler.state);
        if let Some(bell) = &settler.bell {
            return bell.set();
        }
        let started = Signal::new().ok().and_then(|bell| {
            let bell = Arc::new(bell);
            let (driver, theirs) = (self.weak_self.clone(), Arc::clone(&bell));
            let builder = thread::Builder::new().name("dlm-settle".into());
            builder.spawn(move || settle(&driver, &theirs)).ok()?;
            Some(bell)
        });
        let is_started = started.is_some();
        settler.bell = started;
        drop(settler);
        if !is_started {
            // Nobody else can: what is left is seen to by whoever reads next.
            self.do_chores();
        }
    }

    /// Whether something is to be written for locks that were handed over.
    #[inline]
    pub(crate) fn has_chores(&self) -> bool {
        self.settler.has_chores.load(Ordering::SeqCst)
    }

    /// Writes what is to be written for locks that were handed over.
    pub(crate) fn do_chores(&self) {
        while self.has_chores() {
            let token = {
                let mut settler = lock(&self.settler.state);
                let token = settler.chores.pop();
                self.settler.has_chores.store(!settler.chores.is_empty(), Ordering::SeqCst);
                token
            };
            match token {
                Some(token) => self.follow_up(token),
                None => return,
            }
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
        let mut settler = lock(&self.settler.state);
        let state = self.state();
        let is_done = settler.chores.is_empty() && state.core.left_over() == 0;
        match device {
            Some(device) if !is_done => {
                drop(state);
                Some((device, self.next_alarm()))
            }
            _ => {
                // Under the lock: who leaves something from now on starts another one.
                settler.bell = None;
                None
            }
        }
    }

    /// Reads what is there and leaves callbacks to those who run them.
    ///
    /// # Errors
    ///
    /// The end of the lockspace, or a read that failed.
    pub fn read_all(&self) -> Result<(), crate::ErrorKind> {
        loop {
            match self.read(Role::Other)? {
                Read::Empty => return Ok(()),
                Read::Handled | Read::Mine(..) => {}
                Read::Due(due) => self.leave_due(due),
                Read::Effects(effects) => _ = self.apply(*effects, false),
            }
        }
    }
}

impl<F: Face> Drop for Driver<F> {
    fn drop(&mut self) {
        // The thread holds the device as long as it sleeps.
        self.settler.stop();
    }
}

fn settle<F: Face>(driver: &Weak<Driver<F>>, bell: &Signal) {
    while let Some(strong) = driver.upgrade() {
        let Some((device, until)) = strong.settle_once() else { return };
        let is_short = strong.is_read_short.swap(false, Ordering::Relaxed);
        // The driver may go while this thread sleeps.
        drop(strong);
        let slice = if is_short { now().checked_add(SLICE) } else { None };
        let (bell_source, results) = (bell.as_fd(), device.results());
        let sources = [bell_source, results];
        let sources = if is_short { sources.get(..1).unwrap_or(&sources) } else { &sources };
        if wait_any(sources, earliest(until, slice)).is_err() {
            return;
        }
        bell.clear();
    }
}
