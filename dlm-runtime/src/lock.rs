//! Locks.

use std::fmt;
use std::sync::Arc;

use dlm_core::{CancelKind, CancelStep, LockView, Lvb, Submission};
use dlm_proto::{LockId, Mode, ResourceName, Token, ValueBlock};

use crate::driver::{Driver, State};
use crate::error::{Error, ErrorKind, Operation};
use crate::native::Native;

/// A view of a lock, from [`Lockspace::locks`](crate::Lockspace::locks).
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// for info in lockspace.locks() {
///     println!("{} is held in {:?}", info.resource, info.mode);
/// }
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize))]
#[non_exhaustive]
pub struct LockInfo {
    /// The resource.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde::name::serialize"))]
    pub resource: ResourceName,
    /// The mode that is held now, if any.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde::report::mode"))]
    pub mode: Option<Mode>,
    /// Whether a request, conversion or unlock is in flight.
    pub is_in_flight: bool,
    /// Whether it becomes an orphan when the lockspace is closed.
    pub is_persistent: bool,
    /// The strongest mode that somebody was reported to wait for since the last grant.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde::report::mode"))]
    pub blocked: Option<Mode>,
}

/// A lock, or the request for one that is still in flight.
///
/// Dropping it writes one UNLOCK, by force if something is in flight, and does not wait for the
/// answer. Callbacks of a dropped lock are not run, apart from one that another thread has just
/// begun to run. The write itself blocks while the kernel has
/// stopped the lockspace for a recovery, unless the lockspace has
/// [`background_writes`](crate::LockspaceOptions::background_writes).
///
/// A lock can be shared by threads. It has one operation in flight at a time; a second one is
/// refused with [`ErrorKind::InFlight`].
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
///
/// let lock = lockspace.lock("disk0", Mode::Pr).wait()?;
/// lock.convert(Mode::Ex).wait()?;
/// assert!(lock.is_held());
/// drop(lock); // unlocks it
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[must_use = "dropping a lock unlocks it"]
pub struct Lock {
    driver: Arc<Driver<Native>>,
    token: Token,
    /// The unlock was accepted: nothing is left for the drop.
    released: bool,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Lock");
        fields.field("lockspace", &self.driver.name);
        // Looked up in one go: a lock that goes meanwhile is not shown by half.
        let (resource, view) = {
            let state = self.driver.state();
            (state.core.name(self.token).copied(), state.core.view(self.token))
        };
        if let (Some(resource), Some(view)) = (resource, view) {
            fields.field("resource", &resource).field("id", &view.id).field("mode", &view.mode);
        }
        fields.finish_non_exhaustive()
    }
}

impl Lock {
    #[inline]
    pub(crate) fn new(driver: Arc<Driver<Native>>, token: Token) -> Self {
        Self { driver, token, released: false }
    }

    /// For a callback that uses a lock that is not its own: dropping it does nothing.
    pub(crate) fn lent(driver: Arc<Driver<Native>>, token: Token) -> Self {
        Self { driver, token, released: true }
    }

    /// The kernel's id of the lock, to find it in the kernel's own dumps. `None` if it is gone.
    ///
    /// Ids are reused at once, by locks of others, too: never keep one.
    #[must_use]
    pub fn id(&self) -> Option<LockId> {
        self.view().map(|view| view.id).filter(|id| id.0 != 0)
    }

    /// The name of the resource, also when the lockspace has ended. `None` if the lock is gone.
    ///
    /// ```no_run
    /// # let lockspace = dlm_runtime::Lockspace::open("example")?;
    /// let lock = lockspace.lock("disk0", dlm_runtime::Mode::Ex).wait()?;
    /// assert_eq!(lock.resource().as_deref(), Some(&b"disk0"[..]));
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    #[must_use]
    pub fn resource(&self) -> Option<ResourceName> {
        self.driver.state().core.name(self.token).copied()
    }

