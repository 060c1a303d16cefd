//! Who waits until released locks are gone.

use std::sync::Arc;
use std::task::Waker;

use super::face::Face;
use super::{Driver, Waiter};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

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
}

impl Flush {
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
