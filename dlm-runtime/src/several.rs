//! Waiting for the first of several ends, for threads and tasks alike.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::driver::wait::{Goal, OwnEnd};
use crate::driver::{Driver, Notify, Waiter, now};
use crate::error::{Error, ErrorKind, Operation};
use crate::event::Completion;
use crate::future::LockFuture;
use crate::lock::Lock;
use crate::native::Native;
use crate::request::LockRequest;

/// A request in flight, for which threads or tasks may wait, one at a time. Dropped it is taken back.
#[derive(Debug)]
pub(crate) struct Pending(LockFuture<'static>);

/// What came first.
#[derive(Debug)]
pub(crate) enum Event {
    /// The request of this index has ended.
    Ended(usize, Result<Lock, Error>),
    /// Somebody waits for the lock that was watched.
    Noticed,
}

impl Pending {
    /// Writes a request.
    pub(crate) fn start(request: LockRequest<'_>) -> Result<Self, Error> {
        let (lock, begun) = request.begin(Notify::Thread(None))?;
        Ok(Self(LockFuture::begun(lock, begun)))
    }

    /// A thread waits for it from now on, and no task.
    fn claim(&self) {
        let Some((driver, begun)) = self.0.operation() else { return };
        // Dropped when nothing is locked.
        let _old = {
            let mut state = driver.state();
            let user = state.core.user_mut(begun.token, begun.serial);
            let task = user.filter(|user| user.needs_delivery());
            let old = task.map(|task| std::mem::replace(task, Notify::Thread(None)));
            state.handed_out(old.as_ref());
            old
        };
    }
}

/// The first of these to end, and a notice.
struct FirstOf<'a> {
    pending: &'a [Pending],
    watched: Option<&'a Lock>,
}

/// What a thread finds.
enum Found {
    End(usize, Result<Completion, ErrorKind>),
    Notice,
}

impl Goal<Native> for FirstOf<'_> {
    type Got = Found;

    fn look(
        &self,
        driver: &Driver<Native>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<Found>, ErrorKind> {
        for (index, pending) in self.pending.iter().enumerate() {
            let Some((driver, begun)) = pending.0.operation() else { continue };
            match OwnEnd(begun).look(driver, waiter) {
                Ok(None) => {}
                Ok(Some(end)) => return Ok(Some(Found::End(index, Ok(end)))),
                Err(kind) => return Ok(Some(Found::End(index, Err(kind)))),
            }
        }
        let Some(watched) = self.watched else { return Ok(None) };
        if let Some(waiter) = waiter {
            driver.notice_waiters.add(watched.token(), waiter);
        }
        Ok(watched.look_for_notice()?.map(|_| Found::Notice))
    }

    fn read(&self, _: Completion) -> Option<Found> {
        None
    }
}

/// Waits in this thread. `None`: the deadline has passed. What has ended before counts.
pub(crate) fn wait_first(
    driver: &Driver<Native>,
    pending: &mut [Pending],
    watched: Option<&Lock>,
    deadline: Option<Instant>,
) -> Result<Option<Event>, Error> {
    let failed = |kind| Error::new(Operation::AwaitNotice, kind);
    pending.iter().for_each(Pending::claim);
    let found = driver.wait_for(&FirstOf { pending, watched }, deadline).map_err(failed)?;
    Ok(match found {
        None => None,
        Some(Found::Notice) => Some(Event::Noticed),
        Some(Found::End(index, end)) => {
            pending.get_mut(index).map(|pending| Event::Ended(index, pending.0.end(end)))
        }
    })
}

/// Waits in a task, as [`wait_first`].
pub(crate) async fn first(
    driver: &Driver<Native>,
    pending: &mut [Pending],
    watched: Option<&Lock>,
    deadline: Option<Instant>,
) -> Result<Option<Event>, Error> {
    let failed = |kind| Error::new(Operation::AwaitNotice, kind);
    let mut timer = Timer { driver, at: deadline, set: None };
    poll_fn(|cx| {
        for (index, pending) in pending.iter_mut().enumerate() {
            if pending.0.operation().is_some() {
                if let Poll::Ready(end) = Pin::new(&mut pending.0).poll(cx) {
                    return Poll::Ready(Ok(Some(Event::Ended(index, end))));
                }
            }
        }
        if let Some(watched) = watched {
            // What was told before counts, too.
            let look = || watched.look_for_notice().map_err(failed);
            loop {
                if look()?.is_some() {
                    return Poll::Ready(Ok(Some(Event::Noticed)));
                }
                match watched.notices().poll_notice(cx) {
                    // It may be one from before the last grant.
                    Poll::Ready(Some(_)) => {}
                    // It is gone, unless the device could not be read for now.
                    Poll::Ready(None) => {
                        look()?;
                        cx.waker().wake_by_ref();
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        timer.poll(cx).map(|()| Ok(None))
    })
    .await
}

/// A point in time for which a task waits; never, if there is none.
struct Timer<'a> {
    driver: &'a Driver<Native>,
    at: Option<Instant>,
    set: Option<(u64, Waker)>,
}

impl Timer<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        if at <= now() {
            return Poll::Ready(());
        }
        if !self.set.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker())) {
            self.clear();
            let waker = cx.waker().clone();
            self.set = Some((self.driver.set_timer(at, waker.clone()), waker));
        }
        Poll::Pending
    }

    fn clear(&mut self) {
        if let Some((number, _)) = self.set.take() {
            self.driver.clear_timer(number);
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}
