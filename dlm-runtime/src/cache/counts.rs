//! What a cache counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::cause::Cause;
use super::level::Level;
use crate::counters::Count;

/// Counts of what happened in a [`LockCache`](super::LockCache) since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheCounters {
    /// Acquisitions that found the lock there, and nobody in the way.
    pub hits: u64,
    /// Grants of a lock that was not there, or only in NL.
    pub grants: u64,
    /// Conversions from PR to EX that were granted.
    pub upgrades: u64,
    /// Conversions from PR to EX that met another one, and gave way.
    pub deadlocks: u64,
    /// Locks that gave way because somebody else waited for them.
    pub demotions_wanted: u64,
    /// Locks that were given back because nobody used them: idle, over the capacity, or by
    /// [`shrink`](super::LockCache::shrink).
    pub demotions_unused: u64,
    /// Locks that gave way for any other cause.
    pub demotions_other: u64,
    /// Calls of [`on_demote`](super::Hooks::on_demote) that have failed, and were made again.
    pub failed_demotions: u64,
    /// Calls of [`on_acquire`](super::Hooks::on_acquire) that have failed.
    pub failed_loads: u64,
    /// Blocking notices of a grant that the cache had.
    pub notices: u64,
    /// Blocking notices that came when the lock had given way already.
    pub late_notices: u64,
    /// The time that locks were held in PR or EX, of those that gave way since.
    pub held: Duration,
    /// The longest of these.
    pub longest_held: Duration,
    /// How many of these there were.
    pub holds: u64,
    /// The locks that the cache has now.
    pub locks: usize,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    forgotten_hits: AtomicU64,
    grants: Count,
    upgrades: Count,
    pub(super) deadlocks: Count,
    wanted: Count,
    unused: Count,
    other: Count,
    pub(super) failed_demotions: Count,
    pub(super) failed_loads: Count,
    notices: Count,
    late_notices: Count,
    held_nanos: AtomicU64,
    longest_nanos: AtomicU64,
    holds: Count,
}

impl Counts {
    pub(super) fn note_forgotten(&self, hits: u64) {
        self.forgotten_hits.fetch_add(hits, Ordering::Relaxed);
    }

    pub(super) fn note_grant(&self, from: Level, to: Level) {
        match (from, to) {
            (Level::Shared, Level::Exclusive) => self.upgrades.add(),
            _ => self.grants.add(),
        }
    }

    pub(super) fn note_demotion(&self, cause: Cause) {
        match cause {
            Cause::Wanted(_) => self.wanted.add(),
            Cause::Idle | Cause::Capacity | Cause::Shrink => self.unused.add(),
            Cause::Deadlock | Cause::Closed | Cause::NotLoaded | Cause::Lost => self.other.add(),
        }
    }

    pub(super) fn note_notice(&self, is_current: bool) {
        if is_current { self.notices.add() } else { self.late_notices.add() }
    }

    pub(super) fn note_hold(&self, held: Duration) {
        let nanos = u64::try_from(held.as_nanos()).unwrap_or(u64::MAX);
        self.held_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.longest_nanos.fetch_max(nanos, Ordering::Relaxed);
        self.holds.add();
    }

    /// The counts, with the hits of the resources that are known.
    pub(super) fn read(&self, hits: u64, locks: usize) -> CacheCounters {
        let nanos = |count: &AtomicU64| Duration::from_nanos(count.load(Ordering::Relaxed));
        CacheCounters {
            hits: hits.wrapping_add(self.forgotten_hits.load(Ordering::Relaxed)),
            grants: self.grants.get(),
            upgrades: self.upgrades.get(),
            deadlocks: self.deadlocks.get(),
            demotions_wanted: self.wanted.get(),
            demotions_unused: self.unused.get(),
            demotions_other: self.other.get(),
            failed_demotions: self.failed_demotions.get(),
            failed_loads: self.failed_loads.get(),
            notices: self.notices.get(),
            late_notices: self.late_notices.get(),
            held: nanos(&self.held_nanos),
            longest_held: nanos(&self.longest_nanos),
            holds: self.holds.get(),
            locks,
        }
    }
}
