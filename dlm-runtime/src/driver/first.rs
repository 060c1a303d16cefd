//! Requests that may make a resource, kept apart from each other.
//!
//! Kernels since 6.10 can make two resources of one name for two such requests; see [two resources
//! of one name](crate::manual::hazards#two-resources-of-one-name). Threads of a process are kept
//! apart by a flag, as they share an open device, and processes of a node by the lock on the
//! device's node, which only who may open it can hold.

use std::time::{Duration, Instant};

use dlm_proto::LockspaceName;
use dlm_sys::{Call, Errno};

use super::device::Device;
use super::signal::wait_any;
use crate::error::ErrorKind;
use crate::status::{State, Status};
use crate::threads::{Condvar, Mutex, lock, now, thread, wait_until};

/// How often the lock on the node is asked for before the thread sleeps. It is held for the time of
/// one `write`, some microseconds.
const BRIEFLY: usize = 64;

/// The first sleep, and the longest, between two attempts.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(16)];

/// The longest time that another process may hold the lock on the node while the lockspace grants
/// locks. Longer than any `write` takes then; what holds it is stopped, or never meant to let go.
const PATIENCE: Duration = Duration::from_secs(10);

const LATE: &str = "another request for a new lock is being written";

/// Whether first requests are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepApart {
    /// On kernels that need it, and on those of which it is not known.
    #[default]
    AsNeeded,
    /// On all kernels.
    Always,
    /// On none.
    Never,
}

/// The turn that keeps the first requests of one open device apart from each other, and from those
/// of the other open devices of the node.
#[derive(Debug)]
pub(crate) struct FirstRequests {
    is_wanted: bool,
    is_taken: Mutex<bool>,
    left: Condvar,
}

impl FirstRequests {
    pub(crate) fn new(choice: KeepApart, device: &Device) -> Self {
        let is_wanted = match choice {
            KeepApart::AsNeeded => device.first_requests_can_meet(),
            KeepApart::Always => true,
            KeepApart::Never => false,
        };
        Self { is_wanted, is_taken: Mutex::new(false), left: Condvar::default() }
    }

    /// The same for a forked child. It shares the lock on the node with its parent.
    #[cfg(not(dlm_model))]
    pub(crate) fn in_child(&self) -> Self {
        Self { is_wanted: self.is_wanted, is_taken: Mutex::new(false), left: Condvar::default() }
    }

    /// Whether there is a need for turns.
    #[inline]
    pub(crate) const fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Waits until no other thread or process has a turn, if there is a need for turns. To be kept
    /// while a request is written that may make a resource: one for a new lock, on a resource on
    /// which this open device has none granted.
    ///
    /// Nothing may be locked by the caller: while the lockspace is stopped this waits for the
    /// `write` of another. `is_open` looks for the removal of the lockspace, and fails if the
    /// device is not to be used any more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`], that of `is_open`; EBUSY of [`Call::SerialiseRequests`] if a
    /// process keeps the node's lock while the lockspace runs.
    #[inline]
    pub(crate) fn enter<'a>(
        &'a self,
        device: &'a Device,
        name: &LockspaceName,
        deadline: Option<Instant>,
        is_open: impl Fn() -> Result<(), ErrorKind>,
    ) -> Result<Option<Turn<'a>>, ErrorKind> {
        if self.is_wanted {
            self.take_turn(device, name, deadline, is_open).map(Some)
        } else {
            Ok(None)
        }
    }

    fn take_turn<'a>(
        &'a self,
        device: &'a Device,
        name: &LockspaceName,
        deadline: Option<Instant>,
        is_open: impl Fn() -> Result<(), ErrorKind>,
    ) -> Result<Turn<'a>, ErrorKind> {
        let mut start = None;
        let mut is_taken = lock(&self.is_taken);
        while *is_taken {
            start.get_or_insert_with(now);
            if deadline.is_some_and(|at| at <= now()) {
                return Err(ErrorKind::TimedOut(LATE));
            }
            is_taken = wait_until(&self.left, is_taken, deadline);
        }
        *is_taken = true;
        drop(is_taken);
        // From here on it lets the next one in, whatever happens.
        let mut turn = Turn { of: self, device, has_node: false };
        if !device.try_lock_node()? {
            await_node(device, name, start.unwrap_or_else(now), deadline, is_open)?;
        }
        turn.has_node = true;
        Ok(turn)
    }
}

/// The turn of one request. Ends when it is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub(crate) struct Turn<'a> {
    of: &'a FirstRequests,
    device: &'a Device,
    has_node: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.has_node {
            self.device.unlock_node();
        }
        *lock(&self.of.is_taken) = false;
        self.of.left.notify_one();
    }
}

/// Takes the lock on the node, which another process has. There is no call that waits for it and
/// that a deadline or the removal of the lockspace could end, so it is asked for time and again.
#[cold]
fn await_node(
    device: &Device,
    name: &LockspaceName,
    start: Instant,
    deadline: Option<Instant>,
    is_open: impl Fn() -> Result<(), ErrorKind>,
) -> Result<(), ErrorKind> {
    for _ in 0..BRIEFLY {
        thread::yield_now();
        if device.try_lock_node()? {
            return Ok(());
        }
    }
    let [mut pause, longest] = PAUSES;
    let mut patient_until = start + PATIENCE;
    loop {
        is_open()?;
        let now = now();
        if deadline.is_some_and(|at| at <= now) {
            return Err(ErrorKind::TimedOut(LATE));
        }
        if patient_until <= now {
            // While the lockspace is stopped, whoever has the lock is kept in its `write`.
            if Status::read(name).state != State::Stopped {
                return Err(dlm_sys::Error::os(Call::SerialiseRequests, Errno::EBUSY).into());
            }
            patient_until = now + PATIENCE;
        }
        let until = deadline.map_or(now + pause, |at| at.min(now + pause));
        wait_any(&[device.removal()?], Some(until))?;
        if device.try_lock_node()? {
            return Ok(());
        }
        pause = longest.min(pause * 2);
    }
}
