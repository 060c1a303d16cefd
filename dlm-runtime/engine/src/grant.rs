//! The grant decision.

use dlm_proto::{LockFlags, Mode, StatusFlags};

use crate::chain::{self, OnQueue};
use crate::count::compatible;
use crate::lock::{Lock, Notice, Queue};
use crate::slab::Ref;
use crate::space::Space;

/// The time when the question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// As the request or conversion comes.
    Now,
    /// After it was queued.
    Queued,
}

/// Whether a lock can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    No,
    /// No, and its conversion would wait for one that waits for it.
    Deadlock,
}

/// The mode that is tried in place of one that cannot be granted, if the flags ask for that.
pub(crate) fn alternate(flags: LockFlags, requested: Option<Mode>) -> Option<Mode> {
    if flags.contains(LockFlags::ALTPR) && requested != Some(Mode::Pr) {
        Some(Mode::Pr)
    } else if flags.contains(LockFlags::ALTCW) && requested != Some(Mode::Cw) {
        Some(Mode::Cw)
    } else {
        None
    }
}

impl Space {
    /// Whether the lock can be granted the mode that it asks for.
    pub(crate) fn is_grantable(&self, lock: Ref, when: When) -> bool {
        let Lock { flags, granted, requested, queue, resource, .. } = self.locks[lock];
        let resource = &self.resources[resource];
        if flags.contains(LockFlags::EXPEDITE) {
            return true;
        }
        let own = |of: Queue| if queue == of { granted } else { None };
        if let Some(wanted) = requested {
            if resource.held.conflicts(wanted, own(Queue::Granted))
                || resource.held_by_converting.conflicts(wanted, own(Queue::Convert))
            {
                return false;
            }
        }
        let converts = granted.is_some();
        match when {
            _ if converts && self.recovering => true,
            When::Now if converts => {
                !flags.contains(LockFlags::QUECVT) || resource.converting.is_empty()
            }
            _ if flags.contains(LockFlags::NOORDER) => true,
            When::Now => resource.converting.is_empty() && resource.waiting.is_empty(),
            When::Queued if converts => resource.converting.head == lock,
            When::Queued => resource.converting.is_empty() && resource.waiting.head == lock,
        }
    }

    /// Whether the lock can be granted, in its mode or in the alternate one, which it then asks
    /// for. In a conversion deadlock a lock with CONVDEADLK is demoted.
    pub(crate) fn judge(&mut self, lock: Ref, when: When) -> Verdict {
        if self.is_grantable(lock, when) {
            return Verdict::Yes;
        }
        let Lock { flags, granted, requested, .. } = self.locks[lock];
        let may_wait = !flags.contains(LockFlags::NOQUEUE);
        if granted.is_some() && may_wait && self.is_in_deadlock(lock) {
            if !flags.contains(LockFlags::CONVDEADLK) {
                return Verdict::Deadlock;
            }
            self.change(lock, |lock| {
                lock.granted = Some(Mode::Nl);
                lock.status |= StatusFlags::DEMOTED;
            });
            return Verdict::No;
        }
        let alternate = alternate(flags, requested);
        if alternate.is_none() {
            return Verdict::No;
        }
        self.set_requested(lock, alternate);
        if self.is_grantable(lock, when) {
            self.locks[lock].status |= StatusFlags::ALTMODE;
            return Verdict::Yes;
        }
        self.set_requested(lock, requested);
        Verdict::No
    }

    /// Whether the mode that the lock holds blocks a conversion in front of it, or one behind it
    /// that in turn blocks the lock.
    fn is_in_deadlock(&self, lock: Ref) -> bool {
        let Lock { granted, requested, resource, queue, .. } = self.locks[lock];
        let resource = &self.resources[resource];
        let own = if queue == Queue::Convert { requested } else { None };
        let blocks = granted.is_some_and(|held| resource.conversions.conflicts(held, own));
        if !blocks && !self.walks {
            return false;
        }
        let mut behind = false;
        chain::iter::<OnQueue>(&self.locks, &resource.converting).any(|(at, other)| {
            if at == lock {
                behind = true;
                return false;
            }
            !compatible(granted, other.requested)
                && (!behind || !compatible(other.granted, requested))
        })
    }

    /// Grants what the lock asks for.
    pub(crate) fn grant(&mut self, lock: Ref) {
        self.transfer_block(lock);
        self.move_to_granted(lock);
    }

    /// Moves the lock to where it is granted what it asks for.
    pub(crate) fn move_to_granted(&mut self, lock: Ref) {
        let Lock { granted, requested, .. } = self.locks[lock];
        if granted == requested {
            // It stays where it is, even in the convert queue.
            self.change(lock, |lock| lock.noticed = Notice::default());
        } else {
            self.dequeue(lock);
            self.locks[lock].granted = requested;
            self.locks[lock].noticed = Notice::default();
            self.enqueue(lock, Queue::Granted);
        }
        self.set_requested(lock, None);
    }

    /// Takes back what the lock asks for. Says whether that changed anything.
    pub(crate) fn revert(&mut self, lock: Ref) -> bool {
        self.set_requested(lock, None);
        match self.locks[lock].queue {
            Queue::Granted | Queue::None => false,
            Queue::Convert => {
                self.dequeue(lock);
                self.enqueue(lock, Queue::Granted);
                true
            }
            Queue::Waiting => {
                self.end(lock);
                true
            }
        }
    }

    /// The lock is in no queue any more, and holds nothing.
    pub(crate) fn end(&mut self, lock: Ref) {
        self.dequeue(lock);
        let lock = &mut self.locks[lock];
        lock.granted = None;
        lock.bits.remove(crate::lock::Bits::EXISTS);
    }
}
