//! The driver: the device, the threads and the callbacks around a [`dlm_core::Core`].
//!
//! One driver serves one open lockspace. What is generic in it is the [`Face`]: the Rust API of
//! this crate, or the C libraries (`dlm-runtime/capi`).
//!
//! * `call`: what is asked for, and what is written for it; `plain`: the commonest of that.
//! * `read`, `effects`: a result, and what is left to do when nothing is locked.
//! * `wait`, `wait_queue`: threads that wait in a call; `host`: who sleeps and runs callbacks for
//!   those.
//! * `due`, `dispatch`, `delivery`: callbacks, and who runs them.
//! * `alarm`, `settler`: deadlines, and what is left over when nobody reads.
//! * `device`, `signal`, `readiness`, `writer`: descriptors, and a thread that writes.
//! * `open`, `end`, `fork`: from the opening of a lockspace to its end, in each process.
//!
//! # What may be locked when
//!
//! The gate is locked for one read and its routing, and inside of it the table for the routing.
//! Foreign code (callbacks, wakers, drops of users' values) and writes happen when nothing is
//! locked and the thread has no role that others wait for.

mod alarm;
pub(crate) mod call;
pub(crate) mod delivery;
pub(crate) mod device;
mod dispatch;
mod due;
mod effects;
pub(crate) mod end;
pub(crate) mod face;
pub(crate) mod first;
pub(crate) mod flush;
#[cfg(not(dlm_model))]
mod fork;
pub(crate) mod host;
mod lazy_signal;
mod open;
mod plain;
pub(crate) mod read;
mod readiness;
mod settler;
#[cfg(not(dlm_model))]
pub(crate) mod signal;
pub(crate) mod wait;
pub(crate) mod wait_queue;
mod writer;

#[cfg(dlm_model)]
pub(crate) use crate::model::signal;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dlm_core::{Core, Failure, Options, Rules};
use dlm_proto::{LockspaceName, Minor};

use self::delivery::Delivery;
use self::device::{Device, Slot};
use self::due::DueQueue;
use self::end::EndWakers;
use self::first::FirstRequests;
use self::flush::Flush;
use self::readiness::Readiness;
use self::settler::Settler;
use self::wait_queue::WaitQueue;
use self::writer::Writer;
use crate::blocking::NoticeWaiters;
use crate::counters::{Count, Counters};
use crate::error::ErrorKind;
use crate::threads::atomic::AtomicBool;
use crate::threads::{Mutex, MutexGuard, lock};
use crate::trace::Clock;

pub use self::call::{Begun, Prepare, Prepared};
pub use self::delivery::{Control, Duty, THREAD_NAME};
pub use self::face::{Due, Face, Notice, Notify};
pub use self::first::KeepApart;
#[cfg(not(dlm_model))]
pub use self::fork::Frozen;
pub use self::host::{Host, Quiet};
pub(crate) use self::plain::Rest;
#[cfg(not(dlm_model))]
pub use self::signal::poll_millis;
pub use self::signal::{Ready, Source};
pub use self::wait::{OthersEnd, Unfinished};
pub use self::wait_queue::Waiter;
pub use crate::control::Manager;
pub use crate::threads::now;

/// The core, and what the driver counts under the same lock.
pub struct State<F: Face> {
    /// The core.
    pub core: Core<Notify<F>, F::Lock>,
    /// Operations whose end is for others than a thread that waits for it.
    pub(crate) delivered: usize,
    /// Threads that wait for operations of others. There is none, as a rule.
    pub(crate) observers: Vec<read::Observer>,
    /// The number of the last observer.
    pub(crate) last_observer: u64,
    /// The time when operations began, for those who trace.
    pub(crate) clock: Clock,
    /// That of [`Slot`], for who has the table locked anyway.
    pub(crate) device: Option<Arc<Device>>,
}

/// What a driver is made with.
pub struct DriverOptions {
    /// Requests for futures and unlocks of dropped locks are written by a thread of their own.
    pub background_writes: bool,
    /// Whether first requests for a resource are kept apart (#two-resources-of-one-name).
    pub keep_apart: KeepApart,
    /// The set of rules for what may be asked for.
    pub rules: Rules,
    /// Locks are known by the kernel's ids.
    pub has_ids: bool,
    /// The driver may start threads for what is left over.
    pub has_threads: bool,
}

/// Where results are read, until the end of the lockspace.
pub(crate) type Gate = Option<Arc<Device>>;

