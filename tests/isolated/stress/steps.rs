//! The kinds of steps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dlm_runtime::{Error, ErrorKind, Lock, LockFlags, LockStatus, Mode};

use super::MARKER;
use super::random;
use super::resource::Resource;
use super::ticket::Ticket;
use super::worker::{Wish, Worker};
use super::world::{Owner, add};

impl Worker<'_> {
    /// A blocking request.
    pub(crate) fn blocking(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let (wish, floor) = (self.wish(), resource.floor());
        match self.request(owner, resource, wish).wait() {
            Ok(lock) => self.hold(owner, resource, lock, wish, floor),
            Err(error) => self.refusal(owner, wish, &error),
        }
    }

    /// A request with a callback.
    pub(crate) fn by_callback(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let (wish, floor) = (self.wish(), resource.floor());
        let (ticket, stub) = self.ticket();
        let lock = match self.request(owner, resource, wish).start(move |end| stub.run(end)) {
            Ok(lock) => lock,
            Err(error) => {
                ticket.excuse();
                return self.refusal(owner, wish, &error);
            }
        };
        if !self.await_callback(owner, &ticket) {
            return;
        }
        let end = ticket.end().unwrap();
        if end.is_granted() {
            self.hold(owner, resource, lock, wish, floor);
        } else {
            assert_eq!((end.mode, lock.mode()), (None, None));
            self.status(wish, end.status);
        }
    }

    /// A request that is awaited.
    pub(crate) fn by_future(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let (wish, floor) = (self.wish(), resource.floor());
        let future = self.request(owner, resource, wish).into_future();
        match self.await_future(owner, future) {
            Ok(lock) => self.hold(owner, resource, lock, wish, floor),
            Err(error) => self.refusal(owner, wish, &error),
        }
    }

    /// A request whose handle is dropped at once, or a moment later.
    pub(crate) fn drop_pending(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let wish = self.wish();
        let (ticket, stub) = self.ticket();
        let lock = match self.request(owner, resource, wish).start(move |end| stub.run(end)) {
            Ok(lock) => lock,
            Err(error) => {
                ticket.excuse();
                return self.refusal(owner, wish, &error);
            }
        };
        (0..self.random.index(2000)).for_each(|_| std::hint::spin_loop());
        if self.random.percent(30) {
            // Then it may have ended, and its id be somebody else's, when the handle goes.
            let _ = lock.cancel();
        }
        add(&self.world.tally.dropped_pending);
        ticket.excuse();
        drop(lock);
    }

    /// A future that is polled a few times and dropped.
    pub(crate) fn drop_future(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let wish = self.wish();
        let mut future = self.request(owner, resource, wish).into_future();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..self.random.index(3) {
            match std::pin::Pin::new(&mut future).poll(&mut context) {
                std::task::Poll::Ready(Ok(lock)) => return drop(lock),
                std::task::Poll::Ready(Err(error)) => return self.refusal(owner, wish, &error),
                std::task::Poll::Pending => {}
            }
        }
        add(&self.world.tally.dropped_futures);
        drop(future);
    }

    /// A request that others may cancel while it waits, and then a conversion by everybody.
    pub(crate) fn offer(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let mut wish = self.wish();
        // Its mode changes under us: it protects nothing.
        wish.flags -= LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST;
        let (ticket, stub) = self.ticket();
        let lock = match self.request(owner, resource, wish).start(move |end| stub.run(end)) {
            Ok(lock) => Arc::new(lock),
            Err(error) => {
                ticket.excuse();
                return self.refusal(owner, wish, &error);
            }
        };
        let victim = &self.world.victims[self.number];
        *victim.lock().unwrap() = Some(Arc::clone(&lock));
        if self.await_callback(owner, &ticket) {
            let end = ticket.end().unwrap();
            if end.is_granted() {
                for _ in 0..self.random.index(4) {
                    let mode = random::mode(&mut self.random);
                    let timeout = self.short();
                    self.shared_convert(&lock, mode, timeout);
                }
            } else {
                self.status(wish, end.status);
            }
        } else {
            ticket.excuse();
        }
        ticket.excuse();
        // Whoever lets go last drops it.
        drop(victim.lock().unwrap().take());
    }

    /// Cancels or converts a lock of another thread.
    pub(crate) fn bother(&mut self) {
        let at = self.random.index(self.world.victims.len());
        let lock = self.world.victims[at].lock().unwrap().clone();
        let Some(lock) = lock else { return };
        let tally = &self.world.tally;
        let cancelled = match self.random.index(4) {
            0 | 1 => lock.cancel(),
            2 => lock.cancel_as_deadlock(),
            _ => {
                let (mode, timeout) = (random::mode(&mut self.random), self.short());
                return self.shared_convert(&lock, mode, timeout);
            }
        };
        match cancelled.map_err(|error| error.kind) {
            Ok(()) => add(&tally.foreign_cancels),
            Err(ErrorKind::NothingToCancel | ErrorKind::LockGone) => {}
            // That of the doomed lockspace.
            Err(ErrorKind::Closed) => add(&tally.closed),
            Err(other) => panic!("cancel: {other}"),
        }
    }

    /// Converts a lock that other threads convert at the same time.
    fn shared_convert(&self, lock: &Lock, mode: Mode, timeout: Duration) {
        let timeout = timeout.min(Duration::from_millis(5));
        self.count();
        let tally = &self.world.tally;
        match lock.convert(mode).timeout(timeout).wait().map_err(|error| error.kind) {
            Ok(_) => add(&tally.granted),
            Err(ErrorKind::InFlight) => add(&tally.in_flight),
            Err(ErrorKind::TimedOut(what)) => {
                assert!(!what.contains("answer"), "{what}");
                add(&tally.timed_out);
            }
            Err(ErrorKind::Status(LockStatus::Cancelled)) => add(&tally.cancelled),
            Err(ErrorKind::Status(LockStatus::Deadlock)) => add(&tally.deadlock),
            Err(ErrorKind::LockGone) => {}
            Err(ErrorKind::Closed) => add(&tally.closed),
            Err(other) => panic!("shared conversion: {other}"),
        }
    }

    /// A callback that takes and releases a lock itself.
    pub(crate) fn nested(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let name = self.resource().name.clone();
        let mode = random::mode(&mut self.random);
        let (inner, wish) = (Arc::downgrade(owner), self.wish());
        let (ticket, stub) = self.ticket();
        let nested = self.random.percent(50);
        self.count();
        let started = self.request(owner, resource, wish).start(move |end| {
            let owner = inner.upgrade();
            let answer = owner.as_ref().map(|owner| {
                // Never without an end: the lock that this is about may be in the way.
                let request = owner.ls.lock(&name, mode).timeout(Duration::from_millis(2)).wait();
                request.map(|lock| if nested { lock.unlock().wait().is_ok() } else { true })
            });
            stub.run(end);
            match answer {
                None | Some(Ok(true)) => {}
                Some(Err(error)) if matches!(error.kind, ErrorKind::TimedOut(_)) => {}
                other => assert!(owner.unwrap().is_closing(), "nested: {other:?}"),
            }
        });
        add(&self.world.tally.nested);
        self.drop_when_called(owner, wish, &ticket, started);
    }

    /// A callback that panics.
    pub(crate) fn panicking(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let mut wish = self.wish();
        wish.notices = false;
        let (ticket, stub) = self.ticket();
        let counted = Arc::downgrade(owner);
        let started = self.request(owner, resource, wish).start(move |end| {
            if let Some(owner) = counted.upgrade() {
                owner.panics.fetch_add(1, Ordering::SeqCst);
            }
            stub.run(end);
            panic!("{MARKER}");
        });
        self.drop_when_called(owner, wish, &ticket, started);
    }

    /// Waits until the callback of a request has run, and drops the lock.
    fn drop_when_called(
        &self,
        owner: &Owner,
        wish: Wish,
        ticket: &Ticket,
        started: Result<Lock, Error>,
    ) {
        match started {
            Ok(lock) => {
                self.await_callback(owner, ticket);
                ticket.excuse();
                drop(lock);
            }
            Err(error) => {
                ticket.excuse();
                self.refusal(owner, wish, &error);
            }
        }
    }

    /// What the library must refuse.
    pub(crate) fn refused(&mut self, owner: &Arc<Owner>, resource: &Resource) {
        let flags = *self.random.pick(&[
            LockFlags::PERSISTENT,
            LockFlags::FORCEUNLOCK,
            LockFlags::CANCEL,
            LockFlags::QUECVT,
            LockFlags::ORPHAN,
        ]);
        let plain = Wish { mode: Mode::Ex, flags, lvb: false, timeout: None, notices: false };
        let error = self.request(owner, resource, plain).wait().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Illegal(_)), "{error}");
    }
}
