//! Reading a result, and its way to whoever waits for it.

use dlm_core::{Ended, Kind, Received, Report, Ticket, Usual};
use dlm_proto::{LockId, MAX_RESULT_LEN, Token};
use dlm_sys::{Call, Errno};

use super::begun::Begun;
use super::effects::Effects;
use super::face::{Due, Face, Notice, Notify};
use super::shared::{Driver, Gate};
use super::state::{Observer, State, completion};
use crate::error::ErrorKind;
use crate::event::{Blocking, Completion};
use crate::threads::{MutexGuard, lock};
use crate::trace::{IS_ON, Note};

/// The role of a reader, who takes at once what is meant for him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The thread or task that waits for this operation of a lock.
    Waiter(Token, u64),
    /// One that waits for something else, or runs callbacks.
    Other,
}

/// The outcome of reading one result.
pub(crate) enum Read<F: Face> {
    /// Nothing to read now.
    Empty,
    /// Nothing that is left to do.
    Handled,
    /// The end of the operation that the reader waits for. Nobody else is told. What comes with it
    /// is dropped when the reader has given up its place.
    Mine(Completion, Left<F>),
    /// A callback is due, and nothing else is left to do.
    Due(Due<F>),
    /// The work that is left. The reader gives up its place first, and then calls `apply`.
    Effects(Box<Effects<F>>),
}

/// Who is told of a usual end.
pub(crate) enum Routed<F: Face> {
    /// The reader. The lock, if it leaves the table.
    Mine(Completion, Left<F>, Option<Token>),
    /// A callback.
    Due(Due<F>),
    /// Somebody else, or the callback of another operation, too.
    Other(Box<Other<F>>),
}

pub(crate) type Other<F> = (Report<Notify<F>>, Completion, Option<<F as Face>::Due>);

/// Hands the usual end of an operation to whoever it is for.
#[inline(always)]
fn route_end<F: Face>(
    end: Usual<'_, Notify<F>, F::Lock>,
    role: Role,
    delivered: &mut usize,
) -> Routed<F> {
    if end.user.as_ref().is_some_and(Notify::needs_delivery) {
        *delivered -= 1;
    }
    let is_own = role == Role::Waiter(end.token, end.serial);
    if is_own { route_own(end) } else { route_others(end) }
}

/// Hands the usual end of an operation to the reader, whose operation it is.
#[inline(always)]
fn route_own<F: Face>(end: Usual<'_, Notify<F>, F::Lock>) -> Routed<F> {
    let Usual { token, kind, ended, lvb, id, user, face, can_settle, .. } = end;
    let completion = completion(&ended, lvb);
    let due = F::ended(face, kind, None, &completion, id);
    if due.is_some() {
        return other(token, end.serial, kind, ended, user.take(), completion, due);
    }
    let mut left = Left { user: None, lock: None };
    match user.take() {
        // Nothing to drop.
        user @ (None | Some(Notify::Thread(None))) => std::mem::forget(user),
        // It is the reader's own, who has it in hand.
        Some(Notify::Thread(waiter)) => drop(waiter),
        user => left.user = user,
    }
    if can_settle && !F::is_vacant(face) {
        left.lock = Some(Box::new(std::mem::take(face)));
    }
    Routed::Mine(completion, left, can_settle.then_some(token))
}

/// Hands it to whoever else it is for.
#[inline(always)]
fn route_others<F: Face>(end: Usual<'_, Notify<F>, F::Lock>) -> Routed<F> {
    let Usual { token, serial, kind, ended, lvb, id, user, face, .. } = end;
    let completion = completion(&ended, lvb);
    let (callback, user) = match user.take() {
        Some(Notify::Callback(callback)) => (Some(callback), None),
        user => (None, user),
    };
    match F::ended(face, kind, callback, &completion, id) {
        Some(due) if user.is_none() => Routed::Due(Due::Completion(token, due)),
        due => other(token, serial, kind, ended, user, completion, due),
    }
}

#[cold]
#[inline(never)]
pub(crate) fn other<F: Face>(
    token: Token,
    serial: u64,
    kind: Kind,
    ended: Ended,
    user: Option<Notify<F>>,
    completion: Completion,
    due: Option<F::Due>,
) -> Routed<F> {
    let report = Report { token, serial, kind, ended, user, overtaken: None, follow: false };
    Routed::Other(Box::new((report, completion, due)))
}

