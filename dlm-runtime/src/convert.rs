//! Conversions.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use dlm_proto::{LockFlags, LockId, LvbTransfer, Mode, Request, Token, ValueBlock};

use crate::entry::{BlockingSlot, Claim, Entry, Waiting};
use crate::error::{Error, ErrorKind, Operation};
use crate::event::{Blocking, Completion, CompletionCallback, CompletionHandler};
use crate::legal;
use crate::lent::BlockedLock;
use crate::lock::{CONVERT_WITH_LVB, Lock};
use crate::shared::Shared;
use crate::sync::{lock, now};
use crate::wait::Written;

/// A conversion in the making; [`Lock::convert`] starts one.
#[must_use = "nothing is converted before wait() or start()"]
pub struct ConvertRequest<'a> {
    lock: &'a Lock,
    mode: Mode,
    flags: LockFlags,
    written: Option<ValueBlock>,
    blocking: Option<BlockingSlot>,
    deadline: Option<Instant>,
    persistent: bool,
}

impl fmt::Debug for ConvertRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConvertRequest")
            .field("lock", self.lock)
            .field("mode", &self.mode)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// What is written to the kernel, and who hears of the end.
struct Begun {
    id: LockId,
    mode: Mode,
    flags: LockFlags,
    block: ValueBlock,
    transaction: u64,
    notices: bool,
    callback: bool,
    serial: u64,
    /// A cancel was being written when this began.
    behind_cancel: bool,
}

impl<'a> ConvertRequest<'a> {
    pub(crate) fn new(lock: &'a Lock, mode: Mode) -> Self {
        Self {
            lock,
            mode,
            flags: LockFlags::CONVERT,
            written: None,
            blocking: None,
            deadline: None,
            persistent: false,
        }
    }

    /// Fetches the lock value block (VALBLK). Only conversions to the same or a stronger mode
    /// fetch it, and none from EX, nor from PW but to EX; others are refused.
    pub fn read_lvb(mut self) -> Self {
        self.flags |= CONVERT_WITH_LVB;
        self
    }

    /// Stores the lock value block with the conversion (VALBLK). Only conversions from PW and EX
    /// store it, apart from PW to EX; others are refused.
    pub fn write_lvb(mut self, block: ValueBlock) -> Self {
        self.flags |= CONVERT_WITH_LVB;
        self.written = Some(block);
        self
    }

    /// Does not wait: if the mode cannot be granted now, the conversion ends with
    /// [`LockStatus::Again`](dlm_proto::LockStatus::Again), and the lock keeps its mode (NOQUEUE).
    pub fn no_queue(self) -> Self {
        self.flags(LockFlags::NOQUEUE)
    }

    /// The lock is persistent from now on. Not for users: `flags` refuses what this sets.
    pub(crate) fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Adds flags of the kernel. Those that make no sense here are refused by
    /// [`wait`](Self::wait) and [`start`](Self::start), with the reason.
    pub fn flags(mut self, flags: LockFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Cancels the conversion if it has not ended at this time; see
    /// [`LockRequest::deadline`](crate::LockRequest::deadline).
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Cancels the conversion if it has not ended after this time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = now().checked_add(timeout);
        self
    }

    /// Replaces the callback that is run when somebody waits for this lock.
    pub fn on_blocking(mut self, callback: impl FnMut(Blocking) + Send + 'static) -> Self {
        self.blocking = Some(BlockingSlot::told(callback));
        self
    }

    /// As [`on_blocking`](Self::on_blocking), with a callback that is lent the lock itself; see
    /// [`BlockedLock`].
    pub fn on_blocking_with(mut self, callback: impl FnMut(&BlockedLock) + Send + 'static) -> Self {
        self.blocking = Some(BlockingSlot::lent(callback));
        self
    }

    /// Converts and waits for the end, or for the deadline. If the conversion was granted while it
    /// was being cancelled, it counts as granted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] if the deadline has passed; the lock keeps its mode.
    /// [`ErrorKind::Status`] if the conversion was not granted; the lock then keeps its mode
    /// ([`Lock::mode`] tells it). [`ErrorKind::Illegal`], [`ErrorKind::InFlight`],
    /// [`ErrorKind::LockGone`], [`ErrorKind::Device`]; [`ErrorKind::Closed`] or
    /// [`ErrorKind::Removed`] if the lockspace went while waiting.
    pub fn wait(self) -> Result<Completion, Error> {
        let (lock, deadline) = (self.lock, self.deadline);
        let written = self.submit(Waiting)?;
        let first = lock.shared().first(&written);
        let ended = lock.shared().finish(&written, first, deadline);
        let completion = ended.map_err(failed)?;
        if completion.is_granted() {
            Ok(completion)
        } else {
            Err(failed(ErrorKind::Status(completion.status)))
        }
    }

    /// Converts and returns at once; `completion` is run when the conversion has ended, in
    /// [`dispatch`](crate::Lockspace::dispatch) or in the delivery thread, and possibly before
    /// this returns.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), for what is known at once; `completion` is then not run.
    pub fn start(self, completion: impl FnOnce(Completion) + Send + 'static) -> Result<(), Error> {
        self.start_under(CompletionCallback::Once(Box::new(completion)))
    }

