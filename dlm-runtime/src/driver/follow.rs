//! Writes, the kernel's answers to them, and what is written next.

use std::time::Instant;

use dlm_core::{Failure, Follow, Refusal, Rejected, Submission, Ticket};
use dlm_proto::{Command, LockId, Token};
use dlm_sys::{Accepted, Call, Errno};

use super::begun::Begun;
use super::device::Device;
use super::face::{Face, Notify};
use super::shared::Driver;
use super::state::State;
use crate::error::ErrorKind;
use crate::threads::MutexGuard;
use crate::trace;

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

    /// Has a submission written by the thread for that, or here if there is none.
    pub(crate) fn write_later(&self, mut submission: Submission) {
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
        match answer {
            Ok(id) => self.accepted(submission, id),
            Err(error) if self.is_put_off(&submission.ticket(), &error) => {}
            Err(error) => self.refused(submission, &ErrorKind::Device(error)),
        }
    }

    /// The kernel has accepted a submission. Writes what follows.
    pub(crate) fn accepted(&self, submission: &mut Submission, id: Option<LockId>) {
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
    pub(crate) fn is_put_off(&self, ticket: &Ticket, error: &dlm_sys::Error) -> bool {
        let now = self.time_now();
        if error.errno() != Some(Errno::EBUSY) || !self.state().core.put_off(ticket, now) {
            return false;
        }
        self.leave_to_calls();
        self.set_alarms();
        true
    }

    /// The kernel has refused a submission whose caller is not there to be told.
    pub(crate) fn refused(&self, submission: &mut Submission, why: &ErrorKind) {
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

    /// A submission was refused, or could not be written. Its caller is told by what this returns;
    /// nothing of it is left. What was kept for it is `given_back`, unless its end has been told.
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
    pub(crate) fn core_refused(
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
    pub(crate) fn rejected(&self, why: Rejected) -> ErrorKind {
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
