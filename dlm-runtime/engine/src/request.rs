//! New locks and conversions.

use dlm_proto::{
    Cookies, LockFlags, LockId, LockRequest, LockStatus, MAX_NAME_LEN, Mode, StatusFlags,
    ValueBlock,
};

use crate::errno::Errno;
use crate::grant::{Verdict, When};
use crate::lock::{Bits, Op, Owner, Queue};
use crate::message::Answer;
use crate::slab::Ref;
use crate::space::Space;

/// The mode that a request asks for, if its flags make sense together.
fn sense(request: &LockRequest<'_>) -> Result<Mode, Errno> {
    let flags = request.flags;
    let converts = flags.contains(LockFlags::CONVERT);
    let mode = request.mode.known().ok_or(Errno::EINVAL)?;
    let conversions_only = LockFlags::QUECVT | LockFlags::CONVDEADLK;
    let not_with_expedite = LockFlags::CONVERT | LockFlags::QUECVT | LockFlags::NOQUEUE;
    let nonsense = flags.contains(LockFlags::CANCEL)
        || (!converts && (request.name.len() > MAX_NAME_LEN || flags.intersects(conversions_only)))
        || flags.contains(LockFlags::CONVDEADLK | LockFlags::NOQUEUE)
        || (flags.contains(LockFlags::EXPEDITE)
            && (flags.intersects(not_with_expedite) || mode != Mode::Nl));
    if nonsense { Err(Errno::EINVAL) } else { Ok(mode) }
}

impl Space {
    /// A LOCK of a session: a new lock, a conversion or an adoption. Returns what `write` returns.
    pub(crate) fn lock(&mut self, session: u32, request: &LockRequest<'_>) -> Result<i64, Errno> {
        let Cookies { completion_addr, lksb, .. } = request.cookies;
        if completion_addr == 0 || lksb == 0 {
            return Err(Errno::EINVAL);
        }
        // Orphans are adopted even then.
        if self.stopped && !request.flags.contains(LockFlags::ORPHAN) {
            return Err(Errno::STOPPED);
        }
        if request.flags.contains(LockFlags::CONVERT) {
            self.convert(session, request).map(|()| 0)
        } else if request.flags.contains(LockFlags::ORPHAN) {
            self.adopt(session, request).map(|LockId(id)| i64::from(id))
        } else {
            self.request(session, request).map(|LockId(id)| i64::from(id))
        }
    }

    fn request(&mut self, session: u32, request: &LockRequest<'_>) -> Result<LockId, Errno> {
        let mode = sense(request)?;
        let task = self.sessions.get(session).map_or(0, |session| session.task);
        let resource =
            self.resources.find_or_create(self.profile, request.name).ok_or(Errno::EINVAL)?;
        let Some(lock) = self.locks.create() else {
            if self.resources[resource].attached == 0 {
                self.resources.forget(self.profile, resource);
            }
            return Err(Errno::EBUSY);
        };
        self.attach(lock, resource);
        let it = &mut self.locks[lock];
        it.session = session;
        it.task = task;
        it.flags = request.flags;
        it.requested = Some(mode);
        it.cookies = request.cookies;
        it.transaction = request.xid;
        if request.flags.contains(LockFlags::VALBLK) {
            it.bits.insert(Bits::LVB | Bits::LVB_IN_USE);
        }
        if self.is_remote(resource) {
            // It is answered later.
            self.send(lock, Op::Request)?;
        } else if !self.start_request(lock) {
            self.release(lock);
            return Ok(lock.id());
        }
        self.set_owner(lock, Owner::Session);
        Ok(lock.id())
    }

    /// Grants, queues or refuses a new lock. `false` if it is refused: then it is gone.
    pub(crate) fn start_request(&mut self, lock: Ref) -> bool {
        let flags = self.locks[lock].flags;
        if self.judge(lock, When::Now) == Verdict::Yes {
            self.grant(lock);
            self.complete(lock, LockStatus::Granted);
        } else if !flags.contains(LockFlags::NOQUEUE) {
            self.enqueue(lock, Queue::Waiting);
            self.answer(lock, Answer::Queued);
            self.notify_holders(lock);
        } else {
            self.complete(lock, LockStatus::Again);
            if flags.contains(LockFlags::NOQUEUEBAST) {
                self.notify_all(lock);
            }
            self.locks[lock].bits.remove(Bits::EXISTS);
            return false;
        }
        true
    }

    fn convert(&mut self, session: u32, request: &LockRequest<'_>) -> Result<(), Errno> {
        let lock = self.find(request.lock)?;
        // The lock has the new words and block even if the conversion is refused further down.
        let it = &mut self.locks[lock];
        if request.flags.contains(LockFlags::VALBLK) && !it.bits.contains(Bits::LVB) {
            it.bits.insert(Bits::LVB);
            it.lvb = ValueBlock::ZERO;
        }
        if it.bits.contains(Bits::LVB) {
            it.lvb = *request.lvb;
        }
        it.cookies = request.cookies;
        it.transaction = request.xid;
        let mode = sense(request)?;
        let overlap = Bits::OVERLAP_UNLOCK | Bits::OVERLAP_CANCEL;
        if it.queue != Queue::Granted || it.answers != 0 || it.bits.intersects(overlap) {
            return Err(Errno::EBUSY);
        }
        let ordered = request.flags.contains(LockFlags::QUECVT);
        if ordered && !it.granted.is_some_and(|granted| granted.allows_quecvt(mode)) {
            return Err(Errno::EINVAL);
        }
        it.flags = request.flags;
        it.bits.remove(Bits::ADOPTED_CONVERTING);
        it.status = StatusFlags::empty();
        it.requested = Some(mode);
        it.task = self.sessions.get(session).map_or(0, |session| session.task);
        if it.bits.contains(Bits::LVB) {
            it.bits.insert(Bits::LVB_IN_USE);
        }
        if self.is_remote(self.locks[lock].resource) {
            return self.send(lock, Op::Convert);
        }
        self.start_conversion(lock);
        Ok(())
    }

    /// Grants, queues or refuses a conversion.
    pub(crate) fn start_conversion(&mut self, lock: Ref) {
        let (flags, resource) = (self.locks[lock].flags, self.locks[lock].resource);
        let verdict = self.judge(lock, When::Now);
        if verdict == Verdict::Deadlock && !flags.contains(LockFlags::NODLCKWT) {
            self.set_requested(lock, None);
            self.complete(lock, LockStatus::Deadlock);
            return;
        }
        let mut granted = verdict == Verdict::Yes;
        if !granted && self.locks[lock].is_demoted() {
            self.pass_conversions(resource);
            granted = self.is_grantable(lock, When::Now);
        }
        if granted {
            self.grant(lock);
            self.complete(lock, LockStatus::Granted);
            self.pass(resource);
        } else if !flags.contains(LockFlags::NOQUEUE) {
            self.dequeue(lock);
            self.enqueue(lock, Queue::Convert);
            self.answer(lock, Answer::Queued);
            self.notify_holders(lock);
        } else {
            // The lock goes on asking for the mode, which only shows in the order of the granted
            // locks.
            self.complete(lock, LockStatus::Again);
            if flags.contains(LockFlags::NOQUEUEBAST) {
                self.notify_all(lock);
            }
        }
    }
}
