//! A session of an engine behind a monitor.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dlm_proto::{LockId, Minor, NodeId, Request};

use super::{Reading, Strict, Ticket, Violation};
use crate::chain::{self, OnOwner};
use crate::engine::Engine;
use crate::errno::Errno;
use crate::lock::Lock;
use crate::results::{Callback, ends};
use crate::session::{FIRST_TASK, SessionId};

/// A session of an [`Engine`] together with its monitor: what is written goes through both, and a
/// request that the monitor refuses does not reach the engine.
///
/// Its calls come one after the other, as those of an engine. A host with several threads keeps
/// both behind a mutex, and lets go of it between the beginning of a `write` and its end.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    node: NodeId,
    task: u32,
    strict: Strict,
}

/// A `write` in progress: the engine has done what it asks for, and results can be read.
#[derive(Debug)]
#[must_use = "the write is in progress until this is given to `Session::end_write`"]
pub struct Write {
    ticket: Ticket,
    task: u32,
    request: Vec<u8>,
    answer: Result<i64, Errno>,
}

impl Write {
    /// The engine has done nothing yet, as the lockspace is stopped: see
    /// [`Session::go_on`].
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        self.answer == Err(Errno::STOPPED)
    }
}

impl Session {
    /// Opens a device of an engine.
    ///
    /// # Errors
    ///
    /// As [`Engine::open`].
    pub fn open(engine: &mut Engine, node: NodeId, minor: Minor) -> Result<Self, Errno> {
        let id = engine.open(node, minor)?;
        let strict = Strict::new(engine.abi()).on_node(node);
        Ok(Self { id, node, task: FIRST_TASK, strict })
    }

    /// Refuses first requests at the same time: see [`Strict::first_requests_apart`].
    #[must_use]
    pub fn first_requests_apart(mut self) -> Self {
        self.strict = self.strict.first_requests_apart();
        self
    }

    /// Allows unlocks over what is in flight: see [`Strict::overlaps_allowed`].
    #[must_use]
    pub fn overlaps_allowed(mut self) -> Self {
        self.strict = self.strict.overlaps_allowed();
        self
    }

    /// The engine's name for it.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Its monitor: for what it has reported, and for `write`s and `read`s that the host divides
    /// otherwise.
    pub fn strict(&mut self) -> &mut Strict {
        &mut self.strict
    }

    /// The thread that the next calls come from: see [`Engine::set_task`].
    pub fn set_task(&mut self, task: u32) {
        self.task = task;
    }

    /// A thread is in `write`, and the engine has done what it asks for.
    ///
    /// # Errors
    ///
    /// The rule that forbids the request, which is not written then.
    pub fn begin_write(&mut self, engine: &mut Engine, request: &[u8]) -> Result<Write, Violation> {
        self.check(engine)?;
        let task = self.task;
        if let Some(lock) = self.waiting_orphan(engine, request) {
            return self.strict.note(Err(Violation::PurgeOfWaiting(lock)));
        }
        let ticket = self.strict.begin_write_as(Some(task), request)?;
        let answer = engine.write_as(self.id, task, request);
        Ok(Write { ticket, task, request: request.to_vec(), answer })
    }

    /// The lockspace may run again: lets the engine do a `write` that it has held up.
    pub fn go_on(&mut self, engine: &mut Engine, write: &mut Write) {
        if write.is_held_up() {
            write.answer = engine.write_as(self.id, write.task, &write.request);
        }
    }

    /// A `write` returns to its thread. One that is still held up is taken back.
    ///
    /// # Errors
    ///
    /// As [`Engine::write`].
    pub fn end_write(&mut self, write: Write) -> Result<i64, Errno> {
        self.strict.end_write(write.ticket, write.answer);
        write.answer
    }

    /// A whole `write`.
    ///
    /// # Errors
    ///
    /// The rule that forbids the request; inside, as [`Engine::write`].
    pub fn write(
        &mut self,
        engine: &mut Engine,
        request: &[u8],
    ) -> Result<Result<i64, Errno>, Violation> {
        let write = self.begin_write(engine, request)?;
        Ok(self.end_write(write))
    }

