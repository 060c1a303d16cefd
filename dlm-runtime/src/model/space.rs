//! The kernel's side of a schedule: a lockspace whose answers come at any time that a scheduler
//! may choose.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use dlm_proto::{Abi, Command, Cookies, LockFlags, LockId, LockStatus, Mode, Request};
use dlm_sys::{Accepted, Call, Errno, Error};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;

use super::clock::World;
use super::locks::{Lock, Locks, Queue, Step};
use super::signal::{AsFd, Signal, wait_any};
use crate::sync::atomic::AtomicBool;
use crate::sync::lock;

/// The layout of all requests and results.
pub(super) const ABI: Abi = Abi::V6_64;

/// One open device.
#[derive(Debug)]
pub(super) struct Open {
    /// While results are queued for it.
    pub(super) readable: Signal,
    pub(super) node_changed: Signal,
}

/// A lockspace.
pub(super) struct Space {
    state: Mutex<State>,
    /// Steps are on their way.
    on_the_way: Signal,
    /// No more will come.
    last: Signal,
    /// What keeps its open devices apart.
    pub(super) node_is_locked: AtomicBool,
}

#[derive(Default)]
struct State {
    locks: Locks,
    /// What another node decides, in the order in which it hears of it.
    on_the_way: VecDeque<(u64, Step)>,
    opens: Vec<Arc<Open>>,
    /// Owners whose device is being read from.
    reading: Vec<Arc<Open>>,
    removed: bool,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").finish_non_exhaustive()
    }
}

impl Space {
    /// The lockspace of this schedule.
    pub(super) fn current() -> Arc<Self> {
        World::current().space.get().map(Arc::clone).expect("made when the schedule began")
    }

    pub(super) fn new() -> Arc<Self> {
        let signal = || Signal::new().expect("nothing to fail");
        let node_is_locked = AtomicBool::new(false);
        Arc::new(Self {
            state: Mutex::default(),
            on_the_way: signal(),
            last: signal(),
            node_is_locked,
        })
    }

    pub(super) fn open(&self) -> Arc<Open> {
        let signal = || Signal::new().expect("nothing to fail");
        let open = Arc::new(Open { readable: signal(), node_changed: signal() });
        lock(&self.state).opens.push(Arc::clone(&open));
        open
    }

    pub(super) fn close(&self, open: &Arc<Open>) {
        let mut state = lock(&self.state);
        state.opens.retain(|other| !Arc::ptr_eq(other, open));
        state.locks.remove_of(open);
        state.locks.results.retain(|(owner, ..)| !Arc::ptr_eq(owner, open));
        state.tell();
    }

    /// Somebody removes the lockspace by force.
    pub(super) fn remove(&self) {
        let mut state = lock(&self.state);
        state.removed = true;
        state.opens.iter().for_each(|open| open.node_changed.set());
    }

    pub(super) fn is_removed(&self) -> bool {
        lock(&self.state).removed
    }

    pub(super) fn submit(
        &self,
        owner: &Arc<Open>,
        command: Command,
        bytes: &[u8],
    ) -> Result<Accepted, Error> {
        let request = Request::decode(ABI, bytes).expect("a request that a kernel understands");
        let refuse = |errno| Err(Error::os(Call::Submit(command), errno));
        let mut state = lock(&self.state);
        let (key, step, answer) = match request {
            Request::Lock(asked) if !asked.flags.contains(LockFlags::CONVERT) => {
                let lock = state.locks.insert(owner, asked.name, asked.cookies);
                let step = Step::Grant { mode: known(asked.mode), flags: asked.flags };
                (lock.key, step, Accepted::Lock(lock.id))
            }
            Request::Lock(asked) => {
                let lock = state.addressed(owner, asked.lock, Some(asked.cookies));
                if lock.queue == Queue::Granted && lock.on_the_way > 0 && lock.cancelled {
                    // A cancel that came too late is not answered yet.
                    return refuse(Errno::EBUSY);
                }
                if lock.queue != Queue::Granted || lock.on_the_way > 0 {
                    World::violation("a conversion of a lock that is busy");
                }
                lock.cookies = asked.cookies;
                lock.cancelled = false;
                let step = Step::Grant { mode: known(asked.mode), flags: asked.flags };
                (lock.key, step, Accepted::Done)
            }
            Request::Unlock(asked) if asked.flags.contains(LockFlags::CANCEL) => {
                let lock = state.addressed(owner, asked.lock, Some(asked.cookies));
                (lock.cancel(), Step::Cancel(LockStatus::Cancelled), Accepted::Done)
            }
            Request::Deadlock { lock, .. } => {
                let lock = state.addressed(owner, lock, None);
                (lock.cancel(), Step::Cancel(LockStatus::Deadlock), Accepted::Done)
            }
            Request::Unlock(asked) => {
                let lock = state.addressed(owner, asked.lock, Some(asked.cookies));
                let by_force = asked.flags.contains(LockFlags::FORCEUNLOCK);
                if lock.forced || (lock.on_the_way > 0 && !by_force) {
                    World::violation("an unlock of a lock that is busy");
                }
                lock.forced = true;
                (lock.key, Step::Unlock, Accepted::Done)
            }
            _ => return refuse(Errno::EINVAL),
        };
        state.send(self, key, step);
        Ok(answer)
    }

