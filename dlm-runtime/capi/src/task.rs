//! Calls that go on in their outermost frame: those that sleep or run ASTs.
//!
//! A thread can be cancelled where it sleeps, and an AST may leave its thread by `pthread_exit`. Both
//! unwind the thread's frames, and frames with destructors are none to be unwound that way. So what
//! sleeps or runs ASTs is a future, which hands what is to be done out to the outermost frame, see the
//! module `frame`. When the thread is left there, the future is dropped.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use dlm_runtime::driver::{Due, Host, Ready, Source, Waiter};
use nix::errno::Errno as Number;

use crate::errno::{Errno, Told};
use crate::face::{self, CFace, Session};
use crate::lksb::Ast;
#[cfg(dlm_model)]
use crate::model::{Polled, Semaphore};
#[cfg(not(dlm_model))]
use crate::polled::Polled;
#[cfg(not(dlm_model))]
use crate::semaphore::Semaphore;

/// What a task has its outermost frame do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    /// Call an AST.
    Call(Ast),
    /// Poll these descriptors, until a time.
    Poll(Polled, Option<Instant>),
    /// Sleep until woken, or until a time.
    Sleep(Option<Instant>),
}

/// The outermost frame, for the future of a task.
pub(crate) struct OuterFrame {
    ask: Cell<Option<Ask>>,
    /// What `poll` has told.
    polled: Cell<Result<Ready, Number>>,
    waker: Waker,
    semaphore: Arc<Semaphore>,
}

impl OuterFrame {
    /// Has something done. Goes on when it is.
    async fn ask(&self, ask: Ask) {
        let mut ask = Some(ask);
        poll_fn(|_| match ask.take() {
            Some(ask) => {
                self.ask.set(Some(ask));
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }
}

impl Host<CFace> for OuterFrame {
    async fn run(&self, driver: &Session, due: Due<CFace>) {
        if let Some(ast) = face::ast_of(driver, &due) {
            self.ask(Ask::Call(ast)).await;
        }
    }

    async fn sleep(&self, sources: &[Source<'_>], until: Option<Instant>) -> nix::Result<Ready> {
        self.ask(Ask::Poll(Polled::new(sources), until)).await;
        self.polled.get()
    }

    async fn sleep_until_woken(&self, waiter: &Arc<Waiter>, until: Option<Instant>) {
        if waiter.begin_sleep(self.waker.clone()) {
            self.ask(Ask::Sleep(until)).await;
            waiter.end_sleep();
        }
    }
}

type Goes<T> = Pin<Box<dyn Future<Output = Result<T, Errno>>>>;

/// A call that goes on.
pub(crate) struct Task<T = Told> {
    future: Goes<T>,
    outer: Rc<OuterFrame>,
}

impl<T: 'static> Task<T> {
    /// What a future does that has everything done elsewhere.
    pub(crate) fn new<G>(future: impl FnOnce(Rc<OuterFrame>) -> G) -> Self
    where
        G: Future<Output = Result<T, Errno>> + 'static,
    {
        let semaphore = Semaphore::new();
        let (ask, polled) = (Cell::new(None), Cell::new(Ok(Ready::default())));
        let outer =
            Rc::new(OuterFrame { ask, polled, waker: Arc::clone(&semaphore).into(), semaphore });
        let future = Box::pin(future(Rc::clone(&outer)));
        Self { future, outer }
    }

    /// Goes on up to what is to be done next, or to the end.
    pub(crate) fn advance(&mut self) -> Result<Ask, Result<T, Errno>> {
        loop {
            let mut context = Context::from_waker(&self.outer.waker);
            if let Poll::Ready(end) = self.future.as_mut().poll(&mut context) {
                return Err(end);
            }
            // It pends for what it asks only.
            if let Some(ask) = self.outer.ask.take() {
                return Ok(ask);
            }
        }
    }

    /// Tells what `poll` has answered.
    pub(crate) fn polled(&self, answer: Result<Ready, Number>) {
        self.outer.polled.set(answer);
    }

    /// Where its thread sleeps until it is woken.
    pub(crate) fn semaphore(&self) -> &Arc<Semaphore> {
        &self.outer.semaphore
    }
}

/// How far a call has come.
pub(crate) enum Progress<T = Told> {
    /// It has ended.
    Ended(T),
    /// It goes on in the outermost frame.
    GoesOn(Box<Task<T>>),
}

impl<T: 'static> Progress<T> {
    /// A call that goes on with this.
    #[cold]
    #[inline(never)]
    pub(crate) fn goes_on<G>(future: impl FnOnce(Rc<OuterFrame>) -> G) -> Self
    where
        G: Future<Output = Result<T, Errno>> + 'static,
    {
        Self::GoesOn(Box::new(Task::new(future)))
    }

    /// What becomes of it when it has ended.
    #[inline]
    pub(crate) fn then<U: 'static>(
        self,
        told: impl FnOnce(T) -> Result<U, Errno> + 'static,
    ) -> Result<Progress<U>, Errno> {
        Ok(match self {
            Self::Ended(status) => Progress::Ended(told(status)?),
            Self::GoesOn(task) => {
                let Task { future, outer } = *task;
                let future = Box::pin(async move { told(future.await?) });
                Progress::GoesOn(Box::new(Task { future, outer }))
            }
        })
    }
}
