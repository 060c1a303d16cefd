//! Threads that wait in a call.
//!
//! Each first reads the device itself. When there is nothing to read, one of them, the leader,
//! sleeps at the device; the others sleep until they are told, by whoever reads their completion or
//! leaves the lead to them.

use std::cell::RefCell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sync::{Signal, has_passed, lock};

#[derive(Debug, Default)]
struct State {
    status: Option<c_int>,
    /// Something has changed since it fell asleep.
    woken: bool,
    /// Waking one that is awake would cost a system call.
    is_asleep: bool,
}

/// A thread that waits for an operation.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    state: Mutex<State>,
    changed: Condvar,
}

thread_local! {
    /// That of this thread, while it does not wait: an AST inside a wait may wait, too.
    static SPARE: RefCell<Option<Arc<Waiter>>> = const { RefCell::new(None) };
}

impl Waiter {
    pub(crate) fn take_spare() -> Arc<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().take());
        spare.ok().flatten().unwrap_or_default()
    }

    /// Keeps it for the thread's next wait, unless somebody still has it in hand.
    pub(crate) fn put_back(self: Arc<Self>) {
        if Arc::strong_count(&self) == 1 {
            *lock(&self.state) = State::default();
            // A thread that is ending keeps nothing.
            let _ = SPARE.try_with(|spare| *spare.borrow_mut() = Some(self));
        }
    }

    /// The operation has ended. All that its caller may look at is written.
    pub(crate) fn finish(&self, status: c_int) {
        let mut state = lock(&self.state);
        state.status = Some(status);
        self.wake_up(state);
    }

    fn wake_up(&self, mut state: MutexGuard<'_, State>) {
        state.woken = true;
        let is_asleep = state.is_asleep;
        drop(state);
        if is_asleep {
            self.changed.notify_one();
        }
    }

    pub(crate) fn status(&self) -> Option<c_int> {
        lock(&self.state).status
    }

    fn wake(&self) {
        self.wake_up(lock(&self.state));
    }

    /// Sleeps until woken since the last sleep, or until the deadline.
    pub(crate) fn sleep(&self, deadline: Option<Instant>) {
        let mut state = lock(&self.state);
        state.is_asleep = true;
        while !state.woken {
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) if has_passed(at) => break,
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    let left = left.max(Duration::from_millis(1));
                    let woken = self.changed.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.woken = false;
        state.is_asleep = false;
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
