//! A cache from its beginning to its end, and what its threads do.

use std::sync::{Arc, OnceLock, Weak};
use std::task::{Wake, Waker};

use super::counts::Counts;
use super::hooks::Hooks;
use super::kept::Kept;
use super::settings::Options;
use super::shared::{Expiry, Inner, Job};
use super::table::Table;
use super::waiter::TIMED_OUT;
use super::workers::Workers;
use crate::delivery::DeliveryThread;
use crate::driver::Driver;
use crate::error::ErrorKind;
use crate::native::Native;
use crate::threads::atomic::{AtomicBool, Ordering};
use crate::threads::{Mutex, deadline_after};

impl Inner {
    pub(super) fn start(
        driver: Arc<Driver<Native>>,
        options: Options,
        hooks: Option<Arc<dyn Hooks>>,
    ) -> Result<Arc<Self>, ErrorKind> {
        driver.check_fork()?;
        driver.slot.get()?;
        let delivery = if options.has_delivery {
            match DeliveryThread::start(&driver) {
                Ok(thread) => Some(thread),
                // The program's own does as well.
                Err(error) if matches!(error.kind, ErrorKind::HasThread) => None,
                Err(error) => return Err(error.kind),
            }
        } else {
            None
        };
        let this = Arc::new(OnceLock::<Weak<Self>>::new());
        let theirs = Arc::clone(&this);
        let work = move |job| {
            if let Some(inner) = theirs.get().and_then(Weak::upgrade) {
                inner.work(job);
            }
        };
        let workers = Workers::start(options.workers, Box::new(work))?;
        let inner = Arc::new(Self {
            driver,
            hooks,
            table: Table::new(),
            kept: Kept::default(),
            workers,
            counts: Counts::default(),
            is_closed: AtomicBool::new(false),
            delivery: Mutex::new(delivery),
            options,
        });
        let _ = this.set(Arc::downgrade(&inner));
        inner.driver.end_wakers.register(Waker::from(Arc::new(EndWatch(Arc::downgrade(&inner)))));
        if inner.driver.slot.get().is_err() {
            // It has ended before it could be told.
            inner.workers.run(Job::End);
        }
        inner.arm_sweep();
        Ok(inner)
    }

    /// Nobody gets a guard any more, and all locks are given back.
    pub(super) fn close(self: &Arc<Self>) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.close_known();
        self.clear_if_over(self.kept.count());
    }

    /// Closes all resources that are known.
    pub(super) fn close_known(&self) {
        for entry in self.table.take_all() {
            entry.tell(|slow, word, now, turn| slow.machine.close(word, now, turn));
        }
    }

    /// The lockspace has ended.
    pub(super) fn end(self: &Arc<Self>) {
        for entry in self.table.all().into_iter().chain(self.kept.all()) {
            entry.lose();
        }
    }

    /// The next sweep.
    fn arm_sweep(&self) {
        let Some(idle) = self.options.idle.filter(|_| !self.is_closed()) else { return };
        if let Some(at) = deadline_after(idle) {
            self.workers.at(at, Job::Sweep);
        }
    }

    /// Time is up for a task that waits.
    fn expire(&self, expiry: &Expiry) {
        if let (Some(entry), Some(waiter)) = (expiry.entry.upgrade(), expiry.waiter.upgrade()) {
            if let Some(waker) = entry.expire(&waiter, TIMED_OUT) {
                self.driver.guarded(|| waker.wake());
            }
        }
    }

    fn work(self: &Arc<Self>, job: Job) {
        match job {
            Job::Hook(entry, action) => entry.run_hook(action),
            Job::Operate(entry, number, action) => {
                if let Some(todo) = entry.operate(number, action) {
                    entry.carry_out(todo);
                }
            }
            Job::Look(entry) => {
                entry.tell(|slow, word, now, turn| slow.machine.look(word, now, turn));
            }
            Job::Expire(expiry) => self.expire(&expiry),
            Job::Sweep => {
                self.sweep();
                self.arm_sweep();
            }
            Job::End => self.end(),
        }
    }
}

/// Tells the cache of the end of its lockspace.
struct EndWatch(Weak<Inner>);

impl Wake for EndWatch {
    fn wake(self: Arc<Self>) {
        if let Some(inner) = self.0.upgrade() {
            inner.workers.run(Job::End);
        }
    }
}
