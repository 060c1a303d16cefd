//! Threads and tasks that wait until released locks are gone.

use std::sync::Arc;
use std::task::Waker;

use dlm_proto::Token;

use super::face::Face;
use super::{Driver, Waiter};
use crate::threads::atomic::{AtomicUsize, Ordering};
use crate::threads::{Mutex, lock};

/// Somebody who waits.
pub(crate) enum Awaiting {
    Thread(Arc<Waiter>),
    Task(Waker),
}

/// Those who wait until released locks are gone.
#[derive(Default)]
pub(crate) struct Flush {
    waiting: Mutex<Vec<Awaiting>>,
    count: AtomicUsize,
    /// Locks whose handle is dropped, and that a callback still uses.
    in_use: Mutex<Vec<Token>>,
}

impl Flush {
    /// A handle was dropped of a lock that a callback uses.
    pub(crate) fn set_in_use(&self, token: Token) {
        lock(&self.in_use).push(token);
    }

    /// A callback uses a lock no more: its handle may have been dropped, and the lock be gone,
    /// since it began. Tells whether that was waited for.
    pub(crate) fn end_use(&self, token: Token) -> bool {
        let mut in_use = lock(&self.in_use);
        let before = in_use.len();
        in_use.retain(|used| *used != token);
        in_use.len() < before
    }

    pub(crate) fn is_in_use(&self) -> bool {
        !lock(&self.in_use).is_empty()
    }

    /// Whether nobody waits.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// Somebody more waits; he looks again after this.
    pub(crate) fn register(&self, awaiting: Awaiting) {
        let mut waiting = lock(&self.waiting);
        let is_known = waiting.iter().any(|known| match (known, &awaiting) {
            (Awaiting::Task(known), Awaiting::Task(new)) => known.will_wake(new),
            (Awaiting::Thread(known), Awaiting::Thread(new)) => Arc::ptr_eq(known, new),
            _ => false,
        });
        if is_known {
            drop(waiting);
            // A waker is foreign code, also when it is dropped.
            return drop(awaiting);
        }
        waiting.push(awaiting);
        self.count.store(waiting.len(), Ordering::SeqCst);
    }

    /// Wakes all of them.
    pub(crate) fn wake<F: Face>(&self, driver: &Driver<F>) {
        let waiting = {
            let mut waiting = lock(&self.waiting);
            self.count.store(0, Ordering::SeqCst);
            std::mem::take(&mut *waiting)
        };
        for awaiting in waiting {
            match awaiting {
                Awaiting::Thread(waiter) => driver.waits.wake(&waiter),
                Awaiting::Task(waker) => driver.guarded(|| waker.wake()),
            }
        }
    }
}

impl<F: Face> Driver<F> {
    /// Whether each released lock is gone.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.flush.is_in_use() && self.state().core.released() == 0
    }
}
