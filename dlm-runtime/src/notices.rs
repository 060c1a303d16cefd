//! Blocking notices as a stream.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use crate::event::Blocking;
use crate::lock::Lock;
use crate::route::{Pumped, Reader};
use crate::shared::Shared;
use crate::sync::lock;

/// Results read in one poll.
const TURN: usize = 64;

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
        let shared = self.lock.shared();
        for _ in 0..TURN {
            match self.look(None) {
                Some(Poll::Ready(notice)) => return Poll::Ready(notice),
                Some(Poll::Pending) => {}
                None => return Poll::Ready(None),
            }
            match shared.pump(Reader::Passes) {
                Err(_) => return Poll::Ready(None),
                Ok(Pumped::Handled | Pumped::Ran | Pumped::Mine(_)) => {}
                Ok(Pumped::Empty) => return self.register(shared, cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn register(&self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Option<Blocking>> {
        match self.look(Some(cx.waker())) {
            // Closed between the read and here: nobody wakes this task any more.
            Some(Poll::Pending) if shared.slot.get().is_err() => Poll::Ready(None),
            Some(poll) => poll,
            None => Poll::Ready(None),
        }
    }

    /// Takes what was not told yet. `None`: the lock is gone.
    fn look(&self, waker: Option<&Waker>) -> Option<Poll<Option<Blocking>>> {
        // Dropped when nothing is locked.
        let _old;
        let mut table = lock(&self.lock.shared().table);
        let entry = table.get_mut(self.lock.token())?;
        if let Some(mode) = entry.unseen.take() {
            return Some(Poll::Ready(Some(Blocking { mode })));
        }
        if let Some(waker) = waker {
            _old = entry.notice_waker.replace(waker.clone());
        }
        Some(Poll::Pending)
    }
}
