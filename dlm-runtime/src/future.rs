//! Operations as futures, with plain wakers and no executor.
//!
//! A future that is polled writes its request and reads the device itself. What completes at once,
//! as most operations do, is ready at the first poll. Otherwise somebody must read the completion
//! and wake the task: a [`DeliveryThread`](crate::DeliveryThread), calls of
//! [`dispatch`](crate::Lockspace::dispatch), or a driver: `Lockspace::drive_tokio` with the feature
//! `tokio`, `Lockspace::drive_async_io` with the feature `async-io`. A thread that waits in a call of
//! its own leaves the waking to these, so that no waker holds up its own grant.
//!
//! A program that has none of these, and has never dispatched nor asked for the descriptor, does not
//! hang: a thread is started that reads for the tasks that wait, and ends with them. It costs a
//! thread for each wait; a driver is cheaper. Whoever dispatches once is taken at his word, and must
//! go on doing so.
//!
//! Deadlines go by the monotonic clock of the system. tokio's paused clock
//! (`tokio::time::pause`) does not move them; `tokio::time::timeout` around a future goes by tokio's, and
//! takes the request back as any drop does.
//!
//! A `write` blocks while the kernel has stopped the lockspace. With
//! [`background_writes`](crate::LockspaceOptions::background_writes) it does so in a thread of its
//! own, and the executor goes on.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use dlm_core::CancelKind;
use dlm_proto::LockStatus;

use crate::convert::ConvertRequest;
use crate::driver::{Begun, Driver, Notify};
use crate::error::{Error, ErrorKind, Operation};
use crate::event::Completion;
use crate::lock::Lock;
use crate::native::Native;
use crate::poll::{First, Tried};
use crate::request::LockRequest;
use crate::unlock::{UnlockError, UnlockRequest};

/// The future of a [`LockRequest`]. Dropped before it is ready it takes the request back, and
/// nothing is held.
///
/// ```no_run
/// # async fn example(lockspace: dlm_runtime::Lockspace) -> Result<(), dlm_runtime::Error> {
/// let lock = lockspace.lock("disk0", dlm_runtime::Mode::Ex).await?;
/// # drop(lock);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LockFuture<'a> {
    request: Option<LockRequest<'a>>,
    pending: Option<(Lock, Begun)>,
}

/// The future of a [`ConvertRequest`]. Dropped before it is ready it cancels the conversion; the
/// lock keeps its mode then, unless the cancel came too late.
///
/// ```no_run
/// # async fn example(lock: dlm_runtime::Lock) -> Result<(), dlm_runtime::Error> {
/// lock.convert(dlm_runtime::Mode::Ex).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ConvertFuture<'a> {
    request: Option<ConvertRequest<'a>>,
    /// The lock, and which of its operations.
    pending: Option<(&'a Lock, Begun)>,
}

/// The future of an [`UnlockRequest`]. Dropped before it is ready it leaves the unlock to itself.
///
/// ```no_run
/// # async fn example(lock: dlm_runtime::Lock) -> Result<(), dlm_runtime::Error> {
/// lock.unlock().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct UnlockFuture {
    request: Option<UnlockRequest>,
    pending: Option<(Lock, Begun)>,
}

impl<'a> IntoFuture for LockRequest<'a> {
    type Output = Result<Lock, Error>;
    type IntoFuture = LockFuture<'a>;

    fn into_future(self) -> LockFuture<'a> {
        LockFuture { request: Some(self), pending: None }
    }
}

impl<'a> IntoFuture for ConvertRequest<'a> {
    type Output = Result<Completion, Error>;
    type IntoFuture = ConvertFuture<'a>;

    fn into_future(self) -> ConvertFuture<'a> {
        ConvertFuture { request: Some(self), pending: None }
    }
}

impl IntoFuture for UnlockRequest {
    type Output = Result<(), UnlockError>;
    type IntoFuture = UnlockFuture;

    fn into_future(self) -> UnlockFuture {
        UnlockFuture { request: Some(self), pending: None }
    }
}

impl Future for LockFuture<'_> {
    type Output = Result<Lock, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let tried = this.request.as_ref().and_then(LockRequest::try_plain);
        match tried {
            Some(Ok(lock)) => {
                this.request = None;
                Poll::Ready(Ok(lock))
            }
            tried => this.poll_otherwise(tried.and_then(Result::err), cx),
        }
    }
}

impl LockFuture<'static> {
    /// The future of a request that has begun.
    pub(crate) const fn begun(lock: Lock, begun: Begun) -> Self {
        Self { request: None, pending: Some((lock, begun)) }
    }

    /// The operation, until its end is taken.
    pub(crate) fn operation(&self) -> Option<(&Driver<Native>, Begun)> {
        self.pending.as_ref().map(|(lock, begun)| (&**lock.driver(), *begun))
    }

    /// Takes the lock of a request that has ended: what a poll would have returned.
    pub(crate) fn end(&mut self, end: Result<Completion, ErrorKind>) -> Result<Lock, Error> {
        let lock = self.pending.take().map(|(lock, _)| lock);
        outcome(end, lock)
    }
}