/// A callback that is due by a plain end.
pub struct PlainDue<F: Face> {
    /// Its lock.
    pub token: Token,
    /// The callback.
    pub due: F::Due,
    /// The lock has left the table.
    pub is_gone: bool,
}

/// The leftovers of an operation that its owner has read himself.
pub(crate) struct Left<F: Face> {
    /// His waker, if he has one.
    user: Option<Notify<F>>,
    /// The data kept for a lock that is gone.
    lock: Option<Box<F::Lock>>,
}

/// What was read, if nobody is to be told of it but its owner.
#[inline(always)]
pub(crate) fn usual_bytes<'a, F: Face>(
    state: &State<F>,
    len: &ReadLen,
    buffer: &'a [u8; MAX_RESULT_LEN],
) -> Option<&'a [u8]> {
    match *len {
        Ok(Some(len)) if !IS_ON && state.observers.is_empty() => {
            Some(buffer.get(..len).unwrap_or(buffer))
        }
        _ => None,
    }
}

/// The bytes that were read.
pub(crate) type ReadLen = Result<Option<usize>, dlm_sys::Error>;

/// Reads one result, if there is one. Behind the end of the lockspace this is an error, and
/// [`Driver::read_rest`] says which.
#[inline(always)]
pub(crate) fn read_gate(gate: &Gate, buffer: &mut [u8; MAX_RESULT_LEN]) -> ReadLen {
    match gate {
        Some(device) => device.read_result(buffer),
        None => Err(dlm_sys::Error::os(Call::ReadResult, Errno::ENODEV)),
    }
}

