//! Locks.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use dlm_proto::{LockFlags, LockId, Mode, Request, ResourceName, Token, ValueBlock};

use crate::convert::ConvertRequest;
use crate::device::Device;
use crate::entry::{Claim, Entry, Waiting};
use crate::error::{Error, ErrorKind, Operation, UnlockError};
use crate::event::{Completion, CompletionCallback, CompletionHandler};
use crate::lvb::Lvb;
use crate::route::{Pumped, Reader};
use crate::shared::Shared;
use crate::state::{CancelKind, UnlockLvb};
use crate::sync::lock;

/// What is known of a lock, from [`Lockspace::locks`](crate::Lockspace::locks).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The resource.
    pub resource: ResourceName,
    /// The mode that is held now, if any.
    pub mode: Option<Mode>,
    /// Whether a request, conversion or unlock is in flight.
    pub is_in_flight: bool,
    /// Whether it becomes an orphan when the lockspace is closed.
    pub is_persistent: bool,
    /// The strongest mode that somebody was reported to wait for since the last grant.
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
#[must_use = "dropping a lock unlocks it"]
pub struct Lock {
    shared: Arc<Shared>,
    token: Token,
    /// The unlock was accepted: nothing is left for the drop.
    released: bool,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("lockspace", &self.shared.name)
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}

impl Lock {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared>, token: Token) -> Self {
        Self { shared, token, released: false }
    }

    /// For a callback that uses a lock that is not its own: dropping it does nothing.
    pub(crate) fn lent(shared: Arc<Shared>, token: Token) -> Self {
        Self { shared, token, released: true }
    }

    /// The kernel's id of the lock, to find it in the kernel's own dumps. `None` if it is gone.
    ///
    /// Ids are reused at once, by locks of others, too: never keep one.
    #[must_use]
    pub fn id(&self) -> Option<LockId> {
        self.with(|entry| entry.state.id()).filter(|id| id.0 != 0)
    }

    /// The mode that is held now, or `None`: not granted yet, or gone.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.with(|entry| entry.state.granted()).flatten()
    }

    /// The lock value block as the last operation that moved it left it.
    #[must_use]
    pub fn lvb(&self) -> Option<Lvb> {
        self.with(|entry| entry.state.known_lvb()).flatten()
    }

    /// The lock value block as the last operation that moved it left it, if it can be relied on.
    ///
    /// ```no_run
    /// use dlm_runtime::{Lockspace, Mode, ValueBlock};
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// let lock = lockspace.lock("disk0", Mode::Ex).with_lvb().wait()?;
    /// let generation = lock.valid_lvb().and_then(|block| block.u64_at(0));
    /// let next = generation.map_or(0, |generation| generation + 1);
    /// lock.release().write_lvb(ValueBlock::ZERO.with_u64_at(0, next).unwrap_or_default()).wait()?;
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    #[must_use]
    pub fn valid_lvb(&self) -> Option<ValueBlock> {
        self.lvb().and_then(Lvb::if_valid)
    }

    /// The strongest mode that somebody was reported to wait for since the last grant of this
    /// lock. Needs blocking notices, and somebody who reads results.
    #[must_use]
    pub fn blocked(&self) -> Option<Mode> {
        self.with(|entry| entry.blocked).flatten()
    }

    /// Whether a request, conversion or unlock is in flight.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.with(|entry| entry.state.pending().is_some()).unwrap_or(false)
    }

    /// Starts a conversion to another mode.
    pub fn convert(&self, mode: Mode) -> ConvertRequest<'_> {
        ConvertRequest::new(self, mode)
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
            self.shared.check_fork()?;
            self.shared.cancel(self.token, CancelKind::Plain)
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
            self.shared.check_fork()?;
            self.shared.cancel(self.token, CancelKind::Deadlock)
        };
        cancel().map_err(|kind| Error::new(Operation::Cancel, kind))
    }

    /// Makes the lock persistent, and waits until it is: when the lockspace is closed, or the
    /// process dies, it stays on this node as an orphan, until somebody
    /// [adopts](crate::Lockspace::adopt) or [purges](crate::Lockspace::purge) it. A lock that is
    /// unlocked or dropped is gone all the same; see [`leak`](Self::leak).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InFlight`], [`ErrorKind::LockGone`], [`ErrorKind::Device`]; the end of the
    /// lockspace.
    pub fn persist(&self) -> Result<(), Error> {
        let persist = |mode| self.convert(mode).persistent().wait().map(|_| ());
        let gone = || Error::new(Operation::Persist, ErrorKind::LockGone);
        persist(self.mode().ok_or_else(gone)?)
            .map_err(|error| Error::new(Operation::Persist, error.kind))
    }

    /// The same lock after an unlock that failed.
    pub(crate) fn taken_back(mut self) -> Self {
        self.released = false;
        self
    }

    /// Lets go of the handle without unlocking. The lock ends, or becomes an orphan if it is
    /// persistent, when the lockspace is closed.
    pub fn leak(mut self) {
        self.released = true;
    }

    /// Unlocks and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`UnlockError`] with the lock, if it could not be unlocked.
    #[inline]
    pub fn unlock(self) -> Result<(), UnlockError> {
        self.release().wait()
    }

    /// Starts an unlock that does more: write the lock value block, or report to a callback.
    #[inline]
    pub fn release(self) -> UnlockRequest {
        UnlockRequest { lock: self, lvb: UnlockLvb::Keep }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) const fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        lock(&self.shared.table).get_mut(self.token).map(look)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.released && self.shared.check_fork().is_ok() {
            self.shared.give_up(self.token);
        }
    }
}

