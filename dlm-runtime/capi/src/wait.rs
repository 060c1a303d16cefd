//! Threads that wait in a call.
//!
//! Each first reads the device itself. When there is nothing to read, one of them, the leader,
//! sleeps at the device; the others sleep until they are told, by whoever reads their completion or
//! leaves the lead to them.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Instant;

use crate::sync::{Condvar, Mutex, Signal, has_passed, lock};

/// A thread that waits for an operation.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    status: AtomicI32,
    has_ended: AtomicBool,
    /// Waking one that is awake would cost a system call.
    is_asleep: AtomicBool,
    /// Something has changed since it fell asleep.
    woken: Mutex<bool>,
    changed: Condvar,
}

thread_local! {
    /// That of this thread, while it does not wait: an AST inside a wait may wait, too.
    static SPARE: Cell<Option<Arc<Waiter>>> = const { Cell::new(None) };
}

impl Waiter {
    pub(crate) fn take_spare() -> Arc<Self> {
        SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()
    }

    /// Keeps it for the thread's next wait, unless somebody still has it in hand.
    pub(crate) fn put_back(mut self: Arc<Self>) {
        if let Some(waiter) = Arc::get_mut(&mut self) {
            *waiter.has_ended.get_mut() = false;
            *waiter.woken.get_mut() = false;
            // A thread that is ending keeps nothing.
            let _ = SPARE.try_with(|spare| spare.set(Some(self)));
        }
    }

    /// The operation has ended. All that its caller may look at is written.
    pub(crate) fn finish(&self, status: c_int) {
        self.status.store(status, Ordering::Relaxed);
        self.has_ended.store(true, Ordering::SeqCst);
        // In one order with what the sleeper does: it sees this, or is seen.
        if self.is_asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    pub(crate) fn status(&self) -> Option<c_int> {
        self.has_ended.load(Ordering::SeqCst).then(|| self.status.load(Ordering::Relaxed))
    }

    fn wake(&self) {
        *lock(&self.woken) = true;
        self.changed.notify_one();
    }

    /// Sleeps until its operation has ended, until woken since the last sleep, or until the deadline.
    pub(crate) fn sleep(&self, deadline: Option<Instant>) {
        let mut woken = lock(&self.woken);
        self.is_asleep.store(true, Ordering::SeqCst);
        while !*woken && !self.has_ended.load(Ordering::SeqCst) {
            match deadline {
                None => self.changed.wait(&mut woken),
                Some(at) if has_passed(at) => break,
                Some(at) => drop(self.changed.wait_until(&mut woken, at)),
            }
        }
        *woken = false;
        self.is_asleep.store(false, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct Order {
    leader: Option<Arc<Waiter>>,
    followers: Vec<Arc<Waiter>>,
}

/// Who sleeps at the device.
#[derive(Debug)]
pub(crate) struct Seats {
    order: Mutex<Order>,
    /// How many threads have a place: none while each finds its completion at once.
    taken: AtomicUsize,
    /// Gets the leader away from the device.
    pub(crate) nudge: Signal,
}

impl Seats {
    pub(crate) fn new() -> nix::Result<Self> {
        let taken = AtomicUsize::new(0);
        Ok(Self { order: Mutex::default(), taken, nudge: Signal::new()? })
    }

    /// Somebody else has finished this waiter's operation. It may be the one that sleeps at the
    /// device. It takes its place first and then looks at its status, so one sees the other.
    pub(crate) fn tell(&self, waiter: &Arc<Waiter>) {
        if self.taken.load(Ordering::SeqCst) > 0 {
            let order = lock(&self.order);
            if order.leader.as_ref().is_some_and(|leader| Arc::ptr_eq(leader, waiter)) {
                self.nudge.set();
            }
        }
    }

    /// Gets all to look again.
    pub(crate) fn tell_all(&self) {
        let order = lock(&self.order);
        order.followers.iter().for_each(|follower| follower.wake());
        self.nudge.set();
    }
}

/// A place among those who sleep.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    seats: &'a Seats,
    waiter: &'a Arc<Waiter>,
}

impl<'a> Seat<'a> {
    pub(crate) fn new(seats: &'a Seats, waiter: &'a Arc<Waiter>) -> Self {
        seats.taken.fetch_add(1, Ordering::SeqCst);
        Self { seats, waiter }
    }

    /// Takes the lead if nobody has it, or else a place among the followers.
    pub(crate) fn try_lead(&self) -> bool {
        let mut order = lock(&self.seats.order);
        let is_me = |other: &Arc<Waiter>| Arc::ptr_eq(other, self.waiter);
        match &order.leader {
            Some(leader) if !is_me(leader) => {
                if !order.followers.iter().any(is_me) {
                    order.followers.push(Arc::clone(self.waiter));
                }
                false
            }
            _ => {
                order.leader = Some(Arc::clone(self.waiter));
                order.followers.retain(|other| !is_me(other));
                true
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut order = lock(&self.seats.order);
        let is_me = |other: &Arc<Waiter>| Arc::ptr_eq(other, self.waiter);
        order.followers.retain(|other| !is_me(other));
        if order.leader.as_ref().is_some_and(is_me) {
            order.leader = None;
            // What was meant for this leader must not wake the next one for nothing.
            self.seats.nudge.clear();
        }
        // Also when a follower leaves: it may be the one that was to take over.
        if let (None, Some(next)) = (&order.leader, order.followers.first()) {
            next.wake();
        }
        self.seats.taken.fetch_sub(1, Ordering::SeqCst);
    }
}
