//! Who owes whom a completion.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dlm_proto::{LockId, LockStatus};

/// A lock that was made, and what it owes.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Requests and conversions that were taken and whose completions are unread.
    owes: u32,
    /// An unlock was taken whose completion is unread.
    ends: bool,
    /// It was an orphan, or its session is closed or purged: what comes is not known here.
    silent: bool,
    session: u8,
    id: LockId,
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
        self.entries.push(Entry { owes: 1, session, id, ..Entry::default() });
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

    pub(super) fn converted(&mut self, id: LockId) {
        if let Some(entry) = self.entry(id) {
            entry.owes += 1;
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
    pub(super) fn completed(&mut self, word: u64, status: LockStatus) {
        let entry = self.by_word.get(&word).and_then(|&entry| self.entries.get_mut(entry));
        let Some(entry) = entry else { panic_with(word, status) };
        if entry.silent {
            return;
        }
        let due = if status == LockStatus::Unlocked { entry.ends } else { entry.owes > 0 };
        assert!(due, "{status:?} of {entry:?} is not due");
        if status == LockStatus::Unlocked {
            // What the unlock overtook does not complete any more.
            (entry.owes, entry.ends) = (0, false);
        } else {
            entry.owes -= 1;
        }
    }

    /// The locks that owe something although all results are read.
    pub(super) fn debtors(&self) -> impl Iterator<Item = LockId> {
        let owes = |entry: &&Entry| (entry.owes > 0 || entry.ends) && !entry.silent;
        self.entries.iter().filter(owes).map(|entry| entry.id)
    }
}

#[expect(clippy::panic, reason = "this is what a fuzz target is for")]
fn panic_with(word: u64, status: LockStatus) -> ! {
    panic!("{status:?} for the unknown word {word}")
}
