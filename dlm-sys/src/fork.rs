//! Noticing a fork, without a system call per request.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::sys;

static COUNT: AtomicU32 = AtomicU32::new(0);
static REGISTERED: AtomicBool = AtomicBool::new(false);

extern "C" fn count_fork() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// How many forks lie between this process and the first one of the program that called this.
///
/// A handle that remembers the count at its opening knows by another count that it was inherited:
/// the device is shared with the parent then, and either process would read the other's results.
/// Only `fork(3)` of the C library is counted, not a bare `clone(2)`.
#[inline]
pub fn fork_count() -> u32 {
    if !REGISTERED.load(Ordering::Relaxed) && !REGISTERED.swap(true, Ordering::Relaxed) {
        // Out of memory is the only failure; forks then go unnoticed, as with a bare clone.
        let _ = sys::at_fork(count_fork);
    }
    COUNT.load(Ordering::Relaxed)
}
