//! Operations as futures, with plain wakers and no executor.
//!
//! A future that is polled writes its request and reads the device itself. What completes at once,
//! as most operations do, is ready at the first poll. Otherwise somebody must read the completion
//! and wake the task: a [`DeliveryThread`](crate::DeliveryThread), calls of
//! [`dispatch`](crate::Lockspace::dispatch), or a driver: `Lockspace::drive_tokio` with the feature
//! `tokio`, `Lockspace::drive_async_io` with the feature `async-io`.
//!
//! A `write` blocks while the kernel has stopped the lockspace. With
//! [`background_writes`](crate::LockspaceOptions::background_writes) it does so in a thread of its
//! own, and the executor goes on.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use dlm_proto::{LockStatus, Token};

use crate::convert::ConvertRequest;
use crate::entry::Contract;
use crate::error::{Error, ErrorKind, Operation, UnlockError};
use crate::event::Completion;
use crate::lock::{Lock, UnlockRequest};
use crate::request::LockRequest;
use crate::route::{Pumped, Reader};
use crate::shared::Shared;
use crate::sync::lock;

/// Results read in one poll.
const TURN: usize = 64;

/// The future of a [`LockRequest`]. Dropped before it is ready it takes the request back, and
/// nothing is held.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct LockFuture<'a> {
    request: Option<LockRequest<'a>>,
    lock: Option<Lock>,
}

/// The future of a [`ConvertRequest`]. Dropped before it is ready it cancels the conversion; the
/// lock keeps its mode then, unless the cancel came too late.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ConvertFuture<'a> {
    request: Option<ConvertRequest<'a>>,
    /// The lock, and which of its operations.
    pending: Option<(&'a Lock, u64)>,
}

/// The future of an [`UnlockRequest`]. Dropped before it is ready it leaves the unlock to itself.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct UnlockFuture {
    request: Option<UnlockRequest>,
    pending: Option<Lock>,
}

impl<'a> IntoFuture for LockRequest<'a> {
    type Output = Result<Lock, Error>;
    type IntoFuture = LockFuture<'a>;

    fn into_future(self) -> LockFuture<'a> {
        LockFuture { request: Some(self), lock: None }
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
        let request = this.request.take();
        let is_new = request.is_some();
        if let Some(request) = request {
            this.lock = Some(request.begin(cx.waker())?);
        }
        let Some(lock) = &this.lock else { return Poll::Pending };
        let outcome = match lock.shared().poll_outcome(lock.token(), cx, is_new) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => return Poll::Pending,
        };
        let lock = this.lock.take();
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
        let request = this.request.take();
        let is_new = request.is_some();
        if let Some(request) = request {
            this.pending = Some(request.begin(cx.waker())?);
        }
        let Some((lock, _)) = this.pending else { return Poll::Pending };
        let outcome = match lock.shared().poll_outcome(lock.token(), cx, is_new) {
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
        if let Some((lock, serial)) = self.pending.take() {
            let token = lock.token();
            lock.shared().abandon(token);
            lock.shared().defer(move |shared| shared.cancel_operation(token, serial, false));
        }
    }
}

impl Future for UnlockFuture {
    type Output = Result<(), UnlockError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let request = this.request.take();
        let is_new = request.is_some();
        if let Some(request) = request {
            this.pending = Some(request.begin(cx.waker())?);
        }
        let Some(lock) = &this.pending else { return Poll::Pending };
        let outcome = match lock.shared().poll_outcome(lock.token(), cx, is_new) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(match (outcome, this.pending.take()) {
            (Err(kind), Some(lock)) => {
                let error = Error::new(Operation::Unlock, kind);
                Err(UnlockError { error, lock: lock.taken_back() })
            }
            _ => Ok(()),
        })
    }
}

impl Drop for UnlockFuture {
    fn drop(&mut self) {
        if let Some(lock) = self.pending.take() {
            lock.shared().abandon_unlock(lock.token());
        }
    }
}

/// What is wrong with an operation that was not granted.
fn refusal(status: LockStatus) -> ErrorKind {
    match status {
        LockStatus::TimedOut => ErrorKind::TimedOut("it was not granted in time"),
        status => ErrorKind::Status(status),
    }
}

