//! Counts, readable at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often something happened in an open lockspace, since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// Callbacks that panicked in the delivery thread.
    pub callback_panics: u64,
}

/// One of them.
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

/// All of them, while they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: Count,
    pub(crate) conversions: Count,
    pub(crate) unlocks: Count,
    pub(crate) cancels: Count,
    pub(crate) grants: Count,
    pub(crate) refusals: Count,
    pub(crate) blocking_notices: Count,
    pub(crate) dropped_results: Count,
    pub(crate) callback_panics: Count,
}

impl Counts {
    pub(crate) fn get(&self) -> Counters {
        Counters {
            requests: self.requests.get(),
            conversions: self.conversions.get(),
            unlocks: self.unlocks.get(),
            cancels: self.cancels.get(),
            grants: self.grants.get(),
            refusals: self.refusals.get(),
            blocking_notices: self.blocking_notices.get(),
            dropped_results: self.dropped_results.get(),
            callback_panics: self.callback_panics.get(),
        }
    }
}
