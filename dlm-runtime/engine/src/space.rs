//! A node's part of a lockspace.

use alloc::vec::Vec;

use dlm_proto::{LockFlags, LockId, Mode, ResourceName};

use crate::chain::{self, List, OnOwner};
use crate::config::Profile;
use crate::lock::{Bits, Lock, Owner, Queue};
use crate::message::Message;
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
    /// The id of the node.
    pub(crate) node: u32,
    /// The messages for other nodes.
    pub(crate) outbox: Vec<(u32, Message)>,
    /// The master of a resource that is not known yet; 0 for this node.
    pub(crate) master_hint: u32,
    /// Operations are held up.
    pub(crate) stopped: bool,
    /// Sessions that were closed meanwhile.
    pub(crate) closing: Vec<u32>,
    /// Conversions are granted in any order, as their order is not known after a recovery.
    pub(crate) recovering: bool,
    /// Each queue is walked where a count would do. The fuzz target holds one way against the
    /// other.
    pub(crate) walks: bool,
    /// Sessions that became readable and were not told of yet.
    pub(crate) readable: Vec<u32>,
}

impl Space {
    pub(crate) fn new(profile: Profile, node: u32) -> Self {
        Self {
            profile,
            node,
            outbox: Vec::new(),
            master_hint: 0,
            stopped: false,
            closing: Vec::new(),
            recovering: false,
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

    /// The resource of a lock, by the lock's id.
    pub(crate) fn name_of(&self, id: LockId) -> Option<ResourceName> {
        Some(self.resources[self.locks[self.locks.find(id)?].resource].name)
    }

    /// Whether locks on a resource are granted by this node. A resource without locks has no
    /// master.
    pub(crate) fn is_master_of(&self, name: &[u8]) -> bool {
        self.resources.find(self.profile, name).is_some_and(|place| !self.is_remote(place))
    }

    /// Whether there are locks on a resource whose master is gone.
    pub(crate) fn has_lost_master_of(&self, name: &[u8], gone: &[u32]) -> bool {
        let place = self.resources.find(self.profile, name);
        place.is_some_and(|place| gone.contains(&self.resources[place].master))
    }

    /// Whether another node grants the resource's locks.
    pub(crate) fn is_remote(&self, resource: u32) -> bool {
        self.resources[resource].master != 0
    }

    /// Puts a fresh lock onto a resource.
    pub(crate) fn attach(&mut self, lock: Ref, resource: u32) {
        if self.resources[resource].attached == 0 {
            self.resources[resource].master = self.master_hint;
        }
        self.locks[lock].resource = resource;
        self.locks[lock].bits.insert(Bits::EXISTS);
        self.resources[resource].attached += 1;
    }

    /// Frees a lock, and its resource, if nothing keeps it.
    pub(crate) fn release(&mut self, lock: Ref) {
        let Lock { queue, owner, bits, resource, ref unread, live, answers, .. } = self.locks[lock];
        let kept = bits.contains(Bits::EXISTS)
            || queue != Queue::None
            || owner != Owner::None
            || !unread.is_empty()
            || answers != 0;
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