impl Shared {
    /// Looks for the outcome of an operation that was begun under
    /// [`Contract::Wake`], reading what is there to read. `is_new`: it was begun in this poll.
    fn poll_outcome(
        &self,
        token: Token,
        cx: &mut Context<'_>,
        is_new: bool,
    ) -> Poll<Result<Completion, ErrorKind>> {
        for turn in 0..TURN {
            // That of an operation that has just begun is still to be read, as a rule.
            if !(is_new && turn == 0) {
                if let Some(outcome) = self.take_outcome(token) {
                    return Poll::Ready(outcome);
                }
            }
            match self.pump(Reader::Waits(token)) {
                Ok(Pumped::Mine(ended)) => return Poll::Ready(Ok(ended.into())),
                Err(kind) => {
                    if let Some(outcome) = self.take_outcome(token) {
                        return Poll::Ready(outcome);
                    }
                    self.abandon(token);
                    return Poll::Ready(Err(kind));
                }
                Ok(Pumped::Handled | Pumped::Ran) => {}
                Ok(Pumped::Empty) => match self.register(token, cx.waker()) {
                    // Closed between the read and here: nobody wakes this task any more.
                    Registered::Waits if self.slot.get().is_err() => {}
                    Registered::Waits => return Poll::Pending,
                    Registered::Ended => {}
                    Registered::Gone => return Poll::Ready(Err(ErrorKind::LockGone)),
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nobody waits for this unlock any more. It goes on, and its entry goes with the lock.
    fn abandon_unlock(&self, token: Token) {
        self.abandon(token);
        // Or it has ended already: well, and the entry goes now, or not, and then the lock does.
        let is_left = {
            let mut table = lock(&self.table);
            table.get_mut(token).is_some_and(|entry| {
                entry.leave(self);
                entry.state.pending().is_none()
            })
        };
        if is_left {
            self.defer(move |shared| shared.release_dropped(token));
        }
    }

    /// Stores the waker of the task that polled last.
    fn register(&self, token: Token, waker: &Waker) -> Registered {
        // Dropped when nothing is locked.
        let _old;
        let mut table = lock(&self.table);
        let Some(entry) = table.get_mut(token) else { return Registered::Gone };
        match &mut entry.contract {
            _ if entry.outcome.is_some() => Registered::Ended,
            Contract::Wake(current) => {
                if !current.will_wake(waker) {
                    _old = std::mem::replace(current, waker.clone());
                }
                Registered::Waits
            }
            _ => Registered::Gone,
        }
    }

    /// Runs a job that writes: in the writing thread if there is one, or else here.
    pub(crate) fn defer(&self, job: impl FnOnce(&Arc<Self>) + Send + 'static) {
        if let Some(shared) = self.me.upgrade() {
            shared.defer_shared(job);
        }
    }

    /// As [`Shared::defer`], for who has a handle.
    #[inline]
    pub(crate) fn defer_shared(self: &Arc<Self>, job: impl FnOnce(&Arc<Self>) + Send + 'static) {
        match &self.writer {
            Some(writer) => {
                let shared = Arc::clone(self);
                writer.push(move || job(&shared));
            }
            None => job(self),
        }
    }

    /// A write that was put off failed: tells the future that waits for its completion.
    pub(crate) fn fail(&self, token: Token, kind: ErrorKind) {
        let (waker, dropped) = {
            let mut table = lock(&self.table);
            let Some(entry) = table.get_mut(token) else { return };
            entry.state.abort(&kind);
            entry.outcome = Some(Err(Box::new(kind)));
            (std::mem::take(&mut entry.contract), entry.dropped.is_some())
        };
        self.expect_no_more(waker.needs_delivery());
        if dropped {
            // The future of an unlock that was not written is gone: nobody else holds this lock.
            self.defer(move |shared| shared.release_dropped(token));
        }
        if let Contract::Wake(waker) = waker {
            waker.wake();
        }
    }
}

enum Registered {
    Waits,
    Ended,
    Gone,
}
