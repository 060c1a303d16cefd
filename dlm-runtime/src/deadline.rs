//! Deadlines of operations that end in a callback. Kernels since 6.2 have no timeouts, so an
//! operation that takes too long is cancelled from here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use dlm_proto::Token;

use crate::shared::Shared;
use crate::signal::{AsFd, Source, Timer};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock, now};

/// Which operation is due: when, the lock's slot and generation, and which of its operations.
type Due = Reverse<(Instant, u32, u32, u64)>;

/// Entries that are kept although their operation has ended, before they are cleared out.
const SLACK: usize = 64;

/// The deadlines, and a timer for the first of them.
pub(crate) struct Deadlines {
    heap: Mutex<BinaryHeap<Due>>,
    count: AtomicUsize,
    timer: Timer,
}

impl Deadlines {
    pub(crate) fn new() -> nix::Result<Self> {
        Ok(Self { heap: Mutex::default(), count: AtomicUsize::new(0), timer: Timer::new()? })
    }

    /// Readable when a deadline has passed.
    pub(crate) fn source(&self) -> Source<'_> {
        self.timer.as_fd()
    }

    fn arm(&self, next: Option<&Due>) -> nix::Result<()> {
        self.timer.set(next.map(|Reverse((at, ..))| *at))
    }
}

impl Shared {
    /// Cancels an operation of a lock when the time has come, if it is still in flight.
    pub(crate) fn set_deadline(&self, at: Instant, token: Token, serial: u64) -> nix::Result<()> {
        let deadlines = &self.deadlines;
        let mut heap = lock(&deadlines.heap);
        if heap.len() > SLACK + 2 * self.expected.load(Ordering::Acquire) {
            let mut table = lock(&self.table);
            heap.retain(|Reverse((_, index, generation, serial))| {
                let token = Token::new(*index, *generation);
                table.get_mut(token).is_some_and(|entry| entry.is_in_flight(*serial))
            });
        }
        heap.push(Reverse((at, token.index(), token.generation(), serial)));
        deadlines.count.store(heap.len(), Ordering::Release);
        deadlines.arm(heap.peek())
    }

    /// Cancels what is overdue.
    pub(crate) fn enforce_deadlines(&self) -> nix::Result<()> {
        let deadlines = &self.deadlines;
        if deadlines.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let now = now();
        let mut overdue = Vec::new();
        {
            let mut heap = lock(&deadlines.heap);
            while let Some(&Reverse((at, index, generation, serial))) = heap.peek() {
                if at > now {
                    break;
                }
                heap.pop();
                overdue.push((Token::new(index, generation), serial));
            }
            if overdue.is_empty() {
                return Ok(());
            }
            deadlines.count.store(heap.len(), Ordering::Release);
            deadlines.arm(heap.peek())?;
        }
        for (token, serial) in overdue {
            self.defer(move |shared| shared.cancel_operation(token, serial, true));
        }
        Ok(())
    }
}
