//! The core under all deliveries: one device, one table of locks, one reader at a time.

use std::sync::{Arc, Weak};
use std::task::Waker;

use dlm_proto::{
    Abi, Cookies, LockspaceName, MAX_REQUEST_LEN, Minor, Request, ResourceName, Token,
    UnlockRequest,
};
use dlm_sys::{Accepted, Errno};

use crate::blocked::Watchers;
use crate::counters::Counts;
use crate::deadline::Deadlines;
use crate::device::{Device, Gone, Slot};
use crate::entry::{BlockingSlot, Contract, Entry};
use crate::error::ErrorKind;
use crate::event::DueQueue;
use crate::first::{FirstRequests, KeepApart};
use crate::lookout::Lookout;
use crate::settle::Settling;
use crate::signal::{AsFd, Signal};
use crate::state::{Forced, LockState, Pending};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, lock};
use crate::table::Table;
use crate::trace;
use crate::wait::Leadership;
use crate::writer::Writer;

/// An open lockspace.
pub(crate) struct Shared {
    /// For jobs that are put off.
    pub(crate) me: Weak<Self>,
    /// Writes for futures and dropped locks, if that is wanted.
    pub(crate) writer: Option<Writer>,
    pub(crate) name: LockspaceName,
    pub(crate) minor: Minor,
    pub(crate) abi: Abi,
    /// Comes back in each result: tells ours from those of a process that shares the device.
    pub(crate) owner: u32,
    forks: u32,
    pub(crate) slot: Slot,
    /// Whose turn it is to request a new lock, if they are to come one after the other.
    first_requests: FirstRequests,
    pub(crate) table: Mutex<Table<Entry>>,
    /// Told when a cancel was written.
    pub(crate) cancel_written: Condvar,
    /// Held for the length of one read and its routing: one reader at a time, in order.
    pub(crate) gate: Mutex<()>,
    pub(crate) leadership: Leadership,
    pub(crate) due: DueQueue,
    pub(crate) deadlines: Deadlines,
    /// Who waits in a call for blocking notices.
    pub(crate) watchers: Watchers,
    /// Counts the dropped locks.
    pub(crate) settling: Arc<Settling>,
    /// Readable for ever once the lockspace is gone.
    pub(crate) gone: Signal,
    /// What a user polls: results, due callbacks, and the end.
    pub(crate) lookout: Lookout,
    /// Operations in flight and locks with blocking notices: while there is none, nothing can be
    /// there to read.
    pub(crate) expected: AtomicUsize,
    /// Those of them that end in a callback: while there is none, a delivery thread has no
    /// business at the device.
    pub(crate) interest: AtomicUsize,
    /// Tells the delivery thread that the interest is no longer zero.
    pub(crate) interest_changed: Signal,
    pub(crate) has_thread: AtomicBool,
    pub(crate) counts: Counts,
}