    /// The oldest result that was not read.
    pub(super) fn read(&self, open: &Arc<Open>) -> Option<Vec<u8>> {
        {
            let mut state = lock(&self.state);
            if state.reading.iter().any(|other| Arc::ptr_eq(other, open)) {
                World::violation("two threads read at the same time: a 6.1 kernel mixes results");
            }
            state.reading.push(Arc::clone(open));
        }
        let mut state = lock(&self.state);
        state.reading.retain(|other| !Arc::ptr_eq(other, open));
        let is_theirs = |(owner, ..): &(Arc<Open>, _, _)| Arc::ptr_eq(owner, open);
        let index = state.locks.results.iter().position(is_theirs)?;
        let result = state.locks.results.remove(index);
        if !state.locks.results.iter().any(is_theirs) {
            open.readable.clear();
        }
        result.map(|(.., bytes)| bytes)
    }

    /// Lets other nodes decide, each time that the scheduler lets this thread run, until there is
    /// nothing left and nothing more to come.
    pub(super) fn run(&self) {
        loop {
            let [some, last, ..] =
                wait_any(&[self.on_the_way.as_fd(), self.last.as_fd()], None).expect("no failure");
            if some {
                lock(&self.state).decide(self);
            } else if last {
                return;
            }
        }
    }

    /// Ends [`Space::run`].
    pub(super) fn stop(&self) {
        self.last.set();
    }

    /// Lets other nodes decide now. Tells whether anything was left to decide.
    pub(super) fn settle(&self) -> bool {
        let mut state = lock(&self.state);
        let any = !state.on_the_way.is_empty();
        while !state.on_the_way.is_empty() {
            state.decide(self);
        }
        any
    }

    /// Nothing is held, waits or is unread.
    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.locks.is_empty() && state.locks.results.is_empty() && state.on_the_way.is_empty()
    }
}

impl Lock {
    fn cancel(&mut self) -> u64 {
        if std::mem::replace(&mut self.cancelled, true) {
            World::violation("a second cancel");
        }
        self.key
    }
}

impl State {
    /// The lock that a request is about, which must be the one that its sender means.
    fn addressed(&mut self, owner: &Arc<Open>, id: LockId, cookies: Option<Cookies>) -> &mut Lock {
        let lock = self.locks.by_id(id);
        let is_meant = |lock: &&mut Lock| {
            let same = |words: Cookies| words.completion_param == lock.cookies.completion_param;
            Arc::ptr_eq(&lock.owner, owner) && cookies.is_none_or(same)
        };
        match lock.filter(is_meant) {
            Some(lock) => lock,
            None => World::violation("a request for a lock that is gone, or is another's by now"),
        }
    }

    /// Decides at once, as the master of the resource, or has another node decide later.
    fn send(&mut self, space: &Space, key: u64, step: Step) {
        let Some(lock) = self.locks.by_key(key) else { return };
        // The steps of one lock keep their order.
        if lock.on_the_way > 0 || thread_rng().r#gen() {
            lock.on_the_way += 1;
            self.on_the_way.push_back((key, step));
            space.on_the_way.set();
        } else {
            self.locks.perform(key, step);
            self.tell();
        }
    }

    fn decide(&mut self, space: &Space) {
        if let Some((key, step)) = self.on_the_way.pop_front() {
            if let Some(lock) = self.locks.by_key(key) {
                lock.on_the_way -= 1;
            }
            self.locks.perform(key, step);
            self.tell();
        }
        if self.on_the_way.is_empty() {
            space.on_the_way.clear();
        }
    }

    /// Makes readable what has something to read.
    fn tell(&self) {
        for open in &self.opens {
            if self.locks.results.iter().any(|(owner, ..)| Arc::ptr_eq(owner, open)) {
                open.readable.set();
            }
        }
    }
}

fn known(mode: dlm_proto::ModeCode) -> Mode {
    mode.known().expect("a mode")
}
