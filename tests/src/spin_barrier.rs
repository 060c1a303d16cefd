//! Threads that do something at the same moment.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

use crate::wait::PATIENCE;

/// Where a number of threads wait for each other, time and again. They leave within nanoseconds of
/// each other if there is a processor for each: nobody has to be woken.
#[derive(Debug)]
pub struct SpinBarrier {
    parties: usize,
    came: AtomicUsize,
}

impl SpinBarrier {
    /// A barrier for so many threads.
    #[must_use]
    pub const fn of(parties: usize) -> Self {
        Self { parties, came: AtomicUsize::new(0) }
    }

    /// Waits until all are here.
    ///
    /// # Panics
    ///
    /// If somebody does not come within [`PATIENCE`].
    #[track_caller]
    pub fn meet(&self) {
        let before = self.came.fetch_add(1, SeqCst);
        let all = (before / self.parties + 1) * self.parties;
        let mut turns = 0_u32;
        let mut start = None;
        while self.came.load(SeqCst) < all {
            turns = turns.saturating_add(1);
            if turns < 2000 {
                std::hint::spin_loop();
                continue;
            }
            // There may be fewer processors than threads.
            thread::yield_now();
            let waited = start.get_or_insert_with(Instant::now).elapsed();
            assert!(waited < PATIENCE, "the others have not come within {PATIENCE:?}");
        }
    }
}
