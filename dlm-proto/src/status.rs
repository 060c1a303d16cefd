//! The status of a completed operation.

use core::fmt;

/// The status of a completed operation: `sb_status` of the result.
///
/// The kernel queues no other values than these (read in 6.1 and 6.12); another number is kept as
/// it came.
///
/// ```
/// use dlm_proto::LockStatus;
///
/// assert_eq!(LockStatus::from_raw(-11), LockStatus::Again);
/// assert_eq!(LockStatus::from_raw(-5), LockStatus::Other(-5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockStatus {
    /// 0: the request or conversion is granted.
    Granted,
    /// -11 (EAGAIN): not grantable now, and NOQUEUE was given.
    Again,
    /// -35 (EDEADLK): a conversion deadlock, or the lock was chosen as a deadlock's victim.
    Deadlock,
    /// -0x10001 (ECANCEL): cancelled. A conversion leaves the lock at its granted mode.
    Cancelled,
    /// -0x10002 (EUNLOCK): unlocked; the lock is gone.
    Unlocked,
    /// -110 (ETIMEDOUT): a deadline has passed. Kernels before 6.2 have one of their own (TIMEOUT);
    /// a library that keeps deadlines may use the number for them, as dlm-runtime does.
    TimedOut,
    /// Any other number, in the kernel's sign.
    Other(i32),
}

impl LockStatus {
    /// The status for a number in the kernel's sign (0 or negative).
    #[inline]
    #[must_use]
    pub const fn from_raw(raw: i32) -> Self {
        match raw {
            0 => Self::Granted,
            -11 => Self::Again,
            -35 => Self::Deadlock,
            -0x10001 => Self::Cancelled,
            -0x10002 => Self::Unlocked,
            -110 => Self::TimedOut,
            other => Self::Other(other),
        }
    }

    /// The number in the kernel's sign. C libdlm shows its users the positive number.
    #[inline]
    #[must_use]
    pub const fn to_raw(self) -> i32 {
        match self {
            Self::Granted => 0,
            Self::Again => -11,
            Self::Deadlock => -35,
            Self::Cancelled => -0x10001,
            Self::Unlocked => -0x10002,
            Self::TimedOut => -110,
            Self::Other(raw) => raw,
        }
    }
}

impl fmt::Display for LockStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted => f.write_str("granted"),
            Self::Again => f.write_str("not available (EAGAIN)"),
            Self::Deadlock => f.write_str("deadlock (EDEADLK)"),
            Self::Cancelled => f.write_str("cancelled (ECANCEL)"),
            Self::Unlocked => f.write_str("unlocked (EUNLOCK)"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Other(raw) => write!(f, "unknown status {raw}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        for raw in [0, -11, -35, -0x10001, -0x10002, -110, 1, -1, i32::MIN, i32::MAX] {
            assert_eq!(LockStatus::from_raw(raw).to_raw(), raw);
        }
    }
}
