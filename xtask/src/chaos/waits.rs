//! The waits of operations, and the part of each that a fault explains.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait that no fault explains. Locks are held for a fraction of a second, and a dozen wait
/// at most; a busy machine may need many times that.
pub(super) const QUIET_BOUND: Duration = Duration::from_secs(30);

/// All waits, beside the times in which something was wrong.
#[derive(Debug, Default)]
pub(super) struct Waits {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// From a fault until all nodes worked again; the last may not be over.
    faults: Vec<(Instant, Option<Instant>)>,
    longest: Duration,
    longest_quiet: Duration,
}

impl Waits {
    /// Something is wrong from now on.
    pub(super) fn fault_begins(&self, at: Instant) {
        self.lock().faults.push((at, None));
    }

    /// All is well again.
    pub(super) fn fault_ends(&self, at: Instant) {
        if let Some((_, end)) = self.lock().faults.last_mut() {
            *end = Some(at);
        }
    }

    /// Notes a wait, and tells whether it was longer than may be.
    pub(super) fn is_too_long(&self, from: Instant, until: Instant) -> bool {
        let mut state = self.lock();
        let whole = until.saturating_duration_since(from);
        let explained: Duration = state
            .faults
            .iter()
            .map(|(begin, end)| {
                let end = end.map_or(until, |end| end.min(until));
                end.saturating_duration_since((*begin).max(from))
            })
            .sum();
        let quiet = whole.saturating_sub(explained);
        state.longest = state.longest.max(whole);
        state.longest_quiet = state.longest_quiet.max(quiet);
        quiet > QUIET_BOUND
    }

    /// The longest of all waits, and the longest part of one that no fault explains.
    pub(super) fn longest(&self) -> (Duration, Duration) {
        let state = self.lock();
        (state.longest, state.longest_quiet)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_too_long_unless_a_fault_explains_it() {
        let waits = Waits::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!waits.is_too_long(at(0), at(30)));
        assert!(waits.is_too_long(at(0), at(31)));
        waits.fault_begins(at(100));
        // It is not over.
        assert!(!waits.is_too_long(at(95), at(150)));
        waits.fault_ends(at(120));
        assert!(!waits.is_too_long(at(95), at(145)));
        assert!(waits.is_too_long(at(95), at(150)));
        assert!(!waits.is_too_long(at(110), at(150)));
        assert!(waits.is_too_long(at(130), at(161)));
        // One that is over before the fault is not explained by it.
        assert!(waits.is_too_long(at(60), at(99)));
        assert_eq!(waits.longest(), (Duration::from_secs(55), Duration::from_secs(39)));
    }
}