/// An unlock in the making; [`Lock::release`] starts one.
///
/// Without more, the lock value block stays as it is.
#[derive(Debug)]
#[must_use = "the lock is only dropped unless wait() or start() is called"]
pub struct UnlockRequest {
    lock: Lock,
    lvb: UnlockLvb,
}

impl UnlockRequest {
    /// Stores this lock value block in the resource. The lock must hold PW or EX, and must have
    /// been requested or converted with its value block: the kernel writes none otherwise.
    pub fn write_lvb(mut self, block: ValueBlock) -> Self {
        self.lvb = UnlockLvb::Write(block);
        self
    }

    /// Marks the resource's lock value block invalid. The lock must hold PW or EX.
    pub fn invalidate_lvb(mut self) -> Self {
        self.lvb = UnlockLvb::Invalidate;
        self
    }

    /// Unlocks and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`UnlockError`] with the lock: an operation is in flight, the value block cannot be written
    /// from this mode, or the kernel refused.
    pub fn wait(self) -> Result<(), UnlockError> {
        let (lock, device) = self.submit(Waiting)?;
        let (shared, token) = (&lock.shared, lock.token);
        // Most unlocks end at once: the next result is the completion.
        let ended = match shared.pump_from(&device, Reader::Waits(token)) {
            Ok(Pumped::Mine(ended)) => Ok(Some(ended.into())),
            Ok(_) => shared.wait(token, None),
            Err(kind) => Err(kind),
        };
        match ended {
            Ok(_) => Ok(()),
            Err(kind) => Err(UnlockError { error: Error::new(Operation::Unlock, kind), lock }),
        }
    }

    /// Unlocks and returns at once; `completion` is run when it is done, in
    /// [`dispatch`](crate::Lockspace::dispatch) or in the delivery thread, and possibly before
    /// this returns.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), for what is known at once; `completion` is then not run.
    pub fn start(
        self,
        completion: impl FnOnce(Completion) + Send + 'static,
    ) -> Result<(), UnlockError> {
        self.start_under(CompletionCallback::Once(Box::new(completion)))
    }

