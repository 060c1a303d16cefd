//! Locks that are requested, granted and unlocked by a thread that waits, without anything out of the
//! ordinary: the shortest way through the driver, and the one that most calls take.
//!
//! As soon as anything else happens the call goes on along the way that all others take.

use dlm_core::{PlainUnlock, Ticket};
use dlm_proto::plain::{LockBytes, UnlockBytes};
use dlm_proto::{
    Command, LockFlags, LockId, LockStatus, MAX_RESULT_LEN, Mode, ResourceName, Token,
};

use super::begun::Begun;
use super::face::{Face, Notify};
use super::read::{Read, ReadLen, Role, Routed, other, read_gate, usual_bytes};
use super::shared::{Driver, Gate};
use super::state::{State, completion};
use super::wait::First;
use crate::error::ErrorKind;
use crate::threads::{MutexGuard, lock};
use crate::trace::IS_ON;

/// The end of a plain operation.
pub(crate) type PlainEnd<F> = Result<LockStatus, Box<Rest<F>>>;

/// What it comes to if anything out of the ordinary happens.
pub(crate) enum Rest<F: Face> {
    /// Nothing was begun.
    Refused(ErrorKind),
    /// It was begun, and this is what the first look at the results has led to:
    /// [`Driver::finish_with`].
    Read(Begun, Result<Read<F>, ErrorKind>),
}

/// A call that something out of the ordinary has happened to. [`Otherwise::first`] must follow.
#[must_use]
pub struct Otherwise<F: Face>(Box<Rest<F>>, IsRequest);

/// Whether it asks for a lock.
type IsRequest = bool;

impl<F: Face> Otherwise<F> {
    /// What [`Driver::lock_first`] or [`Driver::call_first`] would have returned.
    ///
    /// # Errors
    ///
    /// What keeps it from being begun.
    pub fn first(self) -> Result<First<F>, ErrorKind> {
        let Self(rest, is_request) = self;
        match *rest {
            Rest::Refused(kind) => Err(kind),
            Rest::Read(begun, first) => Ok(Driver::first_look(begun, is_request, first)),
        }
    }
}

impl<F: Face> Driver<F> {
    /// As [`Driver::lock_first`] without notices, transaction id and deadline, if that is plain. `None`:
    /// nothing has happened.
    #[inline(always)]
    pub fn lock_first_plain(
        &self,
        name: &ResourceName,
        mode: Mode,
        flags: LockFlags,
        keep: impl FnOnce(&mut F::Lock),
        told: impl FnOnce(LockId),
    ) -> Option<Result<LockStatus, Otherwise<F>>> {
        let (_, end) = self.lock_plain(name, mode, flags, keep, told)?;
        Some(end.map_err(|rest| Otherwise(rest, true)))
    }

    /// As [`Driver::call_first`] for the unlock of the lock that `find` finds, if that is plain: `begun` is
    /// told that it was begun. `None`: nothing has happened.
    #[inline(always)]
    pub fn unlock_first_plain(
        &self,
        find: impl FnOnce(&State<F>) -> Option<Token>,
        begun: impl FnOnce(&mut F::Lock),
    ) -> Option<Result<LockStatus, Otherwise<F>>> {
        Some(self.unlock_plain(find, begun)?.map_err(|rest| Otherwise(rest, false)))
    }

    /// Requests a lock, and waits for the end without a deadline; `told` as in [`Driver::lock_wait`].
    /// `None`: nothing has happened, and the request is for that.
    #[inline(always)]
    pub(crate) fn lock_plain(
        &self,
        name: &ResourceName,
        mode: Mode,
        flags: LockFlags,
        keep: impl FnOnce(&mut F::Lock),
        told: impl FnOnce(LockId),
    ) -> Option<(Token, PlainEnd<F>)> {
        if IS_ON {
            return None;
        }
        let mut state = self.state();
        let user = || Some(Notify::Thread(None));
        let (token, owner) = state.core.lock_plain(name, mode, flags, user, keep)?;
        let device = state.device.clone();
        let mut ticket = Ticket::plain(token, 0);
        let is_first = self.first_requests.is_wanted() && !state.core.rely(&mut ticket);
        drop(state);
        let Some(device) = device else {
            return Some((token, self.plain_refused(&ticket, self.end_or(ErrorKind::Closed))));
        };
        let request = LockBytes::new(name, mode, flags, (token, owner));
        let id = match self.write_new(&device, request.bytes(), is_first, None) {
            Ok(id) => id,
            Err(kind) => return Some((token, self.plain_refused(&ticket, kind))),
        };
        id.map(told);
        if ticket.relies_on().is_some() {
            return Some((token, self.end_relying(&ticket, id)));
        }
        Some((token, self.end_plain(token, 0, id)))
    }

