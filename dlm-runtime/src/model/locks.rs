//! Who holds what in a schedule's lockspace: as little of a lock manager as the schedules need.

use std::collections::VecDeque;
use std::sync::Arc;

use dlm_proto::{
    Cookies, LockFlags, LockId, LockResult, LockStatus, Mode, ModeCode, StatusFlags, Version,
};

use super::clock::World;
use super::space::{ABI, Open};

/// What was asked for, on its way to the node that decides.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Grant { mode: Mode, flags: LockFlags },
    Unlock,
    Cancel(LockStatus),
}

/// Where a lock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Its request is on its way.
    New,
    Granted,
    Converting,
    Waiting,
}

#[derive(Debug)]
pub(super) struct Lock {
    /// Never used again, unlike the id.
    pub(super) key: u64,
    pub(super) id: LockId,
    pub(super) owner: Arc<Open>,
    pub(super) name: Vec<u8>,
    pub(super) queue: Queue,
    pub(super) granted: Option<Mode>,
    wanted: Option<Mode>,
    /// Its place among those that wait.
    place: u64,
    pub(super) cookies: Cookies,
    /// Steps that are on their way.
    pub(super) on_the_way: u32,
    pub(super) cancelled: bool,
    pub(super) forced: bool,
    /// The strongest mode that its holder was told of since the grant.
    told: Option<Mode>,
}

/// The locks, and the results that they lead to.
#[derive(Debug, Default)]
pub(super) struct Locks {
    locks: Vec<Lock>,
    last_key: u64,
    last_place: u64,
    /// What is to be read by its owner.
    pub(super) results: VecDeque<(Arc<Open>, LockId, Vec<u8>)>,
}

