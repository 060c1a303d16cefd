//! Blocking callbacks, and what those may do that are given their lock.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use dlm_proto::{Mode, Token};

use crate::driver::wait_queue::WaitQueue;
use crate::driver::{Driver, Due, Waiter};
use crate::error::Error;
use crate::event::Blocking;
use crate::lock::Lock;
use crate::native::Native;
use crate::threads::atomic::{AtomicUsize, Ordering};
use crate::threads::{Mutex, lock};

/// A blocking callback of either kind.
pub(crate) trait BlockingCall: Send {
    /// Whether the lock must stay while it runs.
    fn needs_lock(&self) -> bool;

    fn call(&mut self, driver: &Driver<Native>, token: Token, mode: Mode);
}

pub(crate) type BlockingCallback = Box<dyn BlockingCall>;

/// One that is told the mode.
struct ModeCallback<F>(F);

/// One that is given the lock.
struct LockCallback<F>(F);

impl<F: FnMut(Blocking) + Send> BlockingCall for ModeCallback<F> {
    fn needs_lock(&self) -> bool {
        false
    }

    fn call(&mut self, _: &Driver<Native>, _: Token, mode: Mode) {
        (self.0)(Blocking { mode });
    }
}

impl<F: FnMut(&BlockedLock) + Send> BlockingCall for LockCallback<F> {
    fn needs_lock(&self) -> bool {
        true
    }

    fn call(&mut self, driver: &Driver<Native>, token: Token, wanted: Mode) {
        if let Some(driver) = driver.upgrade() {
            (self.0)(&BlockedLock { lock: Lock::lent(driver, token), wanted });
        }
    }
}

/// The blocking callback of a lock.
#[derive(Default)]
pub(crate) enum BlockingSlot {
    /// None: the kernel is told not to send notices.
    #[default]
    Unwanted,
    /// No callback, but the notices are remembered for the handle.
    Noted,
    /// Waiting for a notice.
    Idle(BlockingCallback),
    /// Running in some thread, with what came in the meantime.
    Running(Vec<Mode>),
}

impl BlockingSlot {
    pub(crate) fn with_mode(callback: impl FnMut(Blocking) + Send + 'static) -> Self {
        Self::Idle(Box::new(ModeCallback(callback)))
    }

    pub(crate) fn with_lock(callback: impl FnMut(&BlockedLock) + Send + 'static) -> Self {
        Self::Idle(Box::new(LockCallback(callback)))
    }

    /// Whether notices may come at all.
    pub(crate) const fn wants_notices(&self) -> bool {
        !matches!(self, Self::Unwanted)
    }
}

/// A blocking callback outside its lock's entry. It goes back there, also when it panics.
pub(crate) struct Running<'a> {
    driver: &'a Driver<Native>,
    token: Token,
    /// It uses the lock.
    needs_lock: bool,
    /// Always there until the drop.
    callback: Option<BlockingCallback>,
}

impl<'a> Running<'a> {
    /// Runs a lock's blocking callback, unless it runs already: then it is left to that thread.
    pub(crate) fn run(driver: &'a Driver<Native>, token: Token, mode: Mode) {
        let callback = {
            let mut state = driver.state();
            let data = state.core.face_mut(token).filter(|data| !data.is_dropped);
            let Some(data) = data else { return };
            match std::mem::replace(&mut data.blocking, BlockingSlot::Running(Vec::new())) {
                BlockingSlot::Idle(callback) => {
                    data.users += u32::from(callback.needs_lock());
                    callback
                }
                BlockingSlot::Running(mut backlog) => {
                    backlog.push(mode);
                    data.blocking = BlockingSlot::Running(backlog);
                    return;
                }
                other => {
                    data.blocking = other;
                    return;
                }
            }
        };
        let needs_lock = callback.needs_lock();
        let mut running = Self { driver, token, needs_lock, callback: Some(callback) };
        let mut next = Some(mode);
        while let Some(mode) = next {
            running.call(mode);
            next = running.next();
        }
    }

    fn call(&mut self, mode: Mode) {
        if let Some(callback) = &mut self.callback {
            callback.call(self.driver, self.token, mode);
        }
    }

    /// What came while the callback ran, the oldest first.
    fn next(&self) -> Option<Mode> {
        let mut state = self.driver.state();
        let data = state.core.face_mut(self.token).filter(|data| !data.is_dropped)?;
        match &mut data.blocking {
            BlockingSlot::Running(backlog) if !backlog.is_empty() => Some(backlog.remove(0)),
            _ => None,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let (mut backlog, mut is_left) = (Vec::new(), false);
        let is_gone = {
            let mut state = self.driver.state();
            let mut data = state.core.face_mut(self.token);
            let is_gone = data.is_none();
            if let Some(data) = data.as_deref_mut().filter(|_| self.needs_lock) {
                data.users = data.users.saturating_sub(1);
                is_left = data.users == 0 && data.is_dropped;
            }
            // Otherwise the lock is gone, or has another callback: this one is dropped, below.
            let slot = data.map(|data| &mut data.blocking);
            if let Some(slot @ BlockingSlot::Running(_)) = slot {
                if let Some(callback) = self.callback.take() {
                    let running = std::mem::replace(slot, BlockingSlot::Idle(callback));
                    if let BlockingSlot::Running(modes) = running {
                        backlog = modes;
                    }
                }
            }
            is_gone
        };
        let callback = self.callback.take();
        self.driver.guarded(move || drop(callback));
        if is_left {
            self.driver.release(self.token);
        }
        if self.needs_lock && (is_left || is_gone) {
            if self.driver.flush.end_use(self.token) {
                self.driver.check_flushed();
            }
            return;
        }
        for mode in backlog {
            self.driver.leave_due(Due::Blocking(self.token, mode));
        }
    }
}

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
    /// As [`UnlockRequest::wait`](crate::UnlockRequest::wait). The lock is still there then.
    pub fn unlock_wait(&self) -> Result<(), Error> {
        let lock = Lock::lent(self.lock.driver().clone(), self.lock.token());
        // What comes back with an error is lent, too, and its drop does nothing.
        lock.unlock().wait()?;
        let driver = self.lock.driver();
        driver.notice_waiters.wake(self.lock.token(), &driver.waits);
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
