//! The core under all deliveries: one table of locks, one reader at a time, and the way of each
//! result to whoever waits for it.

use std::sync::{Arc, Weak};
use std::task::Waker;

use dlm_proto::{
    Abi, Cookies, Event, LockResult, LockStatus, LockspaceName, MAX_REQUEST_LEN, MAX_RESULT_LEN,
    Minor, Mode, Request, ResourceName, Token, UnlockRequest,
};
use dlm_sys::Accepted;

use crate::blocked::Watchers;
use crate::counters::Counts;
use crate::deadline::Deadlines;
use crate::device::{Device, Gone, LockspaceDevice, Slot};
use crate::error::ErrorKind;
use crate::event::{BlockingCallback, CompletionCallback, Due, DueQueue};
use crate::settle::{Leaving, Settling};
use crate::signal::{AsFd, PollSet, Signal};
use crate::state::{Ended, Forced, LockState, Pending};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, lock};
use crate::table::Table;
use crate::trace::{self, Note, Started};
use crate::wait::{Leadership, Waiter};
use crate::writer::Writer;

/// Who is told that an operation ended.
pub(crate) enum Contract {
    /// A thread that waits in the call; it finds the outcome in the entry.
    Wait(Arc<Waiter>),
    /// A callback, run by dispatch or the delivery thread.
    Callback(CompletionCallback),
    /// A future; it finds the outcome in the entry.
    Wake(Waker),
    /// Nobody: the handle was dropped.
    Forget,
    /// Nobody, but what comes of it must be released: somebody has to read the completion.
    Release,
}

/// A lock in the table.
pub(crate) struct Entry {
    pub(crate) name: ResourceName,
    pub(crate) state: LockState,
    pub(crate) contract: Contract,
    /// What a waiting thread or a future finds: the end, or a write that was put off and failed.
    pub(crate) outcome: Option<Result<Ended, ErrorKind>>,
    pub(crate) blocking: BlockingSlot,
    /// The strongest mode that somebody was told to wait for since the last grant.
    pub(crate) blocked: Option<Mode>,
    /// The strongest mode that [`Lock::notices`](crate::Lock::notices) has not told yet.
    pub(crate) unseen: Option<Mode>,
    /// The task that waits for such notices.
    pub(crate) notice_waker: Option<Waker>,
    /// The handle is gone; the entry goes with the lock.
    pub(crate) dropped: Option<Leaving>,
    /// Callbacks that use the lock now; see [`BlockedLock`](crate::BlockedLock).
    pub(crate) lent: u32,
    /// Counts the operations on this lock.
    pub(crate) serial: u64,
    /// When the last of them began.
    pub(crate) started: Started,
    /// The operation in flight was cancelled because its deadline passed.
    pub(crate) timed_out: bool,
}

impl Entry {
    pub(crate) fn new(
        name: ResourceName,
        state: LockState,
        contract: Contract,
        blocking: BlockingSlot,
    ) -> Self {
        Self {
            name,
            state,
            contract,
            outcome: None,
            blocking,
            blocked: None,
            unseen: None,
            notice_waker: None,
            dropped: None,
            lent: 0,
            serial: 0,
            started: Started::now(),
            timed_out: false,
        }
    }

    /// A new operation begins.
    pub(crate) fn begin(&mut self, contract: &mut Contract) -> u64 {
        std::mem::swap(&mut self.contract, contract);
        self.outcome = None;
        self.timed_out = false;
        self.started = Started::now();
        self.serial += 1;
        self.serial
    }

    /// The handle is dropped.
    pub(crate) fn leave(&mut self, shared: &Shared) {
        self.dropped.get_or_insert_with(|| shared.settling.enter());
    }

    /// Whether this very operation has not ended yet.
    pub(crate) fn is_in_flight(&self, serial: u64) -> bool {
        self.serial == serial && self.state.pending().is_some()
    }
}

/// The blocking callback of a lock.
pub(crate) enum BlockingSlot {
    /// None: the kernel is told not to send notices.
    Unwanted,
    /// No callback, but the notices are remembered for the handle.
    Noted,
    /// Waiting for a notice.
    Idle(BlockingCallback),
    /// Running in some thread, with what came in the meantime.
    Running(Vec<Mode>),
}

impl BlockingSlot {
    /// Whether notices may come at all, and if so, whether a callback waits for them.
    pub(crate) const fn interest(&self) -> Option<bool> {
        match self {
            Self::Unwanted => None,
            Self::Noted | Self::Idle(_) | Self::Running(_) => Some(true),
        }
    }
}

