//! Reading a result, and its way to whoever waits for it.

use std::task::Waker;

use dlm_proto::ValueBlock;
use dlm_proto::{Event, LockId, LockResult, LockStatus, MAX_RESULT_LEN, Mode, StatusFlags, Token};

use crate::device::Device;
use crate::entry::{BlockingSlot, Contract, Entry, Trash};
use crate::error::ErrorKind;
use crate::event::{Completion, CompletionCallback, Due};
use crate::shared::Shared;
use crate::state::Ended;
use crate::sync::lock;
use crate::table::Table;
use crate::trace::Note;

/// Who reads, and takes at once what is meant for him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The thread or task that waits for the operation of this lock.
    Waits(Token),
    /// One that runs callbacks.
    Dispatches,
    /// One that leaves everything in its place.
    Passes,
}

/// What reading one result led to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pumped {
    /// Nothing to read now.
    Empty,
    /// Something that needs no callback, or one that is left to those who run callbacks.
    Handled,
    /// A callback was due, and the reader has run it.
    Ran,
    /// The end of the operation that the reader waits for, if it did not move the value block:
    /// that is in the entry. Nobody else is told.
    Mine(Ended),
}

/// What is left to do when nothing is locked.
#[derive(Default)]
struct Aside {
    task: Task,
    /// What a lock that is gone has left.
    trash: Trash,
    /// What observers are told.
    note: Option<Note>,
}

#[derive(Default)]
enum Task {
    #[default]
    Nothing,
    /// Drop a waker that is not needed, or a callback that is not wanted any more.
    Drop(#[expect(dead_code, reason = "it is there to be dropped")] Contract),
    /// Release a lock that was granted after its handle was dropped.
    Release(Token),
    /// Wake the thread that sleeps until this operation has ended, if it does.
    Tell(Token),
    /// Wake a task.
    Wake(Waker),
    /// Run a callback.
    Run(CompletionCallback, Completion),
    /// Run a callback, or leave it to those who do.
    Call(Due),
}

/// The completion of an operation.
struct Completed<'a> {
    token: Token,
    status: LockStatus,
    id: LockId,
    flags: StatusFlags,
    lvb: Option<&'a ValueBlock>,
}

impl Shared {
    /// Reads one result, if there is one, and routes it.
    pub(crate) fn pump(&self, reader: Reader) -> Result<Pumped, ErrorKind> {
        let device = self.slot.get()?;
        self.pump_from(&device, reader)
    }

