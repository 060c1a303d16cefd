//! The stage of the scenarios: one run under many schedules, and its cast.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Instant, SystemTime};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::clock::World;
use super::signal::{AsFd, Signal, wait_any, wait_edge};
use super::space::Space;
use crate::sync::lock;
use crate::{Error, ErrorKind, Lock, Lockspace, LockspaceOptions, Mode};

/// Schedules of each kind for each scenario, unless `DLM_SCHEDULES` says otherwise.
const SCHEDULES: usize = 2_000;

/// More steps than any schedule of these scenarios takes, unless its threads run in circles.
const MOST_STEPS: usize = 100_000;

type Scenario = Arc<dyn Fn() + Send + Sync>;

/// Runs a scenario under many schedules.
pub(super) fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/model/failed");
    std::fs::create_dir_all(&folder).unwrap();
    let scenario: Scenario = Arc::new(scenario);
    if let Some(file) = std::env::var_os("DLM_SCHEDULE") {
        run(ReplayScheduler::new_from_file(PathBuf::from(file)).unwrap(), &folder, &scenario);
        return;
    }
    let count = std::env::var("DLM_SCHEDULES").map_or(SCHEDULES, |count| count.parse().unwrap());
    let begin = (Instant::now(), SystemTime::now());
    let all = || {
        run(RandomScheduler::new(count), &folder, &scenario);
        // Those with few changes between threads, at the places where it hurts.
        run(PctScheduler::new(2, count), &folder, &scenario);
        run(PctScheduler::new(4, count), &folder, &scenario);
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
        tell_how_to_repeat(&name, &folder, begin.1);
        resume_unwind(panic);
    }
    let per_second = 3.0 * count as f64 / begin.0.elapsed().as_secs_f64();
    println!("{} schedules, {per_second:.0} per second", 3 * count);
}

fn run(scheduler: impl Scheduler + 'static, folder: &Path, scenario: &Scenario) {
    let scenario = Arc::clone(scenario);
    let mut config = Config::new();
    config.stack_size = 0x4_0000;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.failure_persistence = FailurePersistence::File(Some(folder.to_owned()));
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || {
        World::begin();
        scenario();
        let world = World::current();
        let violations = world.violations.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(violations.is_empty(), "{violations:?}");
    });
}

fn tell_how_to_repeat(name: &str, folder: &Path, begin: SystemTime) {
    let written = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = files.map(|file| file.path()).filter(|path| written(path) >= Some(begin));
    // Shuttle writes it twice, and other scenarios may have failed since.
    let Some(file) = files.min_by_key(written).and_then(|path| path.canonicalize().ok()) else {
        return;
    };
    eprintln!(
        "\nTo repeat the schedule that failed:\n  DLM_SCHEDULE={} RUSTFLAGS='--cfg dlm_model' \
         CARGO_TARGET_DIR=target/model CARGO_PROFILE_TEST_OPT_LEVEL=1 \
         cargo test -p dlm-runtime --lib -- --exact {name}\n",
        file.display()
    );
}

/// A lockspace, and another node that decides about locks in its own time.
pub(super) struct Stage {
    pub(super) space: Arc<Space>,
    /// Callbacks of this scenario that panic.
    pub(super) panics: u64,
    node: JoinHandle<()>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let space = Space::current();
        let theirs = Arc::clone(&space);
        Self { space, panics: 0, node: thread::spawn(move || theirs.run()) }
    }

    /// An owner of locks.
    pub(super) fn open(&self) -> Arc<Lockspace> {
        Arc::new(Lockspace::open("model").unwrap())
    }

    /// As [`Stage::open`], with requests of futures written by a thread of its own.
    pub(super) fn open_with_writer(&self) -> Arc<Lockspace> {
        Arc::new(LockspaceOptions::new().background_writes().open("model").unwrap())
    }

    /// Lets everything end that has begun, and checks that nothing is left.
    pub(super) fn finish(self, lockspaces: &[&Lockspace]) {
        self.space.finish();
        self.node.join().unwrap();
        // What ends a lock may take another round, and a thread that writes takes its time.
        for _ in 0..1000 {
            for lockspace in lockspaces {
                let _ = lockspace.dispatch();
            }
            let is_done = lockspaces.iter().all(|lockspace| lockspace.lock_count() == 0);
            if self.space.settle() && is_done {
                break;
            }
            thread::yield_now();
        }
        for lockspace in lockspaces {
            assert_eq!(lockspace.locks(), [], "locks are left in the table");
            let state = lockspace.driver().state();
            assert_eq!(state.interest(), 0, "interest");
            assert_eq!(state.core.expected(), 0, "expected");
            assert_eq!(state.core.released(), 0, "released");
            assert_eq!(state.observers.len(), 0, "observers");
            drop(state);
            let panics = lockspace.counters().callback_panics;
            assert_eq!(panics, self.panics, "callbacks panicked");
        }
        assert!(self.space.settle(), "something is left in the lockspace");
    }
}

