//! An operation that has begun.

use dlm_core::{Queueing, Rejected, Submission};
use dlm_proto::Token;

/// An operation that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Begun {
    /// The lock.
    pub token: Token,
    /// The number of the operation, counted for each lock.
    pub serial: u64,
}

/// The outcome of a call of the core that begins an operation.
pub type Prepared = Result<(Begun, Queueing), Rejected>;

impl Begun {
    /// The operation that a call of the core has begun.
    #[must_use]
    pub const fn of(token: Token, queueing: Queueing, out: &Submission) -> Self {
        let serial = match queueing {
            Queueing::Write => out.ticket().serial,
            Queueing::Queued { serial } => serial,
        };
        Self { token, serial }
    }
}
