//! The master's side of a lock that another node holds: a copy of it is in the master's queues.

use dlm_proto::{LockFlags, LockId, Mode, ResourceName, StatusFlags, ValueBlock};

use crate::lock::{Bits, Lock, Op, Queue, Serves};
use crate::message::{Answer, Message, Told};
use crate::slab::Ref;
use crate::space::Space;

impl Space {
    /// Sends a message about a lock to the node that has its other half.
    pub(crate) fn post(&mut self, lock: Ref, message: impl FnOnce(LockId, LockId) -> Message) {
        let Lock { node, peer, .. } = self.locks[lock];
        self.outbox.push((node, message(lock.id(), peer)));
    }

    pub(crate) fn told(&self, lock: Ref) -> Told {
        let Lock { status, lvb, lvb_seq, .. } = self.locks[lock];
        Told { status, lvb, lvb_seq }
    }

    /// Tells the holder of a copy what became of its operation, or that what waited is granted.
    pub(crate) fn answer(&mut self, lock: Ref, answer: Answer) {
        if !self.locks[lock].bits.contains(Bits::COPY) {
            return;
        }
        let told = self.told(lock);
        match self.locks[lock].serves.take() {
            Some(Serves::Op(op)) => {
                self.post(lock, |peer, at| Message::Answer { op, peer, at, answer, told });
            }
            None if answer == Answer::Granted => {
                self.post(lock, |peer, at| Message::Grant { peer, at, told });
            }
            Some(Serves::Quietly) | None => {}
        }
    }

    /// Answers what names no lock here.
    fn refuse(&mut self, to: u32, op: Op, at: LockId, answer: Answer) {
        let told = Told { status: StatusFlags::empty(), lvb: ValueBlock::ZERO, lvb_seq: 0 };
        self.outbox.push((to, Message::Answer { op, peer: LockId(0), at, answer, told }));
    }

    /// A copy that a node means by its id, and that stands for the lock that the node says.
    fn copy(&self, from: u32, at: LockId, peer: LockId) -> Option<Ref> {
        self.locks.find(at).filter(|&lock| {
            let it = &self.locks[lock];
            it.bits.contains(Bits::COPY) && it.node == from && it.peer == peer
        })
    }

    /// A request of another node. `elsewhere` says that a third node is the master.
    pub(crate) fn receive_request(
        &mut self,
        from: u32,
        elsewhere: bool,
        (peer, name, mode, flags, task): (LockId, ResourceName, Mode, LockFlags, u32),
    ) {
        let here = self.resources.find(self.profile, &name);
        if elsewhere || here.is_some_and(|resource| self.is_remote(resource)) {
            return self.refuse(from, Op::Request, peer, Answer::NotMaster);
        }
        self.master_hint = 0;
        let Some(lock) = self.locks.create() else {
            return self.refuse(from, Op::Request, peer, Answer::Again);
        };
        let Some(resource) = self.resources.find_or_create(self.profile, &name) else {
            self.locks.free(lock);
            return self.refuse(from, Op::Request, peer, Answer::Again);
        };
        self.attach(lock, resource);
        let it = &mut self.locks[lock];
        it.bits.insert(Bits::COPY);
        it.node = from;
        it.peer = peer;
        it.flags = flags;
        it.requested = Some(mode);
        it.task = task;
        it.serves = Some(Serves::Op(Op::Request));
        if flags.contains(LockFlags::VALBLK) {
            it.bits.insert(Bits::LVB | Bits::LVB_IN_USE);
        }
        self.start_request(lock);
        self.release(lock);
    }

    /// A conversion of another node's lock.
    pub(crate) fn receive_conversion(
        &mut self,
        (lock, mode, flags): (Option<Ref>, Mode, LockFlags),
        (lvb, lvb_seq): (ValueBlock, u32),
        down: bool,
    ) {
        let Some(lock) = lock else { return };
        let it = &mut self.locks[lock];
        if it.queue != Queue::Granted {
            return;
        }
        it.flags = flags;
        it.status = StatusFlags::empty();
        it.requested = Some(mode);
        it.serves = Some(if down { Serves::Quietly } else { Serves::Op(Op::Convert) });
        if flags.contains(LockFlags::VALBLK) {
            it.bits.insert(Bits::LVB | Bits::LVB_IN_USE);
            it.lvb = lvb;
            it.lvb_seq = lvb_seq;
        }
        self.start_conversion(lock);
        self.locks[lock].serves = None;
    }

    /// Anything that another node sends to a master.
    pub(crate) fn serve(&mut self, from: u32, elsewhere: bool, message: Message) {
        match message {
            Message::Request { peer, name, mode, flags, task } => {
                self.receive_request(from, elsewhere, (peer, name, mode, flags, task));
            }
            Message::Convert { peer, at, mode, flags, lvb, lvb_seq, down } => {
                let lock = self.copy(from, at, peer);
                if lock.is_none() && !down {
                    self.refuse(from, Op::Convert, peer, Answer::Nothing);
                }
                self.receive_conversion((lock, mode, flags), (lvb, lvb_seq), down);
            }
            Message::Unlock { peer, at, flags, lvb } => match self.copy(from, at, peer) {
                Some(lock) => {
                    self.set_flags(lock, flags);
                    let it = &mut self.locks[lock];
                    it.status = StatusFlags::empty();
                    it.serves = Some(Serves::Op(Op::Unlock));
                    if flags.contains(LockFlags::VALBLK) {
                        it.bits.insert(Bits::LVB | Bits::LVB_IN_USE);
                        it.lvb = lvb;
                    }
                    // The resource's master is here, so it is done at once.
                    let _ = self.remove(lock);
                    self.release(lock);
                }
                None => self.refuse(from, Op::Unlock, peer, Answer::Nothing),
            },
            Message::Cancel { peer, at, flags } => match self.copy(from, at, peer) {
                Some(lock) => {
                    self.set_flags(lock, flags);
                    let it = &mut self.locks[lock];
                    it.status = StatusFlags::empty();
                    it.serves = Some(Serves::Op(Op::Cancel));
                    let _ = self.cancel(lock);
                    self.release(lock);
                }
                None => self.refuse(from, Op::Cancel, peer, Answer::Nothing),
            },
            Message::Purge { pid } => self.purge_orphans(pid),
            Message::Answer { .. } | Message::Grant { .. } | Message::Notice { .. } => {}
        }
    }
}
