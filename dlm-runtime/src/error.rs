//! Errors: the operation that failed, and the reason.

use std::fmt;

use dlm_proto::{EncodeError, LockStatus, NameError};

mod io;
mod predicates;

/// The operation that failed.
///
/// ```no_run
/// use dlm_runtime::{Lockspace, Operation};
///
/// let error = Lockspace::open("a/b").unwrap_err();
/// assert_eq!(error.operation, Operation::Open);
/// ```
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
    /// Start a cache of locks.
    StartCache,
    /// Acquire a cached lock.
    Acquire,
    /// Close a cache of locks.
    CloseCache,
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
            Self::StartCache => "start cache",
            Self::Acquire => "acquire cached lock",
            Self::CloseCache => "close cache",
        })
    }
}

/// The reason why an operation failed.
///
/// ```no_run
/// use dlm_runtime::{ErrorKind, Lockspace};
///
/// match Lockspace::open("a/b").unwrap_err().kind {
///     ErrorKind::Name(rule) => println!("{rule}"),
///     other => println!("{other}"),
/// }
/// ```
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
    #[non_exhaustive]
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
    /// A deadline of this library has passed; what did not come in time.
    TimedOut(&'static str),
    /// The lockspace has a delivery thread already.
    HasThread,
    /// The operating system refused something that is no DLM device: an event descriptor, a thread.
    System(std::io::Error),
}

/// A failed operation: which one, why, and what may help.
///
/// All of that is in its text, which `{}` and `{:?}` show, so that a `main` that returns it tells the
/// remedy; `{:#?}` shows the fields. It has no [`source`](std::error::Error::source): what prints a
/// chain of errors says nothing twice. A program decides by its predicates, such as
/// [`is_timed_out`](Self::is_timed_out), or by [`kind`](Self::kind).
///
/// ```
/// # fn main() -> Result<(), dlm_runtime::Error> {
/// # #[cfg(feature = "engine")] {
/// use dlm_runtime::engine::ClusterOptions;
/// use dlm_runtime::{Lockspace, Mode};
///
/// let cluster = ClusterOptions::new().start();
/// let lockspace = Lockspace::create_on(cluster.node(1), "example")?;
/// let held = lockspace.lock("disk0", Mode::Ex).wait()?;
/// let error = lockspace.lock("disk0", Mode::Pr).no_queue().wait().unwrap_err();
/// assert!(error.would_block());
/// assert_eq!(format!("{error:?}"), "lock: not available (EAGAIN)");
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::WouldBlock);
/// # drop(held);
/// # }
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
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
}

impl ErrorKind {
    /// The same once more, for somebody else whom it concerns.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Device(error) => Self::Device(*error),
            Self::Name(error) => Self::Name(*error),
            Self::Encode(error) => Self::Encode(*error),
            Self::Illegal(reason) => Self::Illegal(reason),
            Self::Status(status) => Self::Status(*status),
            Self::LockGone => Self::LockGone,
            Self::InFlight => Self::InFlight,
            Self::NothingToCancel => Self::NothingToCancel,
            Self::NoOrphan { other_mode } => Self::NoOrphan { other_mode: *other_mode },
            Self::TooManyLocks => Self::TooManyLocks,
            Self::Closed => Self::Closed,
            Self::Removed => Self::Removed,
            Self::Forked => Self::Forked,
            Self::TimedOut(what) => Self::TimedOut(what),
            Self::HasThread => Self::HasThread,
            Self::System(error) => {
                // The number is kept where there is one, and otherwise the text.
                Self::System(match error.raw_os_error() {
                    Some(number) => std::io::Error::from_raw_os_error(number),
                    None => std::io::Error::new(error.kind(), error.to_string()),
                })
            }
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

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            let mut fields = f.debug_struct("Error");
            return fields.field("operation", &self.operation).field("kind", &self.kind).finish();
        }
        write!(f, "{self}")
    }
}

impl std::error::Error for Error {}
