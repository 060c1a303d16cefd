//! Blocking notices as a stream.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::driver::Driver;
use crate::driver::release::READ_BUDGET;
use crate::event::Blocking;
use crate::lock::Lock;
use crate::native::Native;

/// The blocking notices of a lock, one after the other; [`Lock::notices`] makes it, as a
/// [`Stream`](futures_core::Stream).
///
/// Notices that nobody took are merged into the one for the strongest mode. The stream ends when the
/// lock or its lockspace is gone.
///
/// It holds a reference of the lock, or what [`new`](Self::new) was given: a [`Lock`] that it is to own,
/// or one that is shared, so that the stream can be moved into a task.
///
/// ```no_run
/// use dlm_runtime::{BlockingNotices, Lockspace, Mode};
/// use std::sync::Arc;
///
/// # async fn example() -> Result<(), dlm_runtime::Error> {
/// let lockspace = Lockspace::open("example")?;
/// let lock = Arc::new(lockspace.lock("disk0", Mode::Ex).note_blocking().await?);
/// let mut notices = BlockingNotices::new(Arc::clone(&lock));
/// let watch = async move {
///     while let Some(notice) = notices.next().await {
///         println!("somebody waits for {}", notice.mode);
///     }
/// };
/// # watch.await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct BlockingNotices<L> {
    lock: L,
}

impl Lock {
    /// The blocking notices of this lock as a stream. The lock must have been requested with
    /// [`note_blocking`](crate::LockRequest::note_blocking); without that it stays silent.
    ///
    /// Somebody must read the results: see [`future`](crate::future). One task at a time can wait
    /// for the notices of a lock.
    #[must_use]
    pub fn notices(&self) -> BlockingNotices<&Self> {
        BlockingNotices::new(self)
    }
}

impl<L: Borrow<Lock>> futures_core::Stream for BlockingNotices<L>
where
    L: Unpin,
{
    type Item = Blocking;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Blocking>> {
        self.get_mut().poll_notice(cx)
    }
}

impl<L: Borrow<Lock>> BlockingNotices<L> {
    /// The notices of a lock: a [`Lock`], a reference of one or an `Arc`.
    #[must_use]
    pub const fn new(lock: L) -> Self {
        Self { lock }
    }

    /// The lock.
    pub fn lock(&self) -> &Lock {
        self.lock.borrow()
    }

    /// What it was made of.
    pub fn into_inner(self) -> L {
        self.lock
    }

    /// The next notice, or `None` when the lock or its lockspace is gone.
    pub async fn next(&mut self) -> Option<Blocking> {
        poll_fn(|cx| self.poll_notice(cx)).await
    }

    /// As the stream polls, without a pin.
    pub fn poll_notice(&mut self, cx: &mut Context<'_>) -> Poll<Option<Blocking>> {
        let driver = self.lock().driver();
        for _ in 0..READ_BUDGET {
            match self.look(None) {
                Some(Poll::Ready(notice)) => return Poll::Ready(notice),
                Some(Poll::Pending) => {}
                None => return Poll::Ready(None),
            }
            match driver.read_one() {
                Ok(true) => {}
                Ok(false) => return self.register(driver, cx),
                Err(_) => return Poll::Ready(None),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn register(&self, driver: &Driver<Native>, cx: &Context<'_>) -> Poll<Option<Blocking>> {
        match self.look(Some(cx.waker().clone())) {
            // Closed between the read and here: nobody wakes this task any more.
            Some(Poll::Pending) if driver.slot.get().is_err() => Poll::Ready(None),
            Some(Poll::Pending) => {
                driver.read_for_tasks();
                Poll::Pending
            }
            Some(poll) => poll,
            None => Poll::Ready(None),
        }
    }

    /// Takes what was not told yet. `None`: the lock is gone.
    fn look(&self, waker: Option<Waker>) -> Option<Poll<Option<Blocking>>> {
        // Dropped when nothing is locked.
        let _old;
        let lock = self.lock();
        let mut state = lock.driver().state();
        let data = state.core.face_mut(lock.token())?;
        let notes = data.notes.get_or_insert_default();
        if let Some(notice) = notes.unseen.take() {
            _old = waker;
            return Some(Poll::Ready(Some(notice)));
        }
        _old = match waker {
            Some(waker) => notes.waker.replace(waker),
            None => None,
        };
        Some(Poll::Pending)
    }
}
