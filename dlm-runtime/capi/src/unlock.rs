//! Unlocks and cancels.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use dlm_core::{CancelKind, CancelStep, Kind, Rejected, Submission, UnlockLvb, Unlocking};
use dlm_proto::{LockFlags, LockId, LockStatus, NodeId, Request, Token};
use dlm_runtime::driver::{Begun, First, Notify, OthersEnd, Otherwise, Prepared, State, now};
use dlm_runtime::{Completion, ErrorKind};
use libc::{EBADF, EINVAL, ENOENT};

use crate::errno::Errno;
use crate::face::{CFace, LockData, Session};
use crate::lksb::{Ast, CallerLksb};
use crate::lock::{catching_up, tell};
use crate::task::Progress;

/// Flags of an unlock that the kernel knows.
const OF_UNLOCK: LockFlags = LockFlags::CANCEL
    .union(LockFlags::VALBLK)
    .union(LockFlags::IVVALBLK)
    .union(LockFlags::FORCEUNLOCK);

/// `sb_status` of an unlock that succeeded.
pub(crate) const EUNLOCK: c_int = LockStatus::Unlocked.to_raw().saturating_neg();

/// The longest time that an unlock waits for a request that ends by itself, if another process may
/// have read its end.
const SHARED_PATIENCE: Duration = Duration::from_millis(300);

/// An unlock or cancel call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnlockCall {
    pub(crate) id: u32,
    pub(crate) flags: LockFlags,
    pub(crate) lksb: CallerLksb,
    /// Replaces that of the lock's AST.
    pub(crate) argument: Option<NonNull<c_void>>,
}

impl UnlockCall {
    /// Whether it is a cancel.
    fn check(&self) -> Result<bool, Errno> {
        let flags = self.flags - LockFlags::WAIT;
        let is_cancel = flags.contains(LockFlags::CANCEL);
        let both = is_cancel && flags.contains(LockFlags::FORCEUNLOCK);
        if self.id == 0 || !OF_UNLOCK.contains(flags) || both {
            return Err(Errno(EINVAL));
        }
        Ok(is_cancel)
    }

    /// Unlocks a plain lock and waits, for the status, if nothing out of the ordinary happens. `None`:
    /// nothing has happened at all.
    #[inline(never)]
    pub(crate) fn wait_plainly(&self, session: &Session) -> Option<Result<c_int, Box<UnlockRest>>> {
        let (found, mut former) = (Cell::new(None), None);
        let begun = |lock: &mut LockData| former = Former::of_found(&found, lock, self);
        Some(match session.unlock_first_plain(self.find(&found)?, begun)? {
            // Otherwise it is no plain end.
            Ok(_) => {
                self.lksb.set_id(self.id);
                self.lksb.finish_plain(EUNLOCK);
                Ok(EUNLOCK)
            }
            Err(otherwise) => Err(Box::new(UnlockRest { former, otherwise })),
        })
    }

    /// Unlocks a plain lock, for its AST. `None`: nothing has happened.
    #[inline(never)]
    pub(crate) fn start_plainly(&self, session: &Session) -> Option<Result<(), Errno>> {
        let (found, mut former) = (Cell::new(None), None);
        let begun = |lock: &mut LockData| former = Former::of_found(&found, lock, self);
        let mut user = Some(Notify::Callback(self.lksb.without_lvb()));
        match session.unlock_start_plain(self.find(&found)?, begun, &mut user)? {
            Ok(_) => Some(Ok(())),
            Err(kind) => {
                Some(Err(not_started(session, kind, former.filter(|_| user.is_some()), self)))
            }
        }
    }

    /// Finds the lock of a plain unlock, with the table locked. `None`: it is no such one.
    #[inline(always)]
    fn find<'a>(
        &self,
        found: &'a Cell<Option<Token>>,
    ) -> Option<impl FnOnce(&State<CFace>) -> Option<Token> + use<'a>> {
        let id = self.id;
        let is_plain = (self.flags - LockFlags::WAIT).is_empty();
        is_plain.then_some(move |state: &State<CFace>| {
            found.set(state.core.by_id(LockId(id)));
            found.get()
        })
    }

    fn unlocking(&self, is_first: bool) -> Unlocking {
        let lvb = match self.lksb.read_lvb() {
            _ if self.flags.contains(LockFlags::IVVALBLK) => UnlockLvb::Invalidate,
            Some(block) if self.flags.contains(LockFlags::VALBLK) => UnlockLvb::Write(block),
            _ => UnlockLvb::Keep,
        };
        let force = self.flags.contains(LockFlags::FORCEUNLOCK);
        Unlocking { lvb, force, waits: !is_first }
    }
}

