//! The three queues of a resource, and the counts that follow them.

use dlm_proto::LockFlags;

use crate::chain::{self, List, OnQueue};
use crate::lock::{Lock, Queue};
use crate::resource::Resource;
use crate::slab::{NIL, Ref};
use crate::space::Space;

impl Resource {
    pub(crate) fn list(&self, queue: Queue) -> Option<&List> {
        match queue {
            Queue::None => None,
            Queue::Granted => Some(&self.granted),
            Queue::Convert => Some(&self.converting),
            Queue::Waiting => Some(&self.waiting),
        }
    }

    fn list_mut(&mut self, queue: Queue) -> Option<&mut List> {
        match queue {
            Queue::None => None,
            Queue::Granted => Some(&mut self.granted),
            Queue::Convert => Some(&mut self.converting),
            Queue::Waiting => Some(&mut self.waiting),
        }
    }
}

impl Space {
    /// Puts a lock that is in no queue into one.
    pub(crate) fn enqueue(&mut self, lock: Ref, queue: Queue) {
        let Lock { flags, granted, resource, .. } = self.locks[lock];
        let Some(list) = self.resources[resource].list_mut(queue) else { return };
        let before = match queue {
            // In order of the granted mode, by intent. But it is compared with the mode that the
            // others *ask* for, which most do not: so a lock comes first, save for locks whose last
            // conversion failed.
            Queue::Granted => chain::iter::<OnQueue>(&self.locks, list)
                .find(|(_, other)| other.requested < granted)
                .map_or(NIL, |(other, _)| other),
            _ if flags.contains(LockFlags::HEADQUE) => list.head,
            _ => NIL,
        };
        chain::insert::<OnQueue>(&mut self.locks, list, lock, before);
        self.locks[lock].queue = queue;
        self.count(lock);
    }

    /// Takes a lock out of its queue, if it is in one.
    pub(crate) fn dequeue(&mut self, lock: Ref) {
        self.uncount(lock);
        let Lock { queue, resource, .. } = self.locks[lock];
        if let Some(list) = self.resources[resource].list_mut(queue) {
            chain::remove::<OnQueue>(&mut self.locks, list, lock);
        }
        self.locks[lock].queue = Queue::None;
    }

    pub(crate) fn count(&mut self, lock: Ref) {
        let lock = &self.locks[lock];
        let resource = &mut self.resources[lock.resource];
        match lock.queue {
            Queue::None => {}
            Queue::Granted => {
                resource.held.add(lock.granted);
                resource.noticed.add(lock.granted, lock.noticed.0);
            }
            Queue::Convert => {
                resource.held_by_converting.add(lock.granted);
                resource.conversions.add(lock.requested);
                resource.unusual_conversions += u32::from(lock.is_unusual());
            }
            Queue::Waiting => {
                resource.requests.add(lock.requested);
                resource.unusual_requests += u32::from(lock.is_unusual());
            }
        }
    }

    pub(crate) fn uncount(&mut self, lock: Ref) {
        let lock = &self.locks[lock];
        let resource = &mut self.resources[lock.resource];
        match lock.queue {
            Queue::None => {}
            Queue::Granted => {
                resource.held.remove(lock.granted);
                resource.noticed.remove(lock.granted, lock.noticed.0);
            }
            Queue::Convert => {
                resource.held_by_converting.remove(lock.granted);
                resource.conversions.remove(lock.requested);
                resource.unusual_conversions -= u32::from(lock.is_unusual());
            }
            Queue::Waiting => {
                resource.requests.remove(lock.requested);
                resource.unusual_requests -= u32::from(lock.is_unusual());
            }
        }
    }
}