impl Locks {
    pub(super) fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }

    /// Makes a lock with the lowest free id, as kernels do: the id of the last one that went.
    pub(super) fn insert(&mut self, owner: &Arc<Open>, name: &[u8], cookies: Cookies) -> &mut Lock {
        let is_free = |id: &u32| self.locks.iter().all(|lock| lock.id.0 != *id);
        let id = LockId((1..).find(is_free).expect("there are fewer locks"));
        self.last_key += 1;
        self.locks.push(Lock {
            key: self.last_key,
            id,
            owner: Arc::clone(owner),
            name: name.to_vec(),
            queue: Queue::New,
            granted: None,
            wanted: None,
            place: 0,
            cookies,
            on_the_way: 0,
            cancelled: false,
            forced: false,
            told: None,
        });
        self.locks.last_mut().expect("pushed above")
    }

    pub(super) fn by_id(&mut self, id: LockId) -> Option<&mut Lock> {
        self.locks.iter_mut().find(|lock| lock.id == id)
    }

    pub(super) fn by_key(&mut self, key: u64) -> Option<&mut Lock> {
        self.locks.iter_mut().find(|lock| lock.key == key)
    }

    pub(super) fn perform(&mut self, key: u64, step: Step) {
        let Some(lock) = self.by_key(key) else { return };
        let name = lock.name.clone();
        match step {
            Step::Grant { mode, flags } => self.ask(key, mode, flags),
            Step::Unlock => self.remove(key, LockStatus::Unlocked),
            Step::Cancel(status) => match lock.queue {
                Queue::Waiting => self.remove(key, status),
                Queue::Converting => {
                    lock.queue = Queue::Granted;
                    self.complete(key, status);
                }
                Queue::New | Queue::Granted => {}
            },
        }
        self.grant_others(&name);
    }

    /// All locks of one owner go, and nobody is told.
    pub(super) fn remove_of(&mut self, owner: &Arc<Open>) {
        let (theirs, others) = std::mem::take(&mut self.locks)
            .into_iter()
            .partition(|lock| Arc::ptr_eq(&lock.owner, owner));
        self.locks = others;
        let theirs: Vec<Lock> = theirs;
        theirs.iter().for_each(|lock| self.grant_others(&lock.name));
    }

    fn ask(&mut self, key: u64, mode: Mode, flags: LockFlags) {
        self.last_place += 1;
        let place = self.last_place;
        let Some(lock) = self.by_key(key) else { return };
        let is_new = lock.queue == Queue::New;
        lock.wanted = Some(mode);
        lock.place = place;
        let (name, held) = (lock.name.clone(), lock.granted);
        let others = || self.locks.iter().filter(|lock| lock.key != key && lock.name == name);
        let waits_behind =
            is_new && others().any(|lock| matches!(lock.queue, Queue::Waiting | Queue::Converting));
        let deadlocks = others().any(|lock| {
            lock.queue == Queue::Converting
                && !are_compatible(held, lock.wanted)
                && !are_compatible(lock.granted, Some(mode))
        });
        if self.is_grantable(key) && !waits_behind {
            self.grant(key);
        } else if flags.contains(LockFlags::NOQUEUE) {
            self.refuse(key, LockStatus::Again);
        } else if deadlocks {
            self.refuse(key, LockStatus::Deadlock);
        } else if let Some(lock) = self.by_key(key) {
            lock.queue = if is_new { Queue::Waiting } else { Queue::Converting };
        }
    }

    fn is_grantable(&self, key: u64) -> bool {
        let Some(lock) = self.locks.iter().find(|lock| lock.key == key) else { return false };
        self.locks
            .iter()
            .filter(|other| other.key != key && other.name == lock.name)
            .all(|other| are_compatible(other.granted, lock.wanted))
    }

    fn grant(&mut self, key: u64) {
        if let Some(lock) = self.by_key(key) {
            lock.granted = lock.wanted;
            lock.queue = Queue::Granted;
            lock.told = None;
        }
        self.complete(key, LockStatus::Granted);
    }

    fn refuse(&mut self, key: u64, status: LockStatus) {
        if self.by_key(key).is_some_and(|lock| lock.granted.is_none()) {
            self.remove(key, status);
        } else {
            self.complete(key, status);
        }
    }

    fn remove(&mut self, key: u64, status: LockStatus) {
        self.complete(key, status);
        self.locks.retain(|lock| lock.key != key);
    }

    /// Grants what can be granted on a resource, conversions first, and tells the holders who
    /// waits.
    fn grant_others(&mut self, name: &[u8]) {
        for queue in [Queue::Converting, Queue::Waiting] {
            while let Some(first) = self.first_in(queue, name) {
                if !self.is_grantable(first) {
                    break;
                }
                self.grant(first);
            }
            if self.first_in(queue, name).is_some() {
                break;
            }
        }
        let wanted: Vec<_> = self
            .locks
            .iter()
            .filter(|lock| lock.name == name)
            .filter(|lock| matches!(lock.queue, Queue::Waiting | Queue::Converting))
            .filter_map(|lock| Some((lock.key, lock.wanted?)))
            .collect();
        for (key, mode) in wanted {
            self.tell_holders(key, name, mode);
        }
    }

    fn first_in(&self, queue: Queue, name: &[u8]) -> Option<u64> {
        let waiting = self.locks.iter().filter(|lock| lock.queue == queue && lock.name == name);
        waiting.min_by_key(|lock| lock.place).map(|lock| lock.key)
    }

    fn tell_holders(&mut self, key: u64, name: &[u8], mode: Mode) {
        let holders: Vec<_> = self
            .locks
            .iter_mut()
            .filter(|lock| lock.key != key && lock.name == name)
            .filter(|lock| lock.cookies.blocking_addr != 0 && lock.told < Some(mode))
            .filter(|lock| !are_compatible(lock.granted, Some(mode)))
            .map(|lock| {
                lock.told = Some(mode);
                lock.key
            })
            .collect();
        for holder in holders {
            self.push(holder, LockStatus::Granted, Some(mode));
        }
    }

    fn complete(&mut self, key: u64, status: LockStatus) {
        self.push(key, status, None);
    }

    fn push(&mut self, key: u64, status: LockStatus, blocked: Option<Mode>) {
        let Some(lock) = self.by_key(key) else { return };
        let words = lock.cookies;
        let (addr, param) = match blocked {
            None => (words.completion_addr, words.completion_param),
            Some(_) => (words.blocking_addr, words.blocking_param),
        };
        let result = LockResult {
            version: Version::V6,
            addr,
            param,
            lksb: words.lksb,
            status,
            lock: lock.id,
            flags: StatusFlags::empty(),
            bast_mode: blocked.map_or(ModeCode(0), ModeCode::from),
            lvb: None,
        };
        let mut buffer = [0; dlm_proto::MAX_RESULT_LEN];
        let bytes = result.encode(ABI, &mut buffer).expect("it fits").to_vec();
        let (owner, id) = (Arc::clone(&lock.owner), lock.id);
        self.results.push_back((Arc::clone(&owner), id, bytes));
        // More than this a 6.1 kernel would lose.
        let unread =
            self.results.iter().filter(|(open, of, _)| Arc::ptr_eq(open, &owner) && *of == id);
        if unread.count() > 6 {
            World::violation("a seventh unread result of one lock");
        }
    }
}

fn are_compatible(one: Option<Mode>, other: Option<Mode>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_compatible_with(other),
        _ => true,
    }
}
