//! What a wait leaves to the thread in which it goes on: sleeping, and running callbacks.
//!
//! What waits, dispatches or delivers is written as a future over a [`Host`]. Most hosts do all of it
//! in place, so their futures never pend. That of the C libraries has its outermost frame do it, which
//! may be left from there (`pthread_cancel`, `pthread_exit`): the future is dropped then, and what was
//! waited for is given up.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::face::{Due, Face};
use super::shared::Driver;
use super::signal::{Ready, Source, wait_any};
use super::wait_queue::Waiter;

/// The thread in which something waits or dispatches. It sleeps in place, unless the host says how.
pub trait Host<F: Face> {
    /// Runs a callback. Nothing is locked meanwhile.
    fn run(&self, driver: &Driver<F>, due: Due<F>) -> impl Future<Output = ()>;

    /// Sleeps until one of the sources is readable, or a signal comes, or until the deadline. Tells
    /// which are readable.
    fn sleep(
        &self,
        sources: &[Source<'_>],
        until: Option<Instant>,
    ) -> impl Future<Output = nix::Result<Ready>> {
        async move { wait_any(sources, until) }
    }

    /// Sleeps until the waiter is woken, or until the deadline.
    fn sleep_until_woken(
        &self,
        waiter: &Arc<Waiter>,
        until: Option<Instant>,
    ) -> impl Future<Output = ()> {
        async move { waiter.sleep(until) }
    }
}

/// A thread that runs no callbacks: they are left to others.
#[derive(Debug)]
pub struct Quiet;

impl<F: Face> Host<F> for Quiet {
    async fn run(&self, driver: &Driver<F>, due: Due<F>) {
        driver.leave_due(due);
    }
}

/// What the future of a host gives that does everything in place.
#[inline(always)]
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        // It never pends.
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}
