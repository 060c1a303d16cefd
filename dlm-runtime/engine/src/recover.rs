//! The recovery of a lockspace on a node when other nodes are gone.

use alloc::vec::Vec;

use dlm_proto::{LockFlags, LockId, LockStatus, Mode, ResourceName, StatusFlags, ValueBlock};

use crate::chain::{self, OnQueue};
use crate::lock::{Bits, Lock, Op, Queue};
use crate::message::{Answer, Told};
use crate::remote::is_sideways;
use crate::slab::Ref;
use crate::space::Space;

/// A lock as its holder describes it to a new master.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) id: LockId,
    lock: Lock,
}

const NOTHING: Told = Told { status: StatusFlags::empty(), lvb: ValueBlock::ZERO, lvb_seq: 0 };

impl Space {
    /// Ends what cannot be answered any more: unlocks and cancels are done, all else is to be sent
    /// again.
    pub(crate) fn give_up_answers(&mut self, gone: &[u32]) {
        let waits = |it: &Lock| it.answers != 0 && gone.contains(&it.node);
        let waiting: Vec<Ref> =
            self.locks.iter().filter(|(_, it)| waits(it)).map(|(lock, _)| lock).collect();
        for lock in waiting {
            self.give_up_answer(lock);
            // An unlock or cancel was sent behind the first message. If both are unanswered and the
            // first is not sent again, a kernel forgets the second and never tells of its end.
            while self.locks[lock].answers != 0 && !self.locks[lock].bits.contains(Bits::RESEND) {
                self.give_up_answer(lock);
            }
            self.release(lock);
        }
    }

    fn give_up_answer(&mut self, lock: Ref) {
        let Lock { wait, bits, granted, requested, peer, queue, .. } = self.locks[lock];
        let held = granted.is_some() || queue == Queue::Convert;
        let answer = |answer| if held || wait.is_some() { answer } else { Answer::Nothing };
        match wait {
            Some(Op::Request) => self.locks[lock].bits.insert(Bits::RESEND),
            Some(Op::Convert) if is_sideways(granted, requested) => {
                // The mode that it was granted is found out from the others.
                if self.settle(lock, Op::Convert, Answer::Queued) {
                    self.learn_answer(lock, peer, Op::Convert, Answer::Queued, &NOTHING);
                }
                self.change(lock, |lock| lock.granted = None);
                let resource = self.locks[lock].resource;
                self.resources[resource].recovery.conversions = true;
            }
            Some(Op::Convert) => self.locks[lock].bits.insert(Bits::RESEND),
            Some(Op::Cancel) if bits.contains(Bits::OVERLAP_UNLOCK) => {
                self.answer_here(lock, Op::Unlock, Answer::Unlocked);
            }
            Some(Op::Unlock) => self.answer_here(lock, Op::Unlock, Answer::Unlocked),
            Some(Op::Cancel) => self.answer_here(lock, Op::Cancel, Answer::Cancelled),
            None if bits.contains(Bits::OVERLAP_UNLOCK) => {
                self.answer_here(lock, Op::Unlock, answer(Answer::Unlocked));
            }
            None if bits.contains(Bits::OVERLAP_CANCEL) => {
                self.answer_here(lock, Op::Cancel, answer(Answer::Cancelled));
            }
            None => self.locks[lock].answers = 0,
        }
    }

    fn answer_here(&mut self, lock: Ref, op: Op, answer: Answer) {
        let Lock { peer, .. } = self.locks[lock];
        if self.settle(lock, op, answer) {
            self.learn_answer(lock, peer, op, answer, &NOTHING);
        }
    }

    /// Removes the copies of the locks of nodes that are gone.
    pub(crate) fn drop_copies(&mut self, gone: &[u32]) {
        let dead = |it: &Lock| it.bits.contains(Bits::COPY) && gone.contains(&it.node);
        let copies: Vec<Ref> =
            self.locks.iter().filter(|(_, it)| dead(it)).map(|(lock, _)| lock).collect();
        for lock in copies {
            let Lock { flags, granted, resource, .. } = self.locks[lock];
            let recovery = &mut self.resources[resource].recovery;
            recovery.grants = true;
            recovery.lvb_lost |= flags.contains(LockFlags::VALBLK) && granted >= Some(Mode::Pw);
            self.end(lock);
            self.release(lock);
        }
    }

