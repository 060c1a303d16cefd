//! Unlocks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_core::{UnlockLvb, Unlocking};
use dlm_proto::ValueBlock;

use crate::driver::{Begun, Notify, Rest, call};
use crate::error::{Error, ErrorKind, Operation};
use crate::event::{Completion, CompletionCallback, CompletionHandler};
use crate::lock::Lock;
use crate::native::Native;
use crate::poll::Tried;
use crate::threads::deadline_after;

/// An unlock in the making, from [`Lock::unlock`].
///
/// Without more, the lock value block stays as it is.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::{Mode, ValueBlock};
///
/// let lock = lockspace.lock("disk0", Mode::Ex).with_lvb().wait()?;
/// lock.unlock().write_lvb(ValueBlock([7; 32])).wait()?;
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is only dropped unless wait() or start() is called"]
pub struct UnlockRequest {
    lock: Lock,
    lvb: UnlockLvb,
    deadline: Option<Instant>,
}

impl Lock {
    /// The unlock of the lock: [`wait`](UnlockRequest::wait), [`start`](UnlockRequest::start) or
    /// `.await` does it, and it can write the lock value block before. If the request is dropped, so
    /// is the lock.
    ///
    /// ```no_run
    /// # let lockspace = dlm_runtime::Lockspace::open("example")?;
    /// let lock = lockspace.lock("disk0", dlm_runtime::Mode::Ex).wait()?;
    /// lock.unlock().wait()?;
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    #[inline]
    pub fn unlock(self) -> UnlockRequest {
        UnlockRequest { lock: self, lvb: UnlockLvb::Keep, deadline: None }
    }
}

impl UnlockRequest {
    /// Stores this lock value block in the resource. The lock must hold PW or EX, and must have
    /// been requested or converted with its value block: the kernel writes none otherwise.
    pub fn write_lvb(mut self, block: ValueBlock) -> Self {
        self.lvb = UnlockLvb::Write(block);
        self
    }

    /// Marks the resource's lock value block invalid. The lock must hold PW or EX.
    pub fn invalidate_lvb(mut self) -> Self {
        self.lvb = UnlockLvb::Invalidate;
        self
    }

