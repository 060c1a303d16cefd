//! Requests for locks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_core::NewLock;
use dlm_proto::{LockFlags, LockStatus, Mode, NameError, ResourceName, Token};

use crate::blocking::BlockedLock;
use crate::driver::{Begun, Driver, Notify, Rest};
use crate::error::{Error, ErrorKind, Operation};
use crate::event::{Blocking, Completion, CompletionCallback, CompletionHandler};
use crate::lock::Lock;
use crate::native::{BlockingSlot, LockData, Native};
use crate::poll::Tried;
use crate::threads::deadline_after;

/// A lock request in the making; [`Lockspace::lock`](crate::Lockspace::lock) starts one.
///
/// It goes to the kernel with [`wait`](Self::wait) or [`start`](Self::start).
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
/// use std::time::Duration;
///
/// let request = lockspace.lock("disk0", Mode::Ex).with_lvb().timeout(Duration::from_secs(5));
/// let lock = request.wait()?; // or .await, or .start(callback)
/// # drop(lock);
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[must_use = "nothing is requested before wait() or start()"]
pub struct LockRequest<'a> {
    driver: &'a Arc<Driver<Native>>,
    name: ResourceName,
    /// What is wrong with the name that was given. (Apart from it, as a result that holds one or
    /// the other is many instructions to move.)
    bad_name: Option<NameError>,
    mode: Mode,
    flags: LockFlags,
    blocking: BlockingSlot,
    notices: bool,
    deadline: Option<Instant>,
    transaction: u64,
}

impl fmt::Debug for LockRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockRequest")
            .field("name", &self.name())
            .field("mode", &self.mode)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

impl<'a> LockRequest<'a> {
    #[inline]
    pub(crate) fn new(driver: &'a Arc<Driver<Native>>, name: &[u8], mode: Mode) -> Self {
        let (name, bad_name) = match ResourceName::new(name) {
            Ok(name) => (name, None),
            Err(error) => (ResourceName::default(), Some(error)),
        };
        Self {
            driver,
            name,
            bad_name,
            mode,
            flags: LockFlags::empty(),
            blocking: BlockingSlot::Unwanted,
            notices: false,
            deadline: None,
            transaction: 0,
        }
    }

    fn name(&self) -> Result<&ResourceName, NameError> {
        match self.bad_name {
            None => Ok(&self.name),
            Some(error) => Err(error),
        }
    }

    /// Fetches the resource's lock value block with the grant (VALBLK). A resource that has had no
    /// lock before has a block of zeros.
    pub fn with_lvb(self) -> Self {
        self.flags(LockFlags::VALBLK)
    }

    /// Does not wait: if the lock cannot be granted now, the request ends with
    /// [`LockStatus::Again`] (NOQUEUE).
    pub fn no_queue(self) -> Self {
        self.flags(LockFlags::NOQUEUE)
    }

    /// Gives the lock a transaction id. The kernel stores it and compares it with nothing.
    pub fn transaction(mut self, id: u64) -> Self {
        self.transaction = id;
        self
    }

    /// Adds flags of the kernel. Those that make no sense here are refused by
    /// [`wait`](Self::wait) and [`start`](Self::start), with the reason.
    pub fn flags(mut self, flags: LockFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Gives up at this time: the request is cancelled, unless it was granted before the cancel
    /// came through, and then it counts as granted.
    ///
    /// The deadline is kept by this library, as kernels since 6.2 have none. With
    /// [`wait`](Self::wait) the waiting thread keeps it; with [`start`](Self::start) whoever runs
    /// the callbacks, and the completion then has the status
    /// [`LockStatus::TimedOut`]. The call returns at its time also
    /// when nobody answers the cancel, as while the master of the resource stands still; a lock that
    /// is granted after that is unlocked, by whoever reads next or by a thread that lives as long as
    /// something is left over. A `write` that the kernel holds up for a recovery is not ended by it,
    /// unless it is that of a future with
    /// [`background_writes`](crate::LockspaceOptions::background_writes).
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Gives up after this time; see [`deadline`](Self::deadline).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = deadline_after(timeout);
        self
    }

