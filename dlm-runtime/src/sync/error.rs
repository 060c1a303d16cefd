//! The error of this module.

use std::fmt;

/// A failed operation of [`sync`](crate::sync).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A request, conversion or unlock has failed, or its deadline has passed.
    Lock(crate::Error),
    /// The caller's [`Record`](super::Record) has failed. Nothing is held.
    Record(std::io::Error),
    /// The value block of the resource is not what this primitive writes: another one, or another
    /// program, uses the name.
    OtherKind {
        /// What was to be found there.
        expected: &'static str,
    },
    /// The programs on this resource do not agree on a number that all must give alike.
    Mismatch {
        /// What the others say.
        theirs: u64,
        /// What this program says.
        ours: u64,
    },
    /// The value of this primitive was lost with a node that died, and cannot be found out.
    Lost,
    /// All places are taken.
    Full,
    /// The name of a member is longer than [`Presence::MAX_NAME`](super::Presence::MAX_NAME).
    NameTooLong,
    /// Another guard of this program still has the data. Its lock was lost with the lockspace.
    InUse,
    /// The number has no successor in 64 bits.
    Exhausted,
}

impl Error {
    /// Whether a deadline has passed.
    #[must_use]
    pub const fn is_timed_out(&self) -> bool {
        matches!(self, Self::Lock(error) if error.is_timed_out())
    }

    /// Whether the conversion would wait for a lock that waits for it.
    #[must_use]
    pub const fn is_deadlock(&self) -> bool {
        matches!(self, Self::Lock(error) if error.is_deadlock())
    }

    /// Whether the lockspace is not open any more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Lock(error) if error.is_closed())
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Lock(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(error) => write!(f, "{error}"),
            Self::Record(_) => f.write_str("the record of the last number cannot be used"),
            Self::OtherKind { expected } => write!(
                f,
                "the value block does not belong to a {expected} of this version: give each \
                 primitive a resource name of its own"
            ),
            Self::Mismatch { theirs, ours } => write!(
                f,
                "others use {theirs} here, this program {ours}: all programs must give the same \
                 number"
            ),
            Self::Lost => f.write_str(
                "the value was lost with a node that died: all must begin anew under another name, \
                 or after all have left",
            ),
            Self::Full => f.write_str("all places are taken: give all programs a larger capacity"),
            Self::NameTooLong => f.write_str("the name of the member is too long"),
            Self::InUse => f.write_str(
                "another guard of this program still has the data, and has lost its lock: drop it",
            ),
            Self::Exhausted => f.write_str("there is no number after the last one"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its text is shown above.
            Self::Lock(error) => error.source(),
            Self::Record(error) => Some(error),
            _ => None,
        }
    }
}
