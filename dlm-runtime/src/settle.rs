//! Waiting until dropped locks are gone.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::blocked::Bell;
use crate::error::{Error, ErrorKind, Operation};
use crate::lockspace::Lockspace;
use crate::route::{Pumped, Reader};
use crate::shared::Shared;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock, now, time_left};

/// Results read in one poll.
const TURN: usize = 64;

/// The dropped locks that are still there, and who waits for their end.
#[derive(Default)]
pub(crate) struct Settling {
    count: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl Settling {
    /// One more. It is one less when what this returns is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Leaving {
        self.count.fetch_add(1, Ordering::SeqCst);
        Leaving(Arc::clone(self))
    }

    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        wakers.into_iter().for_each(Waker::wake);
    }

    fn is_over(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    fn register(&self, waker: &Waker) {
        let mut wakers = lock(&self.wakers);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    fn unregister(&self, waker: &Waker) {
        lock(&self.wakers).retain(|known| !known.will_wake(waker));
    }
}

/// Part of the entry of a dropped lock. Like it, it is dropped when nothing is locked.
pub(crate) struct Leaving(Arc<Settling>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.wake();
        }
    }
}

/// The wait until all dropped locks are gone; [`Lockspace::settled`] makes it. It can be awaited,
/// or waited for in a call.
#[must_use = "nothing is waited for unless it is awaited, or wait() is called"]
pub struct Settled<'a> {
    shared: &'a Arc<Shared>,
    /// Whether whoever delivers was told to read what comes.
    is_interested: bool,
}

impl fmt::Debug for Settled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.shared.settling.count.load(Ordering::SeqCst);
        f.debug_struct("Settled").field("left", &left).finish_non_exhaustive()
    }
}

impl Lockspace {
    /// Waits until each lock of this open lockspace that was dropped is gone: until the kernel has
    /// answered the unlock that the drop wrote. Locks that are not dropped, and unlocks that were
    /// started with [`release`](crate::Lock::release), do not count.
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
    /// lockspace.settled().await?;
    /// // Or, in a program without futures:
    /// lockspace.settled().wait(None)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Awaited, it needs somebody who reads the results, see [`future`](crate::future).
    pub fn settled(&self) -> Settled<'_> {
        Settled { shared: self.shared(), is_interested: false }
    }
}

impl Settled<'_> {
    /// Waits in this call, not longer than `timeout`. The thread reads the device itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::Closed`] or [`ErrorKind::Removed`] if the lockspace
    /// went with dropped locks in it; [`ErrorKind::Forked`], [`ErrorKind::Device`].
    pub fn wait(self, timeout: Option<Duration>) -> Result<(), Error> {
        // A time that the clock cannot express is no deadline.
        let deadline = timeout.and_then(|timeout| now().checked_add(timeout));
        self.wait_until(deadline).map_err(failed)
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<(), ErrorKind> {
        let (shared, settling) = (self.shared, &self.shared.settling);
        shared.check_fork()?;
        if settling.is_over() {
            return Ok(());
        }
        let bell = Bell::new()?;
        let waker = Waker::from(Arc::clone(&bell));
        let wait = || {
            loop {
                settling.register(&waker);
                shared.drain()?;
                if settling.is_over() {
                    return Ok(());
                }
                if deadline.is_some_and(|at| time_left(at).is_zero()) {
                    return Err(ErrorKind::TimedOut("dropped locks are left"));
                }
                shared.sleep_with(&bell, deadline)?;
            }
        };
        let end = wait();
        settling.unregister(&waker);
        end
    }

    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let (shared, settling) = (self.shared, &self.shared.settling);
        shared.check_fork()?;
        for _ in 0..TURN {
            if settling.is_over() {
                return Poll::Ready(Ok(()));
            }
            match shared.pump(Reader::Passes)? {
                Pumped::Handled | Pumped::Ran | Pumped::Mine(_) => {}
                Pumped::Empty => {
                    if !std::mem::replace(&mut self.is_interested, true) {
                        shared.interested();
                    }
                    settling.register(cx.waker());
                    // Between the read and here it may have come to its end, in one way or the
                    // other: then nobody wakes this task any more.
                    if settling.is_over() {
                        return Poll::Ready(Ok(()));
                    }
                    shared.slot.get()?;
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Future for Settled<'_> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_settled(cx).map_err(failed)
    }
}

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        if self.is_interested {
            self.shared.interested_no_more();
        }
    }
}

fn failed(kind: ErrorKind) -> Error {
    Error::new(Operation::Settle, kind)
}
