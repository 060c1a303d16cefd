//! The thread that runs the callbacks of a lockspace.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Driver;
use super::device::CloseReason;
use super::face::Face;
use super::signal::{AsFd, Signal};
use crate::error::ErrorKind;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, ThreadId};
use crate::sync::{Condvar, Mutex, lock, now, time_left, wait_until};

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
    bell: Signal,
    stops: AtomicBool,
    /// The thread, once it runs, and the forks of the process that has it.
    id: Mutex<Option<ThreadId>>,
    forks: u32,
    /// How the thread ended; `None` while it runs.
    end: Mutex<Option<Result<(), ErrorKind>>>,
    ended: Condvar,
}

impl Control {
    /// Whether this process has the thread.
    fn is_here(&self) -> bool {
        self.forks == dlm_sys::fork_count()
    }

    /// Whether the thread has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        lock(&self.end).is_none()
    }

    /// Whether the calling thread is this one.
    #[must_use]
    pub fn is_current(&self) -> bool {
        *lock(&self.id) == Some(thread::current().id()) && self.is_here()
    }

    /// Stops the thread after the callback that it runs, and waits, at most for `timeout`, until it
    /// has ended; not from inside of it, nor in a process that does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`], or the reason for which it had ended before.
    pub fn stop(&self, timeout: Duration) -> Result<(), ErrorKind> {
        if !self.is_here() {
            return Ok(());
        }
        self.stops.store(true, Ordering::SeqCst);
        self.bell.set();
        if self.is_current() {
            return Ok(());
        }
        let deadline = now().checked_add(timeout);
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
    fn wake(&self) {
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

    /// There is another alarm.
    pub(crate) fn tell_of_alarm(&self) {
        self.wake();
    }

    /// The lockspace has ended.
    pub(crate) fn tell_of_end(&self) {
        self.wake();
    }

    /// Whether there is a thread in this process.
    fn is_there(&self) -> bool {
        self.has_thread.load(Ordering::SeqCst)
            && lock(&self.running).as_ref().is_some_and(|control| control.is_here())
    }

    /// Whether callbacks are run by a thread other than this one.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_there() && !lock(&self.running).as_ref().is_some_and(|it| it.is_current())
    }

    /// The thread, taken by who stops it.
    #[cfg(not(dlm_model))]
    pub(crate) fn take(&self) -> Option<Arc<Control>> {
        lock(&self.running).clone()
    }
}

impl<F: Face> Driver<F> {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::HasThread`], the end of the lockspace, or [`ErrorKind::System`].
    pub fn start_delivery(&self) -> Result<Arc<Control>, ErrorKind> {
        self.slot.get()?;
        let delivery = &self.delivery;
        let mut running = lock(&delivery.running);
        let forks = dlm_sys::fork_count();
        if delivery.has_thread.load(Ordering::SeqCst)
            && running.as_ref().is_some_and(|control| control.forks == forks)
        {
            return Err(ErrorKind::HasThread);
        }
        let bell = Signal::new()?;
        // The thread needs it, too, and could tell nobody that there is none.
        self.readiness.work()?;
        let control = Arc::new(Control {
            bell,
            stops: AtomicBool::new(false),
            id: Mutex::new(None),
            forks,
            end: Mutex::new(None),
            ended: Condvar::new(),
        });
        let (driver, theirs) = (self.weak_self.clone(), Arc::clone(&control));
        let builder = thread::Builder::new().name("dlm-delivery".into());
        let thread = builder.spawn(move || {
            *lock(&theirs.id) = Some(thread::current().id());
            let end = deliver(&driver, &theirs);
            if !theirs.is_here() {
                // A callback has forked, and this is the child: nothing of the parent's is touched.
                return std::mem::forget(driver);
            }
            if let Some(driver) = driver.upgrade() {
                driver.delivery.forget(&theirs);
            }
            *lock(&theirs.end) = Some(end);
            theirs.ended.notify_all();
        })?;
        *lock(&control.id) = Some(thread.thread().id());
        *running = Some(Arc::clone(&control));
        delivery.has_thread.store(true, Ordering::SeqCst);
        drop(running);
        // It may have looked at what is of interest before it could be told.
        control.bell.set();
        Ok(control)
    }

    /// One turn of the thread: sleeps until there is something to do, and does it. `false`: stop.
    fn deliver_once(&self, control: &Control) -> Result<bool, ErrorKind> {
        let device = self.slot.get()?;
        let is_idle = self.state().interest() == 0 && self.flush.is_idle();
        // Without callbacks to come, the results belong to threads that wait for them in a call:
        // being woken for each of those would only slow them down.
        let others = [control.bell.as_fd(), self.readiness.work()?];
        if self.sleep(&device, !is_idle, &others, self.next_alarm())? {
            control.bell.clear();
        }
        if control.stops.load(Ordering::SeqCst) {
            return Ok(false);
        }
        drop(device);
        // A callback may own anything, and what it left behind is its own affair.
        match catch_unwind(AssertUnwindSafe(|| self.dispatch())) {
            Ok(ran) => _ = ran?,
            Err(payload) => self.discard_panic(payload),
        }
        Ok(true)
    }

    /// Runs what is due although the lockspace has ended.
    fn deliver_last(&self, control: &Control) {
        while !control.stops.load(Ordering::SeqCst) {
            let Some(due) = self.due.pop() else { return };
            self.guarded(|| self.run(due));
        }
    }
}

impl Delivery {
    fn forget(&self, control: &Arc<Control>) {
        let mut running = lock(&self.running);
        if running.as_ref().is_some_and(|it| Arc::ptr_eq(it, control)) {
            *running = None;
            self.has_thread.store(false, Ordering::SeqCst);
        }
    }
}

fn deliver<F: Face>(driver: &Weak<Driver<F>>, control: &Control) -> Result<(), ErrorKind> {
    while let Some(driver) = driver.upgrade() {
        match driver.deliver_once(control) {
            _ if !control.is_here() => {
                std::mem::forget(driver);
                return Ok(());
            }
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(kind) => {
                driver.end_reading(&kind);
                if !matches!(driver.slot.get(), Err(CloseReason::Closed)) {
                    driver.deliver_last(control);
                }
                return Err(kind);
            }
        }
    }
    Ok(())
}
