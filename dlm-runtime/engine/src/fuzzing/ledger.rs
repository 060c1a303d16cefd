//! The ledger of completions that are owed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec::Vec;

use dlm_proto::{LockId, LockStatus, StatusFlags};

/// A request or conversion that was taken, and whose completion is unread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// It waits for a conversion whose alternate mode is the one that its lock holds. Both kernels
    /// grant it twice if it gets that mode (hazard #alternate-granted-twice, see the [crate]).
    pub(super) holds_alternate: bool,
}

/// A lock that was made, and what it owes.
#[derive(Debug, Clone, Default)]
struct Entry {
    asked: VecDeque<Asked>,
    /// The last grant that was read comes a second time.
    repeats: bool,
    /// An unlock was taken whose completion is unread.
    ends: bool,
    /// It was an orphan, or its session is closed or purged: what comes is not known here.
    silent: bool,
    session: u8,
    id: LockId,
}

impl Entry {
    /// A completion was read: is it due?
    fn complete(&mut self, status: LockStatus, flags: StatusFlags) -> bool {
        let is_granted = status == LockStatus::Granted;
        if core::mem::take(&mut self.repeats) {
            return is_granted && flags.contains(StatusFlags::ALTMODE);
        }
        if status == LockStatus::Unlocked {
            // What the unlock overtook does not complete any more.
            self.asked.clear();
            return core::mem::take(&mut self.ends);
        }
        let Some(asked) = self.asked.pop_front() else { return false };
        // A lock that was demoted held NL.
        let keeps_mode = flags & (StatusFlags::ALTMODE | StatusFlags::DEMOTED);
        self.repeats = is_granted && asked.holds_alternate && keeps_mode == StatusFlags::ALTMODE;
        true
    }
}

/// All locks that were made, by what names them: ids while they live, parameter words for ever.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    by_id: BTreeMap<LockId, usize>,
    by_word: BTreeMap<u64, usize>,
}

impl Ledger {
    /// A request was taken: `id` is a new lock.
    pub(super) fn requested(&mut self, id: LockId, session: u8, word: u64) {
        self.by_id.insert(id, self.entries.len());
        self.by_word.insert(word, self.entries.len());
        let asked = VecDeque::from([Asked::default()]);
        self.entries.push(Entry { asked, session, id, ..Entry::default() });
    }

    /// A call named a lock with a new word, taken or not.
    pub(super) fn named(&mut self, id: LockId, word: u64) {
        if let Some(&entry) = self.by_id.get(&id) {
            self.by_word.insert(word, entry);
        }
    }

    fn entry(&mut self, id: LockId) -> Option<&mut Entry> {
        self.entries.get_mut(*self.by_id.get(&id)?)
    }

    pub(super) fn converted(&mut self, id: LockId, asked: Asked) {
        if let Some(entry) = self.entry(id) {
            entry.asked.push_back(asked);
        }
    }

    pub(super) fn unlocked(&mut self, id: LockId) {
        if let Some(entry) = self.entry(id) {
            entry.ends = true;
        }
    }

    pub(super) fn adopted(&mut self, id: LockId, session: u8, word: u64) {
        self.named(id, word);
        if let Some(entry) = self.entry(id) {
            *entry = Entry { session, id, silent: true, ..Entry::default() };
        }
    }

    /// The results of a session are gone, those that are to come included.
    pub(super) fn silence(&mut self, session: u8) {
        for entry in self.entries.iter_mut().filter(|entry| entry.session == session) {
            entry.silent = true;
        }
    }

    /// A completion was read.
    pub(super) fn completed(&mut self, word: u64, status: LockStatus, flags: StatusFlags) {
        let entry = self.by_word.get(&word).and_then(|&entry| self.entries.get_mut(entry));
        let Some(entry) = entry else { fail(&format!("{status:?} for the unknown word {word}")) };
        if !entry.silent {
            let before = entry.clone();
            let is_due = entry.complete(status, flags);
            assert!(is_due, "{status:?} with {flags:?} of {before:?} is not due");
        }
    }

    /// The locks that owe something although all results are read.
    pub(super) fn debtors(&self) -> impl Iterator<Item = LockId> {
        let owes = |entry: &&Entry| {
            let is_due = !entry.asked.is_empty() || entry.repeats || entry.ends;
            is_due && !entry.silent
        };
        self.entries.iter().filter(owes).map(|entry| entry.id)
    }
}

#[expect(clippy::panic, reason = "this is what a fuzz target is for")]
fn fail(what: &str) -> ! {
    panic!("{what}")
}
