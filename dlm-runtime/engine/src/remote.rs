//! The holder's side of a lock whose resource has its master on another node.

use dlm_proto::{LockFlags, LockId, LockStatus, LvbTransfer, Mode, StatusFlags};

use crate::errno::Errno;
use crate::lock::{Bits, Lock, Notice, Op, Queue};
use crate::message::{Answer, Message, Told};
use crate::slab::Ref;
use crate::space::Space;

/// Whether a conversion goes down, which no other lock can keep from being granted.
pub(crate) fn goes_down(from: Option<Mode>, to: Option<Mode>) -> bool {
    to < from && !is_sideways(from, to)
}

/// Whether a conversion is one between PR and CW.
pub(crate) fn is_sideways(from: Option<Mode>, to: Option<Mode>) -> bool {
    let pair = (from, to);
    pair == (Some(Mode::Pr), Some(Mode::Cw)) || pair == (Some(Mode::Cw), Some(Mode::Pr))
}

impl Space {
    /// Notes that an operation is on its way, and sends it to the master.
    pub(crate) fn send(&mut self, lock: Ref, op: Op) -> Result<(), Errno> {
        let resource = self.locks[lock].resource;
        let (master, name) = (self.resources[resource].master, self.resources[resource].name);
        let it = &mut self.locks[lock];
        let cancels = it.bits.contains(Bits::OVERLAP_CANCEL);
        if it.bits.contains(Bits::OVERLAP_UNLOCK) || (cancels && op == Op::Cancel) {
            return Err(Errno::EINVAL);
        }
        if it.wait.is_some() || cancels {
            match op {
                Op::Unlock => it.bits.insert(Bits::OVERLAP_UNLOCK),
                Op::Cancel => it.bits.insert(Bits::OVERLAP_CANCEL),
                Op::Request | Op::Convert => return Err(Errno::EBUSY),
            }
        } else {
            it.wait = Some(op);
        }
        it.answers += 1;
        it.node = master;
        let Lock { flags, granted, requested, task, lvb, lvb_seq, .. } = *it;
        let mode = requested.unwrap_or(Mode::Nl);
        let down = goes_down(granted, requested);
        self.post(lock, |peer, at| match op {
            Op::Request => Message::Request { peer, name, mode, flags, task },
            Op::Convert => Message::Convert { peer, at, mode, flags, lvb, lvb_seq, down },
            Op::Unlock => Message::Unlock { peer, at, flags, lvb },
            Op::Cancel => Message::Cancel { peer, at, flags },
        });
        if op == Op::Convert && down {
            // No other lock can have a say in that, so it is granted here.
            self.settle(lock, Op::Convert, Answer::Granted);
            self.grant_here(lock, None);
        }
        Ok(())
    }

    /// Notes that an operation is answered. `false` if no answer was expected.
    pub(crate) fn settle(&mut self, lock: Ref, op: Op, answer: Answer) -> bool {
        let it = &mut self.locks[lock];
        let overlaps = match op {
            Op::Unlock => it.bits.contains(Bits::OVERLAP_UNLOCK),
            Op::Cancel => it.bits.contains(Bits::OVERLAP_CANCEL),
            Op::Request | Op::Convert => false,
        };
        if overlaps {
            it.bits.remove(match op {
                Op::Unlock => Bits::OVERLAP_UNLOCK,
                _ => Bits::OVERLAP_CANCEL,
            });
            if it.wait.take().is_some() {
                it.answers = it.answers.saturating_sub(1);
            }
        } else if op == Op::Cancel && it.wait != Some(Op::Cancel) {
            return false;
        } else if op == Op::Convert
            && it.wait == Some(Op::Convert)
            && answer == Answer::Granted
            && it.bits.contains(Bits::OVERLAP_CANCEL)
        {
            // The cancel came too late, and its answer does not matter any more.
            it.bits.remove(Bits::OVERLAP_CANCEL);
            it.wait = None;
            it.answers = it.answers.saturating_sub(1);
        } else if it.wait.take().is_none() {
            return false;
        }
        it.bits.remove(Bits::RESEND);
        it.answers = it.answers.saturating_sub(1);
        true
    }

    /// Grants the lock what it asks for, as its master has.
    fn grant_here(&mut self, lock: Ref, told: Option<&Told>) {
        let Lock { flags, granted, requested, bits, .. } = self.locks[lock];
        let reads = match (granted, requested) {
            (Some(from), Some(to)) => from.lvb_transfer(to) == LvbTransfer::Read,
            _ => true,
        };
        if let Some(told) = told.filter(|_| {
            reads && flags.contains(LockFlags::VALBLK) && bits.contains(Bits::LVB_IN_USE)
        }) {
            self.locks[lock].lvb = told.lvb;
            self.locks[lock].lvb_seq = told.lvb_seq;
        }
        self.move_to_granted(lock);
        self.complete(lock, LockStatus::Granted);
    }

    /// Takes over what the master changed in the lock.
    fn take_over(&mut self, lock: Ref, told: &Told) {
        self.locks[lock].status = told.status;
        if told.status.contains(StatusFlags::DEMOTED) {
            self.change(lock, |lock| lock.granted = Some(Mode::Nl));
        }
    }