/// An open lockspace.
pub struct Driver<F: Face> {
    /// For jobs that are put off.
    pub(crate) weak_self: Weak<Self>,
    writer: Option<Writer>,
    pub(crate) name: LockspaceName,
    pub(crate) minor: Minor,
    pub(crate) manager: Manager,
    #[cfg_attr(dlm_model, expect(dead_code, reason = "for forked children"))]
    core_options: Options,
    /// The forks when it was opened.
    forks: u32,
    /// The start of the core's time.
    start: Instant,
    pub(crate) slot: Slot,
    first_requests: FirstRequests,
    pub(crate) state: Mutex<State<F>>,
    /// Held for the length of one read and its routing: one reader at a time, in order. The device of
    /// [`Slot`] is in it, so that whoever reads has it at hand.
    gate: Mutex<Gate>,
    pub(crate) waits: WaitQueue,
    pub(crate) due: DueQueue<F>,
    pub(crate) readiness: Readiness,
    pub(crate) notice_waiters: NoticeWaiters,
    pub(crate) flush: Flush,
    pub(crate) end_wakers: EndWakers,
    settler: Settler,
    pub(crate) delivery: Delivery,
    pub(crate) callback_panics: Count,
    has_threads: bool,
    /// The last read failed for want of memory.
    is_read_short: AtomicBool,
}

/// What a driver is made of.
struct Parts<F: Face> {
    writer: Option<Writer>,
    name: LockspaceName,
    minor: Minor,
    manager: Manager,
    core_options: Options,
    has_threads: bool,
    start: Instant,
    slot: Slot,
    first_requests: FirstRequests,
    state: State<F>,
    due: DueQueue<F>,
    readiness: Readiness,
}

impl<F: Face> Driver<F> {
    /// A driver of a device.
    pub(crate) fn new(
        name: LockspaceName,
        device: Device,
        manager: Manager,
        options: &DriverOptions,
    ) -> Result<Arc<Self>, ErrorKind> {
        let writer = if options.background_writes { Some(Writer::start()?) } else { None };
        let first_requests = FirstRequests::new(options.keep_apart, &device);
        let core_options = Options {
            abi: device.abi(),
            owner: std::process::id(),
            rules: options.rules,
            has_ids: options.has_ids,
            has_names: first_requests.is_wanted(),
        };
        Ok(Self::of(Parts {
            writer,
            name,
            minor: device.minor(),
            manager,
            core_options,
            has_threads: options.has_threads,
            start: now(),
            slot: Slot::new(device),
            first_requests,
            state: State::new(Core::new(core_options)),
            due: DueQueue::default(),
            readiness: Readiness::default(),
        }))
    }

    fn of(parts: Parts<F>) -> Arc<Self> {
        let Parts { writer, name, minor, manager, core_options, has_threads, .. } = parts;
        let Parts { start, slot, first_requests, mut state, due, readiness, .. } = parts;
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
}

impl<F: Face> State<F> {
    fn new(core: Core<Notify<F>, F::Lock>) -> Self {
        Self {
            core,
            delivered: 0,
            observers: Vec::new(),
            last_observer: 0,
            clock: Default::default(),
            device: None,
        }
    }

    /// What was kept for an operation is handed out.
    #[inline]
    pub(crate) fn handed_out(&mut self, user: Option<&Notify<F>>) {
        if user.is_some_and(Notify::needs_delivery) {
            self.delivered -= 1;
        }
    }

    /// An operation has failed without a result, and what was kept for it was handed out just now.
    /// Its end is kept for the thread or task that waits for it, which may look any moment.
    pub(crate) fn fail(&mut self, begun: Begun, user: Option<&Notify<F>>, failure: Failure) {
        self.handed_out(user);
        if matches!(user, Some(Notify::Thread(_) | Notify::Task(_))) {
            self.core.keep(begun.token, begun.serial, Err(failure));
        }
    }

    /// Whether somebody must read results who does not wait for one himself: a delivery thread, or
    /// whoever dispatches.
    #[inline]
    pub(crate) fn interest(&self) -> usize {
        self.awaited() + self.core.left_over()
    }

    /// The same without what is left over, which a thread of its own sees to: nobody else is told
    /// of that, so it may be there while the others sleep.
    #[inline]
    pub(crate) fn awaited(&self) -> usize {
        self.delivered + self.core.noticed()
    }
}
