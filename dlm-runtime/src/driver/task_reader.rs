//! The thread that reads for tasks when nobody else does: no delivery thread was started, no executor
//! drives the lockspace, and the program has never dispatched or asked for the descriptor. It lives only
//! as long as tasks wait.

use super::short_lived::ShortLived;
use super::signal::Signal;
use crate::threads::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::threads::{Mutex, lock};

/// The thread that reads for tasks, and who makes it needless.
#[derive(Debug, Default)]
pub(crate) struct TaskReader {
    thread: Mutex<ShortLived>,
    /// Saves the look.
    is_running: AtomicBool,
    /// A task has waited.
    has_tasks: AtomicBool,
    /// The program dispatches, or polls the descriptor.
    program_reads: AtomicBool,
    /// Executors that drive the lockspace.
    executors: AtomicUsize,
}

impl TaskReader {
    /// A task waits.
    pub(crate) fn task_waits(&self) {
        self.has_tasks.store(true, Ordering::SeqCst);
    }

    /// Whether a task has waited.
    pub(crate) fn has_tasks(&self) -> bool {
        self.has_tasks.load(Ordering::SeqCst)
    }

    /// Gets the thread to look again, or starts one that runs `body`. Where there can be none, tasks
    /// wait for whoever reads next.
    pub(crate) fn wake_or_start(&self, body: impl FnOnce(&Signal) + Send + 'static) {
        let mut thread = lock(&self.thread);
        // Before it begins: who rings from then on looks, and so waits for the lock.
        self.is_running.store(true, Ordering::SeqCst);
        let runs = thread.wake_or_start("dlm-tasks", body);
        self.is_running.store(runs, Ordering::SeqCst);
    }

    /// Gets the thread to look again.
    pub(crate) fn ring(&self) {
        if self.is_running.load(Ordering::SeqCst) {
            lock(&self.thread).ring();
        }
    }

    /// Whether the thread ends, as `is_done` says. For a task that waits from now on another one is
    /// started.
    pub(crate) fn ends(&self, is_done: impl FnOnce() -> bool) -> bool {
        let mut thread = lock(&self.thread);
        let ends = is_done();
        if ends {
            self.is_running.store(false, Ordering::SeqCst);
            thread.end();
        }
        ends
    }

    /// Whether somebody reads who was asked to, beside a delivery thread.
    pub(crate) fn others_read(&self) -> bool {
        self.program_reads.load(Ordering::SeqCst) || self.executors.load(Ordering::SeqCst) > 0
    }

    /// The program reads from now on.
    #[inline]
    pub(crate) fn program_reads(&self) {
        if !self.program_reads.load(Ordering::Relaxed) {
            self.program_reads.store(true, Ordering::SeqCst);
            self.ring();
        }
    }

    /// An executor drives the lockspace from now on.
    #[cfg(any(feature = "tokio", feature = "async-io"))]
    pub(crate) fn executor_begins(&self) {
        self.executors.fetch_add(1, Ordering::SeqCst);
        self.ring();
    }

    /// An executor drives it no longer.
    #[cfg(any(feature = "tokio", feature = "async-io"))]
    pub(crate) fn executor_ends(&self) {
        self.executors.fetch_sub(1, Ordering::SeqCst);
    }
}
