//! Unlocks and cancels.

use dlm_proto::{LockFlags, LockId, LockStatus, StatusFlags, UnlockRequest};

use crate::errno::Errno;
use crate::lock::{Bits, Op, Owner, Queue};
use crate::message::Answer;
use crate::slab::Ref;
use crate::space::Space;

/// Refuses flags that make no sense with an unlock.
fn check_sense(flags: LockFlags) -> Result<(), Errno> {
    let sensible =
        LockFlags::CANCEL | LockFlags::VALBLK | LockFlags::IVVALBLK | LockFlags::FORCEUNLOCK;
    let both = LockFlags::CANCEL | LockFlags::FORCEUNLOCK;
    if !sensible.contains(flags) || flags.contains(both) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

impl Space {
    /// UNLOCK, with or without CANCEL.
    pub(crate) fn unlock(&mut self, request: &UnlockRequest<'_>) -> Result<(), Errno> {
        if self.stopped {
            return Err(Errno::STOPPED);
        }
        let cancels = request.flags.contains(LockFlags::CANCEL);
        let lock = self.find(request.lock)?;
        // The lock has the new words and block even if the unlock is refused further down.
        let it = &mut self.locks[lock];
        if it.bits.contains(Bits::LVB) && !cancels {
            it.lvb = *request.lvb;
        }
        if request.cookies.completion_param != 0 {
            it.cookies.completion_param = request.cookies.completion_param;
        }
        it.cookies.lksb = request.cookies.lksb;
        check_sense(request.flags)?;
        let done = self.check_unlock(lock, request.flags);
        let done = match done {
            Ok(()) if cancels => self.cancel(lock),
            Ok(()) => self.remove(lock),
            refused => refused,
        };
        let done = match done {
            // It is done as soon as what is on its way is answered, or nothing is to be done.
            Err(Errno::EBUSY) if cancels || request.flags.contains(LockFlags::FORCEUNLOCK) => {
                Ok(())
            }
            done => done,
        };
        if done.is_ok() && !cancels {
            match self.locks[lock].owner {
                Owner::Session => self.set_owner(lock, Owner::Unlocking),
                // An orphan's completion goes nowhere.
                Owner::Orphans => self.set_owner(lock, Owner::None),
                Owner::Unlocking | Owner::None => {}
            }
        }
        self.release(lock);
        done
    }

    /// DEADLOCK: a cancel that ends with another status.
    pub(crate) fn deadlock(&mut self, id: LockId, flags: LockFlags) -> Result<(), Errno> {
        if self.stopped {
            return Err(Errno::STOPPED);
        }
        let lock = self.find(id)?;
        check_sense(flags)?;
        let done = self.check_unlock(lock, flags).and_then(|()| {
            self.locks[lock].bits.insert(Bits::DEADLOCK);
            self.cancel(lock)
        });
        self.release(lock);
        match done {
            Err(Errno::EBUSY) => Ok(()),
            done => done,
        }
    }

    /// A lock that programs may name: the copies of other nodes' locks have ids, too.
    pub(crate) fn find(&self, id: LockId) -> Result<Ref, Errno> {
        let found = self.locks.find(id);
        let own = |lock: &Ref| !self.locks[*lock].bits.contains(Bits::COPY);
        found.filter(own).ok_or(Errno::ENOENT)
    }

    /// Whether a lock can be unlocked or cancelled now. If so, it has the flags added. EBUSY for a
    /// cancel that has nothing to do.
    pub(crate) fn check_unlock(&mut self, lock: Ref, flags: LockFlags) -> Result<(), Errno> {
        let it = &mut self.locks[lock];
        let overlap = Bits::OVERLAP_UNLOCK | Bits::OVERLAP_CANCEL;
        if flags.intersects(LockFlags::CANCEL | LockFlags::FORCEUNLOCK) {
            if it.bits.contains(Bits::ENDED) {
                return Err(Errno::ENOENT);
            }
        } else if it.answers != 0 {
            return Err(Errno::EBUSY);
        } else if it.bits.contains(Bits::ENDED) {
            return Err(Errno::ENOENT);
        }
        if flags.contains(LockFlags::CANCEL) {
            if it.flags.contains(LockFlags::CANCEL) || it.bits.intersects(overlap) {
                return Err(Errno::EINVAL);
            }
            match it.wait {
                None if it.queue == Queue::Granted => return Err(Errno::EBUSY),
                Some(Op::Request) => {
                    it.bits.insert(Bits::OVERLAP_CANCEL);
                    return Err(Errno::EBUSY);
                }
                Some(Op::Unlock | Op::Cancel) => return Err(Errno::EINVAL),
                Some(Op::Convert) | None => {}
            }
        } else if flags.contains(LockFlags::FORCEUNLOCK) {
            let overlaps = it.bits.contains(Bits::OVERLAP_UNLOCK);
            if it.flags.contains(LockFlags::FORCEUNLOCK) || overlaps {
                return Err(Errno::EINVAL);
            }
            match it.wait {
                Some(Op::Request) => {
                    it.bits.insert(Bits::OVERLAP_UNLOCK);
                    return Err(Errno::EBUSY);
                }
                Some(Op::Unlock) => return Err(Errno::EINVAL),
                Some(Op::Convert | Op::Cancel) | None => {}
            }
        }
        // None of these flags is one that queues count.
        let it = &mut self.locks[lock];
        it.flags |= flags;
        it.status = StatusFlags::empty();
        Ok(())
    }

    /// Removes a lock, whatever queue it is in.
    pub(crate) fn remove(&mut self, lock: Ref) -> Result<(), Errno> {
        let resource = self.locks[lock].resource;
        if self.is_remote(resource) {
            return self.send(lock, Op::Unlock);
        }
        self.transfer_block_at_end(lock);
        self.end(lock);
        self.complete(lock, LockStatus::Unlocked);
        self.pass(resource);
        Ok(())
    }

    /// Takes back a request or conversion that waits, if one does.
    pub(crate) fn cancel(&mut self, lock: Ref) -> Result<(), Errno> {
        let resource = self.locks[lock].resource;
        if self.is_remote(resource) {
            return self.send(lock, Op::Cancel);
        }
        if self.revert(lock) {
            self.complete(lock, LockStatus::Cancelled);
            self.pass(resource);
        } else {
            self.answer(lock, Answer::Nothing);
        }
        Ok(())
    }
}
