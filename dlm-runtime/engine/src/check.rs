//! The check of consistency that tests and the fuzz target make after each step.

use alloc::format;
use alloc::string::String;

use dlm_proto::LockFlags;

use crate::chain::{self, Chain, List, OnOwner, OnQueue, OnResults};
use crate::count::{ModeCounts, NoticeCounts};
use crate::engine::Engine;
use crate::lock::{Bits, Lock, Owner, Queue};
use crate::resource::Resource;
use crate::slab::{NIL, Ref};
use crate::space::Space;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

impl Engine {
    /// Checks that no two granted locks exclude each other, and that queues, counts, owners and
    /// results agree. It takes as long as there are locks, and is meant for tests.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        for device in self.spaces.iter().flatten() {
            device.space.check()?;
        }
        let inboxes = self.spaces.iter().flatten().map(|it| &it.inbox);
        if self.network.is_idle() && inboxes.into_iter().all(|inbox| inbox.is_empty()) {
            self.spaces.iter().flatten().try_for_each(|device| device.space.check_idle())?;
        }
        Ok(())
    }
}

impl Space {
    /// Nothing is on its way, so nothing can be waited for.
    fn check_idle(&self) -> Result<(), String> {
        for (lock, it) in self.locks.iter() {
            ensure(it.answers == 0 && it.wait.is_none(), || {
                format!("lock {} of node {} waits for no message: {it:?}", lock.id(), self.node)
            })?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let used = self.resources.iter().count();
        ensure(used == self.resources.len(), || {
            format!("{used} resources with locks, {} in the table", self.resources.len())
        })?;
        let mut attached = 0_usize;
        for (place, resource) in self.resources.iter() {
            self.check_resource(place, resource)?;
            attached += usize::try_from(resource.attached).unwrap_or(usize::MAX);
        }
        ensure(attached == self.locks.len(), || {
            format!("{attached} locks on resources, {} in the table", self.locks.len())
        })?;
        let mut owned = self.check_owned(&self.orphans, Owner::Orphans, None)?;
        let mut with_results = 0;
        for (index, session) in self.sessions.iter() {
            owned += self.check_owned(&session.locks, Owner::Session, Some(index))?;
            owned += self.check_owned(&session.unlocking, Owner::Unlocking, Some(index))?;
            for lock in self.walk::<OnResults>(&session.pending)? {
                let it = &self.locks[lock];
                ensure(it.session == index && !it.unread.is_empty(), || {
                    format!("lock {} is among those with results of session {index}", lock.id())
                })?;
                with_results += 1;
            }
            ensure(session.is_readable() == session.announced, || {
                format!("session {index}: announced {}", session.announced)
            })?;
        }
        for (lock, it) in self.locks.iter() {
            owned -= usize::from(it.owner != Owner::None);
            with_results -= i32::from(!it.unread.is_empty());
            self.check_lock(lock, it)?;
        }
        ensure(owned == 0 && with_results == 0, || {
            format!("{owned} locks too many with owners, {with_results} with results")
        })
    }

    fn check_lock(&self, lock: Ref, it: &Lock) -> Result<(), String> {
        let kept = it.bits.contains(Bits::EXISTS)
            || it.owner != Owner::None
            || !it.unread.is_empty()
            || it.answers != 0;
        ensure(kept, || format!("nothing keeps lock {}", lock.id()))?;
        let is_queued = it.queue != Queue::None;
        // A request that is on its way to the master is in no queue.
        let asks = it.wait.is_some() && it.queue == Queue::None;
        let exists = it.bits.contains(Bits::EXISTS);
        ensure(exists == is_queued || (asks && !is_queued), || {
            format!("lock {} is in queue {:?} with {:?}", lock.id(), it.queue, it.bits)
        })?;
        ensure(is_queued || it.granted.is_none(), || {
            format!("lock {} holds {:?} in no queue", lock.id(), it.granted)
        })?;
        let gone = it.bits.intersects(Bits::ENDED | Bits::DEAD | Bits::ORPHAN);
        ensure(is_queued || asks || gone, || format!("lock {} is lost", lock.id()))?;
        if it.bits.contains(Bits::COPY) {
            return Ok(());
        }
        let answers = self.sessions.get(it.session).is_some();
        ensure(answers || gone, || format!("lock {} belongs to no session", lock.id()))
    }

    fn check_owned(
        &self,
        list: &List,
        owner: Owner,
        session: Option<u32>,
    ) -> Result<usize, String> {
        let locks = self.walk::<OnOwner>(list)?;
        for &lock in &locks {
            let it = &self.locks[lock];
            let right = session.is_none_or(|session| it.session == session);
            ensure(it.owner == owner && right, || {
                format!("lock {} is owned as {owner:?} of {session:?}, says {:?}", lock.id(), it)
            })?;
        }
        Ok(locks.len())
    }

    /// The locks of a list whose links are right.
    fn walk<C: Chain>(&self, list: &List) -> Result<alloc::vec::Vec<Ref>, String> {
        let mut prev = NIL;
        let mut found = alloc::vec::Vec::new();
        for (lock, it) in chain::iter::<C>(&self.locks, list) {
            ensure(C::link(it).prev == prev && it.live, || {
                format!("lock {} is linked wrongly", lock.id())
            })?;
            prev = lock;
            found.push(lock);
            ensure(found.len() <= self.locks.len(), || String::from("a list has a ring"))?;
        }
        let len = usize::try_from(list.len).unwrap_or(usize::MAX);
        ensure(list.tail == prev && len == found.len(), || {
            format!("a list of {} locks says {len}", found.len())
        })?;
        Ok(found)
    }

    fn check_resource(&self, place: u32, resource: &Resource) -> Result<(), String> {
        let mut counted = Resource { attached: resource.attached, ..Resource::default() };
        let mut queued = 0;
        for queue in [Queue::Granted, Queue::Convert, Queue::Waiting] {
            let list = resource.list(queue).copied().unwrap_or_default();
            for lock in self.walk::<OnQueue>(&list)? {
                let it = &self.locks[lock];
                ensure(it.queue == queue && it.resource == place, || {
                    format!("lock {} is in queue {queue:?} of {place}: {it:?}", lock.id())
                })?;
                counted.tally(it);
                queued += 1;
            }
        }
        ensure(queued <= resource.attached, || {
            format!("resource {place}: {queued} of {} locks queued", resource.attached)
        })?;
        ensure(counted.counts() == resource.counts(), || {
            format!(
                "resource {place}: {:?} counted, {:?} noted",
                counted.counts(),
                resource.counts()
            )
        })?;
        // What a master has granted can be on its way to those who hold it.
        if resource.master == 0 { self.check_exclusion(resource) } else { Ok(()) }
    }

    /// Each two locks that hold something get along, and no lock waits for nothing.
    fn check_exclusion(&self, resource: &Resource) -> Result<(), String> {
        let holders = [&resource.granted, &resource.converting]
            .into_iter()
            .flat_map(|list| chain::iter::<OnQueue>(&self.locks, list));
        let mut held = ModeCounts::default();
        for (lock, it) in holders {
            let clash = it.granted.is_some_and(|mode| held.conflicts(mode, None));
            ensure(!clash, || {
                format!("lock {} holds {:?} beside {held:?}", lock.id(), it.granted)
            })?;
            held.add(it.granted);
        }
        let head = resource.waiting.head;
        // With HEADQUE a request goes to the head of a queue without being looked at again.
        let asks_first = |head: Ref| self.locks[head].flags.contains(LockFlags::HEADQUE);
        if head != NIL && resource.converting.is_empty() && !asks_first(head) {
            let wanted = self.locks[head].requested;
            let blocked = wanted.is_some_and(|mode| held.conflicts(mode, None));
            ensure(blocked, || format!("lock {} waits for nothing", head.id()))?;
        }
        Ok(())
    }
}

type Counts = (ModeCounts, ModeCounts, NoticeCounts, ModeCounts, ModeCounts, u32, u32);

impl Resource {
    /// Counts a lock as the queues do.
    fn tally(&mut self, lock: &Lock) {
        let unusual = u32::from(lock.is_unusual());
        match lock.queue {
            Queue::None => {}
            Queue::Granted => {
                self.held.add(lock.granted);
                self.noticed.add(lock.granted, lock.noticed.0);
            }
            Queue::Convert => {
                self.held_by_converting.add(lock.granted);
                self.conversions.add(lock.requested);
                self.unusual_conversions += unusual;
            }
            Queue::Waiting => {
                self.requests.add(lock.requested);
                self.unusual_requests += unusual;
            }
        }
    }