/// A plain unlock that something out of the ordinary has happened to.
pub(crate) struct UnlockRest {
    former: Option<Former>,
    otherwise: Otherwise<CFace>,
}

/// The state that a refused call puts back.
#[derive(Debug, Clone, Copy)]
struct Former {
    token: Token,
    ast: Option<Ast>,
    calls: u64,
    status: c_int,
}

impl Former {
    /// Takes the status block, and gives the lock's AST another argument if there is one.
    fn take(state: &mut State<CFace>, token: Token, call: &UnlockCall) -> Self {
        let mut none = LockData::default();
        Self::of(token, state.core.face_mut(token).unwrap_or(&mut none), call)
    }

    /// The same, for who has what is kept for the lock.
    fn of(token: Token, lock: &mut LockData, call: &UnlockCall) -> Self {
        let status = call.lksb.begin();
        let (ast, calls) = (lock.ast, lock.calls);
        if let (Some(ast), Some(argument)) = (ast, call.argument) {
            lock.ast = Some(ast.with_argument(argument));
        }
        Self { token, ast, calls, status }
    }

    /// The same, for the lock that was found.
    #[inline(always)]
    fn of_found(
        found: &Cell<Option<Token>>,
        lock: &mut LockData,
        call: &UnlockCall,
    ) -> Option<Self> {
        found.get().map(|token| Self::of(token, lock, call))
    }

    fn put_back(self, state: &mut State<CFace>, lksb: &CallerLksb) {
        lksb.set_status(self.status);
        let lock = state.core.face_mut(self.token).filter(|lock| lock.calls == self.calls);
        if let Some(lock) = lock {
            lock.ast = self.ast;
        }
    }
}

/// An unlock or cancel that does not wait.
pub(crate) fn start(session: &Session, call: &UnlockCall) -> Result<(), Errno> {
    call.start_plainly(session).unwrap_or_else(|| start_otherwise(session, call))
}

/// An unlock or cancel that waits, for the status.
pub(crate) fn wait(session: Arc<Session>, call: &UnlockCall) -> Result<Progress<c_int>, Errno> {
    match call.wait_plainly(&session) {
        Some(Ok(status)) => Ok(Progress::Ended(status)),
        Some(Err(rest)) => wait_rest(&session, *rest, call),
        None => wait_otherwise(session, call),
    }
}

fn start_otherwise(session: &Session, call: &UnlockCall) -> Result<(), Errno> {
    if call.check()? {
        return Ok(Cancelling::begin(session, call, false).map(|_| ())?);
    }
    let mut former = None;
    let mut user = Some(Notify::Callback(call.lksb.without_lvb()));
    let begun = unlocking(session, call, |is_first| {
        let prepare = |state: &mut State<CFace>, user: &mut _, out: &mut Submission| {
            *user = Some(Notify::Callback(call.lksb.without_lvb()));
            prepare(state, call, is_first, &mut former, user, out)
        };
        session.call_start(prepare, &mut user, None)
    });
    match begun {
        Ok(_) => Ok(()),
        Err(kind) => Err(not_started(session, kind, former.filter(|_| user.is_some()), call)),
    }
}

/// An unlock that ends in an AST was refused. `former`: its caller is told by this alone.
#[cold]
#[inline(never)]
fn not_started(
    session: &Session,
    kind: ErrorKind,
    former: Option<Former>,
    call: &UnlockCall,
) -> Errno {
    if let Some(former) = former {
        former.put_back(&mut session.state(), &call.lksb);
    }
    kind.into()
}

fn wait_otherwise(session: Arc<Session>, call: &UnlockCall) -> Result<Progress<c_int>, Errno> {
    if call.check()? {
        return wait_for_cancel(session, call);
    }
    let mut former = None;
    let begun = unlocking(&session, call, |is_first| {
        let prepare = |state: &mut State<CFace>, user: &mut _, out: &mut Submission| {
            prepare(state, call, is_first, &mut former, user, out)
        };
        session.call_first(prepare)
    });
    unlock_begun(session, begun, former, call)
}

/// A plain unlock, after something out of the ordinary has happened.
#[cold]
#[inline(never)]
pub(crate) fn wait_rest(
    session: &Session,
    rest: UnlockRest,
    call: &UnlockCall,
) -> Result<Progress<c_int>, Errno> {
    // Whoever calls has it.
    let session = session.upgrade().ok_or(Errno(EBADF))?;
    unlock_begun(session, rest.otherwise.first(), rest.former, call)
}

