//! Errors: the operation that failed, and the reason.

use std::fmt;

use dlm_proto::{EncodeError, LockStatus, NameError};

use crate::lock::Lock;

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Create a lockspace.
    Create,
    /// Open a lockspace.
    Open,
    /// Close a lockspace.
    Close,
    /// Release a lockspace.
    Release,
    /// Request a lock.
    Lock,
    /// Convert a lock.
    Convert,
    /// Unlock.
    Unlock,
    /// Cancel a request or conversion.
    Cancel,
    /// Adopt an orphan.
    Adopt,
    /// Make a lock persistent.
    Persist,
    /// Remove orphans.
    Purge,
    /// Read results and run callbacks.
    Dispatch,
    /// Start the delivery thread.
    StartThread,
    /// Stop the delivery thread.
    StopThread,
    /// Wait for a blocking notice.
    AwaitNotice,
    /// Wait until dropped locks are gone.
    FlushDrops,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create lockspace",
            Self::Open => "open lockspace",
            Self::Close => "close lockspace",
            Self::Release => "release lockspace",
            Self::Lock => "lock",
            Self::Convert => "convert",
            Self::Unlock => "unlock",
            Self::Cancel => "cancel",
            Self::Adopt => "adopt orphan",
            Self::Persist => "make persistent",
            Self::Purge => "purge orphans",
            Self::Dispatch => "dispatch",
            Self::StartThread => "start delivery thread",
            Self::StopThread => "stop delivery thread",
            Self::AwaitNotice => "wait for a blocking notice",
            Self::FlushDrops => "wait for dropped locks",
        })
    }
}