    /// As [`start`](Self::start), but the completion goes to a handler that many operations share,
    /// with a tag that tells them apart. Nothing is allocated for it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(self, handler: &CompletionHandler, tag: u64) -> Result<(), Error> {
        self.start_under(CompletionCallback::Shared(Arc::clone(handler), tag))
    }

    fn start_under(self, callback: CompletionCallback) -> Result<(), Error> {
        let (lock, deadline) = (self.lock, self.deadline);
        let written = self.submit(callback)?;
        lock.shared().written(written.token, written.serial, None);
        if let Some(at) = deadline {
            let set = lock.shared().set_deadline(at, written.token, written.serial);
            set.map_err(|errno| failed(errno.into()))?;
        }
        Ok(())
    }

    /// Begins the conversion for a future.
    pub(crate) fn begin(self, waker: &Waker) -> Result<(&'a Lock, u64), Error> {
        let (lock, deadline) = (self.lock, self.deadline);
        let token = lock.token();
        let begun = self.prepare(waker.clone()).map_err(failed)?;
        let serial = begun.serial;
        if let Some(at) = deadline {
            if let Err(errno) = lock.shared().set_deadline(at, token, begun.serial) {
                let kind = errno.into();
                begun.undo(lock, &kind);
                return Err(failed(kind));
            }
        }
        lock.shared().defer_shared(move |shared| match begun.write(shared, token) {
            Ok(_) => shared.written(token, serial, None),
            Err(kind) => shared.fail(token, kind),
        });
        Ok((lock, serial))
    }

    fn submit(self, claim: impl Claim) -> Result<Written, Error> {
        let lock = self.lock;
        let begun = self.prepare(claim).map_err(failed)?;
        begun.write(lock.shared(), lock.token()).map_err(|kind| {
            begun.undo(lock, &kind);
            failed(kind)
        })
    }

    fn prepare<C: Claim>(mut self, claim: C) -> Result<Begun, ErrorKind> {
        let (shared, token) = (self.lock.shared(), self.lock.token());
        let Self { mode, written, .. } = self;
        shared.check_fork()?;
        // The claim is dropped behind the guard if it is not wanted, and a callback that is
        // replaced: nothing is locked then.
        let mut table = lock(&shared.table);
        let entry = table.get_mut(token).ok_or(ErrorKind::LockGone)?;
        let flags = self.check(entry)?;
        let id = entry.state.begin_convert(mode, flags, written)?;
        let callback = C::NEEDS_DELIVERY;
        shared.expect(callback);
        let serial = entry.begin(claim);
        if let Some(new) = &mut self.blocking {
            let (before, after) = (entry.blocking.interest(), new.interest());
            std::mem::swap(&mut entry.blocking, new);
            if let Some(callback) = after {
                shared.expect(callback);
            }
            if let Some(callback) = before {
                shared.expect_no_more(callback);
            }
        }
        let block = written.unwrap_or_else(|| entry.state.carried_block());
        let notices = entry.blocking.interest().is_some();
        let transaction = entry.state.transaction();
        let behind_cancel = entry.state.is_cancelling();
        Ok(Begun { id, mode, flags, block, transaction, notices, callback, serial, behind_cancel })
    }

    /// Checks the conversion against the lock as it is now. Returns the flags that it takes.
    fn check(&self, entry: &Entry) -> Result<LockFlags, ErrorKind> {
        let Self { mode, flags, .. } = *self;
        let from = entry.state.idle_mode()?;
        if entry.outcome.is_some() {
            // Its thread or future has not been told yet, and would miss it.
            return Err(ErrorKind::InFlight);
        }
        legal::check_convert(from, mode, flags).map_err(ErrorKind::Illegal)?;
        if flags.contains(LockFlags::VALBLK) {
            check_lvb(from, mode, self.written.is_some()).map_err(ErrorKind::Illegal)?;
        }
        if entry.state.is_uncertain() && flags.intersects(LockFlags::VALBLK | LockFlags::QUECVT) {
            return Err(ErrorKind::Illegal(
                "after a cancelled CONVDEADLK conversion the mode is known only when the lock was \
                 converted once more, without its value block and QUECVT",
            ));
        }
        let persistent = self.persistent || entry.state.is_persistent();
        Ok(if persistent { flags | LockFlags::PERSISTENT } else { flags })
    }
}

impl Begun {
    fn write(&self, shared: &Shared, token: Token) -> Result<Written, ErrorKind> {
        let cookies = shared.cookies(token, self.notices)?;
        if self.behind_cancel {
            drop(shared.table_after_cancel(token));
        }
        let device = shared.slot.get()?;
        let request = dlm_proto::LockRequest::convert(self.id, self.mode, cookies);
        let request = dlm_proto::LockRequest {
            flags: self.flags,
            lvb: &self.block,
            xid: self.transaction,
            ..request
        };
        shared.submit_to(&device, &Request::Lock(request))?;
        shared.counts.conversions.add();
        Ok(Written { token, serial: self.serial, id: None, device })
    }

    /// Takes back what was begun and not written.
    fn undo(&self, lock: &Lock, why: &ErrorKind) {
        lock.shared().expect_no_more(self.callback);
        // Dropped when nothing is locked.
        let _contract = lock.with(|entry| {
            entry.state.abort(why);
            std::mem::take(&mut entry.contract)
        });
        // It may be gone.
        lock.shared().watchers.wake(lock.token());
    }
}

fn check_lvb(from: Mode, to: Mode, writes: bool) -> Result<(), &'static str> {
    match (from.lvb_transfer(to), writes) {
        (LvbTransfer::Read, false) | (LvbTransfer::Write, true) => Ok(()),
        (LvbTransfer::Read, true) => Err("this conversion reads the lock value block"),
        (LvbTransfer::Write, false) => Err("this conversion writes the lock value block"),
        (LvbTransfer::None, _) => Err("this conversion does not move the lock value block"),
    }
}

fn failed(kind: ErrorKind) -> Error {
    Error::new(Operation::Convert, kind)
}
