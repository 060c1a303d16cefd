//! The threads' belief about a resource, kept in memory beside the kernel's queues, and compared
//! with what the locks promise.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use dlm_runtime::{Lvb, Mode, ValueBlock};

/// One resource.
#[derive(Default)]
pub(crate) struct Resource {
    pub(crate) name: String,
    /// How many threads are inside, by mode.
    inside: [AtomicU32; 6],
    /// Counted as no atomic should be: read, wait, write. Only EX makes that right.
    plain: AtomicU64,
    /// The same, counted as it should be.
    sections: AtomicU64,
    /// The last sequence number that was given out for the value block, under PW or EX.
    issued: AtomicU64,
    /// The highest that is known to be stored: no valid block shows less.
    stored: AtomicU64,
    /// Valid blocks seen.
    pub(crate) reads: AtomicU64,
}

fn at(mode: Mode) -> usize {
    Mode::ALL.into_iter().position(|other| other == mode).unwrap()
}

impl Resource {
    pub(crate) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// A thread was granted this mode.
    pub(crate) fn enter(&self, mode: Mode) {
        self.inside[at(mode)].fetch_add(1, Ordering::SeqCst);
        let own = |other| u32::from(other == mode);
        for other in Mode::ALL.into_iter().filter(|&other| !other.is_compatible_with(mode)) {
            let inside = self.inside[at(other)].load(Ordering::SeqCst);
            assert!(
                inside <= own(other),
                "MUTUAL EXCLUSION VIOLATED on {}: {mode} was granted beside {inside} of {other}",
                self.name
            );
        }
    }

    /// It is about to give that up.
    pub(crate) fn leave(&self, mode: Mode) {
        let before = self.inside[at(mode)].fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "the test itself is wrong");
    }

    /// What only one thread may do at a time, under EX.
    pub(crate) fn section(&self, work: impl FnOnce()) {
        let before = self.plain.load(Ordering::Relaxed);
        work();
        self.plain.store(before + 1, Ordering::Relaxed);
        self.sections.fetch_add(1, Ordering::Relaxed);
    }

    /// How many sections there were, if none was lost.
    pub(crate) fn check_sections(&self) -> u64 {
        let (plain, sections) =
            (self.plain.load(Ordering::SeqCst), self.sections.load(Ordering::SeqCst));
        assert_eq!(plain, sections, "sections under EX overlapped on {}", self.name);
        for (mode, inside) in Mode::ALL.into_iter().zip(&self.inside) {
            assert_eq!(inside.load(Ordering::SeqCst), 0, "{mode} on {}", self.name);
        }
        sections
    }

    /// The next value block, to be written under PW or EX.
    pub(crate) fn issue(&self) -> (u64, ValueBlock) {
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let mut text = number.to_le_bytes().to_vec();
        text.extend((!number).to_le_bytes());
        (number, ValueBlock::from_prefix(&text).unwrap())
    }

    /// The block with this number is in the resource.
    pub(crate) fn note_stored(&self, number: u64) {
        self.stored.fetch_max(number, Ordering::SeqCst);
    }

    /// The least that a block must show that is fetched from now on.
    pub(crate) fn floor(&self) -> u64 {
        self.stored.load(Ordering::SeqCst)
    }

    /// Checks a block that came with a grant for which was asked when `floor` was the floor.
    pub(crate) fn check_block(&self, lvb: Option<Lvb>, floor: u64) {
        let lvb = lvb.unwrap_or_else(|| panic!("{}: no value block came with it", self.name));
        if !lvb.valid {
            return;
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let half =
            |from: usize| u64::from_le_bytes(lvb.block.0[from..from + 8].try_into().unwrap());
        let (number, check) = (half(0), half(8));
        // As it was before the first was written: all zeros.
        let is_fresh = lvb.block == ValueBlock::ZERO;
        assert!(is_fresh || check == !number, "TORN value block on {}: {:?}", self.name, lvb.block);
        let issued = self.issued.load(Ordering::SeqCst);
        assert!(
            (floor..=issued).contains(&number),
            "VALUE BLOCK WENT BACK on {}: {number}, but {floor} was stored before ({issued} issued)",
            self.name
        );
    }
}
