//! How threads wait for their own completions without a delivery thread.
//!
//! Each waiting thread first reads the device itself. When there is nothing to read, one of the
//! waiting threads, the leader, sleeps at the device, and the others, the followers, sleep until
//! their completion was handed to them. A leader that leaves wakes a follower to take its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_proto::{LockId, LockStatus, Token};

use crate::device::Device;
use crate::error::ErrorKind;
use crate::event::Completion;
use crate::route::{Pumped, Reader};
use crate::shared::Shared;
use crate::signal::{AsFd, Signal, wait_any};
use crate::state::CancelKind;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, lock, now, thread_local, time_left, wait_until};

/// How long a cancel may take to end an operation. Only a lost message between nodes takes longer.
const GRACE: Duration = Duration::from_secs(10);

/// Where a follower sleeps. One per thread, as a thread waits for one thing at a time.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    rest: Mutex<Rest>,
    changed: Condvar,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    Awake,
    Asleep,
    Woken,
}

thread_local! {
    static WAITER: Arc<Waiter> = Arc::default();
}

impl Waiter {
    /// The calling thread's.
    pub(crate) fn current() -> Arc<Self> {
        // A thread that is ending has none any more; it gets a fresh one.
        WAITER.try_with(Arc::clone).unwrap_or_default()
    }

    fn wake(&self) {
        // One that is awake must cost no call.
        if std::mem::replace(&mut *lock(&self.rest), Rest::Woken) == Rest::Asleep {
            self.changed.notify_one();
        }
    }

    /// Sleeps until woken since the last sleep, or until the deadline.
    fn sleep(&self, deadline: Option<Instant>) {
        let mut rest = lock(&self.rest);
        while *rest != Rest::Woken {
            *rest = Rest::Asleep;
            if deadline.is_some_and(has_passed) {
                break;
            }
            rest = wait_until(&self.changed, rest, deadline);
        }
        *rest = Rest::Awake;
    }
}

#[derive(Default)]
struct Seats {
    leader: Option<Token>,
    followers: Vec<(Token, Arc<Waiter>)>,
}

/// Who of the waiting threads sleeps at the device.
pub(crate) struct Leadership {
    seats: Mutex<Seats>,
    /// How many threads have a place: there is none while each reads its own completion.
    seated: AtomicUsize,
    /// Gets the leader away from the device.
    nudge: Signal,
}

impl Leadership {
    pub(crate) fn new() -> nix::Result<Self> {
        let seated = AtomicUsize::new(0);
        Ok(Self { seats: Mutex::default(), seated, nudge: Signal::new()? })
    }

    /// Wakes the thread that waits for this lock, if it sleeps. Its outcome was stored before: a
    /// thread takes its place first and then looks for the outcome, so one of the two sees the
    /// other.
    pub(crate) fn wake(&self, token: Token) {
        if self.seated.load(Ordering::SeqCst) == 0 {
            return;
        }
        let seats = lock(&self.seats);
        if seats.leader == Some(token) {
            self.nudge.set();
        } else if let Some((_, waiter)) = seats.followers.iter().find(|(of, _)| *of == token) {
            waiter.wake();
        }
    }

    /// Wakes all that sleep. The leader is left to what it sleeps on.
    pub(crate) fn wake_all(&self) {
        for (_, waiter) in &lock(&self.seats).followers {
            waiter.wake();
        }
    }
}

/// A thread's place among the waiting.
struct Seat<'a> {
    leadership: &'a Leadership,
    token: Token,
    waiter: Arc<Waiter>,
}

impl<'a> Seat<'a> {
    fn new(leadership: &'a Leadership, token: Token) -> Self {
        leadership.seated.fetch_add(1, Ordering::SeqCst);
        Self { leadership, token, waiter: Waiter::current() }
    }

