//! The plain life of a lock: a request, its grant, an unlock, its end, and nothing else.
//!
//! That is how most locks live, and it costs the fewest instructions here. An entry of the table is
//! plain until another function of the core has changed it ([`Table`](crate::table::Table)). In a
//! plain entry all is as by default but the name, the owner, the number, the id, the granted mode, the
//! operation in flight and its user: so little is to be looked at and to be set. Each function here
//! does what its namesake does to such an entry, or nothing.

use dlm_proto::{LockFlags, LockId, Mode, PointerWidth, ResourceName, StatusFlags, Token, plain};

use crate::core::Core;
use crate::entry::Entry;
use crate::operation::{Ended, Kind, Moved, Operation};
use crate::receive::Usual;
use crate::submission::What;

/// Flags that a plain request may have.
const PLAIN: LockFlags = LockFlags::NOQUEUE;

/// What is to be written for a plain unlock: [`plain::UnlockBytes`].
#[derive(Debug, Clone, Copy)]
pub struct PlainUnlock {
    /// The kernel's id.
    pub id: LockId,
    /// The number of the operation.
    pub serial: u64,
    /// The owner.
    pub owner: u32,
}

impl<O, L: Default> Core<O, L> {
    /// As [`Core::lock`], without notices and transaction id. `keep` puts what is kept for the lock into
    /// its place, where what was kept for the last plain lock is; nothing of that is dropped. Returns
    /// the lock and its owner, for the request: [`plain::LockBytes`]. `None`: nothing has happened, and
    /// the lock is for [`Core::lock`].
    #[inline(always)]
    pub fn lock_plain(
        &mut self,
        name: &ResourceName,
        mode: Mode,
        flags: LockFlags,
        user: impl FnOnce() -> Option<O>,
        keep: impl FnOnce(&mut L),
    ) -> Option<(Token, u32)> {
        if !(self.may_be_plain && PLAIN.contains(flags)) {
            return None;
        }
        let owner = self.owner;
        let (token, entry) = self.table.insert_plain()?;
        entry.name = *name;
        entry.owner = owner;
        entry.serial = 0;
        entry.last_serial = 0;
        entry.state.begin_plain(Kind::Request, mode, flags);
        entry.state.set_id(LockId(0));
        entry.start_plain(user());
        keep(&mut entry.face);
        self.in_flight += 1;
        Some((token, owner))
    }

    /// As [`Core::unlock`] of a plain lock, without flags. `begun` may change what is kept for it. `None`:
    /// nothing has happened.
    #[inline(always)]
    pub fn unlock_plain(
        &mut self,
        token: Token,
        user: impl FnOnce() -> Option<O>,
        begun: impl FnOnce(&mut L),
    ) -> Option<PlainUnlock> {
        if !self.may_be_plain {
            return None;
        }
        let owner = self.owner;
        let entry = self.table.plain(token)?;
        let mode = entry.state.granted()?;
        if entry.is_writing || entry.state.op().is_some() {
            return None;
        }
        let serial = entry.last_serial + 1;
        entry.last_serial = serial;
        entry.serial = serial;
        entry.owner = owner;
        entry.state.begin_plain(Kind::Unlock, mode, LockFlags::empty());
        entry.start_plain(user());
        begun(&mut entry.face);
        self.in_flight += 1;
        // As soon as it is written the id may be that of another lock.
        self.indices.leave(entry, token);
        Some(PlainUnlock { id: entry.state.id(), serial, owner })
    }

    /// As [`Core::accepted`] for the submission of a plain operation. Tells whether that was done.
    #[inline(always)]
    pub fn accepted_plain(&mut self, token: Token, serial: u64, id: Option<LockId>) -> bool {
        let Some(entry) = self.table.plain(token) else { return false };
        if !entry.is_writing || entry.serial != serial {
            return false;
        }
        entry.is_writing = false;
        self.counts.count(if serial == 0 { What::Request } else { What::Unlock });
        if let Some(id) = id {
            entry.state.note_id(id);
        }
        if serial == 0 && self.indices.are_kept() {
            self.note_accepted(token);
        }
        true
    }

    /// Takes in a result if it is the end of an operation of a plain lock, and that of this submission
    /// if there is one: then it takes the place of [`Core::accepted`], too. `None`: nothing has
    /// happened, and the result is still for [`Core::receive`].
    ///
    /// `accepted`: the lock, the number and the id of a submission that the kernel has accepted before
    /// it gave this result.
    #[inline(always)]
    pub fn receive_plain(
        &mut self,
        accepted: Option<(Token, u64, Option<LockId>)>,
        bytes: &[u8],
    ) -> Option<Usual<'_, O, L>> {
        if !self.may_be_plain {
            return None;
        }
        let completion = plain::Completion::decode(bytes)?;
        let plain::Completion { word, owner, raw_status, lock } = completion;
        let token = match accepted {
            Some((token, ..)) if token.to_word(PointerWidth::W64) != Some(word) => return None,
            Some((token, ..)) => token,
            None => completion.token()?,
        };
        let entry = self.table.plain(token)?;
        let Operation { kind, mode, .. } = entry.state.op()?;
        let (is_unlock, serial) = (kind == Kind::Unlock, entry.serial);
        if u64::from(entry.owner) != owner || is_unlock && raw_status != plain::Completion::UNLOCKED
        {
            return None;
        }
        if let Some((_, of, id)) = accepted {
            if serial != of {
                return None;
            }
            self.counts.count(if is_unlock { What::Unlock } else { What::Request });
            entry.is_writing = false;
            if let Some(id) = id {
                entry.state.note_id(id);
            }
        }
        self.in_flight -= 1;
        let is_granted = !is_unlock && raw_status == plain::Completion::GRANTED;
        if is_granted {
            self.counts.grants += 1;
        } else if !is_unlock {
            self.counts.refusals += 1;
        }
        let mode = if is_granted { Some(mode) } else { None };
        entry.state.end_plain(mode);
        if is_granted {
            entry.state.note_id(lock);
            self.indices.enter(entry, token);
        } else {
            self.indices.leave(entry, token);
        }
        let status = completion.status();
        let ended = Ended { status, flags: StatusFlags::empty(), mode, moved: Moved::Nothing };
        Some(Usual {
            token,
            serial,
            kind,
            ended,
            lvb: None,
            id: entry.state.id(),
            user: &mut entry.user,
            face: &mut entry.face,
            can_settle: !is_granted,
        })
    }

    /// Whether nothing but what is here has happened to this lock.
    #[inline]
    pub fn is_plain(&mut self, token: Token) -> bool {
        self.table.plain(token).is_some()
    }

    /// Removes a lock of which [`Core::receive_plain`] says that it can be removed.
    #[inline(always)]
    pub fn remove_plain(&mut self, token: Token) {
        self.table.remove(token);
    }

    #[inline(never)]
    fn note_accepted(&mut self, token: Token) {
        let id = self.id(token);
        self.note_id(token, id);
        self.list_new(token);
    }
}

impl<O, L> Entry<O, L> {
    #[inline(always)]
    fn start_plain(&mut self, user: Option<O>) {
        // A plain entry without an operation has no user, and there is nothing to drop.
        debug_assert!(self.user.is_none(), "what has ended has no owner");
        core::mem::forget(core::mem::replace(&mut self.user, user));
        self.is_writing = true;
    }
}
