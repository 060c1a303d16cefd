//! Cancels, kept in their place between the other writes for a lock.
//!
//! A cancel names a lock by its id, and the kernel applies it to whatever that lock is doing when
//! it arrives. Written too early, before the operation that it is meant for, it does nothing and
//! the operation waits on. Written too late it would hit the lock's next operation, or, when the id
//! was used anew, somebody else's lock. So a cancel of what is still being written is left to the
//! thread that writes it, and the next write for a lock waits until its cancel was written.

use dlm_proto::{LockFlags, LockId, Request, Token, UnlockRequest};
use dlm_sys::Errno;

use crate::entry::Entry;
use crate::error::ErrorKind;
use crate::route::{Pumped, Reader};
use crate::shared::Shared;
use crate::state::CancelKind;
use crate::sync::{MutexGuard, lock, wait};
use crate::table::Table;
use crate::trace;

/// Results read after the cancel of a dropped lock.
const TURN: usize = 64;

/// A cancel that is to be written now.
struct Begun {
    id: LockId,
    kind: CancelKind,
    /// Whether the lock has blocking notices.
    notices: bool,
}

impl Shared {
    /// Cancels what is in flight for a lock. That has no completion of its own.
    pub(crate) fn cancel(&self, token: Token, kind: CancelKind) -> Result<(), ErrorKind> {
        let begun = {
            let mut table = lock(&self.table);
            let entry = table.get_mut(token).ok_or(ErrorKind::LockGone)?;
            Begun::of(entry, kind)?
        };
        begun.map_or(Ok(()), |begun| self.write_cancel(token, &begun))
    }

    /// Cancels this very operation, if it is still in flight. `timed_out`: because of its deadline.
    pub(crate) fn cancel_operation(&self, token: Token, serial: u64, timed_out: bool) {
        let begun = {
            let mut table = lock(&self.table);
            let Some(entry) = table.get_mut(token) else { return };
            if !entry.is_in_flight(serial) {
                return;
            }
            entry.timed_out |= timed_out;
            Begun::of(entry, CancelKind::Plain)
        };
        if let Ok(Some(begun)) = begun {
            // It ended in the meantime, or the lockspace is gone, which the next read tells.
            let _ = self.write_cancel(token, &begun);
        }
    }

    /// Cancels what is in flight for a lock that nobody wants any more, and releases what comes of
    /// it as far as that is known now. What comes later is for whoever reads it.
    pub(crate) fn cancel_dropped(&self, token: Token) {
        if self.cancel(token, CancelKind::Plain).is_err() {
            return;
        }
        for _ in 0..TURN {
            match self.pump(Reader::Passes) {
                Ok(Pumped::Handled | Pumped::Ran | Pumped::Mine(_)) => {}
                Ok(Pumped::Empty) | Err(_) => return,
            }
        }
    }

    /// A request or conversion was accepted by the kernel, as a lock of this id if it is new.
    pub(crate) fn written(&self, token: Token, serial: u64, id: Option<LockId>) {
        let begun = {
            let mut table = lock(&self.table);
            let Some(entry) = table.get_mut(token) else { return };
            if let Some(id) = id {
                entry.state.note_id(id);
            }
            if !entry.is_in_flight(serial) {
                return;
            }
            entry.state.written().map(|kind| Begun::written_late(entry, kind))
        };
        if let Some(begun) = begun {
            let _ = self.write_cancel(token, &begun);
        }
    }

    /// The table, once no cancel of this lock is being written.
    pub(crate) fn table_after_cancel(&self, token: Token) -> MutexGuard<'_, Table<Entry>> {
        let mut table = lock(&self.table);
        while table.get_mut(token).is_some_and(|entry| entry.state.is_cancelling()) {
            table = wait(&self.cancel_written, table);
        }
        table
    }

    fn write_cancel(&self, token: Token, begun: &Begun) -> Result<(), ErrorKind> {
        let answer = match begun.kind {
            // The kernel replaces the lock's words by these: they must be the same.
            CancelKind::Plain => self.cookies(token, begun.notices).and_then(|cookies| {
                self.submit(&Request::Unlock(UnlockRequest::cancel(begun.id, cookies)))
            }),
            CancelKind::Deadlock => {
                self.submit(&Request::Deadlock { lock: begun.id, flags: LockFlags::CANCEL })
            }
        };
        if let Some(entry) = lock(&self.table).get_mut(token) {
            entry.state.cancel_written();
        }
        self.cancel_written.notify_all();
        match answer {
            Ok(_) => {
                self.counts.cancels.add();
                trace::cancelled();
                Ok(())
            }
            // It ended in the meantime.
            Err(ErrorKind::Device(error)) if error.errno() == Some(Errno::ENOENT) => Ok(()),
            Err(kind) => Err(kind),
        }
    }
}

impl Begun {
    /// `None`: whoever writes the operation writes the cancel behind it.
    fn of(entry: &mut Entry, kind: CancelKind) -> Result<Option<Self>, ErrorKind> {
        let id = entry.state.begin_cancel(kind)?;
        let notices = entry.blocking.interest().is_some();
        Ok(id.map(|id| Self { id, kind, notices }))
    }

    fn written_late(entry: &Entry, kind: CancelKind) -> Self {
        Self { id: entry.state.id(), kind, notices: entry.blocking.interest().is_some() }
    }
}