    /// Takes the lead if nobody has it, or else a place among the followers.
    fn try_lead(&self) -> bool {
        let mut seats = lock(&self.leadership.seats);
        match seats.leader {
            Some(leader) if leader != self.token => {
                if !seats.followers.iter().any(|(token, _)| *token == self.token) {
                    seats.followers.push((self.token, Arc::clone(&self.waiter)));
                }
                false
            }
            _ => {
                seats.leader = Some(self.token);
                seats.followers.retain(|(token, _)| *token != self.token);
                true
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut seats = lock(&self.leadership.seats);
        seats.followers.retain(|(token, _)| *token != self.token);
        if seats.leader == Some(self.token) {
            seats.leader = None;
            // What was meant for this leader must not wake the next one for nothing.
            self.leadership.nudge.clear();
        }
        // Also when a follower leaves: it may be the one that was to take over.
        if let (None, Some((_, next))) = (seats.leader, seats.followers.first()) {
            next.wake();
        }
        self.leadership.seated.fetch_sub(1, Ordering::SeqCst);
    }
}

fn has_passed(deadline: Instant) -> bool {
    time_left(deadline).is_zero()
}

/// An operation that was written to the device and not yet reported as such.
pub(crate) struct Written {
    pub(crate) token: Token,
    /// Which of the lock's operations.
    pub(crate) serial: u64,
    /// The id that `write` returned, if the lock is new.
    pub(crate) id: Option<LockId>,
    /// Where it was written to.
    pub(crate) device: Arc<Device>,
}

impl Shared {
    /// Reads the next result, for who waits for the operation that he has just written: most
    /// operations end at once.
    #[inline]
    pub(crate) fn first(&self, written: &Written) -> Result<Pumped, ErrorKind> {
        self.pump_from(&written.device, Reader::Waits(written.token))
    }

    /// Waits for an operation that was begun under [`Contract::Wait`](crate::entry::Contract), when
    /// the first result was read. When the deadline has passed it cancels the operation, and waits
    /// for what comes of that: an operation that was granted all the same is granted.
    #[inline(never)]
    pub(crate) fn finish(
        &self,
        written: &Written,
        first: Result<Pumped, ErrorKind>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        if let Ok(Pumped::Mine(ended)) = first {
            return Ok(ended.into());
        }
        let Written { token, serial, id, .. } = *written;
        self.written(token, serial, id);
        let ended = first.and_then(|_| self.end_of(token, deadline));
        if ended.is_err() {
            self.abandon(token);
        }
        ended
    }

    fn end_of(&self, token: Token, deadline: Option<Instant>) -> Result<Completion, ErrorKind> {
        if let Some(ended) = self.wait(token, deadline)? {
            return Ok(ended);
        }
        match self.cancel(token, CancelKind::Plain) {
            // Nothing to cancel: it ends by itself, or somebody else has cancelled it.
            Ok(()) | Err(ErrorKind::NothingToCancel | ErrorKind::LockGone) => {}
            Err(kind) => return Err(kind),
        }
        match self.wait(token, now().checked_add(GRACE))? {
            Some(ended) if ended.status == LockStatus::Cancelled => {
                Err(ErrorKind::TimedOut("it was not granted in time"))
            }
            Some(ended) => Ok(ended),
            None => Err(ErrorKind::TimedOut("the kernel does not answer a cancel")),
        }
    }

    /// Waits for an operation that was begun under [`Contract::Wait`](crate::entry::Contract), until the deadline: `None`.
    pub(crate) fn wait(
        &self,
        token: Token,
        deadline: Option<Instant>,
    ) -> Result<Option<Completion>, ErrorKind> {
        let mut seat = None;
        loop {
            if let Some(outcome) = self.take_outcome(token) {
                return outcome.map(Some);
            }
            match self.pump(Reader::Waits(token))? {
                Pumped::Mine(ended) => return Ok(Some(ended.into())),
                Pumped::Handled | Pumped::Ran => continue,
                Pumped::Empty => {}
            }
            if deadline.is_some_and(has_passed) {
                return Ok(None);
            }
            let seat = seat.get_or_insert_with(|| Seat::new(&self.leadership, token));
            let leads = seat.try_lead();
            // Somebody else may have read the completion before this thread could be told, or
            // closed the lockspace: then the next turn says so.
            if self.has_outcome(token) || self.slot.get().is_err() {
                continue;
            }
            if leads { self.sleep_at_device(deadline)? } else { seat.waiter.sleep(deadline) }
        }
    }

    fn sleep_at_device(&self, deadline: Option<Instant>) -> Result<(), ErrorKind> {
        let removal = {
            let device = self.slot.get()?;
            let sources = [
                device.removal(),
                device.results(),
                self.gone.as_fd(),
                self.leadership.nudge.as_fd(),
            ];
            let [removal, ..] = wait_any(&sources, deadline)?;
            removal
        };
        self.leadership.nudge.clear();
        if removal { self.check_removed() } else { Ok(()) }
    }

    /// Nobody waits for this operation any more. When it ends, nobody is told.
    pub(crate) fn abandon(&self, token: Token) {
        // Dropped after the table is unlocked.
        let _contract;
        let mut table = lock(&self.table);
        let Some(entry) = table.get_mut(token) else { return };
        if entry.state.pending().is_some() {
            let contract = std::mem::take(&mut entry.contract);
            if contract.needs_delivery() {
                self.interest.fetch_sub(1, Ordering::AcqRel);
            }
            _contract = contract;
        } else {
            entry.outcome = None;
        }
    }

    fn has_outcome(&self, token: Token) -> bool {
        lock(&self.table).get_mut(token).is_some_and(|entry| entry.outcome.is_some())
    }

    pub(crate) fn take_outcome(&self, token: Token) -> Option<Result<Completion, ErrorKind>> {
        // Dropped after the table is unlocked.
        let _trash;
        let mut table = lock(&self.table);
        let entry = table.get_mut(token)?;
        match entry.outcome.take()? {
            Ok(ended) => {
                let completion = entry.state.completion(ended);
                let is_gone = ended.mode.is_none();
                _trash = if is_gone { self.forget(&mut table, token) } else { None };
                Some(Ok(completion))
            }
            Err(kind) => Some(Err(*kind)),
        }
    }
}
