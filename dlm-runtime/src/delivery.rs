//! The delivery thread.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Operation};
use crate::shared::Shared;
use crate::signal::{AsFd, Signal, wait_any};
use crate::sync::atomic::Ordering;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex, lock, now, time_left, wait_until};

/// How long dropping a [`DeliveryThread`] waits for a callback that is running.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// A thread that runs the callbacks of a lockspace, one after the other.
///
/// [`Lockspace::start_delivery`](crate::Lockspace::start_delivery) starts it. It ends when it is
/// stopped or dropped, or when the lockspace is closed or removed. A callback that is running is
/// never interrupted. Blocking calls do not need the thread and do not wait for it, so they may be
/// made from inside a callback, too.
///
/// A panic in a callback ends that callback only, is counted
/// ([`DeliveryThread::callback_panics`]), and the thread goes on.
pub struct DeliveryThread {
    shared: Arc<Shared>,
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

struct Control {
    stop: Signal,
    /// How the thread ended; `None` while it runs.
    end: Mutex<Option<Result<(), ErrorKind>>>,
    ended: Condvar,
}

impl fmt::Debug for DeliveryThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryThread")
            .field("lockspace", &self.shared.name)
            .field("is_running", &self.is_running())
            .finish_non_exhaustive()
    }
}

impl DeliveryThread {
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, Error> {
        let start = || {
            shared.check_fork()?;
            // Before the interest is looked at: see `Shared::interested`.
            if shared.has_thread.swap(true, Ordering::SeqCst) {
                return Err(ErrorKind::HasThread);
            }
            Self::spawn(shared).inspect_err(|_| shared.has_thread.store(false, Ordering::Release))
        };
        start().map_err(|kind| Error::new(Operation::StartThread, kind))
    }

    fn spawn(shared: &Arc<Shared>) -> Result<Self, ErrorKind> {
        let control = Arc::new(Control {
            stop: Signal::new()?,
            end: Mutex::new(None),
            ended: Condvar::new(),
        });
        let (shared, theirs) = (Arc::clone(shared), (Arc::clone(shared), Arc::clone(&control)));
        let thread = thread::Builder::new().name("dlm-delivery".into()).spawn(move || {
            let (shared, control) = theirs;
            let end = deliver(&shared, &control.stop);
            shared.has_thread.store(false, Ordering::Release);
            *lock(&control.end) = Some(end);
            control.ended.notify_all();
        })?;
        Ok(Self { shared, control, thread: Some(thread) })
    }

    /// Whether the thread has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        lock(&self.control.end).is_none()
    }

    /// How many callbacks of the lockspace have panicked in this thread's time and before.
    #[must_use]
    pub fn callback_panics(&self) -> u64 {
        self.shared.counts.callback_panics.get()
    }

    /// Stops the thread and waits, at most for `timeout`, until it has ended. Callbacks that are
    /// due are left for [`dispatch`](crate::Lockspace::dispatch) or another thread. From inside a
    /// callback it does not wait: the thread ends after that callback.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] if a callback is still running: the thread ends after it.
    /// [`ErrorKind::Closed`], [`ErrorKind::Removed`] or [`ErrorKind::Device`] if the thread had
    /// ended before, for that reason.
    pub fn stop(mut self, timeout: Duration) -> Result<(), Error> {
        self.halt(timeout).map_err(|kind| Error::new(Operation::StopThread, kind))
    }

    fn halt(&mut self, timeout: Duration) -> Result<(), ErrorKind> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.control.stop.set();
        if thread.thread().id() == thread::current().id() {
            return Ok(());
        }
        let deadline = now().checked_add(timeout);
        let mut end = lock(&self.control.end);
        loop {
            if let Some(end) = end.take() {
                // The thread has nothing left to do but to return.
                let _ = thread.join();
                return end;
            }
            if deadline.is_some_and(|at| time_left(at).is_zero()) {
                return Err(ErrorKind::TimedOut("a callback is still running"));
            }
            end = wait_until(&self.control.ended, end, deadline);
        }
    }
}

impl Drop for DeliveryThread {
    fn drop(&mut self) {
        // In a forked child there is no such thread.
        if self.shared.check_fork().is_ok() {
            let _ = self.halt(DROP_PATIENCE);
        }
    }
}

fn deliver(shared: &Shared, stop: &Signal) -> Result<(), ErrorKind> {
    while !sleep(shared, stop)? {
        // A callback may own anything, and what it left behind is its own affair.
        match catch_unwind(AssertUnwindSafe(|| shared.dispatch())) {
            Ok(ran) => _ = ran?,
            Err(_) => shared.counts.callback_panics.add(),
        }
    }
    Ok(())
}

/// Sleeps until there is something to do. `true`: stop.
fn sleep(shared: &Shared, stop: &Signal) -> Result<bool, ErrorKind> {
    let device = shared.slot.get()?;
    let sources = [
        stop.as_fd(),
        device.removal(),
        shared.interest_changed.as_fd(),
        shared.gone.as_fd(),
        shared.due.source(),
        shared.deadlines.source(),
        device.results(),
    ];
    // Without callbacks to come, the results belong to threads that wait for them in a call: being
    // woken for each of those would only slow them down.
    let [without_results @ .., _] = &sources;
    let is_idle = shared.interest.load(Ordering::SeqCst) == 0;
    let ready = wait_any(if is_idle { without_results } else { &sources }, None)?;
    let [stopped, removal, interest, ..] = ready;
    if interest {
        shared.interest_changed.clear();
    }
    if removal {
        shared.check_removed()?;
    }
    Ok(stopped)
}

#[cfg(dlm_model)]
impl DeliveryThread {
    /// Where callbacks run.
    pub(crate) fn thread_id(&self) -> Option<thread::ThreadId> {
        self.thread.as_ref().map(|thread| thread.thread().id())
    }
}
