//! Calls: their submissions, and the consequences of the kernel's answers.

use std::sync::Arc;
use std::time::Instant;

use dlm_core::{
    CancelStep, Failure, Follow, NewLock, Queueing, Refusal, Rejected, Submission, Ticket,
    Unlocking,
};
use dlm_proto::{Command, LockId, LockStatus, NodeId, Request, Token};
use dlm_sys::{Accepted, Call, Errno};

use super::device::Device;
use super::face::{Due, Face, Notify};
use super::plain::{Rest, plain_completion};
use super::read::{Read, Role};
use super::wait::Unfinished;
use super::{Driver, State};
use crate::error::ErrorKind;
use crate::threads::MutexGuard;
use crate::trace;

/// Results read for what is left over of a lock that was dropped.
const READ_BUDGET: usize = 64;

/// An operation that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Begun {
    /// The lock.
    pub token: Token,
    /// The number of the operation, counted for each lock.
    pub serial: u64,
}

/// The outcome of a call of the core that begins an operation.
pub type Prepared = Result<(Begun, Queueing), Rejected>;

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

impl Begun {
    /// The operation that a call of the core has begun.
    #[must_use]
    pub const fn of(token: Token, queueing: Queueing, out: &Submission) -> Self {
        let serial = match queueing {
            Queueing::Write => out.ticket().serial,
            Queueing::Queued { serial } => serial,
        };
        Self { token, serial }
    }
}

/// Whether nothing out of the ordinary is asked for. What must hold for the flags others know.
#[inline(always)]
const fn is_plain(new: &NewLock<'_>, deadline: Option<Instant>) -> bool {
    !new.notices && new.xid == 0 && deadline.is_none()
}

#[inline(always)]
fn write(
    device: &Device,
    command: Command,
    bytes: &[u8],
) -> Result<Option<LockId>, dlm_sys::Error> {
    let accepted = trace::timed_write(command, || device.submit(command, bytes))?;
    Ok(match accepted {
        Accepted::Lock(id) => Some(id),
        Accepted::Done => None,
    })
}

impl<F: Face> Driver<F> {
    /// Writes a submission. Nothing is locked meanwhile: the kernel may block here for a recovery.
    #[inline(always)]
    pub(crate) fn write(
        &self,
        device: &Device,
        submission: &Submission,
    ) -> Result<Option<LockId>, dlm_sys::Error> {
        write(device, submission.command(), submission.bytes())
    }

    /// As [`Driver::write`], for the bytes of a request for a new lock. `is_first`: it may make a new
    /// resource, and such requests are kept apart.
    #[inline(always)]
    pub(crate) fn write_new(
        &self,
        device: &Device,
        bytes: &[u8],
        is_first: bool,
        deadline: Option<Instant>,
    ) -> Result<Option<LockId>, ErrorKind> {
        if is_first {
            return self.write_first(device, bytes, deadline);
        }
        Ok(write(device, Command::Lock, bytes)?)
    }

