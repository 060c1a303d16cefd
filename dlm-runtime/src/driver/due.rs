//! The queue of callbacks that are due.

use std::collections::VecDeque;
use std::task::Waker;

use super::face::{Due, Face};
#[cfg(not(dlm_model))]
use crate::threads::MutexGuard;
use crate::threads::atomic::{AtomicUsize, Ordering};
use crate::threads::{Mutex, lock};

/// Callbacks that are due but were read by a thread that must not run them, the oldest first.
pub(crate) struct DueQueue<F: Face> {
    queue: Mutex<VecDeque<Due<F>>>,
    /// Saves the look into an empty queue.
    len: AtomicUsize,
}

impl<F: Face> Default for DueQueue<F> {
    fn default() -> Self {
        Self { queue: Mutex::default(), len: AtomicUsize::new(0) }
    }
}

impl<F: Face> DueQueue<F> {
    #[cfg(not(dlm_model))]
    pub(crate) fn of(queue: VecDeque<Due<F>>) -> Self {
        let len = AtomicUsize::new(queue.len());
        Self { queue: Mutex::new(queue), len }
    }

    /// The queue, of which nobody else takes one meanwhile, nor adds one.
    #[cfg(not(dlm_model))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, VecDeque<Due<F>>> {
        lock(&self.queue)
    }

    /// Adds one. Tells whether the queue was empty: then those who wait for it must be told.
    pub(crate) fn push(&self, due: Due<F>) -> bool {
        let mut queue = lock(&self.queue);
        queue.push_back(due);
        self.len.store(queue.len(), Ordering::SeqCst);
        queue.len() == 1
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Due<F>> {
        if self.is_empty() { None } else { self.pop_locked() }
    }

    fn pop_locked(&self) -> Option<Due<F>> {
        let mut queue = lock(&self.queue);
        let due = queue.pop_front();
        self.len.store(queue.len(), Ordering::SeqCst);
        due
    }

    /// Whether wakers of tasks are among them.
    pub(crate) fn has_wakers(&self) -> bool {
        !self.is_empty() && lock(&self.queue).iter().any(|due| matches!(due, Due::Wake(_)))
    }

    /// Takes out the wakers of tasks, and leaves the callbacks.
    pub(crate) fn take_wakers(&self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        if self.is_empty() {
            return wakers;
        }
        let mut queue = lock(&self.queue);
        for due in std::mem::take(&mut *queue) {
            match due {
                Due::Wake(waker) => wakers.push(waker),
                due => queue.push_back(due),
            }
        }
        self.len.store(queue.len(), Ordering::SeqCst);
        wakers
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::SeqCst) == 0
    }
}
