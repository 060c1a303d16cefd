//! Waiting until dropped locks are gone.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::driver::release::READ_BUDGET;
use crate::driver::wait::Goal;
use crate::driver::waiting::Awaiting;
use crate::driver::{Driver, Waiter};
use crate::error::{Error, ErrorKind, Operation};
use crate::lockspace::Lockspace;
use crate::native::Native;
use crate::threads::deadline_after;

/// The end of all dropped locks.
struct AllGone;

impl Goal<Native> for AllGone {
    type Got = ();

    fn look(
        &self,
        driver: &Driver<Native>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<()>, ErrorKind> {
        if let Some(waiter) = waiter {
            driver.flush.register(Awaiting::Thread(Arc::clone(waiter)));
        }
        if driver.is_flushed() {
            return Ok(Some(()));
        }
        driver.slot.get()?;
        Ok(None)
    }
}

/// The wait until all dropped locks are gone; [`Lockspace::flush_drops`] makes it. It can be awaited,
/// or waited for in a call.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
/// use std::time::Duration;
///
/// drop(lockspace.lock("disk0", Mode::Ex).wait()?);
/// lockspace.flush_drops().wait(Some(Duration::from_secs(5)))?; // now others can have it
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[must_use = "nothing is waited for unless it is awaited, or wait() is called"]
pub struct PendingDrops<'a> {
    driver: &'a Arc<Driver<Native>>,
}

impl fmt::Debug for PendingDrops<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.driver.state().core.released();
        f.debug_struct("PendingDrops").field("left", &left).finish_non_exhaustive()
    }
}

impl Lockspace {
    /// Waits until each lock of this open lockspace that was dropped is gone: until the kernel has
    /// answered the unlock that the drop wrote. Locks that are not dropped, and unlocks that were
    /// started with [`UnlockRequest::start`](crate::UnlockRequest::start), do not count.
    ///
    /// A dropped lock may still be held for a moment. After this it is not:
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), dlm_runtime::Error> {
    /// use dlm_runtime::{Lockspace, Mode};
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// let lock = lockspace.lock("disk0", Mode::Ex).wait()?;
    /// drop(lock);
    /// lockspace.flush_drops().await?;
    /// // Or, in a program without futures:
    /// lockspace.flush_drops().wait(None)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Awaited, it needs somebody who reads the results, see [`future`](crate::future).
    pub fn flush_drops(&self) -> PendingDrops<'_> {
        PendingDrops { driver: self.driver() }
    }
}

impl PendingDrops<'_> {
    /// Waits in this call, not longer than `timeout`. The thread reads the device itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::Closed`] or [`ErrorKind::Removed`] if the lockspace
    /// went with dropped locks in it; [`ErrorKind::Forked`], [`ErrorKind::Device`].
    pub fn wait(self, timeout: Option<Duration>) -> Result<(), Error> {
        let deadline = timeout.and_then(deadline_after);
        self.wait_until(deadline).map_err(failed)
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<(), ErrorKind> {
        self.driver.check_fork()?;
        match self.driver.wait_for(&AllGone, deadline)? {
            Some(()) => Ok(()),
            None => Err(ErrorKind::TimedOut("dropped locks are left")),
        }
    }

    fn poll_flushed(&self, cx: &Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let driver = self.driver;
        driver.check_fork()?;
        for _ in 0..READ_BUDGET {
            if driver.is_flushed() {
                return Poll::Ready(Ok(()));
            }
            if !driver.read_one()? {
                driver.flush.register(Awaiting::Task(cx.waker().clone()));
                driver.delivery.tell_of_interest();
                // Between the read and here it may have come to its end, in one way or the other:
                // then nobody wakes this task any more.
                if driver.is_flushed() {
                    return Poll::Ready(Ok(()));
                }
                driver.slot.get()?;
                driver.read_for_tasks();
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Future for PendingDrops<'_> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_flushed(cx).map_err(failed)
    }
}

fn failed(kind: ErrorKind) -> Error {
    Error::new(Operation::FlushDrops, kind)
}
