//! Acquisitions: in a call, or as a future.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::guard::{Guard, GuardKind};
use super::machine::{Admission, Wish};
use super::resource::{Handle, Holder};
use super::shared::{Entry, Expiry, Job};
use super::waiter::{Outcome, TIMED_OUT, Waiter};
use crate::error::{Error, ErrorKind, Operation};
use crate::threads::deadline_after;

/// An acquisition in the making; [`Resource::shared`](super::Resource::shared) and its like start one.
#[must_use = "nothing is acquired before wait() or .await"]
pub struct Acquire<H, K> {
    handle: H,
    deadline: Option<Instant>,
    no_queue: bool,
    kind: PhantomData<K>,
}

impl<H, K: GuardKind> fmt::Debug for Acquire<H, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("level", &K::LEVEL)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

pub(super) fn failed(kind: ErrorKind) -> Error {
    Error::new(Operation::Acquire, kind)
}

impl<H: Handle, K: GuardKind> Acquire<H, K> {
    #[inline]
    pub(super) const fn new(handle: H) -> Self {
        Self { handle, deadline: None, no_queue: false, kind: PhantomData }
    }

    /// Waits no longer than until this time.
    #[inline]
    pub const fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Waits no longer than this.
    #[inline]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = deadline_after(timeout);
        self
    }

    /// Waits for nobody: see [`Resource::try_shared`](super::Resource::try_shared).
    #[inline]
    pub const fn no_queue(mut self) -> Self {
        self.no_queue = true;
        self
    }

    const fn wish(&self) -> Wish {
        Wish { level: K::LEVEL, no_queue: self.no_queue, seen: None }
    }

    /// Acquires a guard, and waits for it, or until the deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::Status`] with
    /// [`LockStatus::Again`](crate::LockStatus::Again) if nobody is to be waited for
    /// ([`Error::would_block`]); [`ErrorKind::System`] if the hook that loads has failed;
    /// [`ErrorKind::Closed`] or [`ErrorKind::Removed`] if the cache is closed or the lockspace has
    /// ended; what a [`LockRequest`](crate::LockRequest::wait) fails with.
    #[inline]
    pub fn wait(self) -> Result<Guard<H::Held, K>, Error> {
        let (no_queue, deadline) = (self.no_queue, self.deadline);
        let holder = self.handle.find().map_err(failed)?;
        if holder.resource().entry().enter(K::LEVEL) {
            return Ok(Guard::new(holder));
        }
        wait_for(holder, no_queue, deadline)
    }

    /// As [`wait`](Self::wait), without waiting for anybody.
    pub(super) fn try_now(self) -> Result<Option<Guard<H::Held, K>>, Error> {
        match self.no_queue().wait() {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if error.would_block() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cold]
#[inline(never)]
fn wait_for<H: Holder, K: GuardKind>(
    holder: H,
    no_queue: bool,
    deadline: Option<Instant>,
) -> Result<Guard<H, K>, Error> {
    let wish = Wish { level: K::LEVEL, no_queue, seen: None };
    let entry = holder.resource().entry();
    let waiter = Arc::new(Waiter::default());
    let outcome = entry.ask(&waiter, wish);
    match wait_out(entry, &waiter, outcome, deadline) {
        Ok(_) => Ok(Guard::new(holder)),
        Err(kind) => Err(failed(kind)),
    }
}

/// Waits for the outcome, or until the deadline.
pub(super) fn wait_out(
    entry: &Arc<Entry>,
    waiter: &Arc<Waiter>,
    outcome: Option<Outcome>,
    deadline: Option<Instant>,
) -> Result<Admission, ErrorKind> {
    let outcome = outcome.or_else(|| waiter.wait(deadline));
    outcome.or_else(|| entry.withdraw(waiter)).unwrap_or(Err(TIMED_OUT))
}

/// The future of an [`Acquire`]. Dropped before it is ready it waits no longer, and holds nothing.
#[must_use = "futures do nothing unless polled"]
pub struct AcquireFuture<H: Handle, K: GuardKind> {
    request: Option<Acquire<H, K>>,
    waiting: Option<Waiting<H::Held>>,
    kind: PhantomData<K>,
}

impl<H: Handle, K: GuardKind> fmt::Debug for AcquireFuture<H, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireFuture").field("level", &K::LEVEL).finish_non_exhaustive()
    }
}

impl<H: Handle, K: GuardKind> Unpin for AcquireFuture<H, K> {}

impl<H: Handle, K: GuardKind> IntoFuture for Acquire<H, K> {
    type Output = Result<Guard<H::Held, K>, Error>;
    type IntoFuture = AcquireFuture<H, K>;

    fn into_future(self) -> AcquireFuture<H, K> {
        AcquireFuture { request: Some(self), waiting: None, kind: PhantomData }
    }
}

impl<H: Handle, K: GuardKind> Future for AcquireFuture<H, K> {
    type Output = Result<Guard<H::Held, K>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(request) = this.request.take() {
            let (wish, deadline) = (request.wish(), request.deadline);
            let holder = request.handle.find().map_err(failed)?;
            if holder.resource().entry().enter(K::LEVEL) {
                return Poll::Ready(Ok(Guard::new(holder)));
            }
            let waiter = Arc::new(Waiter::default());
            let outcome = holder.resource().entry().ask(&waiter, wish);
            this.waiting = Some(Waiting::new(holder, waiter, K::LEVEL, outcome, deadline));
        }
        let poll = this.waiting.as_mut().map(|waiting| waiting.poll(cx));
        let Some(Poll::Ready(outcome)) = poll else { return Poll::Pending };
        let holder = this.waiting.take().map(Waiting::into_holder);
        Poll::Ready(match (outcome, holder) {
            (Ok(_), Some(holder)) => Ok(Guard::new(holder)),
            (Ok(_), None) => Err(failed(ErrorKind::LockGone)),
            (Err(kind), _) => Err(failed(kind)),
        })
    }
}

/// A task's place in the queue.
pub(super) struct Waiting<H: Holder> {
    holder: H,
    waiter: Arc<Waiter>,
    level: super::level::Level,
    outcome: Option<Outcome>,
    is_over: bool,
}

impl<H: Holder> Waiting<H> {
    pub(super) fn new(
        holder: H,
        waiter: Arc<Waiter>,
        level: super::level::Level,
        outcome: Option<Outcome>,
        deadline: Option<Instant>,
    ) -> Self {
        let entry = holder.resource().entry();
        if let (None, Some(at)) = (&outcome, deadline) {
            let expiry = Expiry::new(entry, &waiter);
            entry.cache.workers.at(at, Job::Expire(expiry));
        }
        Self { holder, waiter, level, outcome, is_over: false }
    }

    /// Looks for the outcome.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Outcome> {
        match self.outcome.take().or_else(|| self.waiter.poll(cx.waker())) {
            Some(outcome) => {
                self.is_over = true;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }

    pub(super) fn into_holder(self) -> H {
        self.holder.clone()
    }
}

impl<H: Holder> Drop for Waiting<H> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let entry = self.holder.resource().entry();
        let outcome = self.outcome.take().or_else(|| entry.withdraw(&self.waiter));
        if let Some(Ok(_)) = outcome {
            let must_look = match self.level {
                super::level::Level::Exclusive => entry.word.leave_exclusive(),
                _ => entry.word.leave_shared(),
            };
            if must_look {
                entry.left();
            }
        }
    }
}
