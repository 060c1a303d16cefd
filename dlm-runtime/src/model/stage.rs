//! The stage of a scenario, and its cast.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use shuttle::thread::{self, JoinHandle};

#[cfg(test)]
pub(super) use super::run::check;
use super::signal::{AsFd, Signal, wait_any, wait_edge};
use super::space::Space;
use crate::driver::{Driver, Face};
use crate::threads::lock;
use crate::{Error, ErrorKind, Lock, Lockspace, LockspaceOptions, Mode};

/// A lockspace, and another node that decides about locks in its own time.
#[derive(Debug)]
pub struct Stage {
    pub(super) space: Arc<Space>,
    /// Callbacks of this scenario that panic.
    pub(super) panics: u64,
    node: JoinHandle<()>,
}

#[allow(clippy::new_without_default, reason = "it starts a thread")]
impl Stage {
    /// The stage of a schedule. The other node starts.
    #[must_use]
    pub fn new() -> Self {
        let space = Space::current();
        let theirs = Arc::clone(&space);
        Self { space, panics: 0, node: thread::spawn(move || theirs.run()) }
    }

    /// The lockspace as the kernel has it.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
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
        let drivers: Vec<_> = lockspaces.iter().map(|lockspace| lockspace.driver()).collect();
        self.finish_on(&drivers, |driver| _ = driver.dispatch());
    }

    /// The same for any face of a driver.
    pub fn finish_on<F: Face>(
        self,
        drivers: &[&Arc<Driver<F>>],
        dispatch: impl Fn(&Arc<Driver<F>>),
    ) {
        self.space.finish();
        self.node.join().unwrap();
        // What ends a lock may take another round, and a thread that writes takes its time.
        for _ in 0..1000 {
            drivers.iter().for_each(|driver| dispatch(driver));
            let is_done = drivers.iter().all(|driver| driver.state().core.is_empty());
            if self.space.settle() && is_done {
                break;
            }
            thread::yield_now();
        }
        for driver in drivers {
            let state = driver.state();
            assert_eq!(state.core.tokens(), [], "locks are left in the table");
            assert_eq!(state.interest(), 0, "interest");
            assert_eq!(state.core.expected(), 0, "expected");
            assert_eq!(state.core.released(), 0, "released");
            assert_eq!(state.observers.len(), 0, "observers");
            drop(state);
            assert_eq!(driver.counters().callback_panics, self.panics, "callbacks panicked");
        }
        assert!(self.space.settle(), "something is left in the lockspace");
    }
}

/// A thread that waits for the descriptor of a lockspace and dispatches, until it is told to stop
/// or the lockspace is gone.
#[derive(Debug)]
pub struct Dispatcher<E = Error> {
    stop: Arc<Signal>,
    thread: JoinHandle<Result<(), E>>,
}

impl Dispatcher {
    pub(super) fn start(lockspace: &Arc<Lockspace>) -> Self {
        let lockspace = Arc::clone(lockspace);
        let driver = Arc::clone(lockspace.driver());
        Self::start_on(driver, move |_| lockspace.dispatch().map(drop))
    }
}

impl<E: Send + fmt::Debug + 'static> Dispatcher<E> {
    /// The same for any face of a driver.
    pub fn start_on<F: Face>(
        driver: Arc<Driver<F>>,
        dispatch: impl Fn(&Driver<F>) -> Result<(), E> + Send + 'static,
    ) -> Self {
        let stop = Arc::new(Signal::new().unwrap());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            loop {
                let source = driver.readiness.source(&driver.slot, || driver.next_alarm()).unwrap();
                let [stopped, readable, ..] = wait_any(&[stopped.as_fd(), source], None).unwrap();
                if readable {
                    dispatch(&driver)?;
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

    /// Stops it when nothing is left to do.
    ///
    /// # Errors
    ///
    /// The end of the lockspace.
    pub fn stop(self) -> Result<(), E> {
        self.stop.set();
        self.join()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// The end of the lockspace.
    pub fn join(self) -> Result<(), E> {
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
pub struct Exclusive(AtomicUsize);

impl Exclusive {
    /// Locks, does something exclusive, and unlocks.
    pub(super) fn pass(&self, lockspace: &Lockspace) {
        let held = lockspace.lock("shared", Mode::Ex).wait().unwrap();
        self.work();
        held.unlock().wait().unwrap();
    }

    /// Does something that nobody else may do at the same time.
    pub fn work(&self) {
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
