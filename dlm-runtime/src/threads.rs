//! Threads, locks and the clock: what the schedules of [`model`](crate) replace, in one place.
//!
//! The rest of the crate takes from here what lets threads meet. A build with `--cfg dlm_model`
//! puts model-checked twins in their place, and runs the same code under schedules that are
//! chosen, not met by chance.

use std::time::{Duration, Instant};

#[cfg(not(dlm_model))]
pub(crate) use {
    parking_lot::{Condvar, Mutex, MutexGuard},
    std::{
        sync::{atomic, mpsc},
        thread, thread_local,
    },
};

#[cfg(dlm_model)]
pub use crate::model::clock::now;
#[cfg(dlm_model)]
pub(crate) use {
    crate::model::clock::{Condvar, get_mut, lock, wait_until},
    shuttle::{
        sync::{Mutex, MutexGuard, atomic, mpsc},
        thread, thread_local,
    },
};

/// The time.
#[cfg(not(dlm_model))]
pub fn now() -> Instant {
    Instant::now()
}

/// The time after this one from now on. A time that the clock cannot express is no deadline.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}

/// How long it is until then.
pub(crate) fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now())
}

/// Locks a mutex. A panic elsewhere does not spread: no state of this crate is left half-changed
/// by one, as user callbacks run with nothing locked.
#[cfg(not(dlm_model))]
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// The value of a mutex that nobody else can have locked.
#[cfg(not(dlm_model))]
pub(crate) fn get_mut<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut()
}

/// Waits for a change with the mutex unlocked, not longer than until the deadline.
#[cfg(not(dlm_model))]
pub(crate) fn wait_until<'a, T>(
    changed: &Condvar,
    mut guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> MutexGuard<'a, T> {
    match deadline {
        Some(deadline) => _ = changed.wait_until(&mut guard, deadline),
        None => changed.wait(&mut guard),
    }
    guard
}