    /// The resources whose master is gone.
    pub(crate) fn orphaned_resources(&self, gone: &[u32]) -> Vec<ResourceName> {
        self.resources
            .iter()
            .filter(|(_, resource)| gone.contains(&resource.master))
            .map(|(_, resource)| resource.name)
            .collect()
    }

    /// Notes the new master of a resource, and describes the locks that it must know of. None are
    /// if this node is the new master.
    pub(crate) fn set_master(&mut self, name: &ResourceName, master: u32) -> Vec<Described> {
        let Some(place) = self.resources.find(self.profile, name) else { return Vec::new() };
        let is_here = master == self.node;
        let resource = &mut self.resources[place];
        resource.master = if is_here { 0 } else { master };
        resource.recovery.new_master |= is_here;
        let mut described = Vec::new();
        for list in [resource.granted, resource.converting, resource.waiting] {
            let locks: Vec<Ref> =
                chain::iter::<OnQueue>(&self.locks, &list).map(|(lock, _)| lock).collect();
            for lock in locks {
                let it = &mut self.locks[lock];
                if it.bits.contains(Bits::COPY) {
                    continue;
                }
                it.node = if is_here { 0 } else { master };
                if !is_here {
                    described.push(Described { id: lock.id(), lock: it.clone() });
                }
            }
        }
        described
    }

    /// Makes a copy of a lock that its holder describes. Returns the copy's id.
    pub(crate) fn rebuild(
        &mut self,
        from: u32,
        name: &ResourceName,
        Described { id, lock: theirs }: &Described,
    ) -> Option<LockId> {
        self.master_hint = 0;
        let lock = self.locks.create()?;
        let Some(resource) = self.resources.find_or_create(self.profile, name) else {
            self.locks.free(lock);
            return None;
        };
        if self.resources[resource].attached == 0 {
            self.resources[resource].recovery.new_master = true;
        }
        self.attach(lock, resource);
        let mut queue = theirs.queue;
        let it = &mut self.locks[lock];
        it.bits.insert(Bits::COPY);
        it.node = from;
        it.peer = *id;
        it.flags = theirs.flags;
        it.task = theirs.task;
        it.granted = theirs.granted;
        it.requested = theirs.requested;
        it.lvb_seq = theirs.lvb_seq;
        if it.flags.contains(LockFlags::VALBLK) {
            it.bits.insert(Bits::LVB | Bits::LVB_IN_USE);
            it.lvb = theirs.lvb;
        }
        if theirs.wait == Some(Op::Convert) && is_sideways(theirs.granted, theirs.requested) {
            queue = Queue::Convert;
            it.granted = None;
        }
        let unknown = queue == Queue::Convert && it.granted.is_none();
        self.resources[resource].recovery.conversions |= unknown;
        self.enqueue(lock, queue);
        if queue == Queue::Granted && theirs.wait.is_none() {
            // What it asks for only matters while it is moved.
            self.set_requested(lock, None);
        }
        Some(lock.id())
    }

    /// Notes the id of a lock's copy on its new master.
    pub(crate) fn set_peer(&mut self, id: LockId, peer: LockId) {
        if let Some(lock) = self.locks.find(id) {
            self.locks[lock].peer = peer;
        }
    }

    /// Finds out what cannot be known from a single lock: modes of conversions between PR and CW,
    /// and the value block.
    pub(crate) fn complete_resources(&mut self) {
        let places: Vec<u32> = self.resources.iter().map(|(place, _)| place).collect();
        for place in places {
            if !self.is_remote(place) {
                if self.resources[place].recovery.conversions {
                    self.recover_conversions(place);
                }
                self.recover_block(place);
                let resource = &mut self.resources[place];
                let waits = !resource.converting.is_empty() || !resource.waiting.is_empty();
                resource.recovery.grants |= resource.recovery.new_master && waits;
            } else {
                self.resources[place].lvb_invalid = false;
            }
            let recovery = &mut self.resources[place].recovery;
            (recovery.new_master, recovery.lvb_lost, recovery.conversions) = (false, false, false);
        }
    }

