//! The delivery thread, for those who start it, wake it and wait for its end.

use std::sync::Arc;
use std::time::Duration;

use super::signal::Signal;
use crate::error::ErrorKind;
use crate::threads::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::threads::thread::{self, ThreadId};
use crate::threads::{Condvar, Mutex, deadline_after, lock, time_left, wait_until};

/// The name of the thread.
pub const THREAD_NAME: &str = "dlm-delivery";

/// The delivery thread of a driver, if it has one.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    running: Mutex<Option<Arc<Control>>>,
    /// Saves the look.
    has_thread: AtomicBool,
}

/// A delivery thread, for who has started it.
#[derive(Debug)]
pub struct Control {
    /// Wakes the thread.
    pub(crate) bell: Signal,
    stops: AtomicBool,
    /// The thread, once it runs, and the forks of the process that has it.
    id: Mutex<Option<ThreadId>>,
    forks: u32,
    /// What its host calls the thread.
    name: AtomicUsize,
    /// How the thread ended; `None` while it runs.
    end: Mutex<Option<Result<(), ErrorKind>>>,
    ended: Condvar,
}

impl Control {
    /// Whether this process has the thread.
    pub(crate) fn is_here(&self) -> bool {
        self.forks == dlm_sys::fork_count()
    }

    /// The thread runs, as this one.
    pub(crate) fn set_id(&self, id: ThreadId) {
        *lock(&self.id) = Some(id);
    }

    /// Whether the thread is to stop.
    pub(crate) fn stops(&self) -> bool {
        self.stops.load(Ordering::SeqCst)
    }

    /// The thread has ended.
    pub(crate) fn set_ended(&self, end: Result<(), ErrorKind>) {
        *lock(&self.end) = Some(end);
        self.ended.notify_all();
    }

    /// Keeps what the host of the thread calls it, for [`Driver::stop_delivery`].
    pub fn set_name(&self, name: usize) {
        self.name.store(name, Ordering::SeqCst);
    }

    /// What was kept; 0 for nothing.
    #[must_use]
    pub fn name(&self) -> usize {
        self.name.load(Ordering::SeqCst)
    }

    /// Whether the thread has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        lock(&self.end).is_none()
    }

    /// Whether the calling thread is this one.
    #[must_use]
    pub(crate) fn is_current(&self) -> bool {
        *lock(&self.id) == Some(thread::current().id()) && self.is_here()
    }

    /// Stops the thread after the callback that it runs, and waits, at most for `timeout`, until it
    /// has ended; not from inside of it, nor in a process that does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`], or the reason for which it had ended before.
    pub(crate) fn stop(&self, timeout: Duration) -> Result<(), ErrorKind> {
        if !self.is_here() {
            return Ok(());
        }
        self.stops.store(true, Ordering::SeqCst);
        self.bell.set();
        if self.is_current() {
            return Ok(());
        }
        let deadline = deadline_after(timeout);
        let mut end = lock(&self.end);
        loop {
            match &mut *end {
                Some(end) => return std::mem::replace(end, Ok(())),
                None if deadline.is_some_and(|at| time_left(at).is_zero()) => {
                    return Err(ErrorKind::TimedOut("a callback is still running"));
                }
                None => end = wait_until(&self.ended, end, deadline),
            }
        }
    }

    /// The thread in which callbacks run.
    #[cfg(dlm_model)]
    pub(crate) fn thread_id(&self) -> Option<ThreadId> {
        *lock(&self.id)
    }
}

impl Delivery {
    /// Makes a thread of the caller's the one that runs callbacks. `prepare`: what it needs beside.
    pub(crate) fn begin(
        &self,
        prepare: impl FnOnce() -> Result<(), ErrorKind>,
    ) -> Result<Arc<Control>, ErrorKind> {
        let mut running = lock(&self.running);
        if self.has_thread.load(Ordering::SeqCst)
            && running.as_ref().is_some_and(|control| control.is_here())
        {
            return Err(ErrorKind::HasThread);
        }
        let bell = Signal::new()?;
        prepare()?;
        let control = Arc::new(Control {
            bell,
            stops: AtomicBool::new(false),
            id: Mutex::new(None),
            forks: dlm_sys::fork_count(),
            name: AtomicUsize::new(0),
            end: Mutex::new(None),
            ended: Condvar::new(),
        });
        *running = Some(Arc::clone(&control));
        self.has_thread.store(true, Ordering::SeqCst);
        drop(running);
        // It may have looked at what is of interest before it could be told.
        control.bell.set();
        Ok(control)
    }

    /// A thread has ended, and there may be another one.
    pub(crate) fn forget(&self, control: &Arc<Control>) {
        let mut running = lock(&self.running);
        if running.as_ref().is_some_and(|it| Arc::ptr_eq(it, control)) {
            *running = None;
            self.has_thread.store(false, Ordering::SeqCst);
        }
    }

    /// Gets the thread to look again: there is another alarm, or the lockspace has ended.
    pub(crate) fn wake(&self) {
        // In one order with what the thread does before it sleeps: it sees what is new, or is
        // woken.
        if self.has_thread.load(Ordering::SeqCst) {
            if let Some(control) = &*lock(&self.running) {
                control.bell.set();
            }
        }
    }

    /// Results are of interest from now on.
    pub(crate) fn tell_of_interest(&self) {
        self.wake();
    }

    /// Whether there is a thread in this process.
    pub(crate) fn is_there(&self) -> bool {
        self.has_thread.load(Ordering::SeqCst)
            && lock(&self.running).as_ref().is_some_and(|it| it.is_here() && it.is_running())
    }

    /// Whether callbacks are run by a thread other than this one.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_there() && !lock(&self.running).as_ref().is_some_and(|it| it.is_current())
    }

    /// The thread, taken by who stops it.
    pub(crate) fn take(&self) -> Option<Arc<Control>> {
        lock(&self.running).clone()
    }
}
