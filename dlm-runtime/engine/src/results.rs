//! Results: which are queued, which are merged or dropped, and with whose words.

use dlm_proto::{LockStatus, LvbTransfer, Mode, StatusFlags, ValueBlock};

use crate::chain::{self, OnResults};
use crate::config::Profile;
use crate::count::compatible;
use crate::lock::{Bits, Lock, Owner};
use crate::message::Message;
use crate::slab::{NIL, Ref};
use crate::space::Space;

/// Unread results that 6.1 keeps for a lock.
const MAX_UNREAD: usize = 6;

/// A completion or notice of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callback {
    /// An operation ended; the lock then holds this mode.
    Completion { mode: Option<Mode>, status: LockStatus, flags: StatusFlags },
    /// Another lock waits for this mode.
    Blocking { mode: Mode },
}

/// A result as 6.12 queues it.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) addr: u64,
    pub(crate) param: u64,
    pub(crate) lksb: u64,
    pub(crate) lock: Ref,
    pub(crate) callback: Callback,
    pub(crate) lvb: Option<ValueBlock>,
}

/// The unread results of a lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread {
    /// 6.1: those that are unread.
    queue: [Option<Callback>; MAX_UNREAD],
    len: u8,
    /// The mode of the last completion: the last that was read (6.1) or queued (6.12).
    last_mode: Option<Mode>,
    /// There was such a completion.
    has_completed: bool,
    /// 6.12: the mode of the last result, if that was a blocking notice.
    last_notice: Option<Mode>,
    /// 6.1: status and flags of the last completion that was read.
    pub(crate) last_status: (i32, StatusFlags),
}

impl Unread {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    fn last(&self) -> Option<Callback> {
        self.queue.get(self.len().checked_sub(1)?).copied().flatten()
    }