/// An unlock has begun for which its caller waits, or has not.
fn unlock_begun(
    session: Arc<Session>,
    begun: Result<First<CFace>, ErrorKind>,
    former: Option<Former>,
    call: &UnlockCall,
) -> Result<Progress<c_int>, Errno> {
    let end = match begun {
        Ok(Err(unfinished)) => {
            let call = *call;
            return Ok(Progress::goes_on(|outer| async move {
                let end = session.see_through(&*outer, unfinished, None).await;
                unlock_ended(&session, end, former, &call)
            }));
        }
        Ok(Ok(completion)) => Ok(completion),
        Err(kind) => Err(kind),
    };
    unlock_ended(&session, end, former, call).map(Progress::Ended)
}

/// Tells the caller how his unlock has ended, or that it was refused. Returns the status.
#[inline]
fn unlock_ended(
    session: &Session,
    end: Result<Completion, ErrorKind>,
    former: Option<Former>,
    call: &UnlockCall,
) -> Result<c_int, Errno> {
    match (end, former) {
        (Err(kind), former) => {
            if let Some(former) = former {
                former.put_back(&mut session.state(), &call.lksb);
            }
            Err(kind.into())
        }
        (end, _) => tell(end, (Kind::Unlock, LockId(call.id)), &call.lksb.without_lvb(), 0),
    }
}

/// Begins an unlock, with the table locked.
fn prepare(
    state: &mut State<CFace>,
    call: &UnlockCall,
    is_first: bool,
    former: &mut Option<Former>,
    user: &mut Option<Notify<CFace>>,
    out: &mut Submission,
) -> Prepared {
    let token = state.core.by_id(LockId(call.id)).ok_or(Rejected::LockGone)?;
    if is_first && state.core.is_shared() && ends_by_itself(state, token).is_some() {
        return Err(Rejected::InFlight);
    }
    let queueing = state.core.unlock(token, &call.unlocking(is_first), user, out)?;
    *former = Some(Former::take(state, token, call));
    Ok((Begun::of(token, queueing, out), queueing))
}

/// The request of a lock, if it is in flight and ends by itself: by then its id may be another's.
fn ends_by_itself(state: &State<CFace>, token: Token) -> Option<Begun> {
    let view = state.core.view(token).filter(|view| view.ends_by_itself)?;
    Some(Begun { token, serial: view.serial })
}

/// Begins an unlock when the request of the lock is not in flight, if that ends by itself.
fn unlocking<T>(
    session: &Session,
    call: &UnlockCall,
    mut begin: impl FnMut(bool) -> Result<T, ErrorKind>,
) -> Result<T, ErrorKind> {
    catching_up(session, |is_first| {
        if !is_first {
            await_shared(session, call.id)?;
        }
        begin(is_first)
    })
}

/// Waits for a moment, if another process may have read the end of the lock's request. Then the
/// kernel is asked.
fn await_shared(session: &Session, id: u32) -> Result<(), ErrorKind> {
    let observed = {
        let mut state = session.state();
        let token = state.core.by_id(LockId(id)).filter(|_| state.core.is_shared());
        let begun = token.and_then(|token| ends_by_itself(&state, token));
        begun.map(|begun| state.observe(begun).quiet())
    };
    if let Some(observed) = observed {
        let deadline = now().checked_add(SHARED_PATIENCE);
        session.await_others(observed, deadline)?;
    }
    Ok(())
}

/// A cancel that was begun.
#[derive(Debug)]
struct Cancelling {
    former: Former,
    /// For the call that waits.
    observed: Option<OthersEnd>,
}

