//! Calls: their submissions, and the consequences of the kernel's answers.

use std::time::Instant;

use dlm_core::{CancelStep, NewLock, Queueing, Submission, Unlocking};
use dlm_proto::{Command, LockId, LockStatus, NodeId, Request, Token};
use dlm_sys::{Call, Errno};

use super::begun::{Begun, Prepared};
use super::face::{Face, Notify};
use super::plain::Rest;
use super::shared::Driver;
use super::state::State;
use super::wait::Unfinished;
use crate::error::ErrorKind;
use crate::event::Completion;
use crate::trace;

/// A call of the core that begins an operation: it fills in the submission.
pub trait Prepare<F: Face>:
    FnOnce(&mut State<F>, &mut Option<Notify<F>>, &mut Submission) -> Prepared
{
}

impl<F: Face, P> Prepare<F> for P where
    P: FnOnce(&mut State<F>, &mut Option<Notify<F>>, &mut Submission) -> Prepared
{
}

/// Begins the unlock of a lock.
pub(crate) fn unlock<F: Face>(token: Token, unlocking: &Unlocking) -> impl Prepare<F> {
    move |state, user, out| {
        let queueing = state.core.unlock(token, unlocking, user, out)?;
        Ok((Begun::of(token, queueing, out), queueing))
    }
}

/// Whether nothing out of the ordinary is asked for. What must hold for the flags others know.
#[inline(always)]
const fn is_plain(new: &NewLock<'_>, deadline: Option<Instant>) -> bool {
    !new.notices && new.xid == 0 && deadline.is_none()
}

impl<F: Face> Driver<F> {
    /// Begins a lock. `face` is taken if that succeeds. `writes`: the caller writes the request at once.
    /// Tells whether it may make a new resource.
    #[inline]
    fn prepare_lock(
        &self,
        new: &NewLock<'_>,
        writes: bool,
        user: &mut Option<Notify<F>>,
        face: &mut F::Lock,
        out: &mut Submission,
    ) -> Result<(Token, bool), ErrorKind> {
        let is_delivered = user.as_ref().is_some_and(Notify::needs_delivery);
        let is_interesting = is_delivered || new.notices;
        let mut state = self.state();
        let before = if is_interesting { state.awaited() } else { 0 };
        let token = state.core.lock(new, user, face, out).map_err(|why| self.rejected(why))?;
        state.delivered += usize::from(is_delivered);
        state.clock.begin(Begun { token, serial: out.ticket().serial });
        // Of a request that others write this is found out when they do.
        let is_first =
            self.first_requests.is_wanted() && writes && !state.core.rely(out.ticket_mut());
        drop(state);
        if is_interesting && before == 0 {
            self.delivery.tell_of_interest();
        }
        Ok((token, is_first))
    }

    /// Requests a lock, and waits for the end until the deadline. `told` learns the id as soon as
    /// the kernel has accepted the request.
    ///
    /// # Errors
    ///
    /// What keeps the request from being written. How it ended is in what is returned; with an
    /// error there, the lock is still to be released, if the face has handles.
    #[inline]
    pub(crate) fn lock_wait(
        &self,
        new: &NewLock<'_>,
        face: &mut F::Lock,
        deadline: Option<Instant>,
        told: impl Fn(LockId),
    ) -> Result<(Begun, Result<Completion, ErrorKind>), ErrorKind> {
        let (begun, first) = self.lock_first(new, face, deadline, told)?;
        Ok((begun, self.wait_out(first, deadline)))
    }

    /// Requests a lock, and looks for the end. As [`Driver::lock_wait`], up to where that would sleep
    /// or run callbacks.
    ///
    /// # Errors
    ///
    /// The same.
    #[inline]
    pub fn lock_first(
        &self,
        new: &NewLock<'_>,
        face: &mut F::Lock,
        deadline: Option<Instant>,
        told: impl Fn(LockId),
    ) -> Result<(Begun, Result<Completion, Unfinished<F>>), ErrorKind> {
        if is_plain(new, deadline) {
            let keep = |place: &mut F::Lock| F::keep_plain(place, face);
            if let Some((token, end)) = self.lock_plain(new.name, new.mode, new.flags, keep, &told)
            {
                let begun = Begun { token, serial: 0 };
                let mode = |status| (status == LockStatus::Granted).then_some(new.mode);
                return match end {
                    Ok(status) => Ok((begun, Ok(Completion::plain(status, mode(status))))),
                    Err(rest) => match *rest {
                        Rest::Refused(kind) => Err(kind),
                        Rest::Read(begun, first) => {
                            Ok((begun, Self::first_look(begun, true, first)))
                        }
                    },
                };
            }
        }
        let device = self.slot.get()?;
        let mut submission = Submission::new();
        let mut user = Some(Notify::Thread(None));
        let (token, is_first) = self.prepare_lock(new, true, &mut user, face, &mut submission)?;
        let ticket = submission.ticket();
        let begun = Begun { token, serial: ticket.serial };
        match self.write_new(&device, submission.bytes(), is_first, deadline) {
            Ok(id) => {
                trace::requested(new.name, new.mode, new.flags);
                id.map(told);
                Ok((begun, self.finish(&ticket, id, true)))
            }
            Err(kind) => Err(self.take_back_for(&ticket, kind, &mut None)),
        }
    }