    /// As [`Shared::pump`], for who has the device in hand.
    pub(crate) fn pump_from(&self, device: &Device, reader: Reader) -> Result<Pumped, ErrorKind> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let gate = lock(&self.gate);
        let Some(len) = device.read_result(&mut buffer)? else { return Ok(Pumped::Empty) };
        let mut aside = Aside::default();
        let pumped = self.route(buffer.get(..len).unwrap_or(&buffer), reader, &mut aside);
        drop(gate);
        if matches!(aside.task, Task::Nothing) && aside.trash.is_empty() && aside.note.is_none() {
            // There is nothing to drop.
            std::mem::forget(aside);
            return Ok(pumped);
        }
        Ok(self.see_to(aside, reader, pumped))
    }

    #[inline(never)]
    fn see_to(&self, aside: Aside, reader: Reader, pumped: Pumped) -> Pumped {
        if !aside.trash.is_empty() {
            drop(aside.trash);
        }
        if let Some(note) = aside.note {
            note.tell();
        }
        match aside.task {
            Task::Nothing | Task::Drop(_) => {}
            Task::Release(token) => self.defer(move |shared| shared.release_dropped(token)),
            Task::Tell(token) => self.leadership.wake(token),
            Task::Wake(waker) => waker.wake(),
            Task::Run(callback, completion) => {
                callback.run(completion);
                return Pumped::Ran;
            }
            Task::Call(due) if reader == Reader::Dispatches => {
                self.run(due);
                return Pumped::Ran;
            }
            Task::Call(due) => self.due.push(due),
        }
        pumped
    }

    /// Hands a result to its lock. What is not ours, or not understood, is counted and dropped.
    fn route(&self, bytes: &[u8], reader: Reader, aside: &mut Aside) -> Pumped {
        let event = match LockResult::decode(self.abi, bytes) {
            Ok(result) if result.lksb == u64::from(self.owner) => result.event(self.abi.width),
            _ => return self.drop_result(),
        };
        match event {
            Ok(Event::Completion { token, status, lock: id, flags, lvb }) => {
                let completed = Completed { token, status, id, flags, lvb };
                self.complete(&completed, reader, aside)
            }
            Ok(Event::Blocking { token, mode, .. }) => self.block(token, mode, aside),
            Err(_) => self.drop_result(),
        }
    }

    fn drop_result(&self) -> Pumped {
        self.counts.dropped_results.add();
        Pumped::Handled
    }

    fn complete(&self, completed: &Completed<'_>, reader: Reader, aside: &mut Aside) -> Pumped {
        let Completed { token, status, id, flags, lvb } = *completed;
        let mut table = lock(&self.table);
        let Some(entry) = table.get_mut(token) else { return self.drop_result() };
        entry.state.note_id(id);
        let Some(mut ended) = entry.state.complete(status, flags, lvb) else {
            return Pumped::Handled;
        };
        match status {
            LockStatus::Granted => {
                entry.blocked = None;
                self.counts.grants.add();
            }
            LockStatus::Unlocked => {}
            _ => {
                if entry.timed_out && status == LockStatus::Cancelled {
                    ended.status = LockStatus::TimedOut;
                }
                self.counts.refusals.add();
            }
        }
        aside.note = Note::ended(&entry.name, ended.status, ended.mode, entry.started);
        // What most operations come to.
        if matches!(entry.contract, Contract::Wait)
            && reader == Reader::Waits(token)
            && !ended.moved
        {
            // Not assigned: there is nothing to drop.
            std::mem::forget(std::mem::take(&mut entry.contract));
            self.expect_no_more(false);
            if ended.mode.is_none() {
                self.forget_into(aside, &mut table, token);
            }
            return Pumped::Mine(ended);
        }
        self.hand_over(&mut table, token, ended, reader, aside)
    }

    /// Tells whoever asked for an operation how it ended.
    fn hand_over(
        &self,
        table: &mut Table<Entry>,
        token: Token,
        ended: Ended,
        reader: Reader,
        aside: &mut Aside,
    ) -> Pumped {
        let Some(entry) = table.get_mut(token) else { return Pumped::Handled };
        let contract = std::mem::take(&mut entry.contract);
        self.expect_no_more(contract.needs_delivery());
        let is_gone = ended.mode.is_none();
        match contract {
            Contract::Wait => {
                entry.outcome = Some(Ok(ended));
                aside.task = Task::Tell(token);
            }
            Contract::Wake(_) if reader == Reader::Waits(token) && !ended.moved => {
                aside.task = Task::Drop(contract);
                if is_gone {
                    self.forget_into(aside, table, token);
                }
                return Pumped::Mine(ended);
            }
            Contract::Wake(waker) => {
                entry.outcome = Some(Ok(ended));
                aside.task = Task::Wake(waker);
            }
            // Said before the unlock that follows, by `give_up`.
            Contract::Callback(_) if entry.dropped.is_some() => {
                aside.task = Task::Drop(contract);
                if is_gone {
                    self.forget_into(aside, table, token);
                }
            }
            Contract::Callback(callback) => {
                // One that is run at once needs no entry any more. Otherwise the entry stays, even
                // of a lock that is gone, to tell if its handle was dropped.
                let completion = entry.state.completion(ended);
                if reader != Reader::Dispatches {
                    aside.task = Task::Call(Due::Completion(token, callback, completion));
                    return Pumped::Handled;
                }
                aside.task = Task::Run(callback, completion);
                if is_gone {
                    self.forget_into(aside, table, token);
                }
            }
            Contract::Forget | Contract::Release if is_gone => {
                self.forget_into(aside, table, token);
            }
            Contract::Forget | Contract::Release if entry.dropped.is_some() => {
                aside.task = Task::Release(token);
            }
            Contract::Forget | Contract::Release => {}
        }
        Pumped::Handled
    }

    fn block(&self, token: Token, mode: Mode, aside: &mut Aside) -> Pumped {
        let mut table = lock(&self.table);
        let Some(entry) = table.get_mut(token) else { return self.drop_result() };
        self.counts.blocking_notices.add();
        entry.blocked = entry.blocked.max(Some(mode));
        self.watchers.wake(token);
        aside.note = Note::blocking(&entry.name, mode);
        match &mut entry.blocking {
            BlockingSlot::Idle(_) => aside.task = Task::Call(Due::Blocking(token, mode)),
            BlockingSlot::Running(backlog) => backlog.push(mode),
            BlockingSlot::Noted => {
                entry.unseen = entry.unseen.max(Some(mode));
                if let Some(waker) = entry.notice_waker.take() {
                    aside.task = Task::Wake(waker);
                }
            }
            BlockingSlot::Unwanted => {}
        }
        Pumped::Handled
    }

    /// Removes a lock that is gone, if it is there. The caller drops what it gets when nothing is
    /// locked: the callbacks in it may own locks.
    #[inline]
    #[must_use]
    pub(crate) fn forget(&self, table: &mut Table<Entry>, token: Token) -> Option<Trash> {
        let entry = table.remove(token)?;
        if let Some(callback) = entry.blocking.interest() {
            self.expect_no_more(callback);
        }
        Some(entry.vacate())
    }

    #[inline]
    fn forget_into(&self, aside: &mut Aside, table: &mut Table<Entry>, token: Token) {
        if let Some(trash) = self.forget(table, token).filter(|trash| !trash.is_empty()) {
            aside.trash = trash;
        }
    }
}