    /// Unlocks the lock that `find` finds, and waits for the end; `begun` is told that it was begun. `None`:
    /// nothing has happened.
    #[inline(always)]
    pub(crate) fn unlock_plain(
        &self,
        find: impl FnOnce(&State<F>) -> Option<Token>,
        begun: impl FnOnce(&mut F::Lock),
    ) -> Option<PlainEnd<F>> {
        if IS_ON {
            return None;
        }
        let mut state = self.state();
        let token = find(&state)?;
        let user = || Some(Notify::Thread(None));
        let unlock = state.core.unlock_plain(token, user, begun)?;
        let PlainUnlock { id, serial, owner } = unlock;
        let device = state.device.clone();
        drop(state);
        let Some(device) = device else {
            return Some(
                self.plain_refused(&Ticket::plain(token, serial), self.end_or(ErrorKind::Closed)),
            );
        };
        let request = UnlockBytes::new(id, (token, owner));
        Some(match device.submit(Command::Unlock, request.bytes()) {
            Ok(_) => self.end_plain(token, serial, None),
            Err(error) => self.plain_refused(&Ticket::plain(token, serial), error.into()),
        })
    }

    /// Requests a lock for a callback or task, and returns at once. `user` is taken if that succeeds.
    /// `None`: nothing has happened, and the request is for [`Driver::lock_start`].
    #[inline(always)]
    pub fn start_lock_plain(
        &self,
        name: &ResourceName,
        mode: Mode,
        flags: LockFlags,
        user: &mut Option<Notify<F>>,
        keep: impl FnOnce(&mut F::Lock),
    ) -> Option<Result<Token, ErrorKind>> {
        if IS_ON || self.is_written_later(user.as_ref()) {
            return None;
        }
        let mut state = self.state();
        let before = state.awaited();
        let is_delivered = user.as_ref().is_some_and(Notify::needs_delivery);
        let (token, owner) = state.core.lock_plain(name, mode, flags, || user.take(), keep)?;
        state.delivered += usize::from(is_delivered);
        let device = state.device.clone();
        let mut ticket = Ticket::plain(token, 0);
        let is_first = self.first_requests.is_wanted() && !state.core.rely(&mut ticket);
        drop(state);
        if is_delivered && before == 0 {
            self.delivery.tell_of_interest();
        }
        let Some(device) = device else {
            return Some(
                self.take_back_begun(&ticket, self.end_or(ErrorKind::Closed), user).map(|()| token),
            );
        };
        let request = LockBytes::new(name, mode, flags, (token, owner));
        Some(match self.write_new(&device, request.bytes(), is_first, None) {
            Ok(id) if ticket.relies_on().is_some() => {
                self.accepted_with(self.state(), &ticket, id);
                Ok(token)
            }
            Ok(id) => {
                self.accepted_plain(token, 0, id);
                Ok(token)
            }
            Err(kind) => self.take_back_begun(&ticket, kind, user).map(|()| token),
        })
    }

    /// Unlocks the lock that `find` finds for a callback or task, and returns at once; `begun` is told that
    /// it was begun. `user` is taken if that succeeds. `None`: nothing has happened.
    #[inline(always)]
    pub fn unlock_start_plain(
        &self,
        find: impl FnOnce(&State<F>) -> Option<Token>,
        begun: impl FnOnce(&mut F::Lock),
        user: &mut Option<Notify<F>>,
    ) -> Option<Result<Begun, ErrorKind>> {
        if IS_ON || self.is_written_later(user.as_ref()) {
            return None;
        }
        let mut state = self.state();
        let before = state.awaited();
        let token = find(&state)?;
        let unlock = state.core.unlock_plain(token, || user.take(), begun)?;
        let PlainUnlock { id, serial, owner } = unlock;
        state.delivered += 1;
        let device = state.device.clone();
        drop(state);
        if before == 0 {
            self.delivery.tell_of_interest();
        }
        let Some(device) = device else {
            let ticket = Ticket::plain(token, serial);
            let begun = Begun { token, serial };
            return Some(
                self.take_back_begun(&ticket, self.end_or(ErrorKind::Closed), user).map(|()| begun),
            );
        };
        let request = UnlockBytes::new(id, (token, owner));
        Some(match device.submit(Command::Unlock, request.bytes()) {
            Ok(_) => {
                self.accepted_plain(token, serial, None);
                Ok(Begun { token, serial })
            }
            Err(error) => {
                let ticket = Ticket::plain(token, serial);
                let begun = Begun { token, serial };
                self.take_back_begun(&ticket, error.into(), user).map(|()| begun)
            }
        })
    }

