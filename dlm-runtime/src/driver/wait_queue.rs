//! The threads that sleep in a call, and which of them sleeps at the device.
//!
//! Each waiting thread first reads the device itself. When there is nothing to read, one of the
//! waiting threads, the leader, sleeps at the device, and the others, the followers, sleep until
//! they are woken: by whoever reads their completion, or by a leader that leaves, whose place one
//! of them takes. A thread gives up the lead before it runs foreign code or writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::lazy_signal::LazySignal;
use crate::threads::{Condvar, Mutex, get_mut, lock, thread_local, time_left, wait_until};

/// A thread that waits. There is one for each wait: a callback inside a wait may wait, too.
#[derive(Debug, Default)]
pub struct Waiter {
    rest: Mutex<Rest>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum Rest {
    #[default]
    Awake,
    Asleep,
    AtDevice,
    /// Where this wakes it.
    Elsewhere(Waker),
    Woken,
}

thread_local! {
    /// The waiter of this thread while the thread does not wait.
    #[allow(clippy::missing_const_for_thread_local, reason = "shuttle's macro takes no const")]
    static SPARE: std::cell::Cell<Option<Arc<Waiter>>> = std::cell::Cell::new(None);
}

impl Waiter {
    /// A waiter for the calling thread.
    pub(crate) fn take() -> Arc<Self> {
        SPARE.try_with(std::cell::Cell::take).ok().flatten().unwrap_or_default()
    }

    /// Keeps it for the thread's next wait, unless somebody still has it in hand.
    pub(crate) fn put_back(mut self: Arc<Self>) {
        if let Some(waiter) = Arc::get_mut(&mut self) {
            *get_mut(&mut waiter.rest) = Rest::Awake;
            // A thread that is ending keeps nothing.
            let _ = SPARE.try_with(|spare| spare.set(Some(self)));
        }
    }

    /// Sleeps until woken since the last sleep, or until the deadline.
    pub(crate) fn sleep(&self, deadline: Option<Instant>) {
        let mut rest = lock(&self.rest);
        while !matches!(*rest, Rest::Woken) {
            *rest = Rest::Asleep;
            if deadline.is_some_and(|at| time_left(at).is_zero()) {
                break;
            }
            rest = wait_until(&self.changed, rest, deadline);
        }
        *rest = Rest::Awake;
    }

    /// The thread is about to sleep where `waker` wakes it. `false`: it was woken since its last sleep.
    pub fn begin_sleep(&self, waker: Waker) -> bool {
        self.begin_sleep_in(Rest::Elsewhere(waker))
    }

    fn begin_sleep_in(&self, place: Rest) -> bool {
        let mut rest = lock(&self.rest);
        let is_woken = matches!(*rest, Rest::Woken);
        *rest = if is_woken { Rest::Awake } else { place };
        !is_woken
    }

    /// The thread is awake again.
    pub fn end_sleep(&self) {
        *lock(&self.rest) = Rest::Awake;
    }
}

#[derive(Debug, Default)]
struct Order {
    leader: Option<Arc<Waiter>>,
    followers: BTreeMap<u64, Arc<Waiter>>,
    last: u64,
}

/// The queue of waiting threads, of which one sleeps at the device.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    order: Mutex<Order>,
    /// Gets the leader away from the device.
    pub(crate) wake_leader: LazySignal,
}

impl WaitQueue {
    /// Wakes a thread, if it sleeps. What it waits for was stored before.
    pub(crate) fn wake(&self, waiter: &Waiter) {
        let before = std::mem::replace(&mut *lock(&waiter.rest), Rest::Woken);
        match before {
            Rest::Asleep => {
                waiter.changed.notify_one();
            }
            Rest::AtDevice => self.wake_leader.set(),
            Rest::Elsewhere(waker) => waker.wake(),
            Rest::Awake | Rest::Woken => {}
        }
    }

    /// Gets the leader, if there is one, to look again for what it does for all.
    pub(crate) fn stir(&self) {
        let leader = lock(&self.order).leader.clone();
        if let Some(leader) = leader {
            self.wake(&leader);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    None,
    Leader,
    Follower(u64),
}

/// A thread's place among the waiting.
pub(crate) struct QueuePlace<'a> {
    queue: &'a WaitQueue,
    pub(crate) waiter: Arc<Waiter>,
    rank: Rank,
}

impl<'a> QueuePlace<'a> {
    pub(crate) fn new(queue: &'a WaitQueue) -> Self {
        Self { queue, waiter: Waiter::take(), rank: Rank::None }
    }

    /// Takes the lead if nobody has it, or else a place among the followers.
    pub(crate) fn try_lead(&mut self) -> bool {
        let mut order = lock(&self.queue.order);
        match self.rank {
            Rank::Leader => true,
            Rank::Follower(_) if order.leader.is_some() => false,
            Rank::None if order.leader.is_some() => {
                order.last += 1;
                let ticket = order.last;
                order.followers.insert(ticket, Arc::clone(&self.waiter));
                self.rank = Rank::Follower(ticket);
                false
            }
            rank => {
                if let Rank::Follower(ticket) = rank {
                    order.followers.remove(&ticket);
                }
                order.leader = Some(Arc::clone(&self.waiter));
                self.rank = Rank::Leader;
                true
            }
        }
    }

    /// Gives up the place. One of the followers takes the lead if that was it.
    pub(crate) fn leave(&mut self) {
        if self.rank == Rank::None {
            return;
        }
        let next = {
            let mut order = lock(&self.queue.order);
            match std::mem::replace(&mut self.rank, Rank::None) {
                Rank::None => return,
                Rank::Leader => order.leader = None,
                // It may be the one that was to take over.
                Rank::Follower(ticket) => _ = order.followers.remove(&ticket),
            }
            if order.leader.is_some() {
                None
            } else {
                order.followers.first_key_value().map(|(_, next)| Arc::clone(next))
            }
        };
        if let Some(next) = next {
            self.queue.wake(&next);
        }
    }

    /// The leader is about to sleep at the device. `false`: it was woken before.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.waiter.begin_sleep_in(Rest::AtDevice)
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.leave();
        std::mem::take(&mut self.waiter).put_back();
    }
}
