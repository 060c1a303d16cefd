//! An open lockspace of a node.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use dlm_engine::SessionId;
use dlm_proto::{Abi, Command, LockId, MAX_RESULT_LEN, Minor};
use dlm_sys::{Accepted, Call, Cause, Errno, Error};

use super::hub::{Hub, Open, Place, Signals, State};
use super::node::refused;
use crate::backend::BackendDevice;
use crate::driver::signal::{AsFd, Signal};
use crate::threads::MutexGuard;

thread_local! {
    static TASK: u32 = nix::unistd::gettid().as_raw().try_into().unwrap_or(0);
}

/// The calling thread, as the kernel calls it.
fn task() -> u32 {
    // A thread that is ending has none any more.
    TASK.try_with(|task| *task).unwrap_or(0)
}

/// The device of an open lockspace.
pub(super) struct Session {
    hub: Arc<Hub>,
    id: SessionId,
    place: Place,
    signals: Arc<Signals>,
    /// The process in which it was opened. A child has a copy of the engine, that nobody serves.
    forks: u32,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn open(hub: &Arc<Hub>, state: &mut State, place: Place) -> Result<Self, Error> {
        let call = Call::OpenLockspace;
        let fail = |errno: nix::errno::Errno| Error::os(call, errno.into());
        let (results, removed) = (Signal::new().map_err(fail)?, Signal::new().map_err(fail)?);
        let signals = Arc::new(Signals { results, removed });
        let (node, minor) = place;
        let id = state.engine.open(node, minor).map_err(|errno| refused(call, errno))?;
        let open =
            Open { place, signals: Arc::clone(&signals), is_watched: false, shows_results: false };
        state.opens.insert(id, open);
        Ok(Self { hub: Arc::clone(hub), id, place, signals, forks: dlm_sys::fork_count() })
    }

    /// The engine, if it can be used.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        self.hub.lock_since(self.forks)
    }
}

impl BackendDevice for Session {
    fn abi(&self) -> Abi {
        self.hub.config.abi
    }

    fn minor(&self) -> Minor {
        self.place.1
    }

    fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error> {
        let call = Call::Submit(command);
        let mut state = self.state().ok_or(Error::os(call, Errno::ENODEV))?;
        let value = loop {
            // Its task is what a purge asks for.
            match state.engine.write_as(self.id, task(), request) {
                // The lockspace is stopped, or the node stands still.
                Err(dlm_engine::Errno::STOPPED) => self.hub.wait(&mut state),
                // The node has crashed, and this session with it.
                Err(dlm_engine::Errno::EBADF) => break Err(dlm_engine::Errno::ENODEV),
                answer => break answer,
            }
        };
        self.hub.done(state);
        let value = value.map_err(|errno| refused(call, errno))?;
        match (command, u32::try_from(value)) {
            (_, Ok(0)) => Ok(Accepted::Done),
            (Command::Lock, Ok(id)) => Ok(Accepted::Lock(LockId(id))),
            _ => Err(Error::new(call, Cause::Return(value.try_into().unwrap_or(isize::MAX)))),
        }
    }

    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<Option<usize>, Error> {
        let Some(mut state) = self.state() else { return Ok(None) };
        let State { engine, opens, .. } = &mut *state;
        let answer = engine.read(self.id, buffer);
        if let Some(open) = opens.get_mut(self.id) {
            if open.shows_results && !engine.is_readable(self.id) {
                open.show(false);
            }
        }
        match answer {
            Ok(len) => Ok(Some(len)),
            // After a crash of the node there is nothing to read any more: see `was_removed`.
            Err(dlm_engine::Errno::EAGAIN | dlm_engine::Errno::EBADF) => Ok(None),
            Err(errno) => Err(refused(Call::ReadResult, errno)),
        }
    }

    fn results(&self) -> BorrowedFd<'_> {
        if let Some(mut state) = self.state() {
            let State { engine, opens, .. } = &mut *state;
            if let Some(open) = opens.get_mut(self.id).filter(|open| !open.is_watched) {
                open.is_watched = true;
                open.show(engine.is_readable(self.id));
            }
        }
        self.signals.results.as_fd()
    }

    fn removal(&self) -> BorrowedFd<'_> {
        self.signals.removed.as_fd()
    }

    fn was_removed(&self) -> Result<bool, Error> {
        self.signals.removed.clear();
        let is_there =
            |state: &State| !state.engine.removed(self.id) && state.opens.contains(self.id);
        Ok(!self.state().is_some_and(|state| is_there(&state)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut state) = self.state() else { return };
        while self.forks == dlm_sys::fork_count() && state.engine.stopped(self.id) {
            self.hub.wait(&mut state);
        }
        state.opens.remove(self.id);
        state.engine.close(self.id);
        self.hub.done(state);
    }
}
