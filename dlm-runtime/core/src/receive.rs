//! Results, and what they mean.

use dlm_proto::{Event, LockId, LockResult, LockStatus, Mode, StatusFlags, Token, ValueBlock};

use crate::core::Core;
use crate::entry::Entry;
use crate::lock_state::Completed;
use crate::operation::{Ended, Kind, Lvb, Moved, Operation};
use crate::submission::Ticket;

/// The consequence of a result.
#[derive(Debug)]
pub enum Received<O> {
    /// It belongs to no lock of this core, or is not understood. It was counted.
    Dropped,
    /// Nothing that anybody is to be told.
    Nothing,
    /// An operation has ended.
    Ended(Report<O>),
    /// Somebody waits for a lock (blocking AST).
    Blocking {
        /// The lock.
        token: Token,
        /// The mode that is waited for.
        mode: Mode,
        /// The number of the request or conversion that was granted last, which it is about.
        grant: u64,
    },
}

/// The end of an operation, and whose it was.
#[derive(Debug)]
pub struct Report<O> {
    /// The lock. If it is gone it stays in the table until [`Core::settle`].
    pub token: Token,
    /// The number of the operation.
    pub serial: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its status.
    pub ended: Ended,
    /// The data kept for it; nothing if it was given up.
    pub user: Option<O>,
    /// The number of the operation that an unlock was written over, what was kept for it, and how
    /// it has ended.
    pub overtaken: Option<(u64, O, Ended)>,
    /// [`Core::follow`] has something to do.
    pub follow: bool,
}

/// The usual end of an operation, with what is kept of it where it is.
#[derive(Debug)]
pub struct Usual<'a, O, L> {
    /// The lock.
    pub token: Token,
    /// The number of the operation.
    pub serial: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its status.
    pub ended: Ended,
    /// The value block, if the operation moved it.
    pub lvb: Option<Lvb>,
    /// The kernel's id.
    pub id: LockId,
    /// The data kept for the operation, to be taken.
    pub user: &'a mut Option<O>,
    /// The data kept for the lock.
    pub face: &'a mut L,
    /// The lock is gone, and can leave the table: [`Core::remove_in_place`].
    pub can_settle: bool,
}

impl<O, L: Default> Core<O, L> {
    /// Takes in a result.
    pub fn receive(&mut self, bytes: &[u8]) -> Received<O> {
        let Ok(result) = LockResult::decode(self.abi, bytes) else { return self.drop_result() };
        match result.event(self.abi.width) {
            Ok(Event::Completion { token, status, lock, flags, lvb }) => {
                self.complete(token, result.lksb, lock, (status, flags, lvb))
            }
            Ok(Event::Blocking { token, mode, .. }) => self.block(token, result.lksb, mode),
            Err(_) => self.drop_result(),
        }
    }

    #[cold]
    fn drop_result(&mut self) -> Received<O> {
        self.counts.dropped_results += 1;
        Received::Dropped
    }

    fn complete(
        &mut self,
        token: Token,
        owner: u64,
        id: LockId,
        (status, flags, lvb): (LockStatus, StatusFlags, Option<&ValueBlock>),
    ) -> Received<O> {
        let entry = self.table.get_mut(token).filter(|entry| u64::from(entry.owner) == owner);
        let Some(entry) = entry else { return self.drop_result() };
        let completed = entry.state.complete(status, flags, lvb);
        let mut serial = entry.serial;
        if completed != Completed::Nothing {
            // What was refused for now was about an operation that is over.
            entry.is_backing_off = false;
        }
        let (op, ended, user, overtaken) = match completed {
            Completed::Nothing => return Received::Nothing,
            Completed::Op(op, ended) => {
                self.in_flight -= 1;
                let overtaken =
                    if entry.under.is_some() { entry.overtaken(op, ended) } else { None };
                (op, entry.status_of(serial, ended), entry.user.take(), overtaken)
            }
            Completed::Under(op, ended) => {
                let under = entry.under.take();
                serial = under.as_ref().map_or(serial, |under| under.serial);
                (op, entry.status_of(serial, ended), under.and_then(|under| under.user), None)
            }
            Completed::Both(op, ended) => {
                self.in_flight -= 1;
                let unlock = Operation { kind: Kind::Unlock, ..op };
                let overtaken = entry.overtaken(unlock, ended);
                let ended = Ended { status: LockStatus::Unlocked, ..ended };
                (unlock, ended, entry.user.take(), overtaken)
            }
        };
        let follow = entry.has_follow();
        if entry.is_unwanted() || entry.is_left_over {
            self.update_left_over(token);
        }
        self.note_end(token, id, (serial, op.kind), status, &ended);
        Received::Ended(Report { token, serial, kind: op.kind, ended, user, overtaken, follow })
    }

