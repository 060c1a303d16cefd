//! Waiting in a call for a blocking notice.

use std::sync::Arc;
use std::task::Wake;
use std::time::{Duration, Instant};

use dlm_proto::{Mode, Token};

use crate::error::{Error, ErrorKind, Operation};
use crate::lock::Lock;
use crate::route::{Pumped, Reader};
use crate::shared::Shared;
use crate::signal::{AsFd, Signal, wait_any};
use crate::sync::{Mutex, lock, now, time_left};

/// Gets a thread away from the device that sleeps there for something else than a completion.
#[derive(Debug)]
pub(crate) struct Bell(Signal);

impl Bell {
    pub(crate) fn new() -> nix::Result<Arc<Self>> {
        Ok(Arc::new(Self(Signal::new()?)))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
}

/// The threads that wait for blocking notices, and of which locks.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<(Token, Arc<Bell>)>>);

impl Watchers {
    /// Wakes those of a lock.
    pub(crate) fn wake(&self, token: Token) {
        for (watched, bell) in lock(&self.0).iter() {
            if *watched == token {
                bell.0.set();
            }
        }
    }
}

/// A thread among the watchers, until it is dropped.
struct Watch<'a> {
    watchers: &'a Watchers,
    bell: &'a Arc<Bell>,
}

impl<'a> Watch<'a> {
    fn begin(watchers: &'a Watchers, token: Token, bell: &'a Arc<Bell>) -> Self {
        lock(&watchers.0).push((token, Arc::clone(bell)));
        Self { watchers, bell }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        lock(&self.watchers.0).retain(|(_, bell)| !Arc::ptr_eq(bell, self.bell));
    }
}

impl Lock {
    /// Waits until somebody was reported to wait for this lock since its last grant, and tells the
    /// strongest mode that is waited for, as [`blocked`](Self::blocked) does. `None`: that has not
    /// happened for as long as `timeout`. With a `timeout` of zero it looks and does not wait.
    ///
    /// The lock must have been requested with
    /// [`note_blocking`](crate::LockRequest::note_blocking) or with a callback for notices. The
    /// thread reads the device itself; no delivery thread and no dispatch is needed, and callbacks
    /// of others are left to those. A holder that does not give way is told the same again at once,
    /// until a conversion of its lock was granted.
    ///
    /// ```no_run
    /// use dlm_runtime::{Lockspace, Mode};
    /// use std::time::Duration;
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// let lock = lockspace.lock("leader", Mode::Ex).note_blocking().wait()?;
    /// // Leads until somebody else wants to, and looks after itself every second.
    /// while lock.wait_blocked(Some(Duration::from_secs(1)))?.is_none() {
    ///     println!("still leading");
    /// }
    /// lock.unlock()?;
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Illegal`] if the lock has no notices or is not granted yet,
    /// [`ErrorKind::LockGone`], [`ErrorKind::Device`]; [`ErrorKind::Closed`] or
    /// [`ErrorKind::Removed`] if the lockspace went while waiting.
    pub fn wait_blocked(&self, timeout: Option<Duration>) -> Result<Option<Mode>, Error> {
        // A time that the clock cannot express is no deadline.
        let deadline = timeout.and_then(|timeout| now().checked_add(timeout));
        self.await_notice(deadline).map_err(|kind| Error::new(Operation::AwaitNotice, kind))
    }

    fn await_notice(&self, deadline: Option<Instant>) -> Result<Option<Mode>, ErrorKind> {
        let shared = self.shared();
        shared.check_fork()?;
        // What has come before is not waited for, and needs no bell.
        if let Some(mode) = self.look()? {
            return Ok(Some(mode));
        }
        let bell = Bell::new()?;
        let _watch = Watch::begin(&shared.watchers, self.token(), &bell);
        loop {
            shared.drain()?;
            if let Some(mode) = self.look()? {
                return Ok(Some(mode));
            }
            if deadline.is_some_and(|at| time_left(at).is_zero()) {
                return Ok(None);
            }
            shared.sleep_with(&bell, deadline)?;
        }
    }

    fn look(&self) -> Result<Option<Mode>, ErrorKind> {
        let look = self.with(|entry| match (entry.blocked, entry.state.granted()) {
            (Some(mode), _) => Ok(Some(mode)),
            _ if entry.blocking.interest().is_none() => {
                Err(ErrorKind::Illegal("the lock was requested without blocking notices"))
            }
            (None, None) if entry.state.pending().is_some() => {
                Err(ErrorKind::Illegal("nobody waits for a lock that is not granted yet"))
            }
            (None, None) => Err(ErrorKind::LockGone),
            (None, Some(_)) => Ok(None),
        });
        look.ok_or(ErrorKind::LockGone)?
    }
}

impl Shared {
    /// Reads what is there and leaves callbacks to those who run them.
    pub(crate) fn drain(&self) -> Result<(), ErrorKind> {
        loop {
            match self.pump(Reader::Passes)? {
                Pumped::Empty => return Ok(()),
                Pumped::Handled | Pumped::Ran | Pumped::Mine(_) => {}
            }
        }
    }

    /// Sleeps at the device, beside the thread that leads there, until there is something to read,
    /// the bell is rung, or the deadline passes.
    pub(crate) fn sleep_with(
        &self,
        bell: &Bell,
        deadline: Option<Instant>,
    ) -> Result<(), ErrorKind> {
        let removal = {
            let device = self.slot.get()?;
            let sources = [device.removal(), device.results(), self.gone.as_fd(), bell.0.as_fd()];
            let [removal, ..] = wait_any(&sources, deadline)?;
            removal
        };
        bell.0.clear();
        if removal { self.check_removed() } else { Ok(()) }
    }
}