    /// As [`start`](Self::start), but the completion goes to a handler that many operations share,
    /// with a tag that tells them apart. Nothing is allocated for it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(self, handler: &CompletionHandler, tag: u64) -> Result<(), UnlockError> {
        self.start_under(CompletionCallback::Shared(Arc::clone(handler), tag))
    }

    fn start_under(self, callback: CompletionCallback) -> Result<(), UnlockError> {
        self.submit(callback).map(|_| ())
    }

    /// Begins the unlock for a future. The lock is only a name then.
    pub(crate) fn begin(mut self, waker: &Waker) -> Result<Lock, UnlockError> {
        match self.prepare(waker.clone()) {
            Ok(begun) => {
                self.lock.released = true;
                let token = self.lock.token;
                self.lock.shared.defer_shared(move |shared| {
                    if let Err(kind) = begun.write(shared, token) {
                        shared.fail(token, kind);
                    }
                });
                Ok(self.lock)
            }
            Err(kind) => Err(self.failed(kind)),
        }
    }

    /// Writes the unlock. The lock is only a name then.
    #[inline(always)]
    fn submit(mut self, claim: impl Claim) -> Result<(Lock, Arc<Device>), UnlockError> {
        let begun = match self.prepare(claim) {
            Ok(begun) => begun,
            Err(kind) => return Err(self.failed(kind)),
        };
        match begun.write(&self.lock.shared, self.lock.token) {
            Ok(device) => {
                self.lock.released = true;
                Ok((self.lock, device))
            }
            Err(kind) => {
                begun.undo(&self.lock, &kind);
                Err(self.failed(kind))
            }
        }
    }

    #[cold]
    fn failed(self, kind: ErrorKind) -> UnlockError {
        UnlockError { error: Error::new(Operation::Unlock, kind), lock: self.lock }
    }

    #[inline(always)]
    fn prepare<C: Claim>(&self, claim: C) -> Result<Begun, ErrorKind> {
        let Lock { shared, token, .. } = &self.lock;
        shared.check_fork()?;
        // The claim is dropped behind the guard if it is not wanted: nothing is locked then.
        let mut table = lock(&shared.table);
        let entry = table.get_mut(*token).ok_or(ErrorKind::LockGone)?;
        let (flags, block) = entry.state.unlock_lvb(self.lvb);
        entry.state.check_unlock_lvb(self.lvb).map_err(ErrorKind::Illegal)?;
        if entry.outcome.is_some() {
            // As for a conversion: its owner has not been told yet.
            return Err(ErrorKind::InFlight);
        }
        let (id, force) = entry.state.begin_unlock()?;
        entry.begin(claim);
        let callback = C::NEEDS_DELIVERY;
        shared.expect(callback);
        let notices = entry.blocking.interest().is_some();
        let behind_cancel = entry.state.is_cancelling();
        Ok(Begun { id, flags: flags | force, block, notices, callback, behind_cancel })
    }
}

/// An unlock that is still to be written.
struct Begun {
    id: LockId,
    flags: LockFlags,
    block: ValueBlock,
    notices: bool,
    callback: bool,
    /// A cancel was being written when this began.
    behind_cancel: bool,
}

impl Begun {
    #[inline(always)]
    fn write(&self, shared: &Shared, token: Token) -> Result<Arc<Device>, ErrorKind> {
        let cookies = shared.cookies(token, self.notices)?;
        if self.behind_cancel {
            drop(shared.table_after_cancel(token));
        }
        let unlock = dlm_proto::UnlockRequest::new(self.id, cookies).with(self.flags);
        let unlock = dlm_proto::UnlockRequest { lvb: &self.block, ..unlock };
        let device = shared.slot.get()?;
        shared.submit_to(&device, &Request::Unlock(unlock))?;
        shared.counts.unlocks.add();
        Ok(device)
    }

    /// Takes back what was begun and not written.
    fn undo(&self, lock: &Lock, why: &ErrorKind) {
        lock.shared.expect_no_more(self.callback);
        // Dropped when nothing is locked.
        let _contract = lock.with(|entry| {
            entry.state.abort(why);
            std::mem::take(&mut entry.contract)
        });
    }
}

/// The flags of a conversion that moves the value block.
pub(crate) const CONVERT_WITH_LVB: LockFlags = LockFlags::CONVERT.union(LockFlags::VALBLK);