    /// Waits no longer than until this time. The unlock goes on by itself after that, as the kernel
    /// has accepted it.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Waits no longer than this; see [`deadline`](Self::deadline).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = deadline_after(timeout);
        self
    }

    /// Unlocks and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`UnlockError`] with the lock: an operation is in flight, the value block cannot be written
    /// from this mode, or the kernel refused. With [`ErrorKind::TimedOut`] the kernel has accepted
    /// the unlock, and the lock that comes with the error is only a name: the deadline has passed,
    /// or the kernel has not reported the end for ten seconds although the lockspace runs.
    #[inline]
    pub fn wait(mut self) -> Result<(), UnlockError> {
        if matches!(self.lvb, UnlockLvb::Keep) && self.deadline.is_none() {
            let (driver, token) = (self.lock.driver(), self.lock.token());
            if driver.check_fork().is_ok() {
                match driver.unlock_plain(|_| Some(token), |_| {}) {
                    Some(Ok(_)) => {
                        self.lock.set_released();
                        return Ok(());
                    }
                    Some(Err(rest)) => return self.ended_otherwise(*rest),
                    None => {}
                }
            }
        }
        self.wait_otherwise()
    }

    #[inline(never)]
    fn ended_otherwise(self, rest: Rest<Native>) -> Result<(), UnlockError> {
        match rest {
            Rest::Refused(kind) => self.ended(Err(kind)),
            Rest::Read(begun, first) => {
                let end = self.lock.driver().finish_with(begun, first, None);
                self.ended(end.map(|_| ()))
            }
        }
    }

    fn ended(mut self, end: Result<(), ErrorKind>) -> Result<(), UnlockError> {
        match end {
            Ok(()) => {
                self.lock.set_released();
                Ok(())
            }
            Err(kind) => Err(self.failed(kind)),
        }
    }

    #[inline(never)]
    fn wait_otherwise(self) -> Result<(), UnlockError> {
        let unlocking = Unlocking { lvb: self.lvb, ..Unlocking::default() };
        let driver = self.lock.driver();
        let unlock = || {
            driver.check_fork()?;
            driver.call_wait(call::unlock(self.lock.token(), &unlocking), self.deadline)
        };
        let end = unlock().map(|_| ());
        self.ended(end)
    }

    /// Unlocks and returns at once; `completion` is run when it is done, in
    /// [`dispatch`](crate::Lockspace::dispatch) or in the delivery thread, and possibly before
    /// this returns.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), for what is known at once; `completion` is then not run.
    pub fn start(
        self,
        completion: impl FnOnce(Completion) + Send + 'static,
    ) -> Result<(), UnlockError> {
        self.start_under(CompletionCallback::Once(Box::new(completion)))
    }

    /// As [`start`](Self::start), but the completion goes to a handler that many operations share,
    /// with a tag that tells them apart. Nothing is allocated for it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(self, handler: &CompletionHandler, tag: u64) -> Result<(), UnlockError> {
        self.start_under(CompletionCallback::Shared(Arc::clone(handler), tag))
    }

    fn start_under(self, callback: CompletionCallback) -> Result<(), UnlockError> {
        self.begin(Notify::Callback(callback)).map(|_| ())
    }

    /// As [`LockRequest::try_plain`](crate::LockRequest), for an unlock. `None`: nothing has happened, and
    /// this is as it was.
    #[inline(always)]
    pub(crate) fn try_plain(&self) -> Option<Result<(), Tried<()>>> {
        let (driver, token) = (self.lock.driver(), self.lock.token());
        let is_plain = matches!(self.lvb, UnlockLvb::Keep) && self.deadline.is_none();
        if !is_plain || driver.has_writer() || driver.check_fork().is_err() {
            return None;
        }
        Some(match driver.unlock_plain(|_| Some(token), |_| {})? {
            Ok(_) => Ok(()),
            Err(rest) => Err(match *rest {
                Rest::Refused(kind) => Tried::Refused(kind),
                Rest::Read(begun, first) => Tried::Begun((), begun, first),
            }),
        })
    }

    /// The lock, whose unlock the kernel has accepted: only a name from now on.
    #[inline]
    pub(crate) fn into_released(mut self) -> Lock {
        self.lock.set_released();
        self.lock
    }

    /// Begins the unlock for a callback or a task. The lock is only a name then.
    #[inline(always)]
    pub(crate) fn begin(mut self, notify: Notify<Native>) -> Result<(Lock, Begun), UnlockError> {
        let mut user = Some(notify);
        let token = self.lock.token();
        if matches!(self.lvb, UnlockLvb::Keep)
            && self.deadline.is_none()
            && self.lock.driver().check_fork().is_ok()
        {
            match self.lock.driver().unlock_start_plain(|_| Some(token), |_| {}, &mut user) {
                Some(Ok(begun)) => {
                    self.lock.set_released();
                    return Ok((self.lock, begun));
                }
                Some(Err(kind)) => return Err(self.failed(kind)),
                None => {}
            }
        }
        self.begin_otherwise(user)
    }

    #[inline(never)]
    fn begin_otherwise(
        mut self,
        mut user: Option<Notify<Native>>,
    ) -> Result<(Lock, Begun), UnlockError> {
        let driver = self.lock.driver();
        let unlocking = Unlocking { lvb: self.lvb, ..Unlocking::default() };
        let begun = driver.check_fork().and_then(|()| {
            let prepare = call::unlock(self.lock.token(), &unlocking);
            driver.call_start(prepare, &mut user, self.deadline)
        });
        match begun {
            Ok(begun) => {
                self.lock.set_released();
                Ok((self.lock, begun))
            }
            Err(kind) => Err(self.failed(kind)),
        }
    }

    #[cold]
    pub(crate) fn failed(self, kind: ErrorKind) -> UnlockError {
        UnlockError { error: Error::new(Operation::Unlock, kind), lock: self.lock }
    }
}

/// A failed unlock, with the lock that is still there.
///
/// Converting it to an [`Error`] or a [`std::io::Error`] (as `?` does) drops the lock, which unlocks it
/// by force. `{}` and `{:?}` are those of the error.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
/// use std::time::Duration;
///
/// let lock = lockspace.lock("disk0", Mode::Ex).wait()?;
/// if let Err(failed) = lock.unlock().timeout(Duration::from_secs(5)).wait() {
///     println!("{}: {:?} is still there", failed.error, failed.lock);
/// }
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[non_exhaustive]
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

impl fmt::Debug for UnlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            let mut fields = f.debug_struct("UnlockError");
            return fields.field("error", &self.error).field("lock", &self.lock).finish();
        }
        write!(f, "{self}")
    }
}

impl std::error::Error for UnlockError {}

impl From<UnlockError> for Error {
    fn from(failed: UnlockError) -> Self {
        failed.error
    }
}

/// Drops the lock, which unlocks it by force.
impl From<UnlockError> for std::io::Error {
    fn from(failed: UnlockError) -> Self {
        Error::from(failed).into()
    }
}
