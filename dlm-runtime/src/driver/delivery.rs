//! The thread that runs the callbacks of a lockspace.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Driver;
use super::device::CloseReason;
use super::face::Face;
use super::host::{Host, at_once};
use super::signal::{AsFd, Signal};
use crate::error::ErrorKind;
use crate::threads::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::threads::thread::{self, ThreadId};
use crate::threads::{Condvar, Mutex, lock, now, time_left, wait_until};

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
    bell: Signal,
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
    fn is_here(&self) -> bool {
        self.forks == dlm_sys::fork_count()
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

impl<F: Face> Driver<F> {
    /// Makes a thread of the caller's the one that runs callbacks, see [`Duty::deliver_on`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::HasThread`], the end of the lockspace, or [`ErrorKind::System`].
    pub fn prepare_delivery(&self) -> Result<Duty<F>, ErrorKind> {
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
            name: AtomicUsize::new(0),
            end: Mutex::new(None),
            ended: Condvar::new(),
        });
        *running = Some(Arc::clone(&control));
        delivery.has_thread.store(true, Ordering::SeqCst);
        drop(running);
        // It may have looked at what is of interest before it could be told.
        control.bell.set();
        Ok(Duty { driver: self.weak_self.clone(), control, end: Ok(()), is_amid: false })
    }

    /// Starts the thread. It runs callbacks on this host, of which none panics.
    pub(crate) fn start_delivery_on(
        &self,
        host: impl Host<F> + Send + 'static,
    ) -> Result<Arc<Control>, ErrorKind> {
        let duty = self.prepare_delivery()?;
        let control = duty.control();
        let builder = thread::Builder::new().name(THREAD_NAME.into());
        let thread = builder.spawn(move || at_once(duty.deliver_on(&host)))?;
        *lock(&control.id) = Some(thread.thread().id());
        Ok(control)
    }

    /// One turn of the thread: sleeps until there is something to do, and does it. `false`: stop.
    async fn deliver_once(
        &self,
        host: &impl Host<F>,
        control: &Control,
    ) -> Result<bool, ErrorKind> {
        let device = self.slot.get()?;
        let is_idle = self.state().interest() == 0 && self.flush.is_idle();
        // Without callbacks to come, the results belong to threads that wait for them in a call:
        // being woken for each of those would only slow them down.
        let others = [control.bell.as_fd(), self.readiness.work()?];
        if self.sleep(host, &device, !is_idle, &others, self.next_alarm()).await? {
            control.bell.clear();
        }
        if control.stops.load(Ordering::SeqCst) {
            return Ok(false);
        }
        drop(device);
        self.dispatch_on(host).await?;
        Ok(true)
    }

    /// Runs what is due although the lockspace has ended.
    async fn deliver_last(&self, host: &impl Host<F>, control: &Control) {
        while !control.stops.load(Ordering::SeqCst) {
            let Some(due) = self.due.pop() else { return };
            host.run(self, due).await;
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

/// The duty to run the callbacks of a lockspace. It ends when this is dropped.
pub struct Duty<F: Face> {
    driver: Weak<Driver<F>>,
    control: Arc<Control>,
    end: Result<(), ErrorKind>,
    /// The thread has begun and has not come to its end: a callback that ends it leaves it so.
    is_amid: bool,
}

impl<F: Face> Duty<F> {
    /// The thread, for who starts it.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// What the thread does, until it is stopped or the lockspace ends.
    pub async fn deliver_on(mut self, host: &impl Host<F>) {
        *lock(&self.control.id) = Some(thread::current().id());
        self.is_amid = true;
        self.end = self.deliver(host).await;
        self.is_amid = false;
    }

    async fn deliver(&self, host: &impl Host<F>) -> Result<(), ErrorKind> {
        while let Some(driver) = self.driver.upgrade() {
            let held = Held(Some(driver));
            let Some(driver) = held.0.as_deref() else { return Ok(()) };
            match driver.deliver_once(host, &self.control).await {
                _ if !self.control.is_here() => return Ok(()),
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(kind) => {
                    driver.end_reading(&kind);
                    if !matches!(driver.slot.get(), Err(CloseReason::Closed)) {
                        driver.deliver_last(host, &self.control).await;
                    }
                    return Err(kind);
                }
            }
        }
        Ok(())
    }
}

impl<F: Face> Drop for Duty<F> {
    fn drop(&mut self) {
        if !self.control.is_here() {
            // A callback has forked, and this is the child: nothing of the parent's is touched.
            std::mem::forget(std::mem::take(&mut self.driver));
            return;
        }
        // After a thread that a callback has ended there is no other one, as with C libdlm.
        if let Some(driver) = self.driver.upgrade().filter(|_| !self.is_amid) {
            driver.delivery.forget(&self.control);
        }
        *lock(&self.control.end) = Some(std::mem::replace(&mut self.end, Ok(())));
        self.control.ended.notify_all();
    }
}

/// A driver that is not dropped in a forked child.
struct Held<F: Face>(Option<Arc<Driver<F>>>);

impl<F: Face> Drop for Held<F> {
    fn drop(&mut self) {
        if self.0.as_ref().is_some_and(|driver| driver.check_fork().is_err()) {
            std::mem::forget(self.0.take());
        }
    }
}
