//! A place to sleep at, in a call of the C library that a thread can be cancelled in.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::task::Wake;

use libc::{sem_t, timespec};

unsafe extern "C-unwind" {
    fn sem_wait(semaphore: *mut sem_t) -> c_int;
    #[cfg(target_env = "gnu")]
    fn sem_clockwait(
        semaphore: *mut sem_t,
        clock: libc::clockid_t,
        until: *const timespec,
    ) -> c_int;
    #[cfg(not(target_env = "gnu"))]
    fn sem_timedwait(semaphore: *mut sem_t, until: *const timespec) -> c_int;
}

/// The clock of the times until which a thread sleeps here.
pub(crate) const CLOCK: libc::clockid_t =
    if cfg!(target_env = "gnu") { libc::CLOCK_MONOTONIC } else { libc::CLOCK_REALTIME };

/// A semaphore, at which one thread sleeps until another one wakes it.
pub(crate) struct Semaphore(UnsafeCell<MaybeUninit<sem_t>>);

// SAFETY: the functions for semaphores may be called from any thread at any time between `sem_init`
// and `sem_destroy`, which `new` and `drop` call while nobody else has it (sem_overview(7)).
unsafe impl Send for Semaphore {}
// SAFETY: as above.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    pub(crate) fn new() -> Arc<Self> {
        // Initialised where it stays: a semaphore must not be moved.
        let semaphore = Arc::new(Self(UnsafeCell::new(MaybeUninit::zeroed())));
        // SAFETY: memory of the size and alignment of a semaphore that nobody else has yet. It fails
        // for values that are too large only.
        let _ = unsafe { libc::sem_init(semaphore.place(), 0, 0) };
        semaphore
    }

    const fn place(&self) -> *mut sem_t {
        self.0.get().cast()
    }

    /// Sleeps until it is woken, or until a time of [`CLOCK`], or until a signal comes.
    ///
    /// The thread may be cancelled here: nothing of its caller may have a destructor to run.
    ///
    /// # Safety
    ///
    /// `this` is what is behind an `Arc` that stays.
    pub(crate) unsafe fn sleep(this: *const Self, until: Option<timespec>) {
        // SAFETY: valid by this function's contract.
        let semaphore = unsafe { &*this }.place();
        let Some(until) = until else {
            // SAFETY: an initialised semaphore.
            unsafe { sem_wait(semaphore) };
            return;
        };
        #[cfg(target_env = "gnu")]
        // SAFETY: an initialised semaphore, and a time that is there for the call.
        unsafe {
            sem_clockwait(semaphore, CLOCK, &raw const until)
        };
        #[cfg(not(target_env = "gnu"))]
        // SAFETY: as above.
        unsafe {
            sem_timedwait(semaphore, &raw const until)
        };
    }
}

impl Wake for Semaphore {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // SAFETY: an initialised semaphore. It fails when its count is full, and then nobody sleeps.
        let _ = unsafe { libc::sem_post(self.place()) };
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: initialised, and nobody else has it.
        let _ = unsafe { libc::sem_destroy(self.place()) };
    }
}
