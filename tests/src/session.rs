//! An open device of a lockspace.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use dlm_proto::{
    Abi, LockFlags, LockId, LockRequest, LockStatus, MAX_RESULT_LEN, Mode, Request, UnlockRequest,
};
use dlm_sys::{Accepted, Errno, LockspaceDevice};

use crate::lockspace::Lockspace;
use crate::outcome::Outcome;
use crate::process::Forks;
use crate::request::{cookies, encode};
use crate::wait::PATIENCE;

/// An open device, in the 64-bit layout. Closed when dropped, which a [`Lockspace`] outlives.
///
/// Requests carry `cookies(n)` of the `n` that the test gives.
#[derive(Debug)]
pub struct Session<'l> {
    device: Option<LockspaceDevice>,
    lockspace: PhantomData<&'l Lockspace>,
}

impl<'l> Session<'l> {
    pub(crate) fn new(device: LockspaceDevice) -> Self {
        Self { device: Some(device), lockspace: PhantomData }
    }

    /// The device itself.
    #[must_use]
    pub fn device(&self) -> &LockspaceDevice {
        self.device.as_ref().expect("closed only when dropped")
    }

    /// Writes a request and returns the kernel's answer.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[track_caller]
    pub fn send(&self, request: &Request<'_>) -> Result<Accepted, Errno> {
        self.device().submit(request.command(), &encode(request)).map_err(|error| {
            error.errno().unwrap_or_else(|| panic!("{request:?}: not the kernel's: {error}"))
        })
    }

    /// Writes a new lock request and returns the answer.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[track_caller]
    pub fn try_lock(
        &self,
        name: &str,
        mode: Mode,
        flags: LockFlags,
        n: u8,
    ) -> Result<LockId, Errno> {
        let request = LockRequest::new(name.as_bytes(), mode, cookies(n)).with(flags);
        match self.send(&Request::Lock(request))? {
            Accepted::Lock(lock) => Ok(lock),
            Accepted::Done => panic!("write returned no lock id for {request:?}"),
        }
    }

    /// Writes a new lock request, which the kernel must take.
    #[track_caller]
    pub fn lock(&self, name: &str, mode: Mode, flags: LockFlags, n: u8) -> LockId {
        taken("lock request", self.try_lock(name, mode, flags, n))
    }

    /// Takes a lock that must be granted at once.
    #[track_caller]
    pub fn granted(&self, name: &str, mode: Mode, flags: LockFlags, n: u8) -> LockId {
        let lock = self.lock(name, mode, flags, n);
        assert_eq!(self.next().completes(n, LockStatus::Granted).lock, lock);
        lock
    }

    /// Writes a lock request that must wait.
    #[track_caller]
    pub fn waiting(&self, name: &str, mode: Mode, flags: LockFlags, n: u8) -> LockId {
        let lock = self.lock(name, mode, flags, n);
        self.none();
        lock
    }

    /// Writes a conversion and returns the answer.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[track_caller]
    pub fn try_convert(
        &self,
        lock: LockId,
        mode: Mode,
        flags: LockFlags,
        n: u8,
    ) -> Result<(), Errno> {
        let request = LockRequest::convert(lock, mode, cookies(n)).with(flags);
        self.send(&Request::Lock(request)).map(done)
    }

    /// Writes a conversion, which the kernel must take.
    #[track_caller]
    pub fn convert(&self, lock: LockId, mode: Mode, flags: LockFlags, n: u8) {
        taken("conversion", self.try_convert(lock, mode, flags, n));
    }

    /// Converts a lock, which must be granted at once.
    #[track_caller]
    pub fn converted(&self, lock: LockId, mode: Mode, flags: LockFlags, n: u8) -> Outcome {
        self.convert(lock, mode, flags, n);
        self.next().completes(n, LockStatus::Granted)
    }

    /// Writes an unlock and returns the answer.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[track_caller]
    pub fn try_unlock(&self, lock: LockId, flags: LockFlags, n: u8) -> Result<(), Errno> {
        let request = UnlockRequest::new(lock, cookies(n)).with(flags);
        self.send(&Request::Unlock(request)).map(done)
    }

    /// Writes an unlock, which the kernel must take.
    #[track_caller]
    pub fn unlock(&self, lock: LockId, n: u8) {
        taken("unlock", self.try_unlock(lock, LockFlags::empty(), n));
    }

    /// Unlocks a lock that was requested with the same `n`.
    #[track_caller]
    pub fn unlocked(&self, lock: LockId, n: u8) -> Outcome {
        self.unlock(lock, n);
        self.next().completes(n, LockStatus::Unlocked)
    }

    /// The next result, awaited for at most [`PATIENCE`].
    ///
    /// # Panics
    ///
    /// If none comes.
    #[must_use]
    #[track_caller]
    pub fn next(&self) -> Outcome {
        let start = Instant::now();
        loop {
            if let Some(outcome) = self.now() {
                return outcome;
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            assert!(!left.is_zero(), "no result within {PATIENCE:?}");
            self.device().poll(Some(left)).expect("poll");
        }
    }

    /// A result, if one is queued now.
    #[must_use]
    #[track_caller]
    pub fn now(&self) -> Option<Outcome> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let len = self.device().read_result(&mut buffer).expect("read")?;
        Some(Outcome::decode(Abi::V6_64, &buffer[..len]))
    }

    /// Checks that no result is queued now. With all locks on this node the kernel queues a result
    /// before the call that causes it returns.
    ///
    /// # Panics
    ///
    /// If there is one.
    #[track_caller]
    pub fn none(&self) {
        if let Some(outcome) = self.now() {
            panic!("wanted no result, got {outcome:x?}");
        }
    }
}

impl AsFd for Session<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device().as_fd()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // Until a child of another test has executed its program, it has this file open, too.
        let _none = Forks::none();
        drop(self.device.take());
    }
}

#[track_caller]
fn done(accepted: Accepted) {
    assert_eq!(accepted, Accepted::Done);
}

#[track_caller]
fn taken<T>(what: &str, answer: Result<T, Errno>) -> T {
    match answer {
        Ok(value) => value,
        Err(errno) => panic!("the kernel refused the {what}: {errno}"),
    }
}