impl LockFuture<'_> {
    #[inline(never)]
    fn poll_otherwise(
        &mut self,
        tried: Option<Tried<Lock>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Lock, Error>> {
        let request = self.request.take();
        let mut first = if request.is_some() { First::Unread } else { First::Earlier };
        match (tried, request) {
            (Some(Tried::Refused(kind)), _) => {
                return Poll::Ready(Err(Error::new(Operation::Lock, kind)));
            }
            (Some(Tried::Begun(lock, begun, read)), _) => {
                self.pending = Some((lock, begun));
                first = First::Read(read);
            }
            (None, Some(request)) => {
                self.pending = Some(request.begin(Notify::Task(cx.waker().clone()))?);
            }
            (None, None) => {}
        }
        let Some((lock, begun)) = &self.pending else { return Poll::Pending };
        let outcome = match lock.driver().poll_end(*begun, cx, first) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => return Poll::Pending,
        };
        let lock = self.pending.take().map(|(lock, _)| lock);
        Poll::Ready(self::outcome(outcome, lock))
    }
}

impl Future for ConvertFuture<'_> {
    type Output = Result<Completion, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let is_new = this.request.is_some();
        if let Some(request) = this.request.take() {
            this.pending = Some(request.begin(Notify::Task(cx.waker().clone()))?);
        }
        let Some((lock, begun)) = this.pending else { return Poll::Pending };
        let first = if is_new { First::Unread } else { First::Earlier };
        let outcome = match lock.driver().poll_end(begun, cx, first) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => return Poll::Pending,
        };
        this.pending = None;
        let failed = |kind| Error::new(Operation::Convert, kind);
        Poll::Ready(match outcome {
            Ok(completion) if completion.is_granted() => Ok(completion),
            Ok(completion) => Err(failed(refusal(completion.status))),
            Err(kind) => Err(failed(kind)),
        })
    }
}

impl Drop for ConvertFuture<'_> {
    fn drop(&mut self) {
        if let Some((lock, begun)) = self.pending.take() {
            let driver = lock.driver();
            let is_wanted = {
                let mut state = driver.state();
                state.core.want_cancel(begun.token, begun.serial, CancelKind::Plain)
            };
            driver.abandon(begun);
            if is_wanted {
                driver.follow_up(begun.token);
            }
        }
    }
}

impl Future for UnlockFuture {
    type Output = Result<(), UnlockError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let tried = this.request.as_ref().and_then(UnlockRequest::try_plain);
        match tried {
            Some(Ok(())) => {
                drop(this.request.take().map(UnlockRequest::into_released));
                Poll::Ready(Ok(()))
            }
            tried => this.poll_otherwise(tried.and_then(Result::err), cx),
        }
    }
}

impl UnlockFuture {
    #[inline(never)]
    fn poll_otherwise(
        &mut self,
        tried: Option<Tried<()>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UnlockError>> {
        let request = self.request.take();
        let mut first = if request.is_some() { First::Unread } else { First::Earlier };
        match (tried, request) {
            (Some(Tried::Refused(kind)), Some(request)) => {
                return Poll::Ready(Err(request.failed(kind)));
            }
            (Some(Tried::Begun((), begun, read)), Some(request)) => {
                self.pending = Some((request.into_released(), begun));
                first = First::Read(read);
            }
            (None, Some(request)) => {
                self.pending = Some(request.begin(Notify::Task(cx.waker().clone()))?);
            }
            (_, None) => {}
        }
        let Some((lock, begun)) = &self.pending else { return Poll::Pending };
        let outcome = match lock.driver().poll_end(*begun, cx, first) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(match (outcome, self.pending.take()) {
            (Err(kind), Some((lock, _))) => {
                let error = Error::new(Operation::Unlock, kind);
                Err(UnlockError { error, lock: lock.taken_back() })
            }
            _ => Ok(()),
        })
    }
}

impl Drop for UnlockFuture {
    fn drop(&mut self) {
        // The unlock goes on. If it fails the lock is as one that was dropped.
        if let Some((lock, _)) = self.pending.take() {
            drop(lock.taken_back());
        }
    }
}

/// The outcome of a request.
fn outcome(end: Result<Completion, ErrorKind>, lock: Option<Lock>) -> Result<Lock, Error> {
    match (end, lock) {
        (Ok(Completion { mode: Some(_), .. }), Some(lock)) => Ok(lock),
        (Ok(ended), _) => Err(Error::new(Operation::Lock, refusal(ended.status))),
        (Err(kind), _) => Err(Error::new(Operation::Lock, kind)),
    }
}

/// The error of an operation that was not granted.
fn refusal(status: LockStatus) -> ErrorKind {
    match status {
        LockStatus::TimedOut => ErrorKind::TimedOut("it was not granted in time"),
        status => ErrorKind::Status(status),
    }
}