/// The reason why an operation failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A call on the device failed.
    Device(dlm_sys::Error),
    /// The name breaks the rules.
    Name(NameError),
    /// The request cannot be expressed in the kernel's records.
    Encode(EncodeError),
    /// The combination of flags, mode or lock state makes no sense or does harm; the reason.
    Illegal(&'static str),
    /// The kernel completed the operation with a status other than success.
    Status(LockStatus),
    /// The lock is not held any more: it was unlocked, or its request failed.
    LockGone,
    /// The lock has another operation in flight; wait for it, or cancel it.
    InFlight,
    /// No operation that could be cancelled is in flight, or one cancel was sent already.
    NothingToCancel,
    /// This node has no orphan of that name that holds that mode.
    NoOrphan {
        /// It has one of that name in another mode.
        other_mode: bool,
    },
    /// No room for more locks in one open lockspace.
    TooManyLocks,
    /// The lockspace was closed by this program.
    Closed,
    /// The lockspace was removed by somebody else. Its locks protect nothing any more.
    Removed,
    /// The handle was inherited by a fork. Open the lockspace again in the child.
    Forked,
    /// Time ran out; what it ran out on.
    TimedOut(&'static str),
    /// The lockspace has a delivery thread already.
    HasThread,
    /// The operating system refused something that is no DLM device: an event descriptor, a thread.
    System(std::io::Error),
}

/// A failed operation: which one, and why.
#[derive(Debug)]
pub struct Error {
    /// The call that was attempted.
    pub operation: Operation,
    /// The reason why it failed.
    pub kind: ErrorKind,
}

impl Error {
    pub(crate) fn new(operation: Operation, kind: impl Into<ErrorKind>) -> Self {
        Self { operation, kind: kind.into() }
    }

    /// The status with which the kernel completed the operation, if that is what failed.
    #[must_use]
    pub const fn status(&self) -> Option<LockStatus> {
        match self.kind {
            ErrorKind::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Whether there is no such lockspace on this node.
    #[must_use]
    pub fn is_no_lockspace(&self) -> bool {
        use dlm_sys::{Call, Cause, Errno};
        match &self.kind {
            ErrorKind::Device(error) => match error.cause {
                Cause::NoLockspace => true,
                Cause::Os(errno) => {
                    error.call == Call::OpenLockspace
                        && [Errno::ENOENT, Errno::ENODEV].contains(&errno)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether a NOQUEUE request or conversion found the resource taken.
    #[must_use]
    pub const fn would_block(&self) -> bool {
        matches!(self.kind, ErrorKind::Status(LockStatus::Again))
    }

    /// Whether time ran out: the deadline of a request or conversion has passed, or something else
    /// that is awaited did not come in time.
    ///
    /// ```no_run
    /// use dlm_runtime::{Lockspace, Mode};
    /// use std::time::Duration;
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// match lockspace.lock("disk0", Mode::Ex).timeout(Duration::from_secs(5)).wait() {
    ///     Ok(lock) => lock.unlock().wait()?,
    ///     Err(error) if error.is_timed_out() => println!("somebody else keeps it"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    #[must_use]
    pub const fn is_timed_out(&self) -> bool {
        use dlm_sys::{Cause, Error};
        matches!(
            self.kind,
            ErrorKind::TimedOut(_)
                | ErrorKind::Status(LockStatus::TimedOut)
                | ErrorKind::Device(Error { cause: Cause::Held(_), .. })
        )
    }

    /// Whether the request or conversion was cancelled, by this program.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self.kind, ErrorKind::Status(LockStatus::Cancelled))
    }

    /// Whether the conversion would wait for a lock that waits for it, or the request or conversion
    /// was chosen to end a deadlock.
    #[must_use]
    pub const fn is_deadlock(&self) -> bool {
        matches!(self.kind, ErrorKind::Status(LockStatus::Deadlock))
    }

    /// Whether the lockspace is not open any more: closed by this program, or removed under it.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.kind, ErrorKind::Closed | ErrorKind::Removed)
    }

    /// Whether this node has no orphan such as was to be adopted.
    #[must_use]
    pub const fn is_no_orphan(&self) -> bool {
        matches!(self.kind, ErrorKind::NoOrphan { .. })
    }

    /// The error number that C libdlm would have set, where there is one.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.kind {
            // What opening the node of a lockspace that is not there answers.
            ErrorKind::Device(dlm_sys::Error { cause: dlm_sys::Cause::NoLockspace, .. }) => {
                Some(dlm_sys::Errno::ENOENT.raw())
            }
            ErrorKind::Device(error) => error.errno().map(dlm_sys::Errno::raw),
            ErrorKind::Status(status) => Some(status.to_raw().saturating_neg()),
            ErrorKind::System(error) => error.raw_os_error(),
            _ => None,
        }
    }
}

impl From<dlm_sys::Error> for ErrorKind {
    fn from(error: dlm_sys::Error) -> Self {
        Self::Device(error)
    }
}

impl From<NameError> for ErrorKind {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<EncodeError> for ErrorKind {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<std::io::Error> for ErrorKind {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

impl From<nix::errno::Errno> for ErrorKind {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::System(errno.into())
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Name(error) => write!(f, "{error}"),
            Self::Encode(error) => write!(f, "{error}"),
            Self::Illegal(reason) => f.write_str(reason),
            Self::Status(status) => write!(f, "{status}"),
            Self::LockGone => {
                f.write_str("the lock is gone: it was unlocked, or its request failed")
            }
            Self::InFlight => {
                f.write_str("the lock has another operation in flight: wait for it, or cancel it")
            }
            Self::NothingToCancel => f.write_str(
                "nothing to cancel: no operation is in flight, or it was cancelled already",
            ),
            Self::NoOrphan { other_mode: false } => {
                f.write_str("this node has no orphan of that name")
            }
            Self::NoOrphan { other_mode: true } => {
                f.write_str("the orphan of that name holds another mode")
            }
            Self::TooManyLocks => f.write_str("one open lockspace has no room for more locks"),
            Self::Closed => f.write_str("the lockspace was closed by this program"),
            Self::Removed => f.write_str("the lockspace was removed from this node"),
            Self::Forked => f.write_str(
                "the handle was inherited by a fork: open the lockspace again in the child",
            ),
            Self::TimedOut(what) => write!(f, "time ran out: {what}"),
            Self::HasThread => f.write_str("the lockspace has a delivery thread already"),
            Self::System(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Device(error) => Some(error),
            ErrorKind::Name(error) => Some(error),
            ErrorKind::Encode(error) => Some(error),
            ErrorKind::System(error) => Some(error),
            _ => None,
        }
    }
}

/// A failed unlock, with the lock that is still there.
///
/// Converting it to an [`Error`] (as `?` does) drops the lock, which unlocks it by force.
#[derive(Debug)]
pub struct UnlockError {
    /// The error.
    pub error: Error,
    /// The lock.
    pub lock: Lock,
}

impl fmt::Display for UnlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl std::error::Error for UnlockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<UnlockError> for Error {
    fn from(failed: UnlockError) -> Self {
        failed.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dlm_sys::{Call, Cause, Errno};

    fn status(status: LockStatus) -> Error {
        Error::new(Operation::Lock, ErrorKind::Status(status))
    }

    #[test]
    fn errors_can_be_told_apart_without_a_match() {
        let ways: [fn(&Error) -> bool; 6] = [
            Error::would_block,
            Error::is_timed_out,
            Error::is_cancelled,
            Error::is_deadlock,
            Error::is_closed,
            Error::is_no_orphan,
        ];
        let which = |error: &Error| ways.map(|is| is(error)).iter().position(|&is| is);
        let of = |kind: ErrorKind| Error::new(Operation::Lock, kind);
        for (error, wanted) in [
            (status(LockStatus::Again), Some(0)),
            (of(ErrorKind::TimedOut("x")), Some(1)),
            (status(LockStatus::TimedOut), Some(1)),
            (status(LockStatus::Cancelled), Some(2)),
            (status(LockStatus::Deadlock), Some(3)),
            (of(ErrorKind::Closed), Some(4)),
            (of(ErrorKind::Removed), Some(4)),
            (of(ErrorKind::NoOrphan { other_mode: true }), Some(5)),
            (of(ErrorKind::InFlight), None),
        ] {
            assert_eq!(which(&error), wanted, "{error}");
            assert!(ways.iter().filter(|is| is(&error)).count() <= 1, "{error}");
        }
    }

    #[test]
    fn a_lockspace_that_is_not_there_has_the_number_that_c_has() {
        let call = Call::OpenLockspace;
        for cause in [Cause::NoLockspace, Cause::Os(Errno::ENOENT)] {
            let error = Error::new(Operation::Open, dlm_sys::Error::new(call, cause));
            assert_eq!(error.raw_os_error(), Some(Errno::ENOENT.raw()));
            assert!(error.is_no_lockspace());
        }
        let error = Error::new(Operation::Open, dlm_sys::Error::new(call, Cause::WrongDevice));
        assert_eq!(error.raw_os_error(), None);
        assert_eq!(status(LockStatus::Again).raw_os_error(), Some(Errno::EAGAIN.raw()));
    }
}
