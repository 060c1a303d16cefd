//! Running callbacks.

use std::time::Instant;

use dlm_proto::{Mode, Token};

use crate::entry::BlockingSlot;
use crate::error::ErrorKind;
use crate::event::{BlockingCallback, Due};
use crate::route::{Pumped, Reader};
use crate::shared::Shared;
use crate::signal::{AsFd, wait_any};
use crate::sync::atomic::Ordering;
use crate::sync::{lock, time_left};

/// Results read in one turn. A flood of them leaves the caller time for other things.
const TURN: usize = 256;

impl Shared {
    /// Reads what is there, up to a bound, and runs the callbacks that are due. Returns how many.
    pub(crate) fn dispatch(&self) -> Result<usize, ErrorKind> {
        let mut ran = 0;
        self.enforce_deadlines()?;
        for turn in 0..TURN {
            if let Some(due) = self.due.pop() {
                self.run(due);
                ran += 1;
                continue;
            }
            // Saves the read that would only say that nothing is left.
            if turn > 0 && self.expected.load(Ordering::Acquire) == 0 {
                break;
            }
            match self.pump(Reader::Dispatches)? {
                Pumped::Ran => ran += 1,
                Pumped::Handled | Pumped::Mine(_) => {}
                Pumped::Empty if turn == 0 => {
                    self.lookout.check()?;
                    self.check_removed()?;
                    break;
                }
                Pumped::Empty => break,
            }
        }
        Ok(ran)
    }

    /// As [`Shared::dispatch`], once there is something to run.
    pub(crate) fn dispatch_until(&self, deadline: Option<Instant>) -> Result<usize, ErrorKind> {
        loop {
            let ran = self.dispatch()?;
            if ran > 0 || deadline.is_some_and(|at| time_left(at).is_zero()) {
                return Ok(ran);
            }
            let device = self.slot.get()?;
            let sources = [
                device.results(),
                device.removal(),
                self.gone.as_fd(),
                self.due.source(),
                self.deadlines.source(),
            ];
            wait_any(&sources, deadline)?;
        }
    }

    /// Runs a callback. Nothing is locked meanwhile.
    pub(crate) fn run(&self, due: Due) {
        match due {
            Due::Completion(token, callback, completion) => {
                if self.is_wanted(token, completion.mode.is_none()) {
                    callback.run(completion);
                }
            }
            Due::Blocking(token, mode) => self.run_blocking(token, mode),
        }
    }

    /// Whether the lock of a completion was not dropped meanwhile: the callback may have been due
    /// for a while. The entry of a lock that is gone has served its purpose then.
    fn is_wanted(&self, token: Token, is_gone: bool) -> bool {
        // Dropped when nothing is locked.
        let _trash;
        let mut table = lock(&self.table);
        let is_wanted = table.get_mut(token).is_some_and(|entry| entry.dropped.is_none());
        _trash = if is_wanted && is_gone { self.forget(&mut table, token) } else { None };
        is_wanted
    }

    /// Runs a lock's blocking callback, unless it runs already: then it is left to that thread.
    fn run_blocking(&self, token: Token, mode: Mode) {
        let callback = {
            let mut table = lock(&self.table);
            let entry = table.get_mut(token).filter(|entry| entry.dropped.is_none());
            let Some(entry) = entry else { return };
            match std::mem::replace(&mut entry.blocking, BlockingSlot::Running(Vec::new())) {
                BlockingSlot::Idle(callback) => {
                    entry.lent += u32::from(callback.borrows());
                    callback
                }
                BlockingSlot::Running(mut backlog) => {
                    backlog.push(mode);
                    entry.blocking = BlockingSlot::Running(backlog);
                    return;
                }
                other => {
                    entry.blocking = other;
                    return;
                }
            }
        };
        let borrows = callback.borrows();
        let mut running = Running { shared: self, token, borrows, callback: Some(callback) };
        let mut next = Some(mode);
        while let Some(mode) = next {
            running.call(mode);
            next = running.next();
        }
    }
}

/// A blocking callback outside its lock's entry. It goes back there, also when it panics.
struct Running<'a> {
    shared: &'a Shared,
    token: Token,
    /// It is lent the lock.
    borrows: bool,
    /// Always there until the drop.
    callback: Option<BlockingCallback>,
}

impl Running<'_> {
    fn call(&mut self, mode: Mode) {
        if let Some(callback) = &mut self.callback {
            callback.call(self.shared, self.token, mode);
        }
    }

    /// What came while the callback ran, the oldest first.
    fn next(&self) -> Option<Mode> {
        let mut table = lock(&self.shared.table);
        let entry = table.get_mut(self.token).filter(|entry| entry.dropped.is_none())?;
        match &mut entry.blocking {
            BlockingSlot::Running(backlog) if !backlog.is_empty() => Some(backlog.remove(0)),
            _ => None,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let (mut backlog, mut is_left) = (Vec::new(), false);
        {
            let mut table = lock(&self.shared.table);
            let mut entry = table.get_mut(self.token);
            if let Some(entry) = entry.as_deref_mut().filter(|_| self.borrows) {
                entry.lent -= 1;
                is_left = entry.lent == 0 && entry.dropped.is_some();
            }
            // Otherwise the lock is gone, or has another callback: this one is dropped, below.
            let slot = entry.map(|entry| &mut entry.blocking);
            if let Some(slot @ BlockingSlot::Running(_)) = slot {
                if let Some(callback) = self.callback.take() {
                    let running = std::mem::replace(slot, BlockingSlot::Idle(callback));
                    if let BlockingSlot::Running(modes) = running {
                        backlog = modes;
                    }
                }
            }
        }
        if is_left {
            let token = self.token;
            return self.shared.defer(move |shared| shared.release_dropped(token));
        }
        for mode in backlog {
            self.shared.due.push(Due::Blocking(self.token, mode));
        }
    }
}
