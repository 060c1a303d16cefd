//! The tally of the rounds.

use crate::faults::Fault;
use std::collections::BTreeMap;
use std::fmt;

/// Counts of what happened.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rounds: u64,
    faults: BTreeMap<Fault, u64>,
    pub(crate) locks: u64,
    pub(crate) grants: u64,
    pub(crate) conversions: u64,
    pub(crate) deadlocks: u64,
    pub(crate) refused: u64,
    pub(crate) timed_out: u64,
    pub(crate) cancelled: u64,
    /// Operations of programs that ended.
    pub(crate) lost: u64,
    /// Grants with an invalid value block.
    pub(crate) invalid: u64,
    /// Values that were lost as the kernel is known to lose them.
    pub(crate) excused: u64,
    /// The longest wait that no fault explains, in microseconds.
    pub(crate) longest: u64,
}

impl Tally {
    pub(crate) fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        self.locks += other.locks;
        self.grants += other.grants;
        self.conversions += other.conversions;
        self.deadlocks += other.deadlocks;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.cancelled += other.cancelled;
        self.lost += other.lost;
        self.invalid += other.invalid;
        self.excused += other.excused;
        self.longest = self.longest.max(other.longest);
    }

    /// Whether each fault has happened, and each way in which an operation can end.
    pub(crate) fn is_complete(&self) -> bool {
        let ends = [
            self.grants,
            self.conversions,
            self.deadlocks,
            self.refused,
            self.timed_out,
            self.cancelled,
            self.lost,
            self.invalid,
        ];
        self.faults.len() == crate::faults::FAULTS.len() && ends.iter().all(|count| *count > 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, count) in &self.faults {
            writeln!(f, "{fault:34}{count:>10}")?;
        }
        for (what, count) in [
            ("locks asked for", self.locks),
            ("grants", self.grants),
            ("with an invalid value block", self.invalid),
            ("values lost as by a kernel", self.excused),
            ("conversions", self.conversions),
            ("conversions that ended a deadlock", self.deadlocks),
            ("refused", self.refused),
            ("timed out", self.timed_out),
            ("cancelled", self.cancelled),
            ("lost with their programs", self.lost),
        ] {
            writeln!(f, "{what:34}{count:>10}")?;
        }
        let longest = self.longest / 1000;
        writeln!(f, "{:34}{longest:>10} ms", "longest wait without a fault")
    }
}
