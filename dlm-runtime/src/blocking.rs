//! The lock that is given to its blocking callback.

use std::fmt;
use std::ops::Deref;

use dlm_proto::{Mode, Token};

use crate::driver::Driver;
use crate::error::Error;
use crate::event::Blocking;
use crate::lock::Lock;
use crate::native::{BlockingCall, BlockingSlot, Native};

/// A blocking callback that is given the lock.
struct LockCallback<F>(F);

impl<F: FnMut(&BlockedLock) + Send> BlockingCall for LockCallback<F> {
    fn needs_lock(&self) -> bool {
        true
    }

    fn call(&mut self, driver: &Driver<Native>, token: Token, notice: Blocking) {
        if let Some(driver) = driver.upgrade() {
            let lock = Lock::lent(driver, token);
            (self.0)(&BlockedLock { lock, notice, is_detached: false });
        }
    }
}

impl BlockingSlot {
    pub(crate) fn with_lock(callback: impl FnMut(&BlockedLock) + Send + 'static) -> Self {
        Self::Idle(Box::new(LockCallback(callback)))
    }
}

/// The lock that somebody waits for, in its own blocking callback
/// ([`on_blocking_with`](crate::LockRequest::on_blocking_with)).
///
/// It can be converted, and does whatever else a [`Lock`] does by reference; the callback need not
/// know its owner. It is lent: the owner may convert or unlock it at the same time, and who comes
/// second gets [`ErrorKind::InFlight`](crate::ErrorKind::InFlight) or
/// [`ErrorKind::LockGone`](crate::ErrorKind::LockGone). An owner that drops it meanwhile does not
/// wait: the lock is then unlocked when the callback has returned.
///
/// Blocking calls are allowed in a callback, and hold up those behind it. What takes its time is better
/// done by another thread: [`detach`](Self::detach) gives it the lock.
///
/// ```no_run
/// use dlm_runtime::{Lockspace, Mode};
///
/// let lockspace = Lockspace::open("example")?;
/// let delivery = lockspace.start_delivery()?;
/// let lock = lockspace
///     .lock("config", Mode::Pr)
///     .on_blocking_with(|lock| {
///         // Late notices are for a lock that has given way already.
///         if lock.mode() != Some(Mode::Nl) {
///             if let Err(error) = lock.convert(Mode::Nl).wait() {
///                 eprintln!("cannot give way to {}: {error}", lock.wanted());
///             }
///         }
///     })
///     .wait()?;
/// # drop((lock, delivery));
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
pub struct BlockedLock {
    lock: Lock,
    notice: Blocking,
    /// It keeps the lock there, as the callback does.
    is_detached: bool,
}

impl BlockedLock {
    /// The mode that the other lock waits for.
    #[must_use]
    pub const fn wanted(&self) -> Mode {
        self.notice.mode
    }

    /// Whether the notice is late: the lock has been granted anew since, and has given way maybe.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.lock.grant() != Some(self.notice.grant)
    }

    /// The same lock for another thread, which can use it when the callback has returned. An owner that
    /// drops the lock meanwhile does not wait: it is unlocked when this is dropped, too.
    ///
    /// ```no_run
    /// use std::sync::mpsc;
    ///
    /// use dlm_runtime::{BlockedLock, Lockspace, Mode};
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// let delivery = lockspace.start_delivery()?;
    /// let (sender, wanted) = mpsc::channel::<BlockedLock>();
    /// let worker = std::thread::spawn(move || {
    ///     for lock in wanted {
    ///         // What takes its time: other callbacks go on.
    ///         if !lock.is_late() {
    ///             if let Err(error) = lock.convert(Mode::Nl).wait() {
    ///                 eprintln!("cannot give way to {}: {error}", lock.wanted());
    ///             }
    ///         }
    ///     }
    /// });
    /// let lock = lockspace
    ///     .lock("config", Mode::Ex)
    ///     .on_blocking_with(move |lock| _ = sender.send(lock.detach()))
    ///     .wait()?;
    /// # drop((lock, delivery, worker));
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    #[must_use]
    pub fn detach(&self) -> Self {
        let (driver, token) = (self.lock.driver(), self.lock.token());
        let is_detached = driver.begin_use(token);
        let lock = Lock::lent(driver.clone(), token);
        Self { lock, notice: self.notice, is_detached }
    }

    /// Unlocks and waits until that is done. To its owner the lock is gone then:
    /// [`Lock::mode`] is `None`.
    ///
    /// # Errors
    ///
    /// As [`UnlockRequest::wait`](crate::UnlockRequest::wait). The lock is still there then.
    pub fn unlock_wait(&self) -> Result<(), Error> {
        let lock = Lock::lent(self.lock.driver().clone(), self.lock.token());
        // What comes back with an error is lent, too, and its drop does nothing.
        lock.unlock().wait()?;
        let driver = self.lock.driver();
        driver.notice_waiters.wake(self.lock.token(), &driver.waits);
        Ok(())
    }
}

impl Drop for BlockedLock {
    fn drop(&mut self) {
        if self.is_detached && self.lock.driver().check_fork().is_ok() {
            self.lock.driver().end_use(self.lock.token());
        }
    }
}

/// Those who use a lock that is not their own: it stays until they have done.
impl Driver<Native> {
    /// `false`: the lock is gone.
    fn begin_use(&self, token: Token) -> bool {
        let mut state = self.state();
        let data = state.core.face_mut(token);
        let is_there = data.is_some();
        if let Some(data) = data {
            data.users += 1;
        }
        is_there
    }

    /// `true`: the lock is gone, or is let go with this.
    pub(crate) fn end_use(&self, token: Token) -> bool {
        let (is_gone, is_left) = {
            let mut state = self.state();
            match state.core.face_mut(token) {
                Some(data) => {
                    data.users = data.users.saturating_sub(1);
                    (false, data.users == 0 && data.is_dropped)
                }
                None => (true, false),
            }
        };
        if is_left {
            self.release(token);
        }
        let is_over = is_gone || is_left;
        if is_over && self.flush.end_use(token) {
            self.check_flushed();
        }
        is_over
    }
}

impl Deref for BlockedLock {
    type Target = Lock;

    fn deref(&self) -> &Lock {
        &self.lock
    }
}

impl fmt::Debug for BlockedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockedLock")
            .field("lock", &self.lock)
            .field("wanted", &self.notice.mode)
            .finish()
    }
}
