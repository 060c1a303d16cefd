//! The arguments of callbacks.

use std::sync::Arc;

use dlm_core::Lvb;
use dlm_proto::{LockStatus, Mode, StatusFlags, ValueBlock};

/// The argument of a completion callback (completion AST): the end of an operation.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
///
/// let lock = lockspace.lock("disk0", Mode::Ex).with_lvb().start(|completion| {
///     if completion.is_granted() {
///         println!("granted, with {:?}", completion.valid_lvb());
///     }
/// })?;
/// # drop(lock);
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// Its status.
    pub status: LockStatus,
    /// DEMOTED, ALTMODE, VALNOTVALID.
    pub flags: StatusFlags,
    /// The mode that the lock holds now, or `None` if there is no lock (any more).
    pub mode: Option<Mode>,
    /// The lock value block, if this operation read or wrote it.
    pub lvb: Option<Lvb>,
}

impl Completion {
    /// One without a value block and flags.
    #[inline]
    pub(crate) const fn plain(status: LockStatus, mode: Option<Mode>) -> Self {
        Self { status, flags: StatusFlags::empty(), mode, lvb: None }
    }

    /// Whether the request or conversion was granted.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.status == LockStatus::Granted
    }

    /// The lock value block, if this operation read or wrote it and it can be relied on. A block
    /// that is there but invalid is in [`lvb`](Self::lvb) only.
    #[must_use]
    pub fn valid_lvb(&self) -> Option<ValueBlock> {
        self.lvb.and_then(Lvb::if_valid)
    }
}

/// The argument of a blocking callback (blocking AST): somebody waits for this lock.
///
/// It is a hint that comes at most once per grant and mode. A holder that cannot give way now
/// should remember it.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
///
/// let request = lockspace.lock("disk0", Mode::Ex);
/// let lock = request.on_blocking(|blocking| println!("somebody wants {}", blocking.mode)).wait()?;
/// # drop(lock);
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocking {
    /// The mode that the other lock waits for.
    pub mode: Mode,
    /// The number of the grant that it is about. The notice is late, and for a lock that has been
    /// granted anew since, if [`Lock::grant`](crate::Lock::grant) is another one.
    pub grant: u64,
}

/// The callback for the completions of many operations. It is told the tag that each of them was
/// given.
///
/// It is made once and shared: unlike a callback of its own for each operation it allocates nothing
/// when an operation starts. See [`LockRequest::start_with`](crate::LockRequest::start_with).
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::{CompletionHandler, Mode};
/// use std::sync::Arc;
///
/// let handler: CompletionHandler = Arc::new(|tag, completion| println!("{tag}: {}", completion.status));
/// let first = lockspace.lock("disk0", Mode::Ex).start_with(&handler, 0)?;
/// let second = lockspace.lock("disk1", Mode::Ex).start_with(&handler, 1)?;
/// # drop((first, second));
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
pub type CompletionHandler = Arc<dyn Fn(u64, Completion) + Send + Sync>;

/// The callback of one operation.
pub(crate) enum CompletionCallback {
    Once(Box<dyn FnOnce(Completion) + Send>),
    Shared(CompletionHandler, u64),
}

impl CompletionCallback {
    #[inline]
    pub(crate) fn run(self, completion: Completion) {
        match self {
            Self::Once(callback) => callback(completion),
            Self::Shared(handler, tag) => handler(tag, completion),
        }
    }
}
