//! Deadlines of operations that end in an AST. Kernels since 6.2 ignore LKF_TIMEOUT.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dlm_proto::Token;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::session::Session;
use crate::sync::{Mutex, lock};

/// When, the lock's slot and generation, and which of its operations.
type Due = Reverse<(Instant, u32, u32, u64)>;

/// The deadlines, and a timer for the first of them.
#[derive(Debug)]
pub(crate) struct Deadlines {
    heap: Mutex<BinaryHeap<Due>>,
    count: AtomicUsize,
    timer: TimerFd,
}

impl Deadlines {
    pub(crate) fn new() -> nix::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self { heap: Mutex::default(), count: AtomicUsize::new(0), timer })
    }

    /// Readable when a deadline has passed.
    pub(crate) fn source(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    fn arm(&self, heap: &BinaryHeap<Due>) -> nix::Result<()> {
        self.count.store(heap.len(), Ordering::Release);
        let Some(Reverse((at, ..))) = heap.peek() else { return self.timer.unset() };
        // Zero would disarm it.
        let left = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
        self.timer.set(expiration, TimerSetTimeFlags::empty())
    }
}

impl Session {
    /// Cancels an operation of a lock when the time has come, if it is still in flight.
    pub(crate) fn set_deadline(&self, at: Instant, token: Token, serial: u64) -> nix::Result<()> {
        let mut heap = lock(&self.deadlines.heap);
        if heap.len() > 2 * self.expected.load(Ordering::Acquire) + 64 {
            let mut table = lock(&self.table);
            heap.retain(|Reverse((_, index, generation, serial))| {
                let record = table.get(Token::new(*index, *generation));
                record.is_some_and(|record| record.serial == *serial && record.op.is_some())
            });
        }
        heap.push(Reverse((at, token.index(), token.generation(), serial)));
        self.deadlines.arm(&heap)
    }

    /// Cancels what is overdue.
    pub(crate) fn enforce_deadlines(&self) -> nix::Result<()> {
        if self.deadlines.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut overdue = Vec::new();
        {
            let mut heap = lock(&self.deadlines.heap);
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
            self.deadlines.arm(&heap)?;
        }
        for (token, serial) in overdue {
            self.time_out(token, serial);
        }
        Ok(())
    }
}
