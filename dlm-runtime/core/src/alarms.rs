//! The alarms of the locks of a core.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::time::Duration;

use dlm_proto::Token;

/// A point in time: how long it is after some start, which the driver chooses once for a core.
pub type Time = Duration;

/// How long after a refusal the same request is written again, at first; doubled each time.
pub(crate) const FIRST_RETRY: Duration = Duration::from_millis(2);

/// The longest wait between two attempts.
pub(crate) const SLOWEST_RETRY: Duration = Duration::from_secs(1);

/// How long a conversion is written again that the kernel finds a lock too busy for.
pub(crate) const BUSY_PATIENCE: Duration = Duration::from_secs(10);

/// Alarms that are kept although they have no purpose any more, before they are cleared out.
const SLACK: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Deadline { serial: u64 },
    Retry,
}

type Alarm = (Time, u32, u32, Purpose);

/// The alarms, the next one first.
#[derive(Debug, Default)]
pub(crate) struct Alarms(BinaryHeap<Reverse<Alarm>>);

impl Alarms {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn set(&mut self, at: Time, token: Token, purpose: Purpose) {
        self.0.push(Reverse((at, token.index(), token.generation(), purpose)));
    }

    /// The time of the next one.
    #[inline]
    pub(crate) fn next(&self) -> Option<Time> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next one that is overdue at this time.
    pub(crate) fn pop_overdue(&mut self, now: Time) -> Option<(Token, Purpose)> {
        let &Reverse((_, index, generation, purpose)) =
            self.0.peek().filter(|Reverse((at, ..))| *at <= now)?;
        self.0.pop();
        Some((Token::new(index, generation), purpose))
    }

    /// Clears out those that have no purpose any more, if there may be many of these among the alarms of
    /// so many locks.
    pub(crate) fn tidy_up(&mut self, locks: usize, has_purpose: impl Fn(Token, Purpose) -> bool) {
        if self.len() > SLACK + 2 * locks {
            self.0.retain(|&Reverse((_, index, generation, purpose))| {
                has_purpose(Token::new(index, generation), purpose)
            });
        }
    }
}
