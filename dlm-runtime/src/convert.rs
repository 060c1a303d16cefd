//! Conversions.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_core::{Conversion, Rejected, Submission};
use dlm_proto::{LockFlags, Mode, ValueBlock};

use crate::blocking::BlockedLock;
use crate::driver::call::Prepare;
use crate::driver::{Begun, Notify, State};
use crate::error::{Error, ErrorKind, Operation};
use crate::event::{Blocking, Completion, CompletionCallback, CompletionHandler};
use crate::lock::Lock;
use crate::native::{BlockingSlot, Native};
use crate::threads::deadline_after;

/// A conversion in the making; [`Lock::convert`] starts one.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
///
/// let lock = lockspace.lock("disk0", Mode::Nl).wait()?;
/// let completion = lock.convert(Mode::Pr).read_lvb().wait()?;
/// println!("{:?}", completion.valid_lvb());
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
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

impl Lock {
    /// Starts a conversion to another mode.
    ///
    /// A conversion that can be granted overtakes those that wait, so holders that give way and come
    /// back at once can starve the one they gave way to: see [`queued`](ConvertRequest::queued).
    pub fn convert(&self, mode: Mode) -> ConvertRequest<'_> {
        ConvertRequest {
            lock: self,
            mode,
            flags: LockFlags::CONVERT,
            written: None,
            blocking: None,
            deadline: None,
            persistent: false,
        }
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
}

impl<'a> ConvertRequest<'a> {
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
    fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Stands in line behind the conversions that wait already (QUECVT), in place of overtaking them.
    /// For conversions that gain something: see [`Mode::allows_quecvt`].
    ///
    /// ```no_run
    /// # let lockspace = dlm_runtime::Lockspace::open("example")?;
    /// use dlm_runtime::Mode;
    ///
    /// let lock = lockspace.lock("disk0", Mode::Pr).note_blocking().wait()?;
    /// loop {
    ///     lock.wait_blocked(None)?;
    ///     // Lets a writer in, and reads again when he is done.
    ///     lock.convert(Mode::Nl).wait()?;
    ///     lock.convert(Mode::Pr).queued().wait()?;
    /// }
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    pub fn queued(self) -> Self {
        self.flags(LockFlags::QUECVT)
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
        self.deadline = deadline_after(timeout);
        self
    }

    /// Replaces the callback that is run when somebody waits for this lock.
    pub fn on_blocking(mut self, callback: impl FnMut(Blocking) + Send + 'static) -> Self {
        self.blocking = Some(BlockingSlot::with_mode(callback));
        self
    }

    /// As [`on_blocking`](Self::on_blocking), with a callback that is given the lock itself; see
    /// [`BlockedLock`].
    pub fn on_blocking_with(mut self, callback: impl FnMut(&BlockedLock) + Send + 'static) -> Self {
        self.blocking = Some(BlockingSlot::with_lock(callback));
        self
    }

    /// Converts and waits for the end, or for the deadline. If the conversion was granted while it
    /// was being cancelled, it counts as granted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] if the deadline has passed; the lock keeps its mode. If the cancel could
    /// not be answered yet, what begins next on this lock waits for that.
    /// [`ErrorKind::Status`] if the conversion was not granted; the lock then keeps its mode
    /// ([`Lock::mode`] tells it). [`ErrorKind::Illegal`], [`ErrorKind::InFlight`],
    /// [`ErrorKind::LockGone`], [`ErrorKind::Device`]; [`ErrorKind::Closed`] or
    /// [`ErrorKind::Removed`] if the lockspace went while waiting.
    pub fn wait(self) -> Result<Completion, Error> {
        let (lock, deadline) = (self.lock, self.deadline);
        let convert = || {
            lock.driver().check_fork()?;
            lock.driver().call_wait(self.prepare(), deadline)
        };
        let completion = convert().map_err(failed)?;
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
        self.begin(Notify::Callback(callback)).map(|_| ())
    }

    /// Begins the conversion for a callback or a task.
    pub(crate) fn begin(self, notify: Notify<Native>) -> Result<(&'a Lock, Begun), Error> {
        let (lock, deadline) = (self.lock, self.deadline);
        let begin = || {
            lock.driver().check_fork()?;
            lock.driver().call_start(self.prepare(), &mut Some(notify), deadline)
        };
        begin().map(|begun| (lock, begun)).map_err(failed)
    }

    /// What begins it, with the table locked. A blocking callback that it replaces is dropped with
    /// what this returns, when nothing is locked.
    fn prepare(self) -> impl Prepare<Native> {
        let Self { lock, mode, flags, written, mut blocking, persistent, .. } = self;
        let token = lock.token();
        let notices = blocking.as_ref().map(BlockingSlot::wants_notices);
        let conversion = Conversion { mode, flags, write: written, persistent, xid: None, notices };
        move |state: &mut State<Native>, user: &mut Option<Notify<Native>>, out: &mut Submission| {
            let queueing = state.core.convert(token, &conversion, user, out)?;
            if let (Some(new), Some(data)) = (&mut blocking, state.core.face_mut(token)) {
                std::mem::swap(&mut data.blocking, new);
            }
            Ok::<_, Rejected>((Begun::of(token, queueing, out), queueing))
        }
    }
}

fn failed(kind: ErrorKind) -> Error {
    Error::new(Operation::Convert, kind)
}

/// The flags of a conversion that moves the value block.
const CONVERT_WITH_LVB: LockFlags = LockFlags::CONVERT.union(LockFlags::VALBLK);