    /// Runs `callback` when somebody waits for this lock (blocking AST). It is told the mode that
    /// is waited for, and runs where completions do: in
    /// [`dispatch`](crate::Lockspace::dispatch) or in the delivery thread.
    pub fn on_blocking(mut self, callback: impl FnMut(Blocking) + Send + 'static) -> Self {
        self.blocking = BlockingSlot::with_mode(callback);
        self.notices = true;
        self
    }

    /// As [`on_blocking`](Self::on_blocking), with a callback that is given the lock itself, to give
    /// way by a conversion or an unlock at once; see [`BlockedLock`].
    pub fn on_blocking_with(mut self, callback: impl FnMut(&BlockedLock) + Send + 'static) -> Self {
        self.blocking = BlockingSlot::with_lock(callback);
        self.notices = true;
        self
    }

    /// Has blocking notices sent without a callback: [`Lock::blocked`] tells them. They are read
    /// along with other results, by whoever reads them.
    pub fn note_blocking(mut self) -> Self {
        self.blocking = BlockingSlot::Noted;
        self.notices = true;
        self
    }

    /// Requests the lock and waits until it is granted, without end unless NOQUEUE or a deadline is
    /// given. The thread reads the device itself; no delivery thread and no dispatch is needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] if the deadline has passed: the lock is not held then, and what is left
    /// of the request is taken back.
    /// [`ErrorKind::Status`] if the request was not granted, [`ErrorKind::Name`],
    /// [`ErrorKind::Illegal`], [`ErrorKind::Device`]; [`ErrorKind::Closed`] or
    /// [`ErrorKind::Removed`] if the lockspace went while waiting.
    pub fn wait(self) -> Result<Lock, Error> {
        self.wait_granted().map_err(|kind| Error::new(Operation::Lock, kind))
    }

    #[inline(always)]
    fn wait_granted(self) -> Result<Lock, ErrorKind> {
        if self.is_plain() {
            self.driver.check_fork()?;
            if let Some((token, end)) =
                self.driver.lock_plain(&self.name, self.mode, self.flags, |_| {}, |_| {})
            {
                return match end {
                    Ok(LockStatus::Granted) => Ok(Lock::new(Arc::clone(self.driver), token)),
                    Ok(status) => Err(ErrorKind::Status(status)),
                    Err(rest) => match *rest {
                        Rest::Refused(kind) => Err(kind),
                        Rest::Read(begun, first) => {
                            let end = self.driver.finish_with(begun, first, None);
                            self.ended(token, end)
                        }
                    },
                };
            }
        }
        self.wait_granted_otherwise()
    }

    #[inline(never)]
    fn wait_granted_otherwise(mut self) -> Result<Lock, ErrorKind> {
        let mut data = self.prepare()?;
        let (begun, end) =
            self.driver.lock_wait(&self.new_lock(), &mut data, self.deadline, |_| {})?;
        self.ended(begun.token, end)
    }

    #[inline(never)]
    fn ended(&self, token: Token, end: Result<Completion, ErrorKind>) -> Result<Lock, ErrorKind> {
        match end {
            Ok(end) if end.mode.is_some() => Ok(Lock::new(Arc::clone(self.driver), token)),
            Ok(end) => Err(ErrorKind::Status(end.status)),
            Err(kind) => {
                // Dropped, it takes back what is left.
                drop(Lock::new(Arc::clone(self.driver), token));
                Err(kind)
            }
        }
    }