    /// The mode that is held now, or `None`: not granted yet, or gone, as all locks are when their
    /// lockspace has ended.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.driver.state().core.mode(self.token)
    }

    /// Whether the lock is held, in whichever mode.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.mode().is_some()
    }

    /// The lock value block as the last operation that moved it left it.
    #[must_use]
    pub fn lvb(&self) -> Option<Lvb> {
        self.driver.state().core.lvb(self.token)
    }

    /// The lock value block as the last operation that moved it left it, if it can be relied on.
    ///
    /// ```no_run
    /// use dlm_runtime::{Lockspace, Mode, ValueBlock};
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// let lock = lockspace.lock("disk0", Mode::Ex).with_lvb().wait()?;
    /// let last = match lock.valid_lvb() {
    ///     // Zero for a resource that is new: its last lock took the block with it.
    ///     Some(block) => block.u64_at(0).ok_or("too short")?,
    ///     // Who could have written it has died, and may have used a number that it did not store.
    ///     None => std::fs::read_to_string("/shared/last-generation")?.trim().parse()?,
    /// };
    /// std::fs::write("/shared/last-generation", format!("{}", last + 1))?;
    /// let block = ValueBlock::ZERO.with_u64_at(0, last + 1).ok_or("too long")?;
    /// lock.unlock().write_lvb(block).wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn valid_lvb(&self) -> Option<ValueBlock> {
        self.lvb().and_then(Lvb::if_valid)
    }

    /// The strongest mode that somebody was reported to wait for since the last grant of this
    /// lock. Needs blocking notices, and somebody who reads results.
    #[must_use]
    pub fn blocked(&self) -> Option<Mode> {
        self.view().and_then(|view| view.blocked)
    }

    /// The number of the grant by which it holds its mode, which grows with each granted conversion.
    /// Notices say which one they are about ([`Blocking::grant`](crate::Blocking::grant)). `None`: the
    /// lock is not granted, or gone.
    #[must_use]
    pub fn grant(&self) -> Option<u64> {
        self.view().filter(|view| view.mode.is_some()).map(|view| view.granted)
    }

    /// Whether a request, conversion or unlock is in flight.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.view().is_some_and(|view| view.op.is_some() || view.has_queued)
    }

    /// Cancels the request or conversion in flight. That operation then ends with
    /// [`LockStatus::Cancelled`](dlm_proto::LockStatus::Cancelled), or as it would have ended
    /// without: the cancel may come too late, and has no completion of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NothingToCancel`] if nothing is in flight that waits, or if one cancel was
    /// sent for it already.
    pub fn cancel(&self) -> Result<(), Error> {
        let cancel = || {
            self.driver.check_fork()?;
            self.cancel_as(CancelKind::Plain)
        };
        cancel().map_err(|kind| Error::new(Operation::Cancel, kind))
    }

    /// Cancels the request or conversion in flight as a victim of a deadlock: it ends with
    /// [`LockStatus::Deadlock`](dlm_proto::LockStatus::Deadlock), or as it would have ended
    /// without. It counts as the one cancel that an operation can have.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    pub fn cancel_as_deadlock(&self) -> Result<(), Error> {
        let cancel = || {
            self.driver.check_fork()?;
            self.cancel_as(CancelKind::Deadlock)
        };
        cancel().map_err(|kind| Error::new(Operation::Cancel, kind))
    }

    fn cancel_as(&self, kind: CancelKind) -> Result<(), ErrorKind> {
        let cancel = |state: &mut State<Native>, out: &mut Submission| {
            Ok(state.core.cancel(self.token, None, kind, false, out))
        };
        match self.driver.cancel(cancel)? {
            CancelStep::Write | CancelStep::Left => Ok(()),
            CancelStep::EndsByItself | CancelStep::Already => Err(ErrorKind::NothingToCancel),
            CancelStep::Nothing if self.view().is_none() => Err(ErrorKind::LockGone),
            CancelStep::Nothing => Err(ErrorKind::NothingToCancel),
        }
    }

    /// The unlock is accepted: nothing is left for the drop.
    pub(crate) const fn set_released(&mut self) {
        self.released = true;
    }

    /// The same lock after an unlock that failed, or that nobody waits for any more.
    pub(crate) fn taken_back(mut self) -> Self {
        self.released = false;
        self
    }

    /// The handle is dropped. No callback of the lock is begun from now on.
    #[inline(never)]
    fn let_go(&self) {
        if self.driver.check_fork().is_err() {
            return;
        }
        let is_used = {
            let mut state = self.driver.state();
            let Some(data) = state.core.face_mut(self.token) else { return };
            data.is_dropped = true;
            let is_used = data.users > 0;
            if is_used {
                self.driver.flush.set_in_use(self.token);
            }
            is_used
        };
        // Written over what its callback is just writing, the kernel might see the unlock first.
        // The thread that runs the callback releases the lock at its end.
        if !is_used {
            self.driver.release(self.token);
        }
    }

    /// Lets go of the handle without unlocking. The lock ends, or becomes an orphan if it is
    /// persistent, when the lockspace is closed.
    pub fn leak(mut self) {
        self.released = true;
    }

    pub(crate) const fn driver(&self) -> &Arc<Driver<Native>> {
        &self.driver
    }

    pub(crate) const fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn view(&self) -> Option<LockView> {
        self.driver.state().core.view(self.token)
    }
}

impl Drop for Lock {
    #[inline]
    fn drop(&mut self) {
        if !self.released {
            self.let_go();
        }
    }
}
