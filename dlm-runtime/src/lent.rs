//! Blocking callbacks, and what those may do that are lent their lock.

use std::fmt;
use std::ops::Deref;

use dlm_proto::{Mode, Token};

use crate::entry::BlockingSlot;
use crate::error::Error;
use crate::event::Blocking;
use crate::lock::Lock;
use crate::shared::Shared;

/// A blocking callback of either kind.
pub(crate) trait BlockingCall: Send {
    /// Whether the lock must stay while it runs.
    fn borrows(&self) -> bool;

    fn call(&mut self, shared: &Shared, token: Token, mode: Mode);
}

struct Told<F>(F);

struct Lent<F>(F);

impl<F: FnMut(Blocking) + Send> BlockingCall for Told<F> {
    fn borrows(&self) -> bool {
        false
    }

    fn call(&mut self, _: &Shared, _: Token, mode: Mode) {
        (self.0)(Blocking { mode });
    }
}

impl<F: FnMut(&BlockedLock) + Send> BlockingCall for Lent<F> {
    fn borrows(&self) -> bool {
        true
    }

    fn call(&mut self, shared: &Shared, token: Token, wanted: Mode) {
        if let Some(shared) = shared.me.upgrade() {
            (self.0)(&BlockedLock { lock: Lock::lent(shared, token), wanted });
        }
    }
}

impl BlockingSlot {
    pub(crate) fn told(callback: impl FnMut(Blocking) + Send + 'static) -> Self {
        Self::Idle(Box::new(Told(callback)))
    }

    pub(crate) fn lent(callback: impl FnMut(&BlockedLock) + Send + 'static) -> Self {
        Self::Idle(Box::new(Lent(callback)))
    }
}

/// The lock that somebody waits for, in its own blocking callback
/// ([`on_blocking_with`](crate::LockRequest::on_blocking_with)).
///
/// It can be converted, and does whatever else a [`Lock`] does by reference; the callback need not
/// know its owner. It is lent: the owner may convert or unlock it at the same time, and who comes
/// second gets [`ErrorKind::InFlight`](crate::ErrorKind::InFlight) or
/// [`ErrorKind::LockGone`](crate::ErrorKind::LockGone). An owner that drops it meanwhile does not
/// wait: the lock is then unlocked when the callback has returned.
///
/// Blocking calls are allowed in a callback, and hold up those behind it.
///
/// ```no_run
/// use dlm_runtime::{Lockspace, Mode};
///
/// let lockspace = Lockspace::open("example")?;
/// let delivery = lockspace.start_delivery()?;
/// let lock = lockspace
///     .lock("config", Mode::Pr)
///     .on_blocking_with(|lock| {
///         // Late notices are for a lock that has given way already.
///         if lock.mode() != Some(Mode::Nl) {
///             if let Err(error) = lock.convert(Mode::Nl).wait() {
///                 eprintln!("cannot give way to {}: {error}", lock.wanted());
///             }
///         }
///     })
///     .wait()?;
/// # drop((lock, delivery));
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
pub struct BlockedLock {
    lock: Lock,
    wanted: Mode,
}

impl BlockedLock {
    /// The mode that the other lock waits for.
    #[must_use]
    pub const fn wanted(&self) -> Mode {
        self.wanted
    }

    /// Unlocks and waits until that is done. To its owner the lock is gone then:
    /// [`Lock::mode`] is `None`.
    ///
    /// # Errors
    ///
    /// As [`Lock::unlock`]. The lock is still there then.
    pub fn unlock(&self) -> Result<(), Error> {
        let lock = Lock::lent(self.lock.shared().clone(), self.lock.token());
        // What comes back with an error is lent, too, and its drop does nothing.
        lock.unlock()?;
        self.lock.shared().watchers.wake(self.lock.token());
        Ok(())
    }
}

impl Deref for BlockedLock {
    type Target = Lock;

    fn deref(&self) -> &Lock {
        &self.lock
    }
}

impl fmt::Debug for BlockedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockedLock")
            .field("lock", &self.lock)
            .field("wanted", &self.wanted)
            .finish()
    }
}
