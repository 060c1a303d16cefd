//! From a shared guard to the exclusive one.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::acquire::{Waiting, failed, wait_out};
use super::guard::{Exclusive, Guard, Shared};
use super::level::Level;
use super::machine::{Admission, Wish};
use super::resource::Holder;
use super::shared::Entry;
use super::waiter::{Outcome, Waiter};
use crate::error::{Error, ErrorKind};
use crate::threads::deadline_after;

/// The exclusive guard in place of a shared one, and whether what was read under that still holds.
#[derive(Debug)]
#[must_use = "what was read may be old"]
pub enum Upgrade<H: Holder> {
    /// Nobody can have changed anything since the shared guard was taken.
    Kept(Guard<H, Exclusive>),
    /// Somebody else may have changed what was read, here or on another node: read it again.
    Lost(Guard<H, Exclusive>),
}

impl<H: Holder> Upgrade<H> {
    /// The guard, whatever happened in between.
    pub fn into_guard(self) -> Guard<H, Exclusive> {
        match self {
            Self::Kept(guard) | Self::Lost(guard) => guard,
        }
    }

    /// Whether what was read may be old.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    fn new(holder: H, admission: Admission) -> Self {
        let guard = Guard::new(holder);
        if admission.is_kept { Self::Kept(guard) } else { Self::Lost(guard) }
    }
}

/// An upgrade in the making; [`Guard::upgrade`] starts one. The shared guard ends when it is waited for.
#[must_use = "nothing is acquired before wait() or .await"]
pub struct Upgrading<H: Holder> {
    guard: Guard<H, Shared>,
    deadline: Option<Instant>,
}

impl<H: Holder> fmt::Debug for Upgrading<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrading")
            .field("resource", self.guard.resource())
            .field("deadline", &self.deadline)
            .finish()
    }
}

impl<H: Holder> Guard<H, Shared> {
    /// Makes it the exclusive guard: [`wait`](Upgrading::wait) or `.await` does it, and tells whether
    /// somebody may have changed something in between.
    ///
    /// The shared guard ends with the call. Two that want this at the same time, on one node or on two,
    /// both get there: one of them learns that what it has read may be old.
    pub const fn upgrade(self) -> Upgrading<H> {
        Upgrading::new(self)
    }
}

/// A shared guard is given up for a place at the head of the queue.
fn ask(entry: &Arc<Entry>, waiter: &Arc<Waiter>) -> Option<Outcome> {
    let theirs = Arc::clone(waiter);
    entry.tell(|slow, word, now, turn| {
        // From here on nobody comes in but by the queue.
        word.bar();
        let seen = Some(slow.machine.version());
        word.leave_shared();
        let wish = Wish { level: Level::Exclusive, no_queue: false, seen };
        slow.machine.ask(word, now, theirs, wish, turn);
    });
    waiter.take()
}

impl<H: Holder> Upgrading<H> {
    pub(super) const fn new(guard: Guard<H, Shared>) -> Self {
        Self { guard, deadline: None }
    }

    /// Waits no longer than until this time.
    pub const fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Waits no longer than this.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = deadline_after(timeout);
        self
    }

    /// Waits for the exclusive guard.
    ///
    /// # Errors
    ///
    /// As [`Acquire::wait`](super::Acquire::wait). The shared guard is gone then.
    pub fn wait(self) -> Result<Upgrade<H>, Error> {
        let Self { guard, deadline } = self;
        let holder = guard.into_holder();
        let entry = holder.resource().entry();
        if let Err(kind) = entry.cache.driver.check_fork() {
            return Err(failed(kind));
        }
        let waiter = Arc::new(Waiter::default());
        let outcome = ask(entry, &waiter);
        match wait_out(entry, &waiter, outcome, deadline) {
            Ok(admission) => Ok(Upgrade::new(holder, admission)),
            Err(kind) => Err(failed(kind)),
        }
    }
}

/// The future of an [`Upgrading`]. Dropped before it is ready it waits no longer, and holds nothing.
#[must_use = "futures do nothing unless polled"]
pub struct UpgradeFuture<H: Holder> {
    request: Option<Upgrading<H>>,
    waiting: Option<Waiting<H>>,
}

impl<H: Holder> fmt::Debug for UpgradeFuture<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeFuture").finish_non_exhaustive()
    }
}

impl<H: Holder> Unpin for UpgradeFuture<H> {}

impl<H: Holder> IntoFuture for Upgrading<H> {
    type Output = Result<Upgrade<H>, Error>;
    type IntoFuture = UpgradeFuture<H>;

    fn into_future(self) -> UpgradeFuture<H> {
        UpgradeFuture { request: Some(self), waiting: None }
    }
}

impl<H: Holder> Future for UpgradeFuture<H> {
    type Output = Result<Upgrade<H>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(Upgrading { guard, deadline }) = this.request.take() {
            let holder = guard.into_holder();
            let entry = holder.resource().entry();
            entry.cache.driver.check_fork().map_err(failed)?;
            let waiter = Arc::new(Waiter::default());
            let outcome = ask(entry, &waiter);
            let waiting = Waiting::new(holder, waiter, Level::Exclusive, outcome, deadline);
            this.waiting = Some(waiting);
        }
        let poll = this.waiting.as_mut().map(|waiting| waiting.poll(cx));
        let Some(Poll::Ready(outcome)) = poll else { return Poll::Pending };
        let holder = this.waiting.take().map(Waiting::into_holder);
        Poll::Ready(match (outcome, holder) {
            (Ok(admission), Some(holder)) => Ok(Upgrade::new(holder, admission)),
            (Ok(_), None) => Err(failed(ErrorKind::LockGone)),
            (Err(kind), _) => Err(failed(kind)),
        })
    }
}
