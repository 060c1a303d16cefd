//! Counts, readable at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of what happened in an open lockspace since it was opened.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// let counters = lockspace.counters();
/// println!("{} of {} requests granted", counters.grants, counters.requests);
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize))]
#[non_exhaustive]
pub struct Counters {
    /// Lock requests that the kernel has accepted, adoptions of orphans among them.
    pub requests: u64,
    /// Conversions that it has accepted.
    pub conversions: u64,
    /// Unlocks that it has accepted, also those of dropped locks.
    pub unlocks: u64,
    /// Cancels that it has accepted.
    pub cancels: u64,
    /// Requests and conversions that were granted.
    pub grants: u64,
    /// Requests and conversions that ended otherwise.
    pub refusals: u64,
    /// Blocking notices.
    pub blocking_notices: u64,
    /// Results that belonged to no lock of this handle: late, forged, or those of another process
    /// that shares the device.
    pub dropped_results: u64,
    /// Callbacks that panicked in the delivery thread, and wakers and dropped values of users that
    /// panicked anywhere.
    pub callback_panics: u64,
}

/// One that is counted outside of the core.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) const fn of(counts: &dlm_core::Counts, callback_panics: u64) -> Self {
        Self {
            requests: counts.requests,
            conversions: counts.conversions,
            unlocks: counts.unlocks,
            cancels: counts.cancels,
            grants: counts.grants,
            refusals: counts.refusals,
            blocking_notices: counts.blocking_notices,
            dropped_results: counts.dropped_results,
            callback_panics,
        }
    }
}