impl Shared {
    pub(crate) fn new(
        name: LockspaceName,
        device: Device,
        background_writes: bool,
        keep_apart: KeepApart,
    ) -> Result<Arc<Self>, ErrorKind> {
        let writer = if background_writes { Some(Writer::start()?) } else { None };
        let (abi, minor) = (device.abi(), device.minor());
        let due = DueQueue::new()?;
        let deadlines = Deadlines::new()?;
        let gone = Signal::new()?;
        let lookout = Lookout::new(&[due.source(), deadlines.source(), gone.as_fd()])?;
        let leadership = Leadership::new()?;
        let interest_changed = Signal::new()?;
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            writer,
            name,
            minor,
            abi,
            owner: std::process::id(),
            forks: dlm_sys::fork_count(),
            first_requests: FirstRequests::new(keep_apart, &device),
            slot: Slot::new(device),
            table: Mutex::new(Table::new(abi.width)),
            cancel_written: Condvar::new(),
            gate: Mutex::new(()),
            leadership,
            due,
            deadlines,
            watchers: Watchers::default(),
            settling: Arc::default(),
            gone,
            lookout,
            expected: AtomicUsize::new(0),
            interest: AtomicUsize::new(0),
            interest_changed,
            has_thread: AtomicBool::new(false),
            counts: Counts::default(),
        }))
    }

    #[inline]
    pub(crate) fn check_fork(&self) -> Result<(), ErrorKind> {
        if self.forks == dlm_sys::fork_count() { Ok(()) } else { Err(ErrorKind::Forked) }
    }

    /// The words that name a lock in requests and results.
    #[inline]
    pub(crate) fn cookies(&self, token: Token, blocking: bool) -> Result<Cookies, ErrorKind> {
        let cookies = Cookies::for_token_in(token, self.owner, self.abi.width);
        Ok(cookies.ok_or(ErrorKind::TooManyLocks)?.with_blocking(blocking))
    }

    /// Writes a request. Nothing is locked meanwhile: the kernel may block here for a recovery.
    pub(crate) fn submit(&self, request: &Request<'_>) -> Result<Accepted, ErrorKind> {
        let device = self.slot.get()?;
        self.submit_to(&device, request)
    }

    /// As [`Shared::submit`], for who has the device in hand.
    #[inline(always)]
    pub(crate) fn submit_to(
        &self,
        device: &Device,
        request: &Request<'_>,
    ) -> Result<Accepted, ErrorKind> {
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = request.encode(self.abi, &mut buffer)?;
        let command = request.command();
        trace::timed_write(command, || device.submit(command, bytes))
            .map_err(|error| self.refusal(error))
    }

    /// Why a request was refused. A lock manager that is gone under its devices may say so here, and
    /// then it is the end of the lockspace.
    #[cold]
    fn refusal(&self, error: dlm_sys::Error) -> ErrorKind {
        let is_gone = error.errno() == Some(Errno::ENODEV);
        let found = if is_gone { self.check_removed() } else { Ok(()) };
        found.err().unwrap_or(ErrorKind::Device(error))
    }

    /// As [`Shared::submit_to`], for a request that may make a new resource.
    #[inline]
    pub(crate) fn submit_new(
        &self,
        device: &Device,
        request: &Request<'_>,
    ) -> Result<Accepted, ErrorKind> {
        let is_open = || self.check_removed();
        let _turn = self.first_requests.enter(device, &self.name, None, is_open)?;
        self.submit_to(device, request)
    }

    pub(crate) fn set_permissions(&self, mode: u32) -> Result<(), ErrorKind> {
        let device = self.slot.get()?;
        Ok(device.set_permissions(mode)?)
    }

    /// Makes an entry for a lock. Tells whether there will be blocking notices.
    #[inline(always)]
    pub(crate) fn insert(
        &self,
        name: &ResourceName,
        state: LockState,
        contract: impl Into<Contract>,
        blocking: &mut BlockingSlot,
    ) -> Result<(Token, bool), ErrorKind> {
        let notices = blocking.interest();
        let token = {
            let mut table = lock(&self.table);
            let (token, entry) = table.insert().ok_or(ErrorKind::TooManyLocks)?;
            entry.occupy(name, state, contract, blocking);
            token
        };
        if let Some(callback) = notices {
            self.expect(callback);
        }
        Ok((token, notices.is_some()))
    }

    /// Something will be there to read. `callback`: for dispatch or the delivery thread.
    #[inline]
    pub(crate) fn expect(&self, callback: bool) {
        self.expected.fetch_add(1, Ordering::AcqRel);
        if callback {
            self.interested();
        }
    }

    /// Something that is expected is for dispatch or the delivery thread.
    pub(crate) fn interested(&self) {
        // Nobody listens without a delivery thread. One that starts now looks at the interest after
        // it said that it is there: in the one order of these four accesses, either it sees the
        // interest or it is seen here. Acquire and release would let both miss each other.
        if self.interest.fetch_add(1, Ordering::SeqCst) == 0
            && self.has_thread.load(Ordering::SeqCst)
        {
            self.interest_changed.set();
        }
    }

    /// The opposite of [`Shared::interested`].
    pub(crate) fn interested_no_more(&self) {
        self.interest.fetch_sub(1, Ordering::AcqRel);
    }

    /// The opposite of [`Shared::expect`].
    #[inline]
    pub(crate) fn expect_no_more(&self, callback: bool) {
        self.expected.fetch_sub(1, Ordering::AcqRel);
        if callback {
            self.interest.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Gives up a lock whose handle is dropped. No callback of it is begun from now on.
    pub(crate) fn give_up(&self, token: Token) {
        if self.writer.is_some() {
            // Said at once, as the thread that writes will come to it later.
            if let Some(entry) = lock(&self.table).get_mut(token) {
                entry.leave(self);
            }
        }
        self.defer(move |shared| shared.release_dropped(token));
    }

    /// Gives up a lock whose handle was dropped: writes its unlock, over whatever is in flight,
    /// unless that must be awaited. The entry stays until the completion is read. Never waits for
    /// an answer, but `write` itself blocks while the lockspace is stopped.
    pub(crate) fn release_dropped(&self, token: Token) {
        // Callbacks, dropped at the end, when nothing is locked.
        let (_contract, _blocking, _trash);
        let (unlock, block) = {
            let mut table = self.table_after_cancel(token);
            let Some(entry) = table.get_mut(token) else { return };
            entry.leave(self);
            if entry.lent > 0 {
                // Written over what its callback is just writing, the kernel might see it first.
                // The thread that runs the callback comes here at its end.
                return;
            }
            let blocking = std::mem::take(&mut entry.blocking);
            if let Some(callback) = blocking.interest() {
                self.expect_no_more(callback);
            }
            let contract = std::mem::take(&mut entry.contract);
            if contract.needs_delivery() {
                self.interest.fetch_sub(1, Ordering::AcqRel);
            }
            (_contract, _blocking) = (contract, blocking);
            let in_flight = entry.state.pending().is_some();
            let (id, flags, block) = match entry.state.begin_forced_unlock() {
                Forced::Write(id, flags, block) => (id, flags, block),
                Forced::Cancel => {
                    entry.contract = Contract::Release;
                    self.interested();
                    drop(table);
                    return self.cancel_dropped(token);
                }
                Forced::Await if entry.state.pending() != Some(Pending::Unlock) => {
                    entry.contract = Contract::Release;
                    return self.interested();
                }
                Forced::Await => return,
                Forced::Gone => {
                    _trash = self.forget(&mut table, token);
                    return;
                }
            };
            if !in_flight {
                self.expect(false);
            }
            let Ok(cookies) = self.cookies(token, false) else { return };
            (UnlockRequest::new(id, cookies).with(flags), block)
        };
        let request = Request::Unlock(UnlockRequest { lvb: &block, ..unlock });
        if self.submit(&request).is_ok() {
            self.counts.unlocks.add();
        } else {
            // The lockspace is gone, or the lock: either way nothing is left to release, and no
            // completion will come.
            let trash = self.forget(&mut lock(&self.table), token);
            if trash.is_some() {
                self.expect_no_more(false);
            }
        }
    }

    /// Looks whether the lockspace was removed, after its watch became readable.
    pub(crate) fn check_removed(&self) -> Result<(), ErrorKind> {
        let removed = {
            let device = self.slot.get()?;
            device.was_removed()?
        };
        if removed {
            self.end(Gone::Removed);
            return Err(ErrorKind::Removed);
        }
        Ok(())
    }

    /// Takes the device away and wakes everybody.
    pub(crate) fn end(&self, why: Gone) {
        self.slot.empty(why);
        self.gone.set();
        let mut wakers = Vec::new();
        for entry in lock(&self.table).iter_mut() {
            match &entry.contract {
                Contract::Wake(waker) => wakers.push(waker.clone()),
                Contract::Wait | Contract::Callback(_) | Contract::Forget | Contract::Release => {}
            }
            wakers.extend(entry.notice_waker.take());
        }
        self.leadership.wake_all();
        wakers.into_iter().for_each(Waker::wake);
        self.settling.wake();
    }
}
