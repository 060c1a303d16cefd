//! Requests for locks.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use dlm_proto::{LockFlags, Mode, NameError, Request, ResourceName, Token};
use dlm_sys::Accepted;

use crate::entry::{BlockingSlot, Claim, Waiting};
use crate::error::{Error, ErrorKind, Operation};
use crate::event::{Blocking, Completion, CompletionCallback, CompletionHandler};
use crate::legal;
use crate::lent::BlockedLock;
use crate::lock::Lock;
use crate::route::Pumped;
use crate::shared::Shared;
use crate::state::{Ended, LockState};
use crate::sync::{lock, now};
use crate::trace;
use crate::wait::Written;

/// A lock request in the making; [`Lockspace::lock`](crate::Lockspace::lock) starts one.
///
/// It goes to the kernel with [`wait`](Self::wait) or [`start`](Self::start).
#[must_use = "nothing is requested before wait() or start()"]
pub struct LockRequest<'a> {
    shared: &'a Arc<Shared>,
    name: ResourceName,
    /// What is wrong with the name that was given. (Apart from it, as a result that holds one or
    /// the other is many instructions to move.)
    bad_name: Option<NameError>,
    mode: Mode,
    flags: LockFlags,
    blocking: BlockingSlot,
    deadline: Option<Instant>,
    transaction: u64,
}

impl fmt::Debug for LockRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockRequest")
            .field("name", &self.name())
            .field("mode", &self.mode)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

impl<'a> LockRequest<'a> {
    #[inline]
    pub(crate) fn new(shared: &'a Arc<Shared>, name: &[u8], mode: Mode) -> Self {
        let (name, bad_name) = match ResourceName::new(name) {
            Ok(name) => (name, None),
            Err(error) => (ResourceName::default(), Some(error)),
        };
        Self {
            shared,
            name,
            bad_name,
            mode,
            flags: LockFlags::empty(),
            blocking: BlockingSlot::Unwanted,
            deadline: None,
            transaction: 0,
        }
    }

    fn name(&self) -> Result<&ResourceName, NameError> {
        match self.bad_name {
            None => Ok(&self.name),
            Some(error) => Err(error),
        }
    }

    /// Fetches the resource's lock value block with the grant (VALBLK). A resource that has had no
    /// lock before has a block of zeros.
    pub fn with_lvb(self) -> Self {
        self.flags(LockFlags::VALBLK)
    }

    /// Does not wait: if the lock cannot be granted now, the request ends with
    /// [`LockStatus::Again`](dlm_proto::LockStatus::Again) (NOQUEUE).
    pub fn no_queue(self) -> Self {
        self.flags(LockFlags::NOQUEUE)
    }

    /// Gives the lock a transaction id. The kernel stores it and compares it with nothing.
    pub fn transaction(mut self, id: u64) -> Self {
        self.transaction = id;
        self
    }

    /// Adds flags of the kernel. Those that make no sense here are refused by
    /// [`wait`](Self::wait) and [`start`](Self::start), with the reason.
    pub fn flags(mut self, flags: LockFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Gives up at this time: the request is cancelled, unless it was granted before the cancel
    /// came through, and then it counts as granted.
    ///
    /// The deadline is kept by this library, as kernels since 6.2 have none. With
    /// [`wait`](Self::wait) the waiting thread keeps it; with [`start`](Self::start) whoever runs
    /// the callbacks, and the completion then has the status
    /// [`LockStatus::TimedOut`](dlm_proto::LockStatus::TimedOut). A `write` that the kernel holds
    /// up for a recovery is not ended by it.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Gives up after this time; see [`deadline`](Self::deadline).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        // A time that the clock cannot express is no deadline.
        self.deadline = now().checked_add(timeout);
        self
    }

    /// Runs `callback` when somebody waits for this lock (blocking AST). It is told the mode that
    /// is waited for, and runs where completions do: in
    /// [`dispatch`](crate::Lockspace::dispatch) or in the delivery thread.
    pub fn on_blocking(mut self, callback: impl FnMut(Blocking) + Send + 'static) -> Self {
        self.blocking = BlockingSlot::told(callback);
        self
    }

    /// As [`on_blocking`](Self::on_blocking), with a callback that is lent the lock itself, to give
    /// way by a conversion or an unlock at once; see [`BlockedLock`].
    pub fn on_blocking_with(mut self, callback: impl FnMut(&BlockedLock) + Send + 'static) -> Self {
        self.blocking = BlockingSlot::lent(callback);
        self
    }

    /// Has blocking notices sent without a callback: [`Lock::blocked`] tells them. They are read
    /// along with other results, by whoever reads them.
    pub fn note_blocking(mut self) -> Self {
        self.blocking = BlockingSlot::Noted;
        self
    }

    /// Requests the lock and waits until it is granted, without end unless NOQUEUE or a deadline is
    /// given. The thread reads the device itself; no delivery thread and no dispatch is needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] if the deadline has passed: nothing is left behind then.
    /// [`ErrorKind::Status`] if the request was not granted, [`ErrorKind::Name`],
    /// [`ErrorKind::Illegal`], [`ErrorKind::Device`]; [`ErrorKind::Closed`] or
    /// [`ErrorKind::Removed`] if the lockspace went while waiting.
    pub fn wait(self) -> Result<Lock, Error> {
        self.wait_granted().map_err(|kind| Error::new(Operation::Lock, kind))
    }

