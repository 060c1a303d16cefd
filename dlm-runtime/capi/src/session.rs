//! An open lockspace: its device, its locks, and who reads results.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use dlm_proto::{Cookies, LockFlags, LockId, LockspaceName, Minor, Request, Token, UnlockRequest};
use dlm_runtime::raw::RawLockspace;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::deadline::Deadlines;
use crate::dispatch::{DueQueue, Pumped};
use crate::errno::Errno;
use crate::process;
use crate::record::Kind;
use crate::sync::{Mutex, Signal, lock};
use crate::table::Table;
use crate::thread::AstThread;
use crate::wait::Seats;

/// How long closing waits for calls that have not returned from the kernel.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// How long closing waits for requests that it has cancelled.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// The device, while somebody uses it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) device: RawLockspace,
    /// The last field: it tells that the device is closed.
    _tells: Sender<()>,
}

/// An open lockspace.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: LockspaceName,
    pub(crate) minor: Minor,
    open: Mutex<Option<Arc<Open>>>,
    closed: Mutex<Receiver<()>>,
    pub(crate) table: Mutex<Table>,
    /// The device for those who read it. Locked for one read and its routing.
    pub(crate) gate: Mutex<Option<Arc<Open>>>,
    pub(crate) due: DueQueue,
    pub(crate) deadlines: Deadlines,
    pub(crate) seats: Seats,
    /// Readable for ever once the lockspace is closed.
    pub(crate) gone: Signal,
    /// What callers poll.
    lookout: Epoll,
    /// Operations in flight and locks with a blocking AST: without any, there is nothing to read.
    pub(crate) expected: AtomicUsize,
    /// Those of them that end in an AST: without any, the AST thread leaves the device alone.
    pub(crate) interest: AtomicUsize,
    pub(crate) interest_changed: Signal,
    pub(crate) thread: Mutex<Option<AstThread>>,
    /// Whether `thread` is worth a look.
    pub(crate) thread_forks: AtomicUsize,
}

/// No thread: no process has forked that often.
pub(crate) const NO_THREAD: usize = usize::MAX;

impl Session {
    pub(crate) fn new(device: RawLockspace) -> Result<Arc<Self>, Errno> {
        let (tells, closed) = channel();
        let due = DueQueue::new()?;
        let deadlines = Deadlines::new()?;
        let lookout = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for source in [device.as_fd(), due.source(), deadlines.source()] {
            lookout.add(source, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        }
        let (name, minor) = (device.name().clone(), device.minor());
        let table = Mutex::new(Table::new(device.abi().width));
        let open = Arc::new(Open { device, _tells: tells });
        Ok(Arc::new(Self {
            name,
            minor,
            open: Mutex::new(Some(Arc::clone(&open))),
            closed: Mutex::new(closed),
            table,
            gate: Mutex::new(Some(open)),
            due,
            deadlines,
            seats: Seats::new()?,
            gone: Signal::new()?,
            lookout,
            expected: AtomicUsize::new(0),
            interest: AtomicUsize::new(0),
            interest_changed: Signal::new()?,
            thread: Mutex::default(),
            thread_forks: AtomicUsize::new(NO_THREAD),
        }))
    }

    /// The device, unless the lockspace was closed.
    pub(crate) fn open(&self) -> Result<Arc<Open>, Errno> {
        lock(&self.open).clone().ok_or(Errno(libc::EBADF))
    }

    /// The words that name a lock in requests and results.
    pub(crate) fn cookies(
        &self,
        open: &Open,
        token: Token,
        owner: u32,
        blocking: bool,
    ) -> Result<Cookies, Errno> {
        let cookies = Cookies::for_token_in(token, owner, open.device.abi().width);
        Ok(cookies.ok_or(Errno(libc::ENOMEM))?.with_blocking(blocking))
    }

    /// Something will be there to read; `for_ast`: and an AST to be run.
    pub(crate) fn expect(&self, for_ast: bool) {
        self.expected.fetch_add(1, Ordering::AcqRel);
        // In one order with what the AST thread does when it starts: it sees this, or is seen.
        if for_ast && self.interest.fetch_add(1, Ordering::SeqCst) == 0 && self.has_thread() {
            self.interest_changed.set();
        }
    }

    pub(crate) fn expect_no_more(&self, for_ast: bool) {
        self.expected.fetch_sub(1, Ordering::AcqRel);
        if for_ast {
            self.interest.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn has_thread(&self) -> bool {
        self.thread_forks.load(Ordering::SeqCst) == process::forks()
    }

    /// Closes the device and wakes everybody. `false`: it was closed already.
    ///
    /// The thread is stopped first. It is not waited for if it is the one that closes.
    pub(crate) fn close(&self) -> bool {
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            self.thread_forks.store(NO_THREAD, Ordering::SeqCst);
            thread.stop();
        }
        self.cancel_persistent();
        let Some(open) = lock(&self.open).take() else { return false };
        drop(lock(&self.gate).take());
        self.gone.set();
        self.seats.tell_all();
        drop(open);
        // Removing the lockspace would wait for this. Longer only while the lockspace is stopped.
        let closed = lock(&self.closed).recv_timeout(CLOSE_PATIENCE);
        closed == Err(RecvTimeoutError::Disconnected)
    }

    /// Cancels persistent requests that wait. Left behind as orphans they would crash the kernel
    /// when somebody purges them.
    fn cancel_persistent(&self) {
        let Ok(open) = self.open() else { return };
        let mut waiting: Vec<(Token, u32)> = Vec::new();
        for (token, record) in lock(&self.table).iter() {
            let waits = record.op.as_ref().is_some_and(|op| {
                op.kind == Kind::Request
                    && op.flags.contains(LockFlags::PERSISTENT)
                    && !op.ends_by_itself()
            });
            if waits && record.id != 0 && record.owner == process::id() {
                waiting.push((token, record.id));
            }
        }
        for &(token, id) in &waiting {
            let cookies = self.cookies(&open, token, process::id(), false);
            if let Ok(cookies) = cookies {
                let cancel = UnlockRequest::cancel(LockId(id), cookies);
                // It ended in the meantime.
                let _ = open.device.submit(&Request::Unlock(cancel));
            }
        }
        let deadline = std::time::Instant::now() + CANCEL_PATIENCE;
        // Granted meanwhile, it stays in the table.
        let waits = |token| lock(&self.table).get(token).is_some_and(|record| record.op.is_some());
        while waiting.iter().any(|&(token, _)| waits(token)) {
            match self.pump() {
                // The caller gives up its locks: there is nobody to be told.
                Ok(Pumped::Due(_) | Pumped::Handled) => {}
                Ok(Pumped::Empty) if crate::sync::has_passed(deadline) => return,
                Ok(Pumped::Empty) => {
                    let source = open.device.as_fd();
                    if crate::sync::sleep([source], 1, Some(deadline)).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// Readable when [`Session::dispatch`] has something to do.
impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lookout.0.as_fd()
    }
}