    /// Whether the request for this user is written by a thread of its own.
    #[inline]
    fn is_written_later(&self, user: Option<&Notify<F>>) -> bool {
        self.writer.is_some() && matches!(user, Some(Notify::Task(_)))
    }

    /// The kernel has accepted a plain operation.
    #[inline(always)]
    fn accepted_plain(&self, token: Token, serial: u64, id: Option<LockId>) {
        let mut state = self.state();
        if state.core.accepted_plain(token, serial, id) {
            if let (false, Some(id)) = (F::HAS_HANDLES, id) {
                if let Some(Notify::Callback(callback)) = state.core.user(token, serial) {
                    F::learned(callback, id);
                }
            }
            return;
        }
        self.accepted_otherwise(state, token, serial, id);
    }

    /// As above, if something has happened to the lock meanwhile.
    #[cold]
    #[inline(never)]
    fn accepted_otherwise(
        &self,
        state: MutexGuard<'_, State<F>>,
        token: Token,
        serial: u64,
        id: Option<LockId>,
    ) {
        self.accepted_with(state, &Ticket::plain(token, serial), id);
    }

    /// Reads the end of an operation that the kernel has just accepted.
    #[inline(always)]
    fn end_plain(&self, token: Token, serial: u64, id: Option<LockId>) -> PlainEnd<F> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let gate = lock(&self.gate);
        let len = read_gate(&gate, &mut buffer);
        let mut state = self.state();
        if let Some(bytes) = usual_bytes(&state, &len, &buffer) {
            let core = &mut state.core;
            if let Some(end) = core.receive_plain(Some((token, serial, id)), bytes) {
                let (status, is_gone) = (end.ended.status, end.can_settle);
                let completion = completion(&end.ended, None);
                let due = F::ended(end.face, end.kind, None, &completion, end.id);
                if due.is_some() {
                    let (kind, ended, user) = (end.kind, end.ended, end.user.take());
                    let other = other(token, serial, kind, ended, user, completion, due);
                    return self.end_with_due(state, gate, Begun { token, serial }, other);
                }
                // Nobody has had to be woken for this thread, or the entry would not be plain.
                debug_assert!(matches!(end.user, Some(Notify::Thread(None))), "its own user");
                std::mem::forget(end.user.take());
                if is_gone {
                    core.remove_plain(token);
                }
                drop(state);
                drop(gate);
                return Ok(status);
            }
        }
        self.end_otherwise(state, gate, (len, &buffer), &Ticket::plain(token, serial), id)
    }

    /// As above, for a request that has relied on another lock.
    #[inline(never)]
    fn end_relying(&self, ticket: &Ticket, id: Option<LockId>) -> PlainEnd<F> {
        let Ticket { token, serial, .. } = *ticket;
        Err(Box::new(Rest::Read(Begun { token, serial }, self.read_own(ticket, id))))
    }

    /// The end of it makes a callback due, too.
    #[inline(never)]
    fn end_with_due(
        &self,
        mut state: MutexGuard<'_, State<F>>,
        gate: MutexGuard<'_, Gate>,
        begun: Begun,
        routed: Routed<F>,
    ) -> PlainEnd<F> {
        let first = self.routed(&mut state, routed);
        drop(state);
        drop(gate);
        Err(Box::new(Rest::Read(begun, Ok(first))))
    }

    #[inline(never)]
    fn end_otherwise(
        &self,
        mut state: MutexGuard<'_, State<F>>,
        gate: MutexGuard<'_, Gate>,
        (len, buffer): (ReadLen, &[u8; MAX_RESULT_LEN]),
        ticket: &Ticket,
        id: Option<LockId>,
    ) -> PlainEnd<F> {
        let Ticket { token, serial, .. } = *ticket;
        let begun = Begun { token, serial };
        if matches!(len, Ok(None)) && state.core.accepted_plain(token, serial, id) {
            return Err(Box::new(Rest::Read(begun, Ok(Read::Empty))));
        }
        let role = Role::Waiter(token, serial);
        let first = self.read_rest(state, gate, len, buffer, role, Some((ticket, id)));
        Err(Box::new(Rest::Read(begun, first)))
    }

    #[cold]
    #[inline(never)]
    fn plain_refused(&self, ticket: &Ticket, why: ErrorKind) -> PlainEnd<F> {
        let kind = self.take_back_for(ticket, why, &mut None);
        Err(Box::new(Rest::Refused(kind)))
    }
}
