//! Those who wait for something other than the end of an operation: for notices, for dropped locks, for
//! the end of the lockspace.

use std::sync::Arc;
use std::task::Waker;

use dlm_proto::Token;

use super::wait_queue::{WaitQueue, Waiter};
use crate::threads::atomic::{AtomicUsize, Ordering};
use crate::threads::{Mutex, lock};

/// The threads that wait in a call for notices, and of which locks.
#[derive(Debug, Default)]
pub(crate) struct NoticeWaiters {
    waiting: Mutex<Vec<(Token, Arc<Waiter>)>>,
    count: AtomicUsize,
}

impl NoticeWaiters {
    /// One more. It looks again after this.
    pub(crate) fn add(&self, token: Token, waiter: &Arc<Waiter>) {
        let mut waiting = lock(&self.waiting);
        if !waiting.iter().any(|(_, known)| Arc::ptr_eq(known, waiter)) {
            waiting.push((token, Arc::clone(waiter)));
            self.count.store(waiting.len(), Ordering::SeqCst);
        }
    }

    /// Those of a lock look again.
    pub(crate) fn wake(&self, token: Token, waits: &WaitQueue) {
        self.wake_those(|of| of == token, waits);
    }

    /// All look again.
    pub(crate) fn wake_all(&self, waits: &WaitQueue) {
        self.wake_those(|_| true, waits);
    }

    fn wake_those(&self, are_they: impl Fn(Token) -> bool, waits: &WaitQueue) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut waiting = lock(&self.waiting);
        waiting.retain(|(token, waiter)| {
            let is_it = are_they(*token);
            if is_it {
                waits.wake(waiter);
            }
            !is_it
        });
        self.count.store(waiting.len(), Ordering::SeqCst);
    }
}

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

    /// Those who wait, to be woken now.
    pub(crate) fn take(&self) -> Vec<Awaiting> {
        let mut waiting = lock(&self.waiting);
        self.count.store(0, Ordering::SeqCst);
        std::mem::take(&mut *waiting)
    }
}

/// The tasks that wait for the end.
#[derive(Default)]
pub(crate) struct EndWakers(Mutex<Vec<Waker>>);

impl EndWakers {
    /// One more; it looks again after this.
    pub(crate) fn register(&self, waker: Waker) {
        let mut wakers = lock(&self.0);
        if wakers.iter().any(|known| known.will_wake(&waker)) {
            drop(wakers);
            return drop(waker);
        }
        wakers.push(waker);
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    pub(crate) fn take(&self) -> Vec<Waker> {
        std::mem::take(&mut *lock(&self.0))
    }
}
