//! Operations as futures, with plain wakers and no executor.
//!
//! A future that is polled writes its request and reads the device itself. What completes at once,
//! as most operations do, is ready at the first poll. Otherwise somebody must read the completion
//! and wake the task: a [`DeliveryThread`](crate::DeliveryThread), calls of
//! [`dispatch`](crate::Lockspace::dispatch), or a driver: `Lockspace::drive_tokio` with the feature
//! `tokio`, `Lockspace::drive_async_io` with the feature `async-io`. A thread that waits in a call of
//! its own leaves the waking to these, so that no waker holds up its own grant.
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
use crate::driver::read::{Read, Role};
use crate::driver::{Begun, Driver, Notify};
use crate::error::{Error, ErrorKind, Operation, UnlockError};
use crate::event::Completion;
use crate::lock::Lock;
use crate::native::Native;
use crate::request::LockRequest;
use crate::unlock::UnlockRequest;

/// Results read in one poll.
const READ_BUDGET: usize = 64;

/// The future of a [`LockRequest`]. Dropped before it is ready it takes the request back, and
/// nothing is held.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LockFuture<'a> {
    request: Option<LockRequest<'a>>,
    pending: Option<(Lock, Begun)>,
}

/// The future of a [`ConvertRequest`]. Dropped before it is ready it cancels the conversion; the
/// lock keeps its mode then, unless the cancel came too late.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ConvertFuture<'a> {
    request: Option<ConvertRequest<'a>>,
    /// The lock, and which of its operations.
    pending: Option<(&'a Lock, Begun)>,
}

/// The future of an [`UnlockRequest`]. Dropped before it is ready it leaves the unlock to itself.
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
        Poll::Ready(match (outcome, lock) {
            (Ok(Completion { mode: Some(_), .. }), Some(lock)) => Ok(lock),
            (Ok(ended), _) => Err(Error::new(Operation::Lock, refusal(ended.status))),
            (Err(kind), _) => Err(Error::new(Operation::Lock, kind)),
        })
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

/// The error of an operation that was not granted.
fn refusal(status: LockStatus) -> ErrorKind {
    match status {
        LockStatus::TimedOut => ErrorKind::TimedOut("it was not granted in time"),
        status => ErrorKind::Status(status),
    }
}

impl Driver<Native> {
    /// Looks for the end of an operation that was begun for a task, reading what is there to read.
    fn poll_end(
        &self,
        begun: Begun,
        cx: &mut Context<'_>,
        first: First,
    ) -> Poll<Result<Completion, ErrorKind>> {
        let role = Role::Waiter(begun.token, begun.serial);
        // The end of an operation that has just begun is still to be read, as a rule.
        let mut is_worth_a_look = matches!(first, First::Earlier);
        let mut read = match first {
            First::Read(read) => Some(read),
            First::Unread | First::Earlier => None,
        };
        for _ in 0..READ_BUDGET {
            if std::mem::replace(&mut is_worth_a_look, true) {
                if let Some(outcome) = self.take_end(begun) {
                    return Poll::Ready(outcome);
                }
            }
            match read.take().unwrap_or_else(|| self.read(role)) {
                Ok(Read::Mine(completion, _left)) => return Poll::Ready(Ok(completion)),
                Ok(Read::Due(due)) => self.leave_due(due),
                Ok(Read::Effects(effects)) => _ = self.apply(*effects, false),
                Ok(Read::Handled) => {}
                Err(kind) => {
                    let outcome = self.take_end(begun);
                    self.abandon(begun);
                    return Poll::Ready(outcome.unwrap_or(Err(kind)));
                }
                Ok(Read::Empty) => match self.register(begun, cx) {
                    Registered::Waits => return Poll::Pending,
                    Registered::Ended => {}
                    Registered::Gone => {
                        let why = self.end_or(ErrorKind::LockGone);
                        return Poll::Ready(self.take_end(begun).unwrap_or(Err(why)));
                    }
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Stores the waker of the task that polled last.
    fn register(&self, begun: Begun, cx: &Context<'_>) -> Registered {
        // Cloned, and dropped, when nothing is locked: both are the executor's code.
        let mut new = None;
        loop {
            let mut state = self.state();
            if state.core.has_outcome(begun.token, begun.serial) {
                return Registered::Ended;
            }
            let Some(user) = state.core.user_mut(begun.token, begun.serial) else {
                return Registered::Gone;
            };
            match user {
                Notify::Task(current) if current.will_wake(cx.waker()) => return Registered::Waits,
                user => {
                    if let Some(new) = new.take() {
                        let old = std::mem::replace(user, new);
                        let before = state.awaited();
                        let is_more = !old.needs_delivery();
                        state.delivered += usize::from(is_more);
                        drop(state);
                        if is_more && before == 0 {
                            self.delivery.tell_of_interest();
                        }
                        drop(old);
                        return Registered::Waits;
                    }
                }
            }
            drop(state);
            new = Some(Notify::Task(cx.waker().clone()));
        }
    }
}

/// What a plain operation of a task has come to at the first look, if it has not ended well.
pub(crate) enum Tried<T> {
    /// Nothing was begun, or it was not granted.
    Refused(ErrorKind),
    /// It was begun, and has not ended, as far as this result says.
    Begun(T, Begun, Result<Read<Native>, ErrorKind>),
}

/// How a poll begins.
enum First {
    /// The operation has just begun, and nothing was read since.
    Unread,
    /// It has just begun, and this was read since.
    Read(Result<Read<Native>, ErrorKind>),
    /// It has begun in an earlier poll.
    Earlier,
}

enum Registered {
    Waits,
    Ended,
    Gone,
}
