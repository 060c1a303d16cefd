//! Small helpers around the standard library's locks.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks a mutex. A panic elsewhere does not spread: no state of this crate is left half-changed
/// by one, as user callbacks run with nothing locked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a change with the mutex unlocked, as [`lock`] locks it.
pub(crate) fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