    /// Counts an end, and notes what follows from it for the indices.
    fn note_end(
        &mut self,
        token: Token,
        id: LockId,
        (serial, kind): (u64, Kind),
        status: LockStatus,
        ended: &Ended,
    ) {
        let Some(entry) = self.table.get_mut(token) else { return };
        self.counts.count_end(kind, status);
        if kind != Kind::Unlock && status == LockStatus::Granted {
            entry.blocked = None;
            entry.granted = serial;
        }
        let is_ending = entry.state.op().is_some();
        if ended.mode.is_none() {
            self.forget(token);
        } else if kind == Kind::Request && !is_ending {
            self.note_id(token, id);
            self.list(token);
        }
    }

    /// Takes in a result if it is the usual end of an operation, as it is for most: one that nothing
    /// was written over, that nobody has given up, and that nothing waits behind. `None`: nothing has
    /// happened, and the result is still for [`Core::receive`].
    ///
    /// `accepted`: a submission that the kernel has accepted before it gave this result, as a lock of
    /// this id if it is a new one. The result must be that of its operation, and then this takes the
    /// place of [`Core::accepted`], too.
    #[inline]
    pub fn receive_usual(
        &mut self,
        accepted: Option<(&Ticket, Option<LockId>)>,
        bytes: &[u8],
    ) -> Option<Usual<'_, O, L>> {
        let result = LockResult::decode(self.abi, bytes).ok()?;
        let Ok(Event::Completion { token, status, lock, flags, lvb }) =
            result.event(self.abi.width)
        else {
            return None;
        };
        let entry = self.table.get_mut(token)?;
        let op = entry.state.op()?;
        let (kind, serial) = (op.kind, entry.serial);
        let is_usual = u64::from(entry.owner) == result.lksb
            && entry.is_usual()
            && (kind != Kind::Unlock || status == LockStatus::Unlocked);
        if !is_usual {
            return None;
        }
        let mut is_new = kind == Kind::Request;
        if let Some((ticket, id)) = accepted {
            let is_its = ticket.token == token && ticket.serial == serial;
            if !is_its || ticket.what.kind() != Some(kind) || ticket.keeper.is_some() {
                return None;
            }
            self.counts.count(ticket.what);
            entry.is_writing = false;
            entry.state.accepted(kind);
            if let Some(id) = id {
                entry.state.note_id(id);
                is_new = true;
            }
        }
        let Completed::Op(_, ended) = entry.state.complete(status, flags, lvb) else {
            return None;
        };
        self.in_flight -= 1;
        self.counts.count_end(kind, status);
        if kind == Kind::Request {
            entry.state.note_id(lock);
        }
        if kind != Kind::Unlock && status == LockStatus::Granted {
            entry.blocked = None;
            entry.granted = serial;
        }
        let is_gone = ended.mode.is_none();
        if self.indices.are_kept() && (is_gone || is_new) {
            self.index(token, kind, is_gone);
        }
        let entry = self.table.get_mut(token)?;
        Some(Usual {
            token,
            serial,
            kind,
            ended,
            lvb: if ended.moved == Moved::Nothing { None } else { entry.state.known_lvb() },
            id: entry.state.id(),
            user: &mut entry.user,
            face: &mut entry.face,
            can_settle: is_gone && entry.outcome.is_none(),
        })
    }

    /// Notes for the indices that an operation has ended.
    #[inline(never)]
    fn index(&mut self, token: Token, kind: Kind, is_gone: bool) {
        if is_gone {
            self.forget(token);
            return;
        }
        let id = self.id(token);
        self.note_id(token, id);
        if kind == Kind::Request {
            self.list(token);
        }
    }

    fn block(&mut self, token: Token, owner: u64, mode: Mode) -> Received<O> {
        let entry = self.table.get_mut(token).filter(|entry| u64::from(entry.owner) == owner);
        let Some(entry) = entry else { return self.drop_result() };
        self.counts.blocking_notices += 1;
        if entry.is_unwanted() {
            return Received::Nothing;
        }
        entry.blocked = entry.blocked.max(Some(mode));
        Received::Blocking { token, mode, grant: entry.granted }
    }

    /// Marks the operation in flight as one whose deadline has passed: if a cancel ends it, its
    /// status is [`LockStatus::TimedOut`].
    pub fn mark_timed_out(&mut self, token: Token, serial: u64) {
        if let Some(entry) = self.table.get_mut(token).filter(|entry| entry.serial == serial) {
            if entry.state.op().is_some() {
                entry.odd_mut().timed_out = Some(serial);
            }
        }
    }
}

impl<O, L> Entry<O, L> {
    /// The end of an operation, as its owner is told.
    #[inline]
    fn status_of(&self, serial: u64, ended: Ended) -> Ended {
        if ended.status == LockStatus::Cancelled && self.timed_out() == Some(serial) {
            Ended { status: LockStatus::TimedOut, ..ended }
        } else {
            ended
        }
    }

    /// The owner of what an unlock was written over, which ends with it. What a conversion was
    /// written over had ended before, nobody here knows how.
    #[cold]
    fn overtaken(&mut self, op: Operation, ended: Ended) -> Option<(u64, O, Ended)> {
        let under = self.under.take()?;
        if op.kind == Kind::Unlock {
            let ended = self.status_of(under.serial, ended);
            return under.user.map(|user| (under.serial, user, ended));
        }
        self.lost = Some(under);
        None
    }
}
