//! Waiting in a call for a blocking notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_proto::Mode;

use crate::driver::wait::Goal;
use crate::driver::{Driver, Waiter};
use crate::error::{Error, ErrorKind, Operation};
use crate::lock::Lock;
use crate::native::Native;
use crate::threads::deadline_after;

/// A blocking notice of a lock.
struct NoticeOf<'a>(&'a Lock);

impl Goal<Native> for NoticeOf<'_> {
    type Got = Mode;

    fn look(
        &self,
        driver: &Driver<Native>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<Mode>, ErrorKind> {
        if let Some(waiter) = waiter {
            driver.notice_waiters.add(self.0.token(), waiter);
        }
        self.0.look_for_notice()
    }
}

impl Lock {
    /// Waits until somebody was reported to wait for this lock since its last grant, and tells the
    /// strongest mode that is waited for, as [`blocked`](Self::blocked) does. `None`: that has not
    /// happened for as long as `timeout`. With a `timeout` of zero it looks and does not wait.
    ///
    /// The lock must have been requested with
    /// [`note_blocking`](crate::LockRequest::note_blocking) or with a callback for notices. The
    /// thread reads the device itself; no delivery thread and no dispatch is needed, and callbacks
    /// of others are left to those. A holder that does not give way is told the same again at once,
    /// until a conversion of its lock was granted.
    ///
    /// ```no_run
    /// use dlm_runtime::{Lockspace, Mode};
    /// use std::time::Duration;
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// let lock = lockspace.lock("leader", Mode::Ex).note_blocking().wait()?;
    /// // Leads until somebody else wants to, and looks after itself every second.
    /// while lock.wait_blocked(Some(Duration::from_secs(1)))?.is_none() {
    ///     println!("still leading");
    /// }
    /// lock.unlock().wait()?;
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Illegal`] if the lock has no notices or is not granted yet,
    /// [`ErrorKind::LockGone`], [`ErrorKind::Device`]; [`ErrorKind::Closed`] or
    /// [`ErrorKind::Removed`] if the lockspace went while waiting.
    pub fn wait_blocked(&self, timeout: Option<Duration>) -> Result<Option<Mode>, Error> {
        let deadline = timeout.and_then(deadline_after);
        self.await_notice(deadline).map_err(|kind| Error::new(Operation::AwaitNotice, kind))
    }

    fn await_notice(&self, deadline: Option<Instant>) -> Result<Option<Mode>, ErrorKind> {
        self.driver().check_fork()?;
        // What has come before counts also when time is up.
        match self.look_for_notice()? {
            Some(mode) => Ok(Some(mode)),
            None => self.driver().wait_for(&NoticeOf(self), deadline),
        }
    }

    pub(crate) fn look_for_notice(&self) -> Result<Option<Mode>, ErrorKind> {
        self.driver().slot.get()?;
        let view = self.view().ok_or(ErrorKind::LockGone)?;
        match (view.blocked, view.mode) {
            (Some(mode), _) => Ok(Some(mode)),
            _ if !view.has_notices => Err(ErrorKind::Illegal(
                "wait_blocked() needs a lock that was requested with note_blocking()",
            )),
            (None, None) if view.op.is_some() => Err(ErrorKind::Illegal(
                "wait_blocked() needs a granted lock: this one still waits itself",
            )),
            // Every lock goes with its lockspace.
            (None, None) => Err(self.driver().end_or(ErrorKind::LockGone)),
            (None, Some(_)) => Ok(None),
        }
    }
}