    /// With ALTPR or ALTCW, the mode that the master granted.
    fn take_over_mode(&mut self, lock: Ref, told: &Told) {
        let flags = self.locks[lock].flags;
        if told.status.contains(StatusFlags::ALTMODE) {
            let mode = if flags.contains(LockFlags::ALTPR) { Mode::Pr } else { Mode::Cw };
            self.set_requested(lock, Some(mode));
        }
    }

    /// Anything that a master sends to a holder. `NotMaster` is not among it.
    pub(crate) fn learn(&mut self, from: u32, message: Message) {
        let (peer, at) = match message {
            Message::Answer { peer, at, .. }
            | Message::Grant { peer, at, .. }
            | Message::Notice { peer, at, .. } => (peer, at),
            _ => return,
        };
        let Some(lock) = self.locks.find(at) else { return };
        let it = &self.locks[lock];
        let is_request = matches!(message, Message::Answer { op: Op::Request, .. });
        let foreign = it.node != from || (!is_request && peer != LockId(0) && it.peer != peer);
        if it.bits.contains(Bits::COPY) || foreign {
            return;
        }
        match message {
            Message::Answer { op, answer, told, .. } if self.settle(lock, op, answer) => {
                self.learn_answer(lock, peer, op, answer, &told);
            }
            Message::Grant { told, .. } if self.locks[lock].queue != Queue::None => {
                self.locks[lock].status = told.status;
                self.take_over_mode(lock, &told);
                self.grant_here(lock, Some(&told));
            }
            Message::Notice { mode, .. } => {
                self.notify(lock, mode);
                self.change(lock, |lock| lock.noticed = Notice(mode));
            }
            _ => {}
        }
        self.release(lock);
    }

    pub(crate) fn learn_answer(
        &mut self,
        lock: Ref,
        peer: LockId,
        op: Op,
        answer: Answer,
        told: &Told,
    ) {
        match (op, answer) {
            (Op::Request, Answer::Granted | Answer::Queued) => {
                self.locks[lock].peer = peer;
                self.locks[lock].status = told.status;
                self.take_over_mode(lock, told);
                if answer == Answer::Granted {
                    self.grant_here(lock, Some(told));
                } else {
                    self.enqueue(lock, Queue::Waiting);
                }
                self.send_overlapping(lock, answer);
            }
            (Op::Request, _) => self.end_request(lock, LockStatus::Again),
            (Op::Convert, Answer::Granted) => {
                self.take_over(lock, told);
                self.grant_here(lock, Some(told));
            }
            (Op::Convert, Answer::Queued) => {
                self.take_over(lock, told);
                self.dequeue(lock);
                self.enqueue(lock, Queue::Convert);
            }
            (Op::Convert, Answer::Deadlock) => {
                self.locks[lock].status = told.status;
                self.revert(lock);
                self.complete(lock, LockStatus::Deadlock);
            }
            (Op::Convert, Answer::Again) => self.complete(lock, LockStatus::Again),
            (Op::Unlock, Answer::Unlocked) => {
                self.locks[lock].status = told.status;
                self.end(lock);
                self.complete(lock, LockStatus::Unlocked);
            }
            (Op::Cancel, Answer::Cancelled) => {
                self.locks[lock].status = told.status;
                self.revert(lock);
                self.complete(lock, LockStatus::Cancelled);
            }
            _ => {}
        }
    }

    /// A request that is not on the master any more ends.
    pub(crate) fn end_request(&mut self, lock: Ref, status: LockStatus) {
        self.complete(lock, status);
        let overlaps = Bits::OVERLAP_UNLOCK | Bits::OVERLAP_CANCEL;
        self.locks[lock].bits.remove(Bits::EXISTS | overlaps);
    }

    /// Sends the unlock or cancel that was written while the request was on its way.
    fn send_overlapping(&mut self, lock: Ref, answer: Answer) {
        let bits = self.locks[lock].bits;
        self.locks[lock].bits.remove(Bits::OVERLAP_UNLOCK | Bits::OVERLAP_CANCEL);
        // Nothing else is on its way, so that they are sent.
        if bits.contains(Bits::OVERLAP_UNLOCK) {
            let _ = self.send(lock, Op::Unlock);
        } else if bits.contains(Bits::OVERLAP_CANCEL) && answer == Answer::Queued {
            let _ = self.send(lock, Op::Cancel);
        }
    }

    /// The master was another one. `master` is that of now.
    pub(crate) fn learn_master(&mut self, from: u32, at: LockId, master: u32) {
        let Some(lock) = self.locks.find(at) else { return };
        let it = &self.locks[lock];
        if it.bits.contains(Bits::COPY) || it.node != from || it.wait != Some(Op::Request) {
            return;
        }
        self.settle(lock, Op::Request, Answer::NotMaster);
        let resource = self.locks[lock].resource;
        if self.is_remote(resource) {
            self.resources[resource].master = master;
        }
        let bits = self.locks[lock].bits;
        if bits.contains(Bits::OVERLAP_UNLOCK) {
            self.end_request(lock, LockStatus::Unlocked);
        } else if bits.contains(Bits::OVERLAP_CANCEL) {
            self.end_request(lock, LockStatus::Cancelled);
        } else {
            self.ask_again(lock);
        }
        self.release(lock);
    }

    /// Makes a request anew, here or at the master.
    pub(crate) fn ask_again(&mut self, lock: Ref) {
        if self.is_remote(self.locks[lock].resource) {
            let _ = self.send(lock, Op::Request);
        } else {
            self.locks[lock].node = 0;
            self.start_request(lock);
        }
    }
}
