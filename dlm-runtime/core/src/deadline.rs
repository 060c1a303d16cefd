//! Deadlines of operations, and when what was refused is tried again. Kernels since 6.2 have no
//! timeouts.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::time::Duration;

use dlm_proto::Token;

use crate::core::Core;

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
enum Purpose {
    Deadline { serial: u64 },
    Retry,
}

type Alarm = (Time, u32, u32, Purpose);

/// The alarms, the next one first.
#[derive(Debug, Default)]
pub(crate) struct Alarms(BinaryHeap<Reverse<Alarm>>);

#[cfg(test)]
impl Alarms {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Something that is overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// An operation has not ended at its deadline. [`Core::cancel`] it, read what there is to read,
    /// and then [`Core::give_up`].
    Deadline {
        /// The lock.
        token: Token,
        /// The number of the operation.
        serial: u64,
    },
    /// A request that was refused is to be written again: ask [`Core::follow`].
    Retry(Token),
}

impl<O, L: Default> Core<O, L> {
    /// Sets the deadline of an operation in flight.
    pub fn set_deadline(&mut self, at: Time, token: Token, serial: u64) {
        if self.alarms.0.len() > SLACK + 2 * self.table.len() {
            self.discard_alarms();
        }
        let alarm = (at, token.index(), token.generation(), Purpose::Deadline { serial });
        self.alarms.0.push(Reverse(alarm));
    }

    pub(crate) fn set_retry(&mut self, at: Time, token: Token) {
        self.alarms.0.push(Reverse((at, token.index(), token.generation(), Purpose::Retry)));
    }

    #[cold]
    fn discard_alarms(&mut self) {
        let Self { alarms, table, .. } = self;
        alarms.0.retain(|Reverse((_, index, generation, purpose))| {
            let entry = table.get(Token::new(*index, *generation));
            entry.is_some_and(|entry| match purpose {
                Purpose::Deadline { serial } => entry.is_in_flight(*serial),
                Purpose::Retry => true,
            })
        });
    }

    /// The time when [`Core::expired`] is worth a call.
    #[inline]
    #[must_use]
    pub fn next_alarm(&self) -> Option<Time> {
        self.alarms.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next thing that is overdue at this time. Call it until there is none.
    pub fn expired(&mut self, now: Time) -> Option<Expired> {
        loop {
            let &Reverse((at, index, generation, purpose)) = self.alarms.0.peek()?;
            if at > now {
                return None;
            }
            self.alarms.0.pop();
            let token = Token::new(index, generation);
            let Some(entry) = self.table.get_mut(token) else { continue };
            match purpose {
                Purpose::Deadline { serial } if entry.is_in_flight(serial) => {
                    return Some(Expired::Deadline { token, serial });
                }
                Purpose::Deadline { .. } => {}
                Purpose::Retry => {
                    entry.is_backing_off = false;
                    return Some(Expired::Retry(token));
                }
            }
        }
    }
}