impl<F: Face> Driver<F> {
    /// Reads one result, if there is one, and routes it.
    #[inline(never)]
    pub(crate) fn read(&self, role: Role) -> Result<Read<F>, ErrorKind> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let gate = lock(&self.gate);
        let len = read_gate(&gate, &mut buffer);
        let mut state = self.state();
        if let Some(bytes) = usual_bytes(&state, &len, &buffer) {
            let State { core, delivered, .. } = &mut *state;
            if let Some(end) = core.receive_plain(None, bytes) {
                let routed = route_end(end, role, delivered);
                return Ok(self.routed(&mut state, routed));
            }
        }
        self.read_rest(state, gate, len, &buffer, role, None)
    }

    /// The same, for who runs callbacks at once. `expected`: what
    /// [`Core::expected`](dlm_core::Core::expected) said behind a plain result, otherwise as much as can
    /// be. `None`: a callback is due by one, and is in `plain`, where there was none.
    #[inline(always)]
    pub(crate) fn read_to_run(
        &self,
        expected: &mut usize,
        plain: &mut Option<PlainDue<F>>,
    ) -> Option<Result<Read<F>, ErrorKind>> {
        *expected = usize::MAX;
        let mut buffer = [0; MAX_RESULT_LEN];
        let gate = lock(&self.gate);
        let len = read_gate(&gate, &mut buffer);
        let mut state = self.state();
        if let Some(bytes) = usual_bytes(&state, &len, &buffer) {
            let State { core, delivered, .. } = &mut *state;
            if let Some(end) = core.receive_plain(None, bytes) {
                if !matches!(end.user, Some(Notify::Callback(_))) {
                    let routed = route_end(end, Role::Other, delivered);
                    return Some(Ok(self.routed(&mut state, routed)));
                }
                let Usual { token, kind, ended, id, user, face, .. } = end;
                *delivered -= 1;
                let callback = user.take().and_then(Notify::into_callback);
                let is_unlock = kind == Kind::Unlock;
                let due = F::ended(face, kind, callback, &completion(&ended, None), id);
                *plain = due.map(|due| PlainDue { token, due, is_gone: is_unlock });
                if is_unlock {
                    // It has no handle any more.
                    core.remove_plain(token);
                }
                *expected = core.expected();
                return if plain.is_some() { None } else { Some(Ok(Read::Handled)) };
            }
        }
        Some(self.read_rest(state, gate, len, &buffer, Role::Other, None))
    }

    /// As [`Driver::read`], for the thread that waits for the operation of a submission which the
    /// kernel has just accepted. The core is told that under the same lock.
    pub(crate) fn read_own(
        &self,
        ticket: &Ticket,
        id: Option<LockId>,
    ) -> Result<Read<F>, ErrorKind> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let gate = lock(&self.gate);
        let len = read_gate(&gate, &mut buffer);
        let state = self.state();
        let role = Role::Waiter(ticket.token, ticket.serial);
        self.read_rest(state, gate, len, &buffer, role, Some((ticket, id)))
    }

    /// Takes the end of an operation, if somebody has read it.
    pub(crate) fn take_end(&self, begun: Begun) -> Option<Result<Completion, ErrorKind>> {
        let Begun { token, serial } = begun;
        let (end, face, has_queued) = {
            let mut state = self.state();
            let outcome = state.core.take_outcome(token, serial)?;
            let end = outcome.map(|(ended, lvb)| {
                let completion = state.completion(token, &ended);
                Completion { lvb, ..completion }
            });
            let face = state.core.settle(token);
            let has_queued = state.core.view(token).is_some_and(|view| view.has_queued);
            (end, face, has_queued)
        };
        self.guarded(move || drop(face));
        if has_queued {
            // It has waited for its predecessor's end to be taken.
            self.follow_up(token);
        }
        Some(end.map_err(|failure| self.failed(failure)))
    }

    /// What a usual end comes to.
    #[inline(always)]
    pub(crate) fn routed(&self, state: &mut State<F>, routed: Routed<F>) -> Read<F> {
        match routed {
            Routed::Mine(completion, left, gone) => {
                if let Some(token) = gone {
                    state.core.remove_in_place(token);
                }
                Read::Mine(completion, left)
            }
            Routed::Due(due) => Read::Due(due),
            Routed::Other(ended) => {
                let (report, completion, due) = *ended;
                self.route_any(state, report, &completion, due)
            }
        }
    }

    /// What is not plain.
    #[inline(never)]
    pub(crate) fn read_rest(
        &self,
        mut state: MutexGuard<'_, State<F>>,
        gate: MutexGuard<'_, Gate>,
        len: ReadLen,
        buffer: &[u8; MAX_RESULT_LEN],
        role: Role,
        accepted: Option<(&Ticket, Option<LockId>)>,
    ) -> Result<Read<F>, ErrorKind> {
        if let Some(bytes) = usual_bytes(&state, &len, buffer).filter(|_| self.flush.is_idle()) {
            let State { core, delivered, .. } = &mut *state;
            if let Some(end) = core.receive_usual(accepted, bytes) {
                let routed = route_end(end, role, delivered);
                return Ok(self.routed(&mut state, routed));
            }
        }
        let (mut follow, mut freed) = (None, None);
        if let Some((ticket, id)) = accepted {
            let accepted = state.core.accepted(ticket, id);
            follow = accepted.follow.then_some(ticket.token);
            freed = accepted.freed;
        }
        let len = match len {
            Ok(Some(len)) => len,
            nothing => {
                drop(state);
                drop(gate);
                self.follow_freed(freed);
                return self.read_nothing(nothing.map(|_| ()), follow);
            }
        };
        let received = state.core.receive(buffer.get(..len).unwrap_or(buffer));
        let read = match received {
            Received::Ended(report) => self.route(&mut state, report),
            Received::Blocking { token, mode, grant } => {
                self.route_notice(&mut state, token, Blocking { mode, grant })
            }
            Received::Dropped | Received::Nothing => Read::Handled,
        };
        drop(state);
        drop(gate);
        // The thread that has just written has no place yet that others wait for.
        self.follow_freed(freed);
        match follow {
            None => Ok(read),
            Some(token) => Ok(self.with_follow(read, token)),
        }
    }

    #[cold]
    fn with_follow(&self, read: Read<F>, token: Token) -> Read<F> {
        match read {
            Read::Effects(mut effects) if effects.follow.is_none() => {
                effects.follow = Some(token);
                Read::Effects(effects)
            }
            Read::Handled => {
                let effects = Effects { follow: Some(token), ..Effects::default() };
                Read::Effects(Box::new(effects))
            }
            read => {
                self.follow_up(token);
                read
            }
        }
    }

    #[inline(never)]
    fn read_nothing(
        &self,
        answer: Result<(), dlm_sys::Error>,
        follow: Option<Token>,
    ) -> Result<Read<F>, ErrorKind> {
        if let Some(token) = follow {
            self.follow_up(token);
        }
        match answer {
            Ok(()) => Ok(Read::Empty),
            Err(error) if is_passing(&error) => {
                self.is_read_short.store(true, crate::threads::atomic::Ordering::Relaxed);
                Ok(Read::Empty)
            }
            // A device that was taken away says what it likes.
            Err(error) => Err(self.end_or(error.into())),
        }
    }

    /// Hands the end of an operation to whoever asked for it.
    fn route(&self, state: &mut State<F>, report: Report<Notify<F>>) -> Read<F> {
        let Report { token, serial, kind, ended, user, overtaken, follow } = report;
        state.handed_out(user.as_ref());
        let completion = state.completion(token, &ended);
        let id = state.core.id(token);
        let (callback, user) = match user {
            Some(Notify::Callback(callback)) => (Some(callback), None),
            user => (None, user),
        };
        let face = state.core.face_mut(token);
        let due = face.and_then(|face| F::ended(face, kind, callback, &completion, id));
        let report = Report { token, serial, kind, ended, user, overtaken, follow };
        self.route_any(state, report, &completion, due)
    }

    #[inline(never)]
    fn route_any(
        &self,
        state: &mut State<F>,
        report: Report<Notify<F>>,
        completion: &Completion,
        due: Option<F::Due>,
    ) -> Read<F> {
        let Report { token, serial, ended, user, overtaken, follow, .. } = report;
        let mut effects = Effects::default();
        // A lock that is gone stays in the table until its owner was told, and his callback has
        // run.
        let mut is_kept = due.is_some();
        match user {
            Some(Notify::Thread(waiter)) => {
                if F::HAS_HANDLES {
                    state.core.keep(token, serial, Ok(ended));
                    is_kept = true;
                } else {
                    // Whoever has the lock's id may go on with it before this thread has woken.
                    state.observers.push(Observer::of_end(token, serial, completion));
                }
                effects.threads.extend(waiter);
            }
            Some(Notify::Task(waker)) => {
                state.core.keep(token, serial, Ok(ended));
                is_kept = true;
                effects.task = Some(waker);
            }
            other => effects.discard(other),
        }
        if let Some((serial, user, ended)) = overtaken {
            let completion = state.completion(token, &ended);
            state.tell_observers(token, serial, &completion, &mut effects.threads);
            effects.overtaken = self
                .route_overtaken(state, (token, serial), user, &completion, &mut effects)
                .map(|due| Due::Completion(token, due));
        }
        effects.due = due.map(|due| Due::Completion(token, due));
        state.tell_observers(token, serial, completion, &mut effects.threads);
        let waited = state.clock.end(Begun { token, serial });
        if let Some(name) = state.core.name(token) {
            effects.note = Note::ended(name, completion.status, completion.mode, waited);
        }
        if ended.mode.is_none() && !is_kept && !follow {
            effects.lock = state.core.settle(token);
        }
        effects.follow = follow.then_some(token);
        effects.is_flushed = state.core.released() == 0 && !self.flush.is_idle();
        Read::Effects(Box::new(effects))
    }

    /// Tells the owner of the operation that an unlock was written over.
    fn route_overtaken(
        &self,
        state: &mut State<F>,
        (token, serial): (Token, u64),
        user: Notify<F>,
        completion: &Completion,
        effects: &mut Effects<F>,
    ) -> Option<F::Due> {
        state.handed_out(Some(&user));
        match user {
            Notify::Thread(waiter) => {
                state.observers.push(Observer::of_end(token, serial, completion));
                effects.threads.extend(waiter);
                None
            }
            Notify::Callback(callback) => F::overtaken(callback, completion),
            user @ Notify::Task(_) => {
                effects.discard(Some(user));
                None
            }
        }
    }

    /// Hands a blocking notice to whoever wants it.
    #[inline(never)]
    fn route_notice(&self, state: &mut State<F>, token: Token, notice: Blocking) -> Read<F> {
        let mut effects = Effects::default();
        match state.core.face_mut(token).map(|face| F::noticed(face, notice)) {
            None | Some(Notice::Nothing) => {}
            Some(Notice::Callback) => effects.due = Some(Due::Blocking(token, notice)),
            Some(Notice::Wake(waker)) => effects.task = Some(waker),
        }
        effects.is_noticed = Some(token);
        if let Some(name) = state.core.name(token) {
            effects.note = Note::blocking(name, notice.mode);
        }
        Read::Effects(Box::new(effects))
    }
}

/// Whether the same read can succeed a moment later: memory is short.
fn is_passing(error: &dlm_sys::Error) -> bool {
    error.errno().is_some_and(|errno| [Errno::ENOMEM, Errno::EINTR, Errno::EAGAIN].contains(&errno))
}
