//! Time that passes when a schedule says so, and what sleeps on it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use shuttle::sync::MutexGuard;
use shuttle::{sync, thread};

use super::space::Space;

std::thread_local! {
    /// The world of the schedule that runs. All its threads are coroutines of one thread.
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// What all threads of a schedule see: time and whatever is readable.
#[derive(Default)]
pub(super) struct World {
    pub(super) state: sync::Mutex<State>,
    pub(super) changed: sync::Condvar,
    /// Those that wait on a condition variable, and until when. No schedule turns on this mutex.
    sleepers: std::sync::Mutex<Vec<(Duration, Arc<sync::Condvar>)>>,
    pub(super) space: OnceLock<Arc<Space>>,
    /// What the library did that would harm a kernel, and other failures.
    pub(super) failures: std::sync::Mutex<Vec<String>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) readable: Vec<Readable>,
    /// How often each of them was made readable.
    pub(super) edges: Vec<u64>,
    pub(super) now: Duration,
}

/// When something is readable.
pub(super) enum Readable {
    /// While it is set.
    Set(bool),
    /// From this time on.
    From(Option<Duration>),
    /// While any of these is.
    Any(Vec<usize>),
}

impl World {
    /// A schedule begins.
    pub(super) fn begin() {
        let world = Arc::<Self>::default();
        WORLD.set(Some(Arc::clone(&world)));
        let _ = world.space.set(Space::new());
    }

    pub(super) fn current() -> Arc<Self> {
        WORLD.with_borrow(|world| world.clone().expect("only inside of a schedule"))
    }

    /// The library did something that no kernel may be made to see.
    #[track_caller]
    pub(super) fn violation(what: &str) -> ! {
        // Noted, as a panic alone may be caught by whoever guards against those of callbacks.
        note_failure(what);
        panic!("{what}");
    }
}

/// Fails the scenario at its end, where a panic would go nowhere.
pub fn note_failure(what: &str) {
    let world = World::current();
    world.failures.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_owned());
}

impl State {
    pub(super) fn is_readable(&self, at: usize) -> bool {
        match &self.readable[at] {
            Readable::Set(is_set) => *is_set,
            Readable::From(at) => at.is_some_and(|at| at <= self.now),
            Readable::Any(sources) => sources.iter().any(|&source| self.is_readable(source)),
        }
    }
}

impl State {
    /// How often something became readable: what an edge-triggered poll sees of it.
    pub(super) fn edges(&self, at: usize) -> u64 {
        let own = self.edges[at];
        match &self.readable[at] {
            Readable::Set(_) => own,
            Readable::From(_) => 2 * own + u64::from(self.is_readable(at)),
            Readable::Any(sources) => {
                own + sources.iter().map(|&source| self.edges(source)).sum::<u64>()
            }
        }
    }
}

/// When all schedules begin.
pub(super) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// The time.
#[must_use]
pub fn now() -> Instant {
    epoch() + lock(&World::current().state).now
}

/// Lets time pass, until all who waited for that have seen it.
pub fn advance(by: Duration) {
    let world = World::current();
    let now = {
        let mut state = lock(&world.state);
        state.now += by;
        state.now
    };
    world.changed.notify_all();
    loop {
        let overdue: Vec<_> = {
            let sleepers = world.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            sleepers.iter().filter(|(at, _)| *at <= now).map(|(_, who)| Arc::clone(who)).collect()
        };
        if overdue.is_empty() {
            return;
        }
        // Again and again: one may be about to sleep, and not yet hear it.
        overdue.iter().for_each(|condvar| condvar.notify_all());
        thread::yield_now();
    }
}

/// Lets time pass until something has been done.
pub fn while_time_passes(work: impl FnOnce() + Send) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            work();
            is_done.store(true, Ordering::Relaxed);
        });
        while !is_done.load(Ordering::Relaxed) {
            advance(Duration::from_millis(100));
            thread::yield_now();
        }
    });
}

/// A condition variable whose waits can end because time has passed.
#[derive(Debug, Default)]
pub(crate) struct Condvar(Arc<sync::Condvar>);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// As the real one, whose answer nobody asks for.
    pub(crate) fn notify_one(&self) -> bool {
        self.0.notify_one();
        true
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Locks a mutex, whatever happened to the thread that had it before.
pub(crate) fn lock<T>(mutex: &sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value of a mutex that nobody else can have locked.
pub(crate) fn get_mut<T>(mutex: &mut sync::Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a change.
pub(crate) fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a change, and not longer than until the deadline.
pub(crate) fn wait_until<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> MutexGuard<'a, T> {
    let Some(deadline) = deadline else { return wait(changed, guard) };
    let at = deadline.saturating_duration_since(epoch());
    let world = World::current();
    let sleepers = || world.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
    {
        let state = lock(&world.state);
        if at <= state.now {
            return guard;
        }
        // Before time can pass.
        sleepers().push((at, Arc::clone(&changed.0)));
    }
    let guard = wait(changed, guard);
    let mut sleepers = sleepers();
    let mine = |(until, who): &(_, Arc<_>)| *until == at && Arc::ptr_eq(who, &changed.0);
    if let Some(index) = sleepers.iter().position(mine) {
        sleepers.swap_remove(index);
    }
    guard
}