    #[inline]
    fn wait_granted(self) -> Result<Lock, ErrorKind> {
        let (shared, deadline) = (self.shared, self.deadline);
        let written = self.submit(Waiting)?;
        // Dropped, it takes back what has failed.
        let lock = Lock::new(Arc::clone(shared), written.token);
        let first = shared.first(&written);
        if let Ok(Pumped::Mine(Ended { mode: Some(_), .. })) = first {
            return Ok(lock);
        }
        let ended = shared.finish(&written, first, deadline)?;
        if ended.mode.is_some() {
            Ok(lock)
        } else {
            lock.leak();
            Err(ErrorKind::Status(ended.status))
        }
    }

    /// Requests the lock and returns at once. `completion` is run when the request has ended, in
    /// [`dispatch`](crate::Lockspace::dispatch) or in the delivery thread, and possibly before
    /// this returns.
    ///
    /// Dropping the lock before takes the request back; `completion` is then not run.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), for what is known before the kernel has decided; `completion` is
    /// then not run.
    pub fn start(
        self,
        completion: impl FnOnce(Completion) + Send + 'static,
    ) -> Result<Lock, Error> {
        self.start_under(CompletionCallback::Once(Box::new(completion)))
    }

    /// As [`start`](Self::start), but the completion goes to a handler that many operations share,
    /// with a tag that tells them apart. Nothing is allocated for it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(self, handler: &CompletionHandler, tag: u64) -> Result<Lock, Error> {
        self.start_under(CompletionCallback::Shared(Arc::clone(handler), tag))
    }

    fn start_under(self, callback: CompletionCallback) -> Result<Lock, Error> {
        let (shared, deadline) = (self.shared, self.deadline);
        let submitted = self.submit(callback);
        let written = submitted.map_err(|kind| Error::new(Operation::Lock, kind))?;
        let lock = Lock::new(Arc::clone(shared), written.token);
        shared.written(written.token, written.serial, written.id);
        if let Some(at) = deadline {
            let set = shared.set_deadline(at, written.token, written.serial);
            set.map_err(|errno| Error::new(Operation::Lock, ErrorKind::from(errno)))?;
        }
        Ok(lock)
    }

    /// Begins the request for a future.
    pub(crate) fn begin(mut self, waker: &Waker) -> Result<Lock, Error> {
        let failed = |kind| Error::new(Operation::Lock, kind);
        let (shared, deadline) = (self.shared, self.deadline);
        let prepared = self.prepare(waker.clone()).map_err(failed)?;
        let token = prepared.token;
        if let Some(at) = deadline {
            if let Err(errno) = shared.set_deadline(at, token, FIRST) {
                prepared.undo(shared);
                return Err(failed(errno.into()));
            }
        }
        let lock = Lock::new(Arc::clone(shared), token);
        let name = self.name;
        shared.defer_shared(move |shared| match prepared.write(shared, &name) {
            Ok(written) => shared.written(token, written.serial, written.id),
            Err(kind) => shared.fail(token, kind),
        });
        Ok(lock)
    }

    #[inline(always)]
    fn submit(mut self, claim: impl Claim) -> Result<Written, ErrorKind> {
        let prepared = self.prepare(claim)?;
        let written = prepared.write(self.shared, &self.name);
        written.inspect_err(|_| prepared.undo(self.shared))
    }

    #[inline(always)]
    fn prepare<C: Claim>(&mut self, claim: C) -> Result<Prepared, ErrorKind> {
        let Self { shared, mode, flags, transaction, .. } = *self;
        shared.check_fork()?;
        self.name()?;
        legal::check_request(mode, flags).map_err(ErrorKind::Illegal)?;
        // A result may be read by another thread before the write returns: the entry is first.
        let state = LockState::requested(mode, flags, transaction);
        let (token, notices) = shared.insert(&self.name, state, claim, &mut self.blocking)?;
        let callback = C::NEEDS_DELIVERY;
        shared.expect(callback);
        Ok(Prepared { token, mode, flags, transaction, notices, callback })
    }
}

/// The number of a new lock's first operation.
const FIRST: u64 = 0;

/// A request that has its entry in the table and is still to be written.
struct Prepared {
    token: Token,
    mode: Mode,
    flags: LockFlags,
    transaction: u64,
    notices: bool,
    callback: bool,
}

impl Prepared {
    #[inline(never)]
    fn write(&self, shared: &Shared, name: &ResourceName) -> Result<Written, ErrorKind> {
        let device = shared.slot.get()?;
        let cookies = shared.cookies(self.token, self.notices)?;
        let request = dlm_proto::LockRequest::new(name, self.mode, cookies).with(self.flags);
        let request = dlm_proto::LockRequest { xid: self.transaction, ..request };
        let accepted = shared.submit_new(&device, &Request::Lock(request))?;
        shared.counts.requests.add();
        trace::requested(name, self.mode, self.flags);
        let id = match accepted {
            Accepted::Lock(id) => Some(id),
            Accepted::Done => None,
        };
        Ok(Written { token: self.token, serial: FIRST, id, device })
    }

    /// Removes what was prepared and not written.
    #[cold]
    fn undo(&self, shared: &Shared) {
        // Dropped when nothing is locked.
        let trash = shared.forget(&mut lock(&shared.table), self.token);
        if trash.is_some() {
            shared.expect_no_more(self.callback);
        }
    }
}