    /// Requests a lock for a callback or task, and returns at once. `user` and `face` are taken if
    /// that succeeds.
    ///
    /// # Errors
    ///
    /// What keeps the request from being written.
    pub fn lock_start(
        &self,
        new: &NewLock<'_>,
        user: &mut Option<Notify<F>>,
        face: &mut F::Lock,
        deadline: Option<Instant>,
    ) -> Result<Begun, ErrorKind> {
        if is_plain(new, deadline) {
            let keep = |place: &mut F::Lock| F::keep_plain(place, face);
            let started = self.start_lock_plain(new.name, new.mode, new.flags, user, keep);
            if let Some(started) = started {
                return started.map(|token| Begun { token, serial: 0 });
            }
        }
        let device = self.slot.get()?;
        let is_task = matches!(user, Some(Notify::Task(_)));
        let mut submission = Submission::new();
        let writer = self.writer.as_ref().filter(|_| is_task);
        let writer = writer.and_then(|writer| Some((writer, self.weak_self.upgrade()?)));
        let writes = writer.is_none();
        let (token, is_first) = self.prepare_lock(new, writes, user, face, &mut submission)?;
        let begun = Begun { token, serial: submission.ticket().serial };
        if let Some(at) = deadline {
            self.set_deadline(at, begun);
        }
        trace::requested(new.name, new.mode, new.flags);
        if let Some((writer, driver)) = writer {
            writer.push(move || {
                let is_wanted = driver.first_requests.is_wanted();
                let is_first = is_wanted && !driver.state().core.rely(submission.ticket_mut());
                match driver.write_new(&device, submission.bytes(), is_first, deadline) {
                    Ok(id) => driver.accepted(&mut submission, id),
                    Err(kind) => driver.refused(&mut submission, &kind),
                }
            });
            return Ok(begun);
        }
        match self.write_new(&device, submission.bytes(), is_first, deadline) {
            Ok(id) => self.accepted(&mut submission, id),
            Err(kind) => self.take_back_begun(&submission.ticket(), kind, user)?,
        }
        Ok(begun)
    }

