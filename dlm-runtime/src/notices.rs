//! Blocking notices as a stream.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use crate::driver::Driver;
use crate::driver::read::{Read, Role};
use crate::event::Blocking;
use crate::lock::Lock;
use crate::native::Native;

/// Results read in one poll.
const READ_BUDGET: usize = 64;

/// The blocking notices of a lock, one after the other; [`Lock::notices`] makes it.
///
/// Notices that nobody took are merged into the one for the strongest mode.
#[derive(Debug)]
pub struct BlockingNotices<'a> {
    lock: &'a Lock,
}

impl Lock {
    /// The blocking notices of this lock as a stream. The lock must have been requested with
    /// [`note_blocking`](crate::LockRequest::note_blocking); without that it stays silent.
    ///
    /// Somebody must read the results: see [`future`](crate::future). One task at a time can wait
    /// for the notices of a lock.
    #[must_use]
    pub fn notices(&self) -> BlockingNotices<'_> {
        BlockingNotices { lock: self }
    }
}

impl BlockingNotices<'_> {
    /// The next notice, or `None` when the lock or its lockspace is gone.
    pub async fn next(&mut self) -> Option<Blocking> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As a `Stream` polls.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Blocking>> {
        let driver = self.lock.driver();
        for _ in 0..READ_BUDGET {
            match self.look(None) {
                Some(Poll::Ready(notice)) => return Poll::Ready(notice),
                Some(Poll::Pending) => {}
                None => return Poll::Ready(None),
            }
            match driver.read(Role::Other) {
                Err(_) => return Poll::Ready(None),
                Ok(Read::Handled | Read::Mine(..)) => {}
                Ok(Read::Due(due)) => driver.leave_due(due),
                Ok(Read::Effects(effects)) => _ = driver.apply(*effects, false),
                Ok(Read::Empty) => return self.register(driver, cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn register(&self, driver: &Driver<Native>, cx: &Context<'_>) -> Poll<Option<Blocking>> {
        match self.look(Some(cx.waker().clone())) {
            // Closed between the read and here: nobody wakes this task any more.
            Some(Poll::Pending) if driver.slot.get().is_err() => Poll::Ready(None),
            Some(poll) => poll,
            None => Poll::Ready(None),
        }
    }

    /// Takes what was not told yet. `None`: the lock is gone.
    fn look(&self, waker: Option<Waker>) -> Option<Poll<Option<Blocking>>> {
        // Dropped when nothing is locked.
        let _old;
        let mut state = self.lock.driver().state();
        let data = state.core.face_mut(self.lock.token())?;
        if let Some(mode) = data.unseen.take() {
            _old = waker;
            return Some(Poll::Ready(Some(Blocking { mode })));
        }
        _old = match waker {
            Some(waker) => data.notice_waker.replace(waker),
            None => None,
        };
        Some(Poll::Pending)
    }
}
