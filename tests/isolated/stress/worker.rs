//! The work of one thread: steps of random kinds, each of which ends with nothing held.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dlm_runtime::{Error, ErrorKind, Lock, LockFlags, LockRequest, LockStatus, Mode};

use super::random;
use super::resource::Resource;
use super::ticket::{LOST, Stub, Ticket, block_on};
use super::world::{Owner, World, add};
use dlm_random::Random;

/// So many resources are wanted more than the others.
const HOT: usize = 3;

/// One thread.
pub(crate) struct Worker<'w> {
    pub(crate) world: &'w World,
    pub(crate) number: usize,
    pub(crate) random: Random,
}

/// A request, as it was chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) mode: Mode,
    pub(crate) flags: LockFlags,
    pub(crate) lvb: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) notices: bool,
}

impl<'w> Worker<'w> {
    pub(crate) fn new(world: &'w World, number: usize) -> Self {
        let seed = world.seed ^ (u64::try_from(number).unwrap() + 1) << 48;
        Self { world, number, random: Random::new(seed) }
    }

    /// Steps until enough is done by all.
    pub(crate) fn run(&mut self) {
        while self.world.done() < self.world.wanted {
            let choice = self.random.index(1000);
            let owner = self.random.index(4);
            let owner = self.world.owner(owner);
            let resource = self.resource();
            let label = format!("step {choice} with {} on {}", owner.label, resource.name);
            self.world.desks[self.number].begin(self.world, label);
            match choice {
                0..300 => self.blocking(&owner, resource),
                300..440 => self.by_callback(&owner, resource),
                440..540 => self.by_future(&owner, resource),
                540..620 => self.drop_pending(&owner, resource),
                620..700 => self.drop_future(&owner, resource),
                700..800 => self.offer(&owner, resource),
                800..930 => self.bother(),
                930..960 => self.nested(&owner, resource),
                960..985 => self.panicking(&owner, resource),
                985..998 => self.refused(&owner, resource),
                _ if choice == 999 && self.number == 0 => self.world.replace_doomed(),
                _ => self.dispatch(&owner),
            }
        }
        self.world.desks[self.number].finish();
    }