impl Contract {
    /// Whether somebody must read the completion who is not the one that waits for it.
    pub(crate) const fn needs_delivery(&self) -> bool {
        matches!(self, Self::Callback(_) | Self::Wake(_) | Self::Release)
    }
}

/// Where a result went.
#[derive(Default)]
struct Routed {
    /// A callback is due.
    due: Option<Due>,
    /// The entry of a lock that is gone.
    trash: Option<Entry>,
    /// A lock that was granted after its handle was dropped.
    unwanted: Option<Token>,
    /// A task that goes on.
    wake: Option<Waker>,
    /// What observers are told.
    note: Option<Note>,
}

/// What reading one result led to.
pub(crate) enum Pumped {
    /// Nothing to read now.
    Empty,
    /// Something that needs no callback.
    Handled,
    /// A callback is due.
    Due(Due),
}

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
    owner: u32,
    forks: u32,
    pub(crate) slot: Slot,
    pub(crate) table: Mutex<Table<Entry>>,
    /// Told when a cancel was written.
    pub(crate) cancel_written: Condvar,
    /// Held for the length of one read and its routing: one reader at a time, in order.
    gate: Mutex<()>,
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
    pub(crate) poll_set: PollSet,
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
        device: LockspaceDevice,
        background_writes: bool,
    ) -> Result<Arc<Self>, ErrorKind> {
        let writer = if background_writes { Some(Writer::start()?) } else { None };
        let (abi, minor) = (device.abi(), device.minor());
        let device = Device::new(device)?;
        let due = DueQueue::new()?;
        let deadlines = Deadlines::new()?;
        let gone = Signal::new()?;
        let poll_set = PollSet::new(&[
            device.results(),
            device.removal(),
            due.source(),
            deadlines.source(),
            gone.as_fd(),
        ])?;
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
            poll_set,
            expected: AtomicUsize::new(0),
            interest: AtomicUsize::new(0),
            interest_changed,
            has_thread: AtomicBool::new(false),
            counts: Counts::default(),
        }))
    }

    pub(crate) fn check_fork(&self) -> Result<(), ErrorKind> {
        if self.forks == dlm_sys::fork_count() { Ok(()) } else { Err(ErrorKind::Forked) }
    }

    /// The words that name a lock in requests and results.
    pub(crate) fn cookies(&self, token: Token, blocking: bool) -> Result<Cookies, ErrorKind> {
        let cookies = Cookies::for_token_in(token, self.owner, self.abi.width);
        Ok(cookies.ok_or(ErrorKind::TooManyLocks)?.with_blocking(blocking))
    }

    /// Writes a request. Nothing is locked meanwhile: the kernel may block here for a recovery.
    pub(crate) fn submit(&self, request: &Request<'_>) -> Result<Accepted, ErrorKind> {
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = request.encode(self.abi, &mut buffer)?;
        let device = self.slot.get()?;
        let device = device.device()?;
        let command = request.command();
        Ok(trace::timed_write(command, || device.submit(command, bytes))?)
    }

    pub(crate) fn set_permissions(&self, mode: u32) -> Result<(), ErrorKind> {
        let device = self.slot.get()?;
        Ok(device.device()?.set_permissions(mode)?)
    }

    /// Something will be there to read. `callback`: for dispatch or the delivery thread.
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
    pub(crate) fn expect_no_more(&self, callback: bool) {
        self.expected.fetch_sub(1, Ordering::AcqRel);
        if callback {
            self.interest.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Reads one result, if there is one, and routes it.
    pub(crate) fn pump(&self) -> Result<Pumped, ErrorKind> {
        let routed = {
            let device = self.slot.get()?;
            let device = device.device()?;
            let mut buffer = [0; MAX_RESULT_LEN];
            let _gate = lock(&self.gate);
            match device.read_result(&mut buffer)? {
                Some(len) => self.route(buffer.get(..len).unwrap_or(&buffer)),
                None => return Ok(Pumped::Empty),
            }
        };
        // Callbacks are dropped here, where nothing is locked: they may own anything.
        drop(routed.trash);
        if let Some(note) = routed.note {
            note.tell();
        }
        if let Some(waker) = routed.wake {
            waker.wake();
        }
        if let Some(token) = routed.unwanted {
            self.defer(move |shared| shared.release_dropped(token));
        }
        Ok(routed.due.map_or(Pumped::Handled, Pumped::Due))
    }

    /// Hands a result to its lock. What is not ours, or not understood, is counted and dropped.
    fn route(&self, bytes: &[u8]) -> Routed {
        let event = match LockResult::decode(self.abi, bytes) {
            Ok(result) if result.lksb == u64::from(self.owner) => result.event(self.abi.width),
            _ => return self.drop_result(),
        };
        match event {
            Ok(Event::Completion { token, status, lock: id, flags, lvb }) => {
                let mut table = lock(&self.table);
                let Some(entry) = table.get_mut(token) else { return self.drop_result() };
                entry.state.note_id(id);
                let Some(mut ended) = entry.state.complete(status, flags, lvb) else {
                    return Routed::default();
                };
                if entry.timed_out && ended.status == LockStatus::Cancelled {
                    ended.status = LockStatus::TimedOut;
                }
                match status {
                    LockStatus::Granted => {
                        entry.blocked = None;
                        self.counts.grants.add();
                    }
                    LockStatus::Unlocked => {}
                    _ => self.counts.refusals.add(),
                }
                let note = Note::ended(&entry.name, ended.status, ended.mode, entry.started);
                let routed = self.hand_over(&mut table, token, ended);
                Routed { note: Some(note), ..routed }
            }
            Ok(Event::Blocking { token, mode, .. }) => self.block(token, mode),
            Err(_) => self.drop_result(),
        }
    }

    fn drop_result(&self) -> Routed {
        self.counts.dropped_results.add();
        Routed::default()
    }

    /// Tells whoever asked for an operation how it ended.
    fn hand_over(&self, table: &mut Table<Entry>, token: Token, ended: Ended) -> Routed {
        let Some(entry) = table.get_mut(token) else { return Routed::default() };
        let contract = std::mem::replace(&mut entry.contract, Contract::Forget);
        self.expect_no_more(contract.needs_delivery());
        let is_gone = ended.mode.is_none();
        match contract {
            Contract::Wait(waiter) => {
                entry.outcome = Some(Ok(ended));
                self.leadership.wake(token, &waiter);
                Routed::default()
            }
            Contract::Wake(waker) => {
                entry.outcome = Some(Ok(ended));
                Routed { wake: Some(waker), ..Routed::default() }
            }
            Contract::Callback(callback) => {
                // The entry stays, even of a lock that is gone, to tell if its handle was dropped.
                let due = Some(Due::Completion(token, callback, ended.into()));
                Routed { due, ..Routed::default() }
            }
            Contract::Forget | Contract::Release if is_gone => {
                Routed { trash: self.forget(table, token), ..Routed::default() }
            }
            Contract::Forget | Contract::Release => {
                Routed { unwanted: entry.dropped.is_some().then_some(token), ..Routed::default() }
            }
        }
    }

    fn block(&self, token: Token, mode: Mode) -> Routed {
        let mut table = lock(&self.table);
        let Some(entry) = table.get_mut(token) else { return self.drop_result() };
        self.counts.blocking_notices.add();
        entry.blocked = entry.blocked.max(Some(mode));
        self.watchers.wake(token);
        let note = Some(Note::blocking(&entry.name, mode));
        let routed = match &mut entry.blocking {
            BlockingSlot::Idle(_) => {
                Routed { due: Some(Due::Blocking(token, mode)), ..Routed::default() }
            }
            BlockingSlot::Running(backlog) => {
                backlog.push(mode);
                Routed::default()
            }
            BlockingSlot::Noted => {
                entry.unseen = entry.unseen.max(Some(mode));
                Routed { wake: entry.notice_waker.take(), ..Routed::default() }
            }
            BlockingSlot::Unwanted => Routed::default(),
        };
        Routed { note, ..routed }
    }

    /// Removes a lock that is gone. The caller drops the entry when nothing is locked: the
    /// callbacks in it may own locks.
    #[must_use]
    pub(crate) fn forget(&self, table: &mut Table<Entry>, token: Token) -> Option<Entry> {
        let entry = table.remove(token)?;
        if let Some(callback) = entry.blocking.interest() {
            self.expect_no_more(callback);
        }
        Some(entry)
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
            let blocking = std::mem::replace(&mut entry.blocking, BlockingSlot::Unwanted);
            if let Some(callback) = blocking.interest() {
                self.expect_no_more(callback);
            }
            let contract = std::mem::replace(&mut entry.contract, Contract::Forget);
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
            device.device()?.was_removed()?
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
                Contract::Wait(waiter) => waiter.wake(),
                Contract::Wake(waker) => wakers.push(waker.clone()),
                Contract::Callback(_) | Contract::Forget | Contract::Release => {}
            }
            wakers.extend(entry.notice_waker.take());
        }
        wakers.into_iter().for_each(Waker::wake);
        self.settling.wake();
    }
}