    /// Requests the lock and returns at once. `completion` is run when the request has ended, in
    /// [`dispatch`](crate::Lockspace::dispatch) or in the delivery thread, and possibly before
    /// this returns.
    ///
    /// Dropping the lock before takes the request back; `completion` is then not run.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), for what is known before the kernel has decided; `completion` is
    /// then not run.
    pub fn start(
        self,
        completion: impl FnOnce(Completion) + Send + 'static,
    ) -> Result<Lock, Error> {
        self.start_under(CompletionCallback::Once(Box::new(completion)))
    }

    /// As [`start`](Self::start), but the completion goes to a handler that many operations share,
    /// with a tag that tells them apart. Nothing is allocated for it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(self, handler: &CompletionHandler, tag: u64) -> Result<Lock, Error> {
        self.start_under(CompletionCallback::Shared(Arc::clone(handler), tag))
    }

    #[inline]
    fn start_under(self, callback: CompletionCallback) -> Result<Lock, Error> {
        self.begin(Notify::Callback(callback)).map(|(lock, _)| lock)
    }

    /// Begins a plain request for a task, and looks at its end at once: most have ended by then, and no
    /// task has to be told. `None`: nothing has happened.
    #[inline(always)]
    pub(crate) fn try_plain(&self) -> Option<Result<Lock, Tried<Lock>>> {
        if !self.is_plain() || self.driver.has_writer() || self.driver.check_fork().is_err() {
            return None;
        }
        let Self { driver, name, mode, flags, .. } = self;
        let (token, end) = driver.lock_plain(name, *mode, *flags, |_| {}, |_| {})?;
        Some(match end {
            Ok(LockStatus::Granted) => Ok(Lock::new(Arc::clone(driver), token)),
            Ok(status) => Err(Tried::Refused(ErrorKind::Status(status))),
            Err(rest) => Err(match *rest {
                Rest::Refused(kind) => Tried::Refused(kind),
                Rest::Read(begun, first) => {
                    Tried::Begun(Lock::new(Arc::clone(driver), token), begun, first)
                }
            }),
        })
    }

    /// Begins the request for a callback or a task.
    #[inline(always)]
    pub(crate) fn begin(self, notify: Notify<Native>) -> Result<(Lock, Begun), Error> {
        let mut user = Some(notify);
        if self.is_plain() && self.driver.check_fork().is_ok() {
            let Self { driver, name, mode, flags, .. } = &self;
            match driver.start_lock_plain(name, *mode, *flags, &mut user, |_| {}) {
                Some(Ok(token)) => {
                    return Ok((Lock::new(Arc::clone(driver), token), Begun { token, serial: 0 }));
                }
                Some(Err(kind)) => return Err(Error::new(Operation::Lock, kind)),
                None => {}
            }
        }
        self.begin_otherwise(user)
    }

    #[inline(never)]
    fn begin_otherwise(mut self, mut user: Option<Notify<Native>>) -> Result<(Lock, Begun), Error> {
        let mut begin = || {
            let mut data = self.prepare()?;
            let new = self.new_lock();
            self.driver.lock_start(&new, &mut user, &mut data, self.deadline)
        };
        let begun = begin().map_err(|kind| Error::new(Operation::Lock, kind))?;
        Ok((Lock::new(Arc::clone(self.driver), begun.token), begun))
    }

    /// Whether nothing out of the ordinary is asked for; flags are looked at by others.
    #[inline(always)]
    const fn is_plain(&self) -> bool {
        self.bad_name.is_none()
            && matches!(self.blocking, BlockingSlot::Unwanted)
            && self.deadline.is_none()
            && self.transaction == 0
    }

    #[inline]
    fn prepare(&mut self) -> Result<LockData, ErrorKind> {
        self.driver.check_fork()?;
        self.name()?;
        Ok(LockData { blocking: std::mem::take(&mut self.blocking), ..LockData::default() })
    }

    #[inline]
    const fn new_lock(&self) -> NewLock<'_> {
        NewLock {
            name: &self.name,
            mode: self.mode,
            flags: self.flags,
            xid: self.transaction,
            notices: self.notices,
        }
    }
}
