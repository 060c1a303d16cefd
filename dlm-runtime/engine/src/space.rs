//! What a node has of a lockspace.

use alloc::vec::Vec;

use dlm_proto::{LockFlags, Mode};

use crate::chain::{self, List, OnOwner};
use crate::config::Profile;
use crate::lock::{Bits, Lock, Owner, Queue};
use crate::resource::Resources;
use crate::session::Sessions;
use crate::slab::{Locks, Ref};

/// A node's part of a lockspace: its locks, their resources, and who has opened its device.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) profile: Profile,
    pub(crate) locks: Locks,
    pub(crate) resources: Resources,
    pub(crate) sessions: Sessions,
    pub(crate) orphans: List,
    /// Each queue is walked where a count would do. The fuzz target holds one way against the other.
    pub(crate) walks: bool,
    /// Sessions that became readable and were not told of yet.
    pub(crate) readable: Vec<u32>,
}

impl Space {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            locks: Locks::default(),
            resources: Resources::default(),
            sessions: Sessions::default(),
            orphans: List::default(),
            walks: false,
            readable: Vec::new(),
        }
    }

    /// Changes a lock in a way that its resource counts.
    pub(crate) fn change(&mut self, lock: Ref, change: impl FnOnce(&mut Lock)) {
        self.uncount(lock);
        change(&mut self.locks[lock]);
        self.count(lock);
    }

    pub(crate) fn set_flags(&mut self, lock: Ref, flags: LockFlags) {
        if self.locks[lock].queue == Queue::Granted {
            // Granted locks are not counted by their flags.
            self.locks[lock].flags = flags;
        } else {
            self.change(lock, |lock| lock.flags = flags);
        }
    }

    pub(crate) fn set_requested(&mut self, lock: Ref, mode: Option<Mode>) {
        if self.locks[lock].queue == Queue::Granted {
            // Nor by the modes that they ask for.
            self.locks[lock].requested = mode;
        } else {
            self.change(lock, |lock| lock.requested = mode);
        }
    }

    /// Hands a lock to an owner, which is `None` to take it from the present one.
    pub(crate) fn set_owner(&mut self, lock: Ref, owner: Owner) {
        let Lock { owner: before, session, .. } = self.locks[lock];
        if let Some(list) = Self::owned(&mut self.sessions, &mut self.orphans, before, session) {
            chain::remove::<OnOwner>(&mut self.locks, list, lock);
        }
        self.locks[lock].owner = owner;
        if let Some(list) = Self::owned(&mut self.sessions, &mut self.orphans, owner, session) {
            chain::insert::<OnOwner>(&mut self.locks, list, lock, crate::slab::NIL);
        } else {
            self.locks[lock].owner = Owner::None;
        }
    }

    fn owned<'a>(
        sessions: &'a mut Sessions,
        orphans: &'a mut List,
        owner: Owner,
        session: u32,
    ) -> Option<&'a mut List> {
        match owner {
            Owner::None => None,
            Owner::Session => sessions.get_mut(session).map(|session| &mut session.locks),
            Owner::Unlocking => sessions.get_mut(session).map(|session| &mut session.unlocking),
            Owner::Orphans => Some(orphans),
        }
    }

    /// Puts a fresh lock onto a resource.
    pub(crate) fn attach(&mut self, lock: Ref, resource: u32) {
        self.locks[lock].resource = resource;
        self.locks[lock].bits.insert(Bits::EXISTS);
        self.resources[resource].attached += 1;
    }

    /// Frees a lock, and its resource, if nothing keeps it.
    pub(crate) fn release(&mut self, lock: Ref) {
        let Lock { queue, owner, bits, resource, ref unread, live, .. } = self.locks[lock];
        let kept = bits.contains(Bits::EXISTS)
            || queue != Queue::None
            || owner != Owner::None
            || !unread.is_empty();
        if kept || !live {
            return;
        }
        self.locks.free(lock);
        let attached = &mut self.resources[resource].attached;
        *attached -= 1;
        if *attached == 0 {
            self.resources.forget(self.profile, resource);
        }
    }
}
