//! Unlocks and cancels.

use dlm_proto::{LockFlags, LockId, LockStatus, StatusFlags, UnlockRequest};

use crate::errno::Errno;
use crate::lock::{Bits, Owner, Queue};
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
        let cancels = request.flags.contains(LockFlags::CANCEL);
        let lock = self.locks.find(request.lock).ok_or(Errno::ENOENT)?;
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
        let done = if cancels {
            self.check_unlock(lock, request.flags).map(|()| self.cancel(lock))
        } else {
            self.check_unlock(lock, request.flags).map(|()| {
                self.remove(lock);
                // An orphan's completion goes nowhere.
                let owner = self.locks[lock].owner;
                if owner == Owner::Session {
                    self.set_owner(lock, Owner::Unlocking);
                } else if owner == Owner::Orphans {
                    self.set_owner(lock, Owner::None);
                }
            })
        };
        self.release(lock);
        match done {
            Err(Errno::EBUSY)
                if request.flags.intersects(LockFlags::CANCEL | LockFlags::FORCEUNLOCK) =>
            {
                Ok(())
            }
            done => done,
        }
    }

    /// DEADLOCK: a cancel that ends with another status.
    pub(crate) fn deadlock(&mut self, id: LockId, flags: LockFlags) -> Result<(), Errno> {
        let lock = self.locks.find(id).ok_or(Errno::ENOENT)?;
        check_sense(flags)?;
        match self.check_unlock(lock, flags) {
            Ok(()) => {}
            Err(Errno::EBUSY) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        self.locks[lock].bits.insert(Bits::DEADLOCK);
        self.cancel(lock);
        self.release(lock);
        Ok(())
    }

    /// Whether a lock can be unlocked or cancelled now. If so, it has the flags added. EBUSY for a
    /// cancel that has nothing to do.
    pub(crate) fn check_unlock(&mut self, lock: Ref, flags: LockFlags) -> Result<(), Errno> {
        let it = &self.locks[lock];
        if it.bits.contains(Bits::ENDED) {
            return Err(Errno::ENOENT);
        }
        if flags.contains(LockFlags::CANCEL) {
            if it.flags.contains(LockFlags::CANCEL) {
                return Err(Errno::EINVAL);
            }
            if it.queue == Queue::Granted {
                return Err(Errno::EBUSY);
            }
        } else if flags.contains(LockFlags::FORCEUNLOCK)
            && it.flags.contains(LockFlags::FORCEUNLOCK)
        {
            return Err(Errno::EINVAL);
        }
        // None of these flags is one that queues count.
        let it = &mut self.locks[lock];
        it.flags |= flags;
        it.status = StatusFlags::empty();
        Ok(())
    }

    /// Removes a lock, whatever queue it is in.
    pub(crate) fn remove(&mut self, lock: Ref) {
        let resource = self.locks[lock].resource;
        self.transfer_block_at_end(lock);
        self.end(lock);
        self.complete(lock, LockStatus::Unlocked);
        self.pass(resource);
    }

    /// Takes back a request or conversion that waits, if one does.
    pub(crate) fn cancel(&mut self, lock: Ref) {
        let resource = self.locks[lock].resource;
        if self.revert(lock) {
            self.complete(lock, LockStatus::Cancelled);
            self.pass(resource);
        }
    }
}
