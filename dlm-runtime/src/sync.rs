//! Threads, locks and the clock: what the schedules of [`model`](crate) replace, in one place.
//!
//! The rest of the crate takes from here what lets threads meet. A build with `--cfg dlm_model`
//! puts model-checked twins in their place, and runs the same code under schedules that are
//! chosen, not met by chance.

use std::sync::PoisonError;

#[cfg(not(dlm_model))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic, mpsc},
    thread, thread_local,
};

#[cfg(dlm_model)]
pub(crate) use {
    crate::model::clock::{Condvar, now},
    shuttle::{
        sync::{Mutex, MutexGuard, atomic, mpsc},
        thread, thread_local,
    },
};

/// The time.
#[cfg(not(dlm_model))]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Locks a mutex. A panic elsewhere does not spread: no state of this crate is left half-changed
/// by one, as user callbacks run with nothing locked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a change with the mutex unlocked, as [`lock`] locks it.
pub(crate) fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