    fn recover_conversions(&mut self, place: u32) {
        let resource = &self.resources[place];
        let middle = [Some(Mode::Pr), Some(Mode::Cw)];
        let held = chain::iter::<OnQueue>(&self.locks, &resource.granted)
            .map(|(_, it)| it.granted)
            .find(|mode| middle.contains(mode))
            .flatten();
        let unknown: Vec<Ref> = chain::iter::<OnQueue>(&self.locks, &resource.converting)
            .filter(|(_, it)| it.granted.is_none())
            .map(|(lock, _)| lock)
            .collect();
        for lock in unknown {
            self.change(lock, |lock| lock.granted = held.or(lock.requested));
        }
    }

    fn recover_block(&mut self, place: u32) {
        let resource = &mut self.resources[place];
        if !resource.recovery.new_master {
            resource.lvb_invalid |= resource.recovery.lvb_lost;
            return;
        }
        let mut newest: Option<&Lock> = None;
        let mut stronger = None;
        for list in [&resource.granted, &resource.converting] {
            for (_, it) in chain::iter::<OnQueue>(&self.locks, list) {
                if !it.flags.contains(LockFlags::VALBLK) || stronger.is_some() {
                    continue;
                }
                if it.granted > Some(Mode::Cr) {
                    // It kept writers away, so its block is as good as that of the resource was.
                    stronger = Some(it);
                }
                // Numbers of blocks wrap around.
                let since = it.lvb_seq.wrapping_sub(newest.map_or(0, |it| it.lvb_seq));
                if since <= u32::MAX / 2 {
                    newest = Some(it);
                }
            }
        }
        let Some(source) = stronger.or(newest) else { return };
        resource.lvb_invalid |= stronger.is_none();
        resource.lvb = Some(source.lvb);
        resource.lvb_seq = source.lvb_seq;
    }

    /// Goes on after a recovery: grants what can be granted, and sends again what was not answered.
    pub(crate) fn go_on(&mut self) {
        let resent: Vec<Ref> = self
            .locks
            .iter()
            .filter(|(_, it)| it.bits.contains(Bits::RESEND))
            .map(|(lock, _)| lock)
            .collect();
        for lock in resent {
            self.resend(lock);
            self.release(lock);
        }
        let grants: Vec<u32> = self
            .resources
            .iter()
            .filter(|(place, resource)| resource.recovery.grants && !self.is_remote(*place))
            .map(|(place, _)| place)
            .collect();
        for place in grants {
            self.recovering = true;
            self.pass(place);
            self.recovering = false;
            self.resources[place].recovery.grants = false;
        }
    }

    fn resend(&mut self, lock: Ref) {
        let overlaps = Bits::OVERLAP_UNLOCK | Bits::OVERLAP_CANCEL;
        let it = &mut self.locks[lock];
        let Lock { bits, wait, .. } = *it;
        it.bits.remove(overlaps | Bits::RESEND);
        it.wait = None;
        it.answers = 0;
        match wait {
            Some(Op::Request) if bits.contains(Bits::OVERLAP_UNLOCK) => {
                self.end_request(lock, LockStatus::Unlocked);
            }
            Some(Op::Request) if bits.contains(Bits::OVERLAP_CANCEL) => {
                self.end_request(lock, LockStatus::Cancelled);
            }
            Some(Op::Request) => self.ask_again(lock),
            Some(Op::Convert) if bits.contains(Bits::OVERLAP_CANCEL) => {
                self.complete(lock, LockStatus::Cancelled);
            }
            Some(Op::Convert) if bits.contains(Bits::OVERLAP_UNLOCK) => {
                self.locks[lock].flags |= LockFlags::FORCEUNLOCK;
                let _ = self.remove(lock);
            }
            Some(Op::Convert) if self.is_remote(self.locks[lock].resource) => {
                let _ = self.send(lock, Op::Convert);
            }
            Some(Op::Convert) => self.start_conversion(lock),
            Some(Op::Unlock | Op::Cancel) | None => {}
        }
    }
}