/// A thread that waits for the descriptor of a lockspace and dispatches, until it is told to stop
/// or the lockspace is gone.
pub(super) struct Dispatcher {
    stop: Arc<Signal>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Dispatcher {
    pub(super) fn start(lockspace: &Arc<Lockspace>) -> Self {
        let stop = Arc::new(Signal::new().unwrap());
        let (lockspace, stopped) = (Arc::clone(lockspace), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            loop {
                let sources = [stopped.as_fd(), {
                    let driver = lockspace.driver();
                    driver.readiness.source(&driver.slot, || driver.next_alarm()).unwrap()
                }];
                let [stopped, readable, ..] = wait_any(&sources, None).unwrap();
                if readable {
                    lockspace.dispatch()?;
                } else if stopped {
                    return Ok(());
                }
            }
        });
        Self { stop, thread }
    }

    pub(super) fn id(&self) -> thread::ThreadId {
        self.thread.thread().id()
    }

    pub(super) fn stop(self) -> Result<(), Error> {
        self.stop.set();
        self.join()
    }

    /// Waits until it ends by itself.
    pub(super) fn join(self) -> Result<(), Error> {
        self.thread.join().unwrap()
    }
}

/// A thread that is told once when the descriptor of a lockspace becomes readable, and then
/// dispatches once, until the lockspace is closed.
pub(super) fn dispatch_at_edges(lockspace: &Arc<Lockspace>) -> JoinHandle<Error> {
    let lockspace = Arc::clone(lockspace);
    thread::spawn(move || {
        let driver = lockspace.driver();
        let mut seen = 0;
        loop {
            let source = driver.readiness.source(&driver.slot, || driver.next_alarm()).unwrap();
            seen = wait_edge(source, seen);
            if let Err(error) = lockspace.dispatch() {
                return error;
            }
        }
    })
}

/// Counts the holders of an exclusive lock.
#[derive(Debug, Default)]
pub(super) struct Exclusive(AtomicUsize);

impl Exclusive {
    /// Locks, does something exclusive, and unlocks.
    pub(super) fn pass(&self, lockspace: &Lockspace) {
        let held = lockspace.lock("shared", Mode::Ex).wait().unwrap();
        self.work();
        held.unlock().wait().unwrap();
    }

    pub(super) fn work(&self) {
        assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "two hold an exclusive lock");
        thread::yield_now();
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where and how often a callback ran.
#[derive(Debug, Default)]
pub(super) struct Runs(shuttle::sync::Mutex<Vec<thread::ThreadId>>);

impl Runs {
    pub(super) fn note(&self) {
        lock(&self.0).push(thread::current().id());
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// In which threads.
    pub(super) fn threads(&self) -> Vec<thread::ThreadId> {
        lock(&self.0).clone()
    }
}

/// Whether a request ended because time ran out.
pub(super) fn is_timeout(result: &Result<Lock, Error>) -> bool {
    matches!(result, Err(Error { kind: ErrorKind::TimedOut(_), .. }))
}

/// The waker of one poll.
struct Alarm(Signal);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
}

/// Runs a future in this thread. It is polled more often than it is woken, and each time with a
/// waker of its own, of which only the last one counts.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = poll_once(future.as_mut()) {
            return value;
        }
        let alarm = Arc::new(Alarm(Signal::new().unwrap()));
        let waker = Waker::from(Arc::clone(&alarm));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => alarm.0.wait(),
        }
    }
}

/// Polls a future once, with a waker that nobody listens to.
pub(super) fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    poll_with(future, Waker::noop())
}

/// Polls a future once.
pub(super) fn poll_with<T>(future: Pin<&mut impl Future<Output = T>>, waker: &Waker) -> Poll<T> {
    future.poll(&mut Context::from_waker(waker))
}

/// Waits until the writing thread has done what it was given.
pub(super) fn finish_writer(lockspace: &Lockspace) {
    block_on(async {
        let lock = lockspace.lock("last", Mode::Ex).await.unwrap();
        lock.unlock().await.unwrap();
    });
}
