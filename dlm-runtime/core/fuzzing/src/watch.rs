//! The requests that would harm a kernel: [`Strict`] says which these are by what our program
//! knows, and the engine's answers say the rest.

use std::collections::{HashMap, HashSet};

use dlm_core::Rules;
use dlm_engine::Errno;
use dlm_engine::strict::{Strict, Ticket, Violation};
use dlm_proto::{Abi, LockFlags, LockId, Request, Token};

use crate::book::Book;

/// The watch over one open device.
#[derive(Debug)]
pub(crate) struct Watch {
    strict: Strict,
    rules: Rules,
    /// Whose an id is.
    owners: HashMap<LockId, Token>,
    /// Locks of which the monitor does not know all any more.
    unwatched: HashSet<Token>,
    /// Locks whose cancel or unlock by force may not be repeated, as there was no message buffer.
    spent: HashSet<Token>,
}

impl Watch {
    pub(crate) fn new(rules: Rules) -> Self {
        let strict = Strict::new(Abi::V6_64);
        Self {
            strict,
            rules,
            owners: HashMap::new(),
            unwatched: HashSet::new(),
            spent: HashSet::new(),
        }
    }

    /// Whether this may be done all the same. All requests for a lock carry the same words, so that
    /// one over another replaces nothing: at most it is refused.
    fn is_allowed(&self, token: Token, violation: &Violation) -> bool {
        match violation {
            Violation::Overlap(_) => self.rules == Rules::AsAsked || self.spent.contains(&token),
            // Nobody knows what is in the kernel's buffer of the block after that.
            Violation::CancelUnanswered(_) | Violation::OtherBlock(_) => {
                self.spent.contains(&token)
            }
            _ => false,
        }
    }

    /// Whose a lock is.
    pub(crate) fn owner(&self, id: LockId) -> Option<Token> {
        self.owners.get(&id).copied()
    }

    /// An id is another program's now.
    pub(crate) fn is_foreign(&mut self, id: LockId) {
        self.owners.remove(&id);
    }

    /// A thread is about to write this. `knows`: no other process reads our results, so that the
    /// core knows what has ended.
    pub(crate) fn begin(
        &mut self,
        bytes: &[u8],
        token: Token,
        book: &Book,
        knows: bool,
    ) -> Option<Ticket> {
        // A DEADLOCK carries no words: the monitor may take it for that of a lock that was stolen.
        let is_wordless = matches!(
            Request::decode(Abi::V6_64, bytes),
            Ok(Request::Deadlock { .. }) if book.has_tainted()
        );
        if is_wordless {
            self.unwatched.insert(token);
        }
        if book.is_tainted(token) || self.unwatched.contains(&token) {
            return None;
        }
        match self.strict.begin_write(bytes) {
            Ok(ticket) => Some(ticket),
            Err(violation) => {
                let is_bad = knows && !self.is_allowed(token, &violation);
                assert!(!is_bad, "{token:?}: {violation}");
                self.unwatched.insert(token);
                None
            }
        }
    }

    /// The lock manager has answered.
    pub(crate) fn answered(
        &mut self,
        bytes: &[u8],
        token: Token,
        answer: Result<i64, Errno>,
        book: &mut Book,
        knows: bool,
    ) {
        let request = Request::decode(Abi::V6_64, bytes).expect("the monitor has decoded it");
        let (id, flags) = match request {
            Request::Lock(lock) if !lock.flags.contains(LockFlags::CONVERT) => {
                if let Some(id) = answer.ok().and_then(|id| u32::try_from(id).ok()) {
                    self.owners.insert(LockId(id), token);
                }
                return;
            }
            Request::Lock(lock) => (lock.lock, lock.flags),
            Request::Unlock(unlock) => (unlock.lock, LockFlags::empty()),
            Request::Deadlock { lock, .. } => (lock, LockFlags::empty()),
            other => panic!("{other:?} is not for a lock"),
        };
        // It was that of another lock, which is left out from now on: also a call that is refused
        // may replace the words of a result that is unread. So is this one, as its own result never
        // comes.
        let owner = self.owner(id);
        if owner != Some(token) {
            assert!(book.is_tainted(token) || !knows, "#stale-id: {request:?} of {token:?}");
            owner.into_iter().chain([token]).for_each(|token| book.taint(token));
        }
        // The kernel warns of an EINVAL, unless these flags make no sense by themselves.
        let is_plain = flags.contains(LockFlags::CONVDEADLK | LockFlags::NOQUEUE)
            || flags.intersects(LockFlags::EXPEDITE | LockFlags::CANCEL);
        let is_odd = match answer {
            Err(Errno::EINVAL) => !is_plain,
            Err(Errno::ENOENT) => true,
            _ => false,
        };
        let is_bad = is_odd && knows && !book.is_tainted(token);
        assert!(!is_bad, "{answer:?} for {request:?} of {token:?}");
    }

    /// A write has returned.
    pub(crate) fn returned(
        &mut self,
        token: Token,
        ticket: Option<Ticket>,
        answer: Result<i64, i32>,
    ) {
        if answer == Err(Errno::ENOBUFS.0) {
            self.spent.insert(token);
        }
        if let Some(ticket) = ticket {
            self.strict.end_write(ticket, answer.map_err(Errno));
        }
    }

    /// The program knows of a result.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.strict.read(bytes);
    }

    /// The device is about to be closed.
    pub(crate) fn close(&mut self, book: &Book) {
        let closed = self.strict.close();
        let is_sure = !book.has_tainted() && self.unwatched.is_empty();
        assert!(closed.is_ok() || !is_sure, "{closed:?}");
    }
}
