//! The data of a driver, which all threads share that use an open lockspace.

use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use dlm_core::Options;
use dlm_proto::{LockspaceName, Minor};

use super::delivery::Delivery;
use super::device::{Device, Slot};
use super::due::DueQueue;
use super::face::Face;
use super::first::FirstRequests;
use super::readiness::Readiness;
use super::settler::Settler;
use super::signal::Signal;
use super::state::State;
use super::task_reader::TaskReader;
use super::wait_queue::WaitQueue;
use super::waiting::{EndWakers, Flush, NoticeWaiters};
use super::writer::Writer;
use crate::control::Manager;
use crate::counters::{Count, Counters};
use crate::error::ErrorKind;
use crate::threads::atomic::AtomicBool;
use crate::threads::{Mutex, MutexGuard, lock, now};

/// Where results are read, until the end of the lockspace.
pub(crate) type Gate = Option<Arc<Device>>;

/// The thread for what is left over, or awaited by tasks: woken by the signal, it ends when the driver is
/// gone, or nothing is left.
pub(super) type Settle<F> = fn(&Weak<Driver<F>>, &Signal);

/// An open lockspace.
pub struct Driver<F: Face> {
    /// For jobs that are put off.
    pub(crate) weak_self: Weak<Self>,
    pub(super) writer: Option<Writer>,
    pub(crate) name: LockspaceName,
    pub(crate) minor: Minor,
    pub(crate) manager: Manager,
    #[cfg_attr(dlm_model, expect(dead_code, reason = "for forked children"))]
    pub(super) core_options: Options,
    /// The forks when it was opened.
    forks: u32,
    /// The start of the core's time.
    pub(super) start: Instant,
    pub(crate) slot: Slot,
    pub(super) first_requests: FirstRequests,
    pub(crate) state: Mutex<State<F>>,
    /// Held for the length of one read and its routing: one reader at a time, in order. The device of
    /// [`Slot`] is in it, so that whoever reads has it at hand.
    pub(super) gate: Mutex<Gate>,
    pub(crate) waits: WaitQueue,
    pub(crate) due: DueQueue<F>,
    pub(crate) readiness: Readiness,
    pub(crate) notice_waiters: NoticeWaiters,
    pub(crate) flush: Flush,
    pub(crate) end_wakers: EndWakers,
    pub(super) settler: Settler,
    pub(super) settle: Settle<F>,
    pub(crate) task_reader: TaskReader,
    pub(super) attend: Settle<F>,
    pub(crate) delivery: Delivery,
    pub(crate) callback_panics: Count,
    pub(super) has_threads: bool,
    /// The last read failed for want of memory.
    pub(super) is_read_short: AtomicBool,
}

/// What a driver is made of.
pub(super) struct Parts<F: Face> {
    pub(super) writer: Option<Writer>,
    pub(super) name: LockspaceName,
    pub(super) minor: Minor,
    pub(super) manager: Manager,
    pub(super) core_options: Options,
    pub(super) has_threads: bool,
    pub(super) start: Instant,
    pub(super) slot: Slot,
    pub(super) first_requests: FirstRequests,
    pub(super) state: State<F>,
    pub(super) due: DueQueue<F>,
    pub(super) readiness: Readiness,
    /// What the thread for what is left over does. Its parts are above this one, and so it is given.
    pub(super) settle: Settle<F>,
    /// The same for what tasks wait for.
    pub(super) attend: Settle<F>,
}

impl<F: Face> Driver<F> {
    pub(super) fn of(parts: Parts<F>) -> Arc<Self> {
        let Parts { writer, name, minor, manager, core_options, has_threads, .. } = parts;
        let Parts {
            start, slot, first_requests, mut state, due, readiness, settle, attend, ..
        } = parts;
        state.device = slot.get().ok();
        let gate = state.device.clone();
        Arc::new_cyclic(|weak_self| Self {
            weak_self: Weak::clone(weak_self),
            writer,
            name,
            minor,
            manager,
            core_options,
            forks: dlm_sys::fork_count(),
            start,
            slot,
            first_requests,
            state: Mutex::new(state),
            gate: Mutex::new(gate),
            waits: WaitQueue::default(),
            due,
            readiness,
            notice_waiters: NoticeWaiters::default(),
            flush: Flush::default(),
            end_wakers: EndWakers::default(),
            settler: Settler::default(),
            settle,
            task_reader: TaskReader::default(),
            attend,
            delivery: Delivery::default(),
            callback_panics: Count::default(),
            has_threads,
            is_read_short: AtomicBool::new(false),
        })
    }

    /// Whether requests of futures are written by a thread of their own.
    #[inline]
    pub(crate) const fn has_writer(&self) -> bool {
        self.writer.is_some()
    }

    /// Whether this process is the one that has opened the lockspace.
    #[inline]
    pub(crate) fn check_fork(&self) -> Result<(), ErrorKind> {
        if self.forks == dlm_sys::fork_count() { Ok(()) } else { Err(ErrorKind::Forked) }
    }

    /// The table of locks.
    #[inline]
    pub fn state(&self) -> MutexGuard<'_, State<F>> {
        lock(&self.state)
    }

    /// Counts of what happened.
    pub(crate) fn counters(&self) -> Counters {
        Counters::of(self.state().core.counts(), self.callback_panics.get())
    }

    pub(crate) fn set_permissions(&self, mode: u32) -> Result<(), ErrorKind> {
        let device = self.slot.get()?;
        Ok(device.set_permissions(mode)?)
    }

    /// The core's time for a point in time.
    pub(crate) fn time(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    /// The core's time now.
    pub(crate) fn time_now(&self) -> Duration {
        self.time(now())
    }

    /// The point in time for a time of the core's.
    pub(crate) fn instant(&self, time: Duration) -> Option<Instant> {
        self.start.checked_add(time)
    }

    /// The driver, if somebody still has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Arc<Self>> {
        self.weak_self.upgrade()
    }

    /// The time when something is overdue.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let next = self.state().next_alarm()?;
        self.instant(next)
    }

    /// Whether something is overdue.
    pub(crate) fn has_overdue(&self) -> bool {
        let next = self.state().next_alarm();
        next.is_some_and(|next| next <= self.time_now())
    }

    /// Tells those who sleep of the next alarm.
    pub(crate) fn set_alarms(&self) {
        self.readiness.set_alarm(|| self.next_alarm());
        self.delivery.wake();
        self.readiness.stir();
        self.waits.stir();
        self.task_reader.ring();
    }

    /// Has a task woken at a time, by whoever reads results. Returns the number of the timer, for
    /// [`Driver::clear_timer`].
    pub(crate) fn set_timer(&self, at: Instant, waker: Waker) -> u64 {
        let at = self.time(at);
        let (number, is_next) = {
            let mut state = self.state();
            let is_next = state.next_alarm().is_none_or(|next| at < next);
            (state.timers.set(at, waker), is_next)
        };
        if is_next {
            self.set_alarms();
        }
        number
    }

    /// Nobody waits for that time any more.
    pub(crate) fn clear_timer(&self, number: u64) {
        // Dropped when nothing is locked.
        let waker = self.state().timers.take(number);
        drop(waker);
    }
}

impl<F: Face> Drop for Driver<F> {
    fn drop(&mut self) {
        // These threads hold the device as long as they sleep.
        self.settler.stop();
        self.task_reader.ring();
    }
}