    /// A `write` that is refused with this, as by a kernel out of memory: the engine never sees it.
    ///
    /// # Errors
    ///
    /// The rule that forbids the request.
    pub fn refuse(&mut self, request: &[u8], errno: Errno) -> Result<Errno, Violation> {
        let ticket = self.strict.begin_write_as(Some(self.task), request)?;
        self.strict.end_write(ticket, Err(errno));
        Ok(errno)
    }

    /// A thread is in `read`, with a buffer of this length.
    ///
    /// # Errors
    ///
    /// The rule that forbids it.
    pub fn begin_read(&mut self, engine: &Engine, len: usize) -> Result<Reading, Violation> {
        self.check(engine)?;
        self.strict.begin_read(len)
    }

    /// A `read` returns to its thread.
    ///
    /// # Errors
    ///
    /// As [`Engine::read`].
    pub fn end_read(
        &mut self,
        engine: &mut Engine,
        reading: Reading,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let answer = engine.read(self.id, buffer);
        let bytes = answer.ok().and_then(|len| buffer.get(..len));
        self.strict.end_read(reading, bytes);
        answer
    }

    /// A whole `read`.
    ///
    /// # Errors
    ///
    /// The rule that forbids it; inside, as [`Engine::read`].
    pub fn read(
        &mut self,
        engine: &mut Engine,
        buffer: &mut [u8],
    ) -> Result<Result<usize, Errno>, Violation> {
        let reading = self.begin_read(engine, buffer.len())?;
        Ok(self.end_read(engine, reading, buffer))
    }

    /// Looks for a lock with more than six unread results. Each call does so first; a host may ask
    /// after others' calls, too.
    ///
    /// # Errors
    ///
    /// [`Violation::TooManyUnread`].
    pub fn check(&mut self, engine: &Engine) -> Result<(), Violation> {
        for (lock, count) in unread(engine, self.id) {
            self.strict.unread(lock, count)?;
        }
        Ok(())
    }

    /// The last close.
    ///
    /// # Errors
    ///
    /// [`Violation::WaitingPersistent`]. The engine's session is closed all the same.
    pub fn close(&mut self, engine: &mut Engine) -> Result<(), Violation> {
        let answer = self.check(engine).and_then(|()| self.strict.close());
        engine.close(self.id);
        answer
    }

    /// An orphan that never was granted and that this PURGE would take.
    fn waiting_orphan(&self, engine: &Engine, request: &[u8]) -> Option<LockId> {
        let Ok(Request::Purge { node, pid }) = Request::decode(engine.abi(), request) else {
            return None;
        };
        let is_own = pid == self.task;
        if is_own || (node.0 != 0 && node != self.node) {
            return None;
        }
        let space = engine.space(self.id)?;
        let is_hit = |it: &Lock| it.granted.is_none() && (pid == 0 || it.task == pid);
        chain::iter::<OnOwner>(&space.locks, &space.orphans)
            .find(|(_, lock)| is_hit(lock))
            .map(|(at, _)| at.id())
    }
}

/// How many results are unread of each lock of a session. One that was lost counts.
fn unread(engine: &Engine, id: SessionId) -> BTreeMap<LockId, usize> {
    let mut counts = BTreeMap::new();
    let Some(space) = engine.space(id) else { return counts };
    let Some(session) = space.sessions.get(id.index) else { return counts };
    for snapshot in &session.results {
        let count = counts.entry(snapshot.lock.id()).or_insert(0);
        *count += 1;
        let Callback::Completion { mode, status, .. } = snapshot.callback else { continue };
        if *count <= super::MAX_UNREAD && ends(mode, status) {
            // What follows is of the next lock with this id.
            *count = 0;
        }
    }
    if let Some(lock) = session.lost {
        counts.insert(lock, super::MAX_UNREAD + 1);
    }
    counts
}