    fn push(&mut self, callback: Callback) {
        let end = self.len();
        if let Some(slot) = self.queue.get_mut(end) {
            *slot = Some(callback);
            self.len += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Callback> {
        let first = self.queue.first_mut()?.take()?;
        self.queue.rotate_left(1);
        self.len -= 1;
        Some(first)
    }

    pub(crate) fn clear(&mut self) {
        self.queue = Default::default();
        self.len = 0;
    }

    /// Whether a notice of this mode says nothing that a lock of the last completion's mode need
    /// know.
    pub(crate) fn is_stale(&self, notice: Mode) -> bool {
        self.has_completed && compatible(self.last_mode, Some(notice))
    }

    /// Notes a completion, and says whether it carries the lock's value block.
    pub(crate) fn complete(&mut self, mode: Option<Mode>, granted: bool, has_lvb: bool) -> bool {
        let carries = granted
            && has_lvb
            && match (self.last_mode, mode) {
                (Some(from), Some(to)) => from.lvb_transfer(to) != LvbTransfer::Write,
                _ => true,
            };
        self.last_mode = mode;
        self.has_completed = true;
        carries
    }
}

/// Whether a notice is left out after another one.
fn is_merged(last: Mode, notice: Mode) -> bool {
    last == notice || (last > notice && last > Mode::Pr)
}

/// Whether a lock is gone after a completion.
pub(crate) fn ends(mode: Option<Mode>, status: LockStatus) -> bool {
    match status {
        LockStatus::Unlocked => true,
        LockStatus::Granted => false,
        _ => mode.is_none(),
    }
}

impl Space {
    /// An operation of the lock ended.
    pub(crate) fn complete(&mut self, lock: Ref, status: LockStatus) {
        let it = &mut self.locks[lock];
        if it.bits.contains(Bits::COPY) {
            self.answer(lock, status.into());
            return;
        }
        let deadlock = status == LockStatus::Cancelled && it.bits.contains(Bits::DEADLOCK);
        if deadlock {
            it.bits.remove(Bits::DEADLOCK);
        }
        let status = if deadlock { LockStatus::Deadlock } else { status };
        let (mode, flags) = (it.granted, it.status);
        if it.bits.intersects(Bits::ORPHAN | Bits::DEAD) {
            return;
        }
        if ends(mode, status) {
            it.bits.insert(Bits::ENDED);
        }
        if self.queue_result(lock, Callback::Completion { mode, status, flags })
            && self.locks[lock].bits.contains(Bits::ENDED)
        {
            self.set_owner(lock, Owner::None);
        }
    }

    /// Another lock waits for a mode that this one keeps it from.
    pub(crate) fn notify(&mut self, lock: Ref, mode: Mode) {
        let it = &self.locks[lock];
        if it.bits.contains(Bits::COPY) {
            self.post(lock, |peer, at| Message::Notice { peer, at, mode });
            return;
        }
        if it.bits.intersects(Bits::ORPHAN | Bits::DEAD) || it.cookies.blocking_addr == 0 {
            return;
        }
        let _fits = self.queue_result(lock, Callback::Blocking { mode });
    }

    /// Queues a result unless it can be left out. `false` if there was no room for it.
    fn queue_result(&mut self, lock: Ref, callback: Callback) -> bool {
        match self.profile {
            Profile::Linux6_1 => self.keep_with_lock(lock, callback),
            Profile::Linux6_12 => {
                self.keep_with_session(lock, callback);
                true
            }
        }
    }

    fn keep_with_lock(&mut self, lock: Ref, callback: Callback) -> bool {
        let it = &mut self.locks[lock];
        let session = it.session;
        if it.unread.len() == MAX_UNREAD {
            if let Some(session) = self.sessions.get_mut(session) {
                session.lost = Some(lock.id());
            }
            return false;
        }
        match (it.unread.last(), callback) {
            (Some(Callback::Blocking { mode: last }), Callback::Blocking { mode })
                if is_merged(last, mode) =>
            {
                return true;
            }
            _ => it.unread.push(callback),
        }
        if it.unread.len() == 1 {
            let Some(session) = self.sessions.get_mut(session) else { return true };
            chain::insert::<OnResults>(&mut self.locks, &mut session.pending, lock, NIL);
        }
        self.announce(session);
        true
    }

    fn keep_with_session(&mut self, lock: Ref, callback: Callback) {
        let it = &mut self.locks[lock];
        let Lock { cookies, ref mut unread, bits, lvb, session, .. } = *it;
        let (addr, param, lvb) = match callback {
            Callback::Blocking { mode } => {
                let merged = unread.last_notice.is_some_and(|last| is_merged(last, mode));
                if unread.is_stale(mode) || merged {
                    return;
                }
                unread.last_notice = Some(mode);
                (cookies.blocking_addr, cookies.blocking_param, None)
            }
            Callback::Completion { mode, status, .. } => {
                let granted = status == LockStatus::Granted;
                let carries = unread.complete(mode, granted, bits.contains(Bits::LVB));
                unread.last_notice = None;
                (cookies.completion_addr, cookies.completion_param, carries.then_some(lvb))
            }
        };
        let snapshot = Snapshot { addr, param, lksb: cookies.lksb, lock, callback, lvb };
        if let Some(session) = self.sessions.get_mut(session) {
            session.results.push_back(snapshot);
        }
        self.announce(session);
    }

    /// Notes that a session has results.
    fn announce(&mut self, index: u32) {
        if let Some(session) = self.sessions.get_mut(index) {
            if !session.announced {
                session.announced = true;
                self.readable.push(index);
            }
        }
    }

    /// Throws away all results of a session.
    pub(crate) fn discard_results(&mut self, index: u32) {
        loop {
            let Some(session) = self.sessions.get_mut(index) else { return };
            session.results.clear();
            session.announced = false;
            let lock = session.pending.head;
            if lock == NIL {
                return;
            }
            chain::remove::<OnResults>(&mut self.locks, &mut session.pending, lock);
            self.locks[lock].unread.clear();
            self.release(lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_merged_into_one_before_it_that_says_as_much() {
        assert!(is_merged(Mode::Pr, Mode::Pr));
        assert!(is_merged(Mode::Ex, Mode::Pr));
        assert!(!is_merged(Mode::Pr, Mode::Ex));
        // A PR notice does not say that a CW is wanted.
        assert!(!is_merged(Mode::Pr, Mode::Cw));
    }

    #[test]
    fn a_lock_ends_with_its_unlock_or_with_a_request_that_was_not_granted() {
        assert!(ends(None, LockStatus::Unlocked));
        assert!(ends(None, LockStatus::Again));
        assert!(ends(None, LockStatus::Cancelled));
        assert!(!ends(Some(Mode::Nl), LockStatus::Again));
        assert!(!ends(Some(Mode::Nl), LockStatus::Granted));
    }

    #[test]
    fn six_results_fit_and_come_out_in_order() {
        let mut unread = Unread::default();
        for mode in [Mode::Nl, Mode::Cr, Mode::Cw, Mode::Pr, Mode::Pw, Mode::Ex, Mode::Nl] {
            unread.push(Callback::Blocking { mode });
        }
        assert_eq!((unread.len(), unread.last()), (6, Some(Callback::Blocking { mode: Mode::Ex })));
        for mode in Mode::ALL {
            assert_eq!(unread.pop(), Some(Callback::Blocking { mode }));
        }
        assert_eq!((unread.pop(), unread.len()), (None, 0));
    }

    #[test]
    fn the_block_comes_with_grants_but_those_that_write_it() {
        let mut unread = Unread::default();
        assert!(unread.complete(Some(Mode::Ex), true, true));
        assert!(!unread.complete(Some(Mode::Pw), true, true));
        assert!(unread.complete(Some(Mode::Ex), true, true));
        assert!(!unread.complete(Some(Mode::Ex), false, true));
        assert!(!unread.complete(Some(Mode::Nl), true, true));
        assert!(!unread.complete(Some(Mode::Nl), true, false));
        assert!(unread.complete(Some(Mode::Nl), true, true));
    }
}