    #[inline(never)]
    fn write_first(
        &self,
        device: &Device,
        bytes: &[u8],
        deadline: Option<Instant>,
    ) -> Result<Option<LockId>, ErrorKind> {
        let is_open = || self.check_removed();
        let _turn = self.first_requests.enter(device, &self.name, deadline, is_open)?;
        Ok(write(device, Command::Lock, bytes)?)
    }

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
    ) -> Result<(Begun, Result<crate::Completion, ErrorKind>), ErrorKind> {
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
    ) -> Result<(Begun, Result<crate::Completion, Unfinished<F>>), ErrorKind> {
        if is_plain(new, deadline) {
            let keep = |place: &mut F::Lock| F::keep_plain(place, face);
            if let Some((token, end)) = self.lock_plain(new.name, new.mode, new.flags, keep, &told)
            {
                let begun = Begun { token, serial: 0 };
                let mode = |status| (status == LockStatus::Granted).then_some(new.mode);
                return match end {
                    Ok(status) => Ok((begun, Ok(plain_completion(status, mode(status))))),
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
    ) -> Result<crate::Completion, ErrorKind> {
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
    ) -> Result<Result<crate::Completion, Unfinished<F>>, ErrorKind> {
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
            Err(error) => Err(self.take_back(&ticket, error, &mut None)),
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
                    let _ = self.take_back(&submission.ticket(), error, &mut None);
                    return Ok(CancelStep::Nothing);
                }
                Err(error) => {
                    return Err(self.take_back(&submission.ticket(), error, &mut None));
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

    /// Nobody wants this lock any more. Never waits for an answer, but the `write` of the unlock
    /// blocks while the lockspace is stopped, unless there is a thread for it.
    pub(crate) fn release(&self, token: Token) {
        let mut submission = Submission::new();
        let (released, is_flushed) = {
            let mut state = self.state();
            let released = state.core.release(token, &mut submission);
            for user in &released.users {
                state.handed_out(user.as_ref());
            }
            let is_flushed = state.core.released() == 0 && !self.flush.is_idle();
            (released, is_flushed)
        };
        let dlm_core::Released { users, face, follow } = released;
        if users.iter().any(Option::is_some) || !F::is_vacant(&face) {
            self.guarded(move || drop(users));
            self.guarded(move || drop(face));
        }
        match follow {
            Follow::Write if self.writer.is_some() => self.write_later(submission),
            Follow::Write => self.push(&mut submission),
            Follow::Gone(face) => self.guarded(move || drop(face)),
            Follow::Nothing | Follow::Failed { .. } => {}
        }
        if is_flushed {
            self.flush.wake(self);
        }
        self.settle_left_overs();
    }

    /// Brings what is left over to its end as far as that is possible now, and leaves the rest to
    /// others.
    fn settle_left_overs(&self) {
        if self.state().core.left_over() == 0 {
            return;
        }
        if self.writer.is_none() {
            for _ in 0..READ_BUDGET {
                match self.read(Role::Other) {
                    Ok(Read::Empty) | Err(_) => break,
                    Ok(Read::Handled | Read::Mine(..)) => {}
                    Ok(Read::Due(due)) => self.leave_due(due),
                    Ok(Read::Effects(effects)) => _ = self.apply(*effects, false),
                }
            }
        }
        self.see_to_left_overs();
    }

    /// Has a submission written by the thread for that, or here if there is none.
    fn write_later(&self, mut submission: Submission) {
        match (&self.writer, self.weak_self.upgrade()) {
            (Some(writer), Some(driver)) => writer.push(move || driver.push(&mut submission)),
            _ => self.push(&mut submission),
        }
    }

    /// Writes a submission whose refusal its owner is told, and whatever follows from it.
    pub(crate) fn push(&self, submission: &mut Submission) {
        let answer = match self.slot.get() {
            Ok(device) => self.write(&device, submission),
            Err(_) => Err(dlm_sys::Error::os(Call::Submit(submission.command()), Errno::ENODEV)),
        };
        self.answered(submission, answer);
    }

    fn answered(
        &self,
        submission: &mut Submission,
        answer: Result<Option<LockId>, dlm_sys::Error>,
    ) {
        match answer {
            Ok(id) => self.accepted(submission, id),
            Err(error) if self.is_put_off(&submission.ticket(), &error) => {}
            Err(error) => self.refused(submission, &ErrorKind::Device(error)),
        }
    }

    /// The kernel has accepted a submission. Writes what follows.
    fn accepted(&self, submission: &mut Submission, id: Option<LockId>) {
        self.accepted_with(self.state(), &submission.ticket(), id);
    }

    /// The same, for who has the table locked.
    pub(crate) fn accepted_with(
        &self,
        mut state: MutexGuard<'_, State<F>>,
        ticket: &Ticket,
        id: Option<LockId>,
    ) {
        let dlm_core::Accepted { follow, freed } = state.core.accepted(ticket, id);
        if let (false, Some(id)) = (F::HAS_HANDLES, id) {
            let user = state.core.user_mut(ticket.token, ticket.serial);
            if let Some(Notify::Callback(callback)) = user {
                F::learned(callback, id);
            }
        }
        drop(state);
        if follow {
            self.follow_up(ticket.token);
        }
        self.follow_freed(freed);
    }

    /// As [`Driver::follow_up`], for a lock on which a request has relied.
    #[inline]
    pub(crate) fn follow_freed(&self, freed: Option<Token>) {
        if let Some(token) = freed {
            self.follow_up(token);
        }
    }

    /// Writes what is to be written next for a lock, and goes on as long as something follows.
    pub(crate) fn follow_up(&self, token: Token) {
        let mut submission = Submission::new();
        let follow = {
            let mut state = self.state();
            let follow = state.core.follow(token, &mut submission);
            if let Follow::Failed { user, serial, failure } = &follow {
                state.fail(Begun { token, serial: *serial }, user.as_ref(), *failure);
            }
            follow
        };
        match follow {
            Follow::Nothing if F::HAS_HANDLES => {}
            Follow::Nothing => {
                // It may have been all that kept a lock that is gone.
                let face = self.state().core.settle(token);
                self.guarded(move || drop(face));
            }
            Follow::Write if self.writer.is_some() => self.write_later(submission),
            Follow::Write => self.push(&mut submission),
            Follow::Failed { user, failure, .. } => {
                self.tell_failure(token, user, failure);
                // The lock itself may have to go.
                self.follow_up(token);
            }
            Follow::Gone(face) => {
                self.guarded(move || drop(face));
                self.check_flushed();
            }
        }
        self.dismiss_settler();
    }

    /// Whether what the kernel does not take now is written again by itself.
    #[cold]
    fn is_put_off(&self, ticket: &Ticket, error: &dlm_sys::Error) -> bool {
        let now = self.time_now();
        if error.errno() != Some(Errno::EBUSY) || !self.state().core.put_off(ticket, now) {
            return false;
        }
        self.leave_to_calls();
        self.set_alarms();
        true
    }

    /// The kernel has refused a submission whose caller is not there to be told.
    fn refused(&self, submission: &mut Submission, why: &ErrorKind) {
        let ticket = submission.ticket();
        let errno = errno_of_kind(why);
        if let ErrorKind::Device(error) = why {
            let _ = self.refusal(*error);
        }
        let failure = match why {
            ErrorKind::TimedOut(_) => Failure::TimedOut,
            _ => Failure::Refused(errno),
        };
        let refused = self.core_refused(&ticket, errno, Some(failure));
        self.tell_failure(ticket.token, refused.user, failure);
        for user in refused.lost.into_iter().flatten() {
            self.lose(ticket.token, user, errno);
        }
        if refused.follow {
            self.follow_up(ticket.token);
        }
        self.follow_freed(refused.freed);
        self.leave_to_calls();
        self.see_to_left_overs();
        self.set_alarms();
    }

    /// The kernel has refused a submission. Its caller is told by what this returns; nothing of it
    /// is left. What was kept for it is `given_back`, unless its end has been told.
    #[cold]
    fn take_back(
        &self,
        ticket: &Ticket,
        error: dlm_sys::Error,
        given_back: &mut Option<Notify<F>>,
    ) -> ErrorKind {
        self.take_back_for(ticket, ErrorKind::Device(error), given_back)
    }

    /// As [`Driver::take_back_for`], for the operation of a callback or task. If that was told of
    /// its end already, as when its deadline has passed before the `write`, the caller is not told
    /// again.
    #[cold]
    pub(crate) fn take_back_begun(
        &self,
        ticket: &Ticket,
        why: ErrorKind,
        user: &mut Option<Notify<F>>,
    ) -> Result<(), ErrorKind> {
        let why = self.take_back_for(ticket, why, user);
        if user.is_some() { Err(why) } else { Ok(()) }
    }

    /// As [`Driver::take_back`], also for what kept it from being written.
    #[cold]
    pub(crate) fn take_back_for(
        &self,
        ticket: &Ticket,
        why: ErrorKind,
        given_back: &mut Option<Notify<F>>,
    ) -> ErrorKind {
        let errno = errno_of_kind(&why);
        let why = match why {
            ErrorKind::Device(error) => self.refusal(error),
            why => why,
        };
        let refused = self.core_refused(ticket, errno, None);
        let face = self.state().core.settle(ticket.token);
        self.guarded(move || drop(face));
        let dlm_core::Refused { user, lost, follow, freed } = refused;
        // Its waker or callback: he knows.
        *given_back = user;
        for user in lost.into_iter().flatten() {
            self.lose(ticket.token, user, errno);
        }
        if follow {
            self.follow_up(ticket.token);
        }
        self.follow_freed(freed);
        // To those who wait for notices it may be gone.
        self.notice_waiters.wake(ticket.token, &self.waits);
        why
    }

    /// `failure`: what is kept for the owner of the operation, unless he is told at once.
    fn core_refused(
        &self,
        ticket: &Ticket,
        errno: i32,
        failure: Option<Failure>,
    ) -> dlm_core::Refused<Notify<F>> {
        let refusal = Refusal::from_errno(errno);
        let now = self.time_now();
        let begun = Begun { token: ticket.token, serial: ticket.serial };
        let mut state = self.state();
        if !ticket.is_cancel() {
            let Ticket { token, serial, .. } = *ticket;
            state.clock.end(Begun { token, serial });
        }
        let refused = state.core.refused(ticket, refusal, now);
        match failure {
            Some(failure) => state.fail(begun, refused.user.as_ref(), failure),
            None => state.handed_out(refused.user.as_ref()),
        }
        for user in &refused.lost {
            state.handed_out(user.as_ref());
        }
        refused
    }

    /// The reason why a request was refused. A lock manager that is gone under its devices may say
    /// so here, and then it is the end of the lockspace.
    #[cold]
    pub(crate) fn refusal(&self, error: dlm_sys::Error) -> ErrorKind {
        let is_gone = error.errno() == Some(Errno::ENODEV);
        let found = if is_gone { self.check_removed() } else { Ok(()) };
        found.err().unwrap_or(ErrorKind::Device(error))
    }

    /// Tells the owner of an operation that it has failed without a result, after [`State::fail`].
    pub(crate) fn tell_failure(&self, token: Token, user: Option<Notify<F>>, failure: Failure) {
        if let Some(user) = user {
            self.lose(token, user, errno_of(&failure));
        }
    }

    /// Wakes the owner of an operation that has failed, or of a lock that is gone, or runs his
    /// callback. Who waits finds out the reason.
    fn lose(&self, token: Token, user: Notify<F>, errno: i32) {
        match user {
            Notify::Thread(waiter) => {
                if let Some(waiter) = waiter {
                    self.waits.wake(&waiter);
                }
            }
            Notify::Task(waker) => self.guarded(|| waker.wake()),
            Notify::Callback(callback) => self.fail_callback(token, callback, errno),
        }
    }

    pub(crate) fn fail_callback(&self, token: Token, callback: F::Callback, errno: i32) {
        let due = {
            let mut state = self.state();
            let mut none = F::Lock::default();
            F::failed(state.core.face_mut(token).unwrap_or(&mut none), callback, errno)
        };
        if let Some(due) = due {
            self.leave_due(Due::Completion(token, due));
        }
    }

    /// The error that tells a thread or task of a failure.
    pub(crate) fn failed(&self, failure: Failure) -> ErrorKind {
        match failure {
            Failure::Refused(errno) => {
                let call = Call::Submit(Command::Lock);
                ErrorKind::Device(dlm_sys::Error::os(call, Errno::from_raw(errno)))
            }
            Failure::Rejected(why) => self.rejected(why),
            Failure::TimedOut => ErrorKind::TimedOut("it was not granted in time"),
            Failure::Lost => {
                ErrorKind::Illegal("another process has read the end of the operation")
            }
        }
    }

    /// The error that tells a caller why nothing was begun.
    #[cold]
    fn rejected(&self, why: Rejected) -> ErrorKind {
        match why {
            Rejected::Illegal(reason) => ErrorKind::Illegal(reason),
            Rejected::InFlight => ErrorKind::InFlight,
            Rejected::NothingToCancel => ErrorKind::NothingToCancel,
            Rejected::TooManyLocks => ErrorKind::TooManyLocks,
            // It has ended since the call began.
            Rejected::Ended => self.end_or(ErrorKind::Closed),
            Rejected::Encode(error) => ErrorKind::Encode(error),
            _ => ErrorKind::LockGone,
        }
    }

    /// Wakes those who wait until released locks are gone, if that is so.
    pub(crate) fn check_flushed(&self) {
        if !self.flush.is_idle() && self.is_flushed() {
            self.flush.wake(self);
        }
    }

    /// The driver, if somebody still has it.
    pub(crate) fn upgrade(&self) -> Option<Arc<Self>> {
        self.weak_self.upgrade()
    }
}

/// The error number for what kept a submission from being accepted.
fn errno_of_kind(kind: &ErrorKind) -> i32 {
    match kind {
        ErrorKind::Device(error) => error.errno().map_or(nix::libc::EIO, Errno::raw),
        ErrorKind::TimedOut(_) => nix::libc::ETIMEDOUT,
        ErrorKind::Closed | ErrorKind::Removed => nix::libc::ENODEV,
        _ => nix::libc::EIO,
    }
}

/// The error number that tells a callback of a failure.
fn errno_of(failure: &Failure) -> i32 {
    match failure {
        Failure::Refused(errno) => *errno,
        Failure::Rejected(Rejected::LockGone) => nix::libc::ENOENT,
        Failure::Rejected(Rejected::Ended) => nix::libc::ENODEV,
        Failure::Rejected(_) => nix::libc::EINVAL,
        Failure::TimedOut => nix::libc::ETIMEDOUT,
        Failure::Lost => nix::libc::EIO,
    }
}
