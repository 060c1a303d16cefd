//! Operations on a lock, how they end, and why one is refused.

use core::fmt;

use dlm_proto::{EncodeError, LockFlags, LockStatus, Mode, StatusFlags, ValueBlock};

/// The kind of an operation that the kernel completes with a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A new lock.
    Request,
    /// Another mode for a lock.
    Convert,
    /// The end of a lock.
    Unlock,
}

/// An operation that the kernel has not completed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its kind.
    pub kind: Kind,
    /// The mode that is asked for; of an unlock, the mode that was granted.
    pub mode: Mode,
    /// The flags that were sent.
    pub flags: LockFlags,
}

impl Operation {
    pub(crate) const fn contains(&self, flag: LockFlags) -> bool {
        self.flags.contains(flag)
    }
}

/// The lock value block as its reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lvb {
    /// The 32 bytes.
    pub block: ValueBlock,
    /// `false`: somebody who could have written the block died or gave it up as invalid. The bytes
    /// are the last that the kernel knows of; assume them stale and rebuild what they describe.
    pub valid: bool,
}

impl Lvb {
    /// A valid block.
    #[must_use]
    pub const fn new(block: ValueBlock) -> Self {
        Self { block, valid: true }
    }

    /// The block, if it can be relied on.
    ///
    /// ```
    /// use dlm_core::Lvb;
    /// use dlm_proto::ValueBlock;
    ///
    /// let block = ValueBlock([1; 32]);
    /// assert_eq!(Lvb::new(block).if_valid(), Some(block));
    /// assert_eq!(Lvb { block, valid: false }.if_valid(), None);
    /// ```
    #[must_use]
    pub fn if_valid(self) -> Option<ValueBlock> {
        self.valid.then_some(self.block)
    }
}

/// The transfer of the lock value block by an operation that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Moved {
    /// It left the block alone.
    #[default]
    Nothing,
    /// It fetched the block; [`Core::lvb`](crate::Core::lvb) has it.
    Read,
    /// It stored the block.
    Written,
}

/// The end of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The kernel's status. [`LockStatus::TimedOut`] in place of [`LockStatus::Cancelled`] if the
    /// core's own deadline has cancelled the operation.
    pub status: LockStatus,
    /// DEMOTED, ALTMODE, VALNOTVALID.
    pub flags: StatusFlags,
    /// The mode that the lock holds now; `None` if the lock is gone.
    pub mode: Option<Mode>,
    /// The transfer of the value block.
    pub moved: Moved,
}

/// The status that a cancelled operation ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelKind {
    /// [`LockStatus::Cancelled`].
    Plain,
    /// [`LockStatus::Deadlock`].
    Deadlock,
}

/// The effect of an unlock on the value block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnlockLvb {
    /// It leaves the block as it is.
    #[default]
    Keep,
    /// It stores this block.
    Write(ValueBlock),
    /// It marks the block invalid.
    Invalidate,
}

/// The reason why a call was refused before anything was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// The flags, the mode or the state of the lock make no sense together, or do harm; the reason.
    Illegal(&'static str),
    /// The lock is not held any more.
    LockGone,
    /// The lock has another operation in flight.
    InFlight,
    /// Nothing is in flight that could be cancelled, or one cancel was sent for it.
    NothingToCancel,
    /// There is no room for more locks in one open lockspace.
    TooManyLocks,
    /// The lockspace has ended.
    Ended,
    /// The request cannot be expressed in the kernel's records.
    Encode(EncodeError),
}

/// The reason why an operation that had begun has failed without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The kernel refused to take it: the error number (positive).
    Refused(i32),
    /// When its turn came it could not be done any more.
    Rejected(Rejected),
    /// It has not ended at its deadline.
    TimedOut,
    /// Another process that shares the device has read its result. The kernel has taken a
    /// conversion since then, so it has ended.
    Lost,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Illegal(reason) => f.write_str(reason),
            Self::LockGone => {
                f.write_str("the lock is gone: it was unlocked, or its request failed")
            }
            Self::InFlight => {
                f.write_str("the lock has another operation in flight: wait for it, or cancel it")
            }
            Self::NothingToCancel => f.write_str(
                "nothing to cancel: no operation is in flight, or it was cancelled already",
            ),
            Self::TooManyLocks => f.write_str("one open lockspace has no room for more locks"),
            Self::Ended => f.write_str("the lockspace has ended"),
            Self::Encode(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Rejected {}

impl From<EncodeError> for Rejected {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}