impl Cancelling {
    /// Begins a cancel. `None`: nothing is in flight.
    fn begin(session: &Session, call: &UnlockCall, waits: bool) -> Result<Option<Self>, ErrorKind> {
        let mut begun = None;
        let step = session.cancel(|state, out| {
            let token = state.core.by_id(LockId(call.id)).ok_or(ErrorKind::LockGone)?;
            let step = state.core.cancel(token, None, CancelKind::Plain, false, out);
            let lock = state.core.face_mut(token);
            let is_twice = lock.is_some_and(|lock| lock.canceller.is_some());
            match step {
                CancelStep::Nothing => return Ok(step),
                // The kernel would refuse it, with a warning.
                CancelStep::Already => return Err(ErrorKind::NothingToCancel),
                CancelStep::EndsByItself if is_twice => return Err(ErrorKind::NothingToCancel),
                _ => {}
            }
            let former = Former::take(state, token, call);
            let serial = state.core.view(token).map_or(0, |view| view.serial);
            let observed = waits.then(|| state.observe(Begun { token, serial }));
            if let Some(lock) = state.core.face_mut(token).filter(|_| !waits) {
                lock.canceller = Some(call.lksb.without_lvb());
            }
            begun = Some(Self { former, observed });
            Ok(step)
        });
        match (step, begun) {
            (Ok(CancelStep::Nothing), None) => Ok(None),
            (Ok(CancelStep::Nothing), Some(begun)) => {
                // It has ended in the meantime: its end tells the canceller, unless somebody else
                // has read it.
                session.read_all()?;
                if begun.is_told(session) {
                    return Ok(Some(begun));
                }
                begun.undo(session, &call.lksb);
                Err(ErrorKind::LockGone)
            }
            (Err(kind), Some(begun)) => {
                if !begun.is_told(session) {
                    begun.undo(session, &call.lksb);
                }
                Err(kind)
            }
            (Err(kind), None) => Err(kind),
            (Ok(_), begun) => Ok(begun),
        }
    }

    /// Whether what was cancelled has ended, and the canceller is told of that.
    fn is_told(&self, session: &Session) -> bool {
        let mut state = session.state();
        match self.observed {
            Some(observed) => state.has_ended(observed),
            None => {
                let lock = state.core.face_mut(self.former.token);
                lock.is_none_or(|lock| lock.canceller.is_none())
            }
        }
    }

    fn undo(self, session: &Session, lksb: &CallerLksb) {
        let mut state = session.state();
        match self.observed {
            Some(observed) => state.look_away(observed),
            None => {
                if let Some(lock) = state.core.face_mut(self.former.token) {
                    lock.canceller = None;
                }
            }
        }
        self.former.put_back(&mut state, lksb);
    }
}

fn wait_for_cancel(session: Arc<Session>, call: &UnlockCall) -> Result<Progress<c_int>, Errno> {
    let Some(begun) = Cancelling::begin(&session, call, true)? else {
        call.lksb.set_status(0);
        return Ok(Progress::Ended(0));
    };
    let Some(observed) = begun.observed else { return Err(Errno(ENOENT)) };
    let (call, status) = (*call, begun.former.status);
    Ok(Progress::goes_on(|outer| async move {
        cancel_ended(session.await_others_on(&*outer, observed, None).await, &call, status)
    }))
}

/// Tells the caller how what he has cancelled has ended. Returns the status.
fn cancel_ended(
    end: Result<Option<Completion>, ErrorKind>,
    call: &UnlockCall,
    former: c_int,
) -> Result<c_int, Errno> {
    let kind = if end.as_ref().is_ok_and(|end| end.is_some_and(|end| end.mode.is_none())) {
        Kind::Request
    } else {
        Kind::Convert
    };
    let end = end.and_then(|end| end.ok_or(ErrorKind::LockGone));
    tell(end, (kind, LockId(call.id)), &call.lksb.without_lvb(), former)
}

/// Ends what a lock waits for, with EDEADLK. Also locks of other processes: that is what it is for,
/// and the kernel tells their owners.
pub(crate) fn cancel_deadlock(session: &Session, id: u32, flags: LockFlags) -> Result<(), Errno> {
    if id == 0 || !OF_UNLOCK.contains(flags) {
        return Err(Errno(EINVAL));
    }
    let mut is_ours = false;
    let step = session.cancel(|state, out| {
        let Some(token) = state.core.by_id(LockId(id)) else { return Ok(CancelStep::Nothing) };
        is_ours = true;
        match state.core.cancel(token, None, CancelKind::Deadlock, false, out) {
            CancelStep::Already => Err(ErrorKind::NothingToCancel),
            step => Ok(step),
        }
    });
    step?;
    if !is_ours {
        // Without CANCEL a granted lock would keep a mark that spoils its next cancel.
        let flags = flags | LockFlags::CANCEL;
        session.submit_other(&Request::Deadlock { lock: LockId(id), flags })?;
    }
    Ok(())
}

/// Removes orphans.
pub(crate) fn purge(session: &Session, node: u32, task: u32) -> Result<(), Errno> {
    Ok(session.purge(NodeId(node), task)?)
}