    /// Adopts an orphan: done when this returns. `face` is taken if that succeeds.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn adopt(&self, new: &NewLock<'_>, face: &mut F::Lock) -> Result<Token, ErrorKind> {
        let device = self.slot.get()?;
        let mut submission = Submission::new();
        let token = {
            let mut state = self.state();
            state.core.adopt(new, face, &mut submission).map_err(|why| self.rejected(why))?
        };
        let error = match self.write(&device, &submission) {
            Ok(Some(id)) => {
                self.accepted(&mut submission, Some(id));
                if new.notices {
                    self.delivery.tell_of_interest();
                }
                return Ok(token);
            }
            Ok(None) => dlm_sys::Error::os(Call::Submit(Command::Lock), Errno::ENOENT),
            Err(error) => error,
        };
        let errno = error.errno().map_or(nix::libc::EIO, Errno::raw);
        let _ = self.core_refused(&submission.ticket(), errno, None);
        // For the next attempt.
        if let Some(kept) = self.state().core.settle(token) {
            *face = kept;
        }
        Err(self.refusal(error))
    }

    /// Begins an operation on a lock, and waits for its end until the deadline.
    ///
    /// # Errors
    ///
    /// What keeps it from being begun, or from being awaited.
    #[inline]
    pub(crate) fn call_wait(
        &self,
        prepare: impl Prepare<F>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        self.wait_out(self.call_first(prepare)?, deadline)
    }

    /// Begins an operation on a lock, and looks for its end. As [`Driver::call_wait`], up to where that
    /// would sleep or run callbacks.
    ///
    /// # Errors
    ///
    /// What keeps it from being begun.
    #[inline]
    pub fn call_first(
        &self,
        prepare: impl Prepare<F>,
    ) -> Result<Result<Completion, Unfinished<F>>, ErrorKind> {
        let device = self.slot.get()?;
        let mut submission = Submission::new();
        let mut user = Some(Notify::Thread(None));
        let (begun, queueing) = {
            let mut state = self.state();
            let prepared = prepare(&mut state, &mut user, &mut submission);
            let prepared = prepared.map_err(|why| self.rejected(why))?;
            state.clock.begin(prepared.0);
            prepared
        };
        if queueing != Queueing::Write {
            return Ok(Err(Unfinished::queued(begun)));
        }
        let ticket = submission.ticket();
        match self.write(&device, &submission) {
            Ok(id) => Ok(self.finish(&ticket, id, false)),
            Err(error) if self.is_put_off(&ticket, &error) => Ok(Err(Unfinished::queued(begun))),
            Err(error) => Err(self.take_back_for(&ticket, error.into(), &mut None)),
        }
    }

    /// Begins an operation on a lock for a callback or task, and returns at once. `user` is taken
    /// if that succeeds.
    ///
    /// # Errors
    ///
    /// What keeps it from being begun.
    pub fn call_start(
        &self,
        prepare: impl Prepare<F>,
        user: &mut Option<Notify<F>>,
        deadline: Option<Instant>,
    ) -> Result<Begun, ErrorKind> {
        let device = self.slot.get()?;
        let is_task = matches!(user, Some(Notify::Task(_)));
        let mut submission = Submission::new();
        let (begun, queueing) = {
            let mut state = self.state();
            let before = state.awaited();
            let prepared = prepare(&mut state, user, &mut submission);
            let prepared = prepared.map_err(|why| self.rejected(why))?;
            state.clock.begin(prepared.0);
            state.delivered += 1;
            drop(state);
            if before == 0 {
                self.delivery.tell_of_interest();
            }
            prepared
        };
        if let Some(at) = deadline {
            self.set_deadline(at, begun);
        }
        if queueing != Queueing::Write {
            return Ok(begun);
        }
        if is_task && self.writer.is_some() {
            self.write_later(submission);
            return Ok(begun);
        }
        match self.write(&device, &submission) {
            Ok(id) => self.accepted(&mut submission, id),
            Err(error) if self.is_put_off(&submission.ticket(), &error) => {}
            Err(error) => {
                self.take_back_begun(&submission.ticket(), ErrorKind::Device(error), user)?;
            }
        }
        Ok(begun)
    }

    /// Cancels what is in flight for a lock. That has no completion of its own. `prepare` calls
    /// [`Core::cancel`](dlm_core::Core::cancel), with the table locked.
    ///
    /// # Errors
    ///
    /// Those of `prepare`, and the kernel's refusal.
    pub fn cancel(
        &self,
        prepare: impl FnOnce(&mut State<F>, &mut Submission) -> Result<CancelStep, ErrorKind>,
    ) -> Result<CancelStep, ErrorKind> {
        let device = self.slot.get()?;
        let mut submission = Submission::new();
        let step = prepare(&mut self.state(), &mut submission)?;
        if step == CancelStep::Write {
            match self.write(&device, &submission) {
                Ok(id) => {
                    self.accepted(&mut submission, id);
                    trace::cancelled();
                }
                Err(error) if error.errno() == Some(Errno::ENOENT) => {
                    // It has ended in the meantime.
                    let _ = self.take_back_for(&submission.ticket(), error.into(), &mut None);
                    return Ok(CancelStep::Nothing);
                }
                Err(error) => {
                    return Err(self.take_back_for(&submission.ticket(), error.into(), &mut None));
                }
            }
        }
        Ok(step)
    }

    /// Writes a request that concerns no lock of this driver.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn submit_other(&self, request: &Request<'_>) -> Result<(), ErrorKind> {
        let device = self.slot.get()?;
        let mut submission = Submission::new();
        let encoded = self.state().core.encode_other(request, &mut submission);
        encoded.map_err(|why| self.rejected(why))?;
        self.write(&device, &submission).map(|_| ()).map_err(|error| self.refusal(error))
    }

    /// Removes orphans: those of the thread `task`, or all with 0, that lie on this node.
    ///
    /// # Errors
    ///
    /// The kernel's refusal; no thread can be made.
    pub fn purge(&self, node: NodeId, task: u32) -> Result<(), ErrorKind> {
        let request = Request::Purge { node, pid: task };
        if task == 0 {
            return self.submit_other(&request);
        }
        // Given the calling thread's own TID the kernel would drop this device's live locks
        // instead, without a word. The thread that calls is one that has never locked.
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new();
            let purging = builder.spawn_scoped(scope, || self.submit_other(&request))?;
            let died = || ErrorKind::System(std::io::Error::other("the purging thread died"));
            purging.join().map_err(|_| died())?
        })
    }
}
