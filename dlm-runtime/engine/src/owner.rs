//! The owners of locks: closing, orphans, adoption and purges.

use dlm_proto::{LockFlags, LockId, LockRequest};

use crate::chain::OnOwner;
use crate::chain::{Chain, List};
use crate::errno::Errno;
use crate::lock::{Bits, Lock, Owner, Queue};
use crate::slab::{NIL, Ref};
use crate::space::Space;

impl Space {
    /// The last close of a session's device.
    pub(crate) fn close(&mut self, session: u32) {
        while let Some(lock) = self.first_of(session, |session| session.locks) {
            self.set_owner(lock, Owner::None);
            if self.locks[lock].flags.contains(LockFlags::PERSISTENT) {
                self.locks[lock].bits.insert(Bits::ORPHAN);
                self.set_owner(lock, Owner::Orphans);
                // If it cannot be cancelled it is not waiting.
                let _ =
                    self.check_unlock(lock, LockFlags::empty()).and_then(|()| self.cancel(lock));
            } else {
                self.locks[lock].bits.insert(Bits::DEAD);
                self.remove_by_force(lock);
            }
            self.release(lock);
        }
        self.forget_unlocking(session);
        self.discard_results(session);
        self.sessions.close(session);
    }

    /// PURGE with the caller's own thread: all locks of the session go, without a result.
    fn purge_own(&mut self, session: u32) {
        while let Some(lock) = self.first_of(session, |session| session.locks) {
            self.set_owner(lock, Owner::None);
            self.locks[lock].bits.insert(Bits::DEAD);
            self.remove_by_force(lock);
            self.release(lock);
        }
        self.forget_unlocking(session);
        self.discard_results(session);
    }

    fn first_of(
        &self,
        session: u32,
        list: impl Fn(&crate::session::Session) -> List,
    ) -> Option<Ref> {
        let head = list(self.sessions.get(session)?).head;
        (head != NIL).then_some(head)
    }

    fn forget_unlocking(&mut self, session: u32) {
        while let Some(lock) = self.first_of(session, |session| session.unlocking) {
            self.set_owner(lock, Owner::None);
            self.locks[lock].bits.insert(Bits::DEAD);
            self.release(lock);
        }
    }

    /// Removes a lock whose session is gone. A lock that was requested with FORCEUNLOCK stays for
    /// ever, as in the kernel.
    fn remove_by_force(&mut self, lock: Ref) {
        let flags = LockFlags::FORCEUNLOCK | LockFlags::IVVALBLK;
        let _ = self.check_unlock(lock, flags).and_then(|()| self.remove(lock));
    }

    /// PURGE of this node: the session's own locks if `pid` is the thread that asks, otherwise the
    /// orphans that this thread made, or all for 0.
    pub(crate) fn purge(&mut self, session: u32, pid: u32) -> Result<(), Errno> {
        if self.stopped {
            return Err(Errno::STOPPED);
        }
        let task = self.sessions.get(session).map(|session| session.task);
        if task == Some(pid) {
            self.purge_own(session);
        } else {
            self.purge_orphans(pid);
        }
        Ok(())
    }

    pub(crate) fn purge_orphans(&mut self, pid: u32) {
        let mut at = self.orphans.head;
        while at != NIL {
            let Lock { task, .. } = self.locks[at];
            let next = OnOwner::link(&self.locks[at]).next;
            if pid == 0 || task == pid {
                self.remove_by_force(at);
                self.set_owner(at, Owner::None);
                self.release(at);
            }
            at = next;
        }
    }

    /// LOCK with ORPHAN.
    pub(crate) fn adopt(
        &mut self,
        session: u32,
        request: &LockRequest<'_>,
    ) -> Result<LockId, Errno> {
        let task = self.sessions.get(session).map_or(0, |session| session.task);
        let mode = request.mode.known();
        let mut refusal = Errno::ENOENT;
        let mut at = self.orphans.head;
        while at != NIL {
            let it = &self.locks[at];
            if *self.resources[it.resource].name == *request.name {
                if mode.is_some() && it.granted == mode {
                    break;
                }
                refusal = Errno::EAGAIN;
            }
            at = OnOwner::link(it).next;
        }
        if at == NIL {
            return Err(refusal);
        }
        self.set_owner(at, Owner::None);
        self.set_flags(at, request.flags);
        if self.locks[at].queue == Queue::Convert {
            self.change(at, |lock| lock.bits.insert(Bits::ADOPTED_CONVERTING));
        }
        let it = &mut self.locks[at];
        it.bits.remove(Bits::ORPHAN);
        it.session = session;
        it.task = task;
        it.cookies = request.cookies;
        it.transaction = request.xid;
        self.set_owner(at, Owner::Session);
        Ok(at.id())
    }
}