    fn counts(&self) -> Counts {
        (
            self.held,
            self.held_by_converting,
            self.noticed,
            self.conversions,
            self.requests,
            self.unusual_conversions,
            self.unusual_requests,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Profile};
    use dlm_proto::Mode;

    use crate::space::Space;

    /// A lockspace with one EX lock.
    fn space() -> (Space, Ref) {
        let mut space = Space::new(Profile::Linux6_1, 1);
        let session = space.sessions.open(0, 0).unwrap();
        let resource = space.resources.find_or_create(Profile::Linux6_1, b"r").unwrap();
        let lock = space.locks.create().unwrap();
        space.attach(lock, resource);
        space.locks[lock].session = session;
        space.locks[lock].granted = Some(Mode::Ex);
        space.enqueue(lock, Queue::Granted);
        space.set_owner(lock, Owner::Session);
        (space, lock)
    }

    #[test]
    fn what_is_consistent_passes() {
        assert_eq!(Engine::new(Config::single(Profile::Linux6_1)).check(), Ok(()));
        assert_eq!(space().0.check(), Ok(()));
    }

    #[test]
    fn what_is_not_is_noticed() {
        let breaks: [fn(&mut Space, Ref); 6] = [
            |space, lock| space.locks[lock].granted = Some(Mode::Pr),
            |space, lock| space.locks[lock].owner = Owner::Orphans,
            |space, lock| space.locks[lock].bits.remove(Bits::EXISTS),
            |space, lock| space.locks[lock].session = 7,
            |space, lock| space.resources[space.locks[lock].resource].granted.tail = NIL,
            |space, lock| {
                let other = space.locks.create().unwrap();
                space.attach(other, space.locks[lock].resource);
                space.locks[other].granted = Some(Mode::Ex);
                space.locks[other].flags = LockFlags::PERSISTENT;
                space.enqueue(other, Queue::Granted);
                space.set_owner(other, Owner::Session);
            },
        ];
        for (n, break_it) in breaks.into_iter().enumerate() {
            let (mut space, lock) = space();
            break_it(&mut space, lock);
            assert!(space.check().is_err(), "{n}");
        }
    }
}
