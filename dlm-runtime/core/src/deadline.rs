//! Deadlines of operations, and when what was refused is tried again. Kernels since 6.2 have no
//! timeouts.

use dlm_proto::Token;

use crate::alarms::{Purpose, Time};
use crate::core::Core;

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
        let Self { alarms, table, .. } = self;
        alarms.tidy_up(table.len(), |token, purpose| {
            table.get(token).is_some_and(|entry| match purpose {
                Purpose::Deadline { serial } => entry.is_in_flight(serial),
                Purpose::Retry => true,
            })
        });
        alarms.set(at, token, Purpose::Deadline { serial });
    }

    /// The time when [`Core::expired`] is worth a call.
    #[inline]
    #[must_use]
    pub fn next_alarm(&self) -> Option<Time> {
        self.alarms.next()
    }

    /// The next thing that is overdue at this time. Call it until there is none.
    pub fn expired(&mut self, now: Time) -> Option<Expired> {
        loop {
            let (token, purpose) = self.alarms.pop_overdue(now)?;
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