    /// Often one of the few that all want.
    pub(crate) fn resource(&mut self) -> &'w Resource {
        let resources = &self.world.resources;
        let end = if self.random.percent(35) { HOT } else { resources.len() };
        &resources[self.random.index(end)]
    }

    /// One operation more.
    pub(crate) fn count(&self) {
        self.world.started.fetch_add(1, Ordering::Relaxed);
    }

    /// A short time. Many pass before anything can happen, some are long enough for all.
    pub(crate) fn short(&mut self) -> Duration {
        match self.random.index(4) {
            0 => Duration::ZERO,
            1 => Duration::from_micros(self.random.number() % 200),
            2 => Duration::from_micros(self.random.number() % 3_000),
            _ => Duration::from_millis(5),
        }
    }

    pub(crate) fn wish(&mut self) -> Wish {
        let mode = random::mode(&mut self.random);
        let mut flags = LockFlags::empty();
        for flag in [LockFlags::HEADQUE, LockFlags::NOORDER] {
            flags.set(flag, self.random.percent(10));
        }
        for flag in [LockFlags::ALTPR, LockFlags::ALTCW] {
            flags.set(flag, self.random.percent(8));
        }
        if self.random.percent(25) {
            flags |= LockFlags::NOQUEUE;
            flags.set(LockFlags::NOQUEUEBAST, self.random.percent(50));
        } else if mode == Mode::Nl {
            flags.set(LockFlags::EXPEDITE, self.random.percent(50));
        }
        let timeout = self.random.percent(30).then(|| self.short());
        let (lvb, notices) = (self.random.percent(60), self.random.percent(25));
        Wish { mode, flags, lvb, timeout, notices }
    }

    pub(crate) fn request<'o>(
        &self,
        owner: &'o Arc<Owner>,
        resource: &Resource,
        wish: Wish,
    ) -> LockRequest<'o> {
        self.count();
        let mut request = owner.ls.lock(&resource.name, wish.mode).flags(wish.flags);
        if wish.lvb {
            request = request.with_lvb();
        }
        if let Some(timeout) = wish.timeout {
            request = request.timeout(timeout);
        }
        if wish.notices {
            let owner = Arc::downgrade(owner);
            request = request.on_blocking(move |_| {
                if let Some(owner) = owner.upgrade() {
                    add(&owner.notices);
                }
            });
        }
        request
    }

    /// Counts a refusal, and fails for one that cannot be.
    pub(crate) fn refusal(&self, owner: &Owner, wish: Wish, error: &Error) {
        match &error.kind {
            ErrorKind::Status(status) => self.status(wish, *status),
            ErrorKind::TimedOut(what) => {
                assert!(wish.timeout.is_some() && !what.contains("answer"), "{wish:?}: {error}");
                add(&self.world.tally.timed_out);
            }
            ErrorKind::Closed if owner.is_doomed && owner.is_closing() => {
                add(&self.world.tally.closed);
            }
            _ => panic!("{wish:?} with {}: {error}", owner.label),
        }
    }

    pub(crate) fn status(&self, wish: Wish, status: LockStatus) {
        let tally = &self.world.tally;
        match status {
            LockStatus::Again => {
                assert!(wish.flags.contains(LockFlags::NOQUEUE), "{wish:?}");
                add(&tally.again);
            }
            LockStatus::TimedOut => {
                assert!(wish.timeout.is_some(), "{wish:?}");
                add(&tally.timed_out);
            }
            LockStatus::Cancelled => add(&tally.cancelled),
            LockStatus::Deadlock => add(&tally.deadlock),
            _ => panic!("{wish:?} ended with {status}"),
        }
    }

    /// A new callback, and what it leaves.
    pub(crate) fn ticket(&self) -> (Arc<Ticket>, Stub) {
        Ticket::new(&self.world.ledger)
    }

    /// Waits until the callback has run. `false`: the lockspace was closed under it.
    pub(crate) fn await_callback(&self, owner: &Owner, ticket: &Ticket) -> bool {
        let start = std::time::Instant::now();
        loop {
            if ticket.end().is_some() {
                return true;
            }
            if owner.is_closing() {
                ticket.excuse();
                add(&self.world.tally.closed);
                return false;
            }
            if start.elapsed() > LOST {
                self.world.print();
                panic!("LOST: a callback with {} does not come", owner.label);
            }
            if owner.has_delivery {
                ticket.wait(Duration::from_millis(if owner.is_doomed { 5 } else { 1000 }));
            } else {
                self.dispatch(owner);
                ticket.wait(Duration::from_micros(200));
            }
        }
    }

    /// Runs a future to its end. Only what was woken is polled again.
    pub(crate) fn await_future<F: Future + Unpin>(&self, owner: &Owner, future: F) -> F::Output {
        let output = block_on(future, || {
            if !owner.has_delivery {
                self.dispatch(owner);
            }
        });
        output.unwrap_or_else(|| {
            self.world.print();
            panic!("LOST: a future with {} is not woken", owner.label);
        })
    }

    /// Runs callbacks where no delivery thread does. Those that panic do it here.
    pub(crate) fn dispatch(&self, owner: &Owner) {
        if owner.is_doomed || owner.has_delivery {
            return;
        }
        let dispatch = std::panic::AssertUnwindSafe(|| owner.ls.dispatch());
        match std::panic::catch_unwind(dispatch) {
            Ok(ran) => _ = ran.unwrap(),
            Err(panic) => assert!(super::is_expected(&*panic), "a callback panicked"),
        }
    }

    /// Holds a lock for a moment, converts it perhaps, and gets rid of it in one of several ways.
    pub(crate) fn hold(
        &mut self,
        owner: &Arc<Owner>,
        resource: &Resource,
        lock: Lock,
        wish: Wish,
        floor: u64,
    ) {
        add(&self.world.tally.granted);
        let Some(mode) = self.mode(owner, &lock) else { return };
        let holding = self.enter(owner, resource, mode);
        if wish.lvb {
            resource.check_block(lock.lvb(), floor);
        }
        holding.work(&mut self.random);
        let mut holding = Some(holding);
        while holding.is_some() && self.random.percent(35) {
            holding = holding.and_then(|holding| self.convert(&lock, &holding));
        }
        if let Some(holding) = holding {
            self.give_up(lock, &holding, wish);
        }
    }

    /// The mode of a lock that was granted; `None` if that is over since.
    pub(crate) fn mode(&self, owner: &Owner, lock: &Lock) -> Option<Mode> {
        let mode = lock.mode();
        assert!(mode.is_some() || owner.is_closing(), "a granted lock without a mode");
        mode.filter(|_| !owner.is_closing())
    }

    pub(crate) fn enter<'r>(
        &self,
        owner: &Arc<Owner>,
        resource: &'r Resource,
        mode: Mode,
    ) -> Holding<'r> {
        if !owner.is_doomed {
            resource.enter(mode);
        }
        Holding { owner: Arc::clone(owner), resource, mode }
    }
}

/// A granted mode. Locks of the doomed lockspace go any moment and protect nothing.
pub(crate) struct Holding<'r> {
    pub(crate) owner: Arc<Owner>,
    pub(crate) resource: &'r Resource,
    pub(crate) mode: Mode,
}

impl Holding<'_> {
    /// To be called before anything that may end the hold.
    pub(crate) fn leave(&self) {
        if !self.owner.is_doomed {
            self.resource.leave(self.mode);
        }
    }

    /// Whether the value block may be written: sequence numbers need a lock that lasts.
    pub(crate) fn writes(&self) -> bool {
        !self.owner.is_doomed && self.mode >= Mode::Pw
    }

    fn work(&self, random: &mut Random) {
        let spins = random.index(300);
        let yields = random.percent(10);
        let work = || {
            (0..spins).for_each(|_| std::hint::spin_loop());
            if yields {
                std::thread::yield_now();
            }
        };
        if self.mode == Mode::Ex && !self.owner.is_doomed {
            self.resource.section(work);
        } else {
            work();
        }
    }
}
