//! Lock calls: requests, conversions, and the adoption of orphans.
//!
//! The kernel is the judge of what may be done when. Refused here is only what would harm it: see
//! the table of compatibility choices in README.md.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Instant;

use dlm_core::{Conversion, Kind, NewLock, Rejected, Submission};
use dlm_proto::{LockFlags, LockId, LockStatus, LvbTransfer, Mode, ModeCode, ResourceName, Token};
use dlm_runtime::driver::{Begun, First, Notify, Otherwise, Prepared, State};
use dlm_runtime::{Completion, ErrorKind};
use libc::{EBADF, EINVAL};

use crate::errno::Errno;
use crate::face::{CFace, LockData, Session};
use crate::lksb::{Ast, CallerLksb, Report};
use crate::task::Progress;

/// Flags of a lock call that are not for the kernel: ours, and one that it takes and should not.
const NOT_SENT: LockFlags = LockFlags::WAIT.union(LockFlags::TIMEOUT).union(LockFlags::FORCEUNLOCK);

/// A lock call.
#[derive(Debug)]
pub(crate) struct LockCall<'a> {
    pub(crate) mode: u32,
    pub(crate) flags: LockFlags,
    pub(crate) name: &'a [u8],
    pub(crate) lksb: CallerLksb,
    pub(crate) ast: Option<Ast>,
    pub(crate) bast: Option<Ast>,
    pub(crate) xid: u64,
    pub(crate) deadline: Option<Instant>,
}

impl LockCall<'_> {
    fn check(&self) -> Result<(Mode, LockFlags), Errno> {
        let mode = u8::try_from(self.mode).ok().and_then(|mode| ModeCode(mode).known());
        let mode = mode.ok_or(Errno(EINVAL))?;
        if self.flags.contains(LockFlags::VALBLK) && !self.lksb.has_value_block() {
            return Err(Errno(EINVAL));
        }
        Ok((mode, self.flags - NOT_SENT))
    }

    fn resource(&self) -> Result<ResourceName, Errno> {
        Ok(ResourceName::new(self.name).map_err(ErrorKind::from)?)
    }

    const fn new_lock<'n>(
        &self,
        name: &'n ResourceName,
        mode: Mode,
        flags: LockFlags,
    ) -> NewLock<'n> {
        NewLock { name, mode, flags, xid: self.xid, notices: self.bast.is_some() }
    }

    /// The data kept for the lock. An AST is not called for what is waited for.
    fn data(&self, waits: bool) -> LockData {
        let ast = self.ast.filter(|_| !waits);
        LockData { ast, bast: self.bast, ..LockData::default() }
    }
}

/// A request for a lock as most of them are: without blocking AST, transaction id, deadline and flags but
/// NOQUEUE.
#[derive(Debug)]
pub(crate) struct PlainLock {
    name: ResourceName,
    mode: Mode,
    flags: LockFlags,
    lksb: CallerLksb,
    ast: Option<Ast>,
}

/// A plain request that something out of the ordinary has happened to.
pub(crate) struct LockRest {
    lksb: CallerLksb,
    former: c_int,
    otherwise: Otherwise<CFace>,
}

impl PlainLock {
    /// The call as such a request, if it is one.
    #[inline(always)]
    pub(crate) fn of(call: &LockCall<'_>) -> Option<Self> {
        let flags = call.flags - LockFlags::WAIT;
        let is_plain = LockFlags::NOQUEUE.contains(flags)
            && call.bast.is_none()
            && call.xid == 0
            && call.deadline.is_none();
        if !is_plain {
            return None;
        }
        let mode = ModeCode(u8::try_from(call.mode).ok()?).known()?;
        let name = ResourceName::new(call.name).ok()?;
        Some(Self { name, mode, flags, lksb: call.lksb, ast: call.ast })
    }

    /// Requests the lock and waits, for the status, if nothing out of the ordinary happens. `None`: nothing
    /// has happened at all.
    #[inline(never)]
    pub(crate) fn wait(&self, session: &Session) -> Option<Result<c_int, Box<LockRest>>> {
        let Self { name, mode, flags, lksb, .. } = self;
        let former = lksb.begin();
        let keep = |place: &mut LockData| *place = LockData::default();
        // Others may cancel the request by its id.
        let told = |id: LockId| lksb.set_id(id.0);
        Some(match session.lock_first_plain(name, *mode, *flags, keep, told) {
            None => {
                lksb.set_status(former);
                return None;
            }
            Some(Ok(status)) => {
                if status == LockStatus::Granted {
                    lksb.finish_plain(0);
                    return Some(Ok(0));
                }
                let status = status.to_raw().saturating_neg();
                lksb.set_id(0);
                lksb.finish_plain(status);
                Ok(status)
            }
            Some(Err(otherwise)) => Err(Box::new(LockRest { lksb: *lksb, former, otherwise })),
        })
    }

    /// Requests the lock, for an AST. `None`: nothing has happened.
    #[inline(never)]
    pub(crate) fn start(&self, session: &Session) -> Option<Result<(), Errno>> {
        let Self { name, mode, flags, lksb, ast } = self;
        let former = lksb.begin();
        let mut user = Some(Notify::Callback(*lksb));
        let keep = |place: &mut LockData| *place = LockData { ast: *ast, ..LockData::default() };
        match session.start_lock_plain(name, *mode, *flags, &mut user, keep) {
            Some(Ok(_)) => Some(Ok(())),
            None => {
                lksb.set_status(former);
                None
            }
            Some(Err(kind)) => Some(Err(not_started(kind, user.is_some(), lksb, former))),
        }
    }
}

/// A request that ends in an AST was refused. `is_told`: its caller is told by this alone.
#[cold]
#[inline(never)]
fn not_started(kind: ErrorKind, is_told: bool, lksb: &CallerLksb, former: c_int) -> Errno {
    if is_told {
        lksb.set_status(former);
    }
    kind.into()
}

/// A lock call that ends in an AST.
pub(crate) fn start(session: &Session, call: &LockCall<'_>) -> Result<(), Errno> {
    let plain = PlainLock::of(call).and_then(|lock| lock.start(session));
    plain.unwrap_or_else(|| start_otherwise(session, call))
}

/// A lock call that waits, for the status.
pub(crate) fn wait(session: Arc<Session>, call: &LockCall<'_>) -> Result<Progress<c_int>, Errno> {
    match PlainLock::of(call).and_then(|lock| lock.wait(&session)) {
        Some(Ok(status)) => Ok(Progress::Ended(status)),
        Some(Err(rest)) => wait_rest(&session, *rest),
        None => wait_otherwise(session, call),
    }
}

fn start_otherwise(session: &Session, call: &LockCall<'_>) -> Result<(), Errno> {
    let (mode, flags) = call.check()?;
    if flags.contains(LockFlags::CONVERT) {
        return start_conversion(session, call, mode, flags);
    }
    if flags.contains(LockFlags::ORPHAN) {
        return adopt(session, call, mode, flags, false);
    }
    let name = call.resource()?;
    let former = call.lksb.begin();
    let mut user = Some(Notify::Callback(call.lksb));
    let new = call.new_lock(&name, mode, flags);
    let begun = session.lock_start(&new, &mut user, &mut call.data(false), call.deadline);
    match begun {
        Ok(_) => Ok(()),
        Err(kind) => Err(not_started(kind, user.is_some(), &call.lksb, former)),
    }
}

fn wait_otherwise(session: Arc<Session>, call: &LockCall<'_>) -> Result<Progress<c_int>, Errno> {
    let (mode, flags) = call.check()?;
    if flags.contains(LockFlags::CONVERT) {
        return wait_for_conversion(session, call, mode, flags);
    }
    if flags.contains(LockFlags::ORPHAN) {
        return adopt(&session, call, mode, flags, true).map(|()| Progress::Ended(0));
    }
    let name = call.resource()?;
    let lksb = call.lksb;
    let former = lksb.begin();
    let new = call.new_lock(&name, mode, flags);
    // Others may cancel the request by its id.
    let told = |id: LockId| lksb.set_id(id.0);
    let deadline = call.deadline;
    let begun = session.lock_first(&new, &mut call.data(true), deadline, told);
    request_begun(session, begun.map(|(_, first)| first), &lksb, former, deadline)
}

/// A plain request, after something out of the ordinary has happened.
#[cold]
#[inline(never)]
pub(crate) fn wait_rest(session: &Session, rest: LockRest) -> Result<Progress<c_int>, Errno> {
    let LockRest { lksb, former, otherwise } = rest;
    // Whoever calls has it.
    let session = session.upgrade().ok_or(Errno(EBADF))?;
    request_begun(session, otherwise.first(), &lksb, former, None)
}

/// A request has begun for which its caller waits, or has not.
fn request_begun(
    session: Arc<Session>,
    begun: Result<First<CFace>, ErrorKind>,
    lksb: &CallerLksb,
    former: c_int,
    deadline: Option<Instant>,
) -> Result<Progress<c_int>, Errno> {
    let (lksb, what) = (*lksb, (Kind::Request, LockId(lksb.id())));
    match begun {
        Ok(Ok(completion)) => tell(Ok(completion), what, &lksb, former).map(Progress::Ended),
        Ok(Err(unfinished)) => Ok(Progress::goes_on(|outer| async move {
            tell(session.see_through(&*outer, unfinished, deadline).await, what, &lksb, former)
        })),
        Err(kind) => {
            lksb.set_status(former);
            Err(kind.into())
        }
    }
}

/// Tells a caller who has waited how his operation has ended. Returns the status.
pub(crate) fn tell(
    end: Result<Completion, ErrorKind>,
    (kind, id): (Kind, LockId),
    lksb: &CallerLksb,
    former: c_int,
) -> Result<c_int, Errno> {
    let report = match end {
        Ok(completion) => Report::new(kind, &completion, id),
        Err(ErrorKind::TimedOut(_)) if kind != Kind::Unlock => {
            let id = if kind == Kind::Request { 0 } else { id.0 };
            Report { status: libc::ETIMEDOUT, id: Some(id), flags: 0, lvb: None }
        }
        Err(error) => {
            lksb.set_status(former);
            return Err(error.into());
        }
    };
    lksb.finish(&report);
    Ok(report.status)
}

/// Takes over an orphan. That is done when the kernel answers; no completion follows.
fn adopt(
    session: &Session,
    call: &LockCall<'_>,
    mode: Mode,
    flags: LockFlags,
    waits: bool,
) -> Result<(), Errno> {
    let name = call.resource()?;
    let new = call.new_lock(&name, mode, flags - LockFlags::ORPHAN);
    let token = session.adopt(&new, &mut call.data(waits))?;
    let id = session.state().core.id(token);
    call.lksb.set_id(id.0);
    call.lksb.set_status(0);
    Ok(())
}

/// The state that a refused conversion puts back.
#[derive(Debug)]
struct Former {
    token: Token,
    /// The number of the call that has changed the ASTs.
    call: u64,
    ast: Option<Ast>,
    bast: Option<Ast>,
    status: c_int,
}

impl Former {
    fn put_back(self, session: &Session, lksb: &CallerLksb) {
        lksb.set_status(self.status);
        let mut state = session.state();
        let lock = state.core.face_mut(self.token).filter(|lock| lock.calls == self.call);
        if let Some(lock) = lock {
            lock.ast = self.ast;
            lock.bast = self.bast;
        }
    }
}

/// A conversion on its way.
#[derive(Debug)]
struct Attempt<'a> {
    call: &'a LockCall<'a>,
    mode: Mode,
    flags: LockFlags,
    waits: bool,
    /// Nothing was read for it yet.
    is_first: bool,
    former: Option<Former>,
    /// The status block, with its value block if that is fetched.
    lksb: CallerLksb,
}

impl<'a> Attempt<'a> {
    const fn new(call: &'a LockCall<'a>, mode: Mode, flags: LockFlags, waits: bool) -> Self {
        Self { call, mode, flags, waits, is_first: true, former: None, lksb: call.lksb }
    }

    /// Begins it, with the table locked.
    fn prepare(
        &mut self,
        state: &mut State<CFace>,
        user: &mut Option<Notify<CFace>>,
        out: &mut Submission,
    ) -> Prepared {
        let Self { call, mode, flags, waits, .. } = *self;
        let token = state.core.by_id(LockId(call.lksb.id())).ok_or(Rejected::LockGone)?;
        let view = state.core.view(token).ok_or(Rejected::LockGone)?;
        if self.is_first && view.op.is_some() && state.core.is_shared() {
            return Err(Rejected::InFlight);
        }
        let from = view.mode.or(view.op.map(|op| op.mode));
        let fetches = from.is_some_and(|from| from.lvb_transfer(mode) == LvbTransfer::Read);
        self.lksb = if fetches { call.lksb } else { call.lksb.without_lvb() };
        if !waits {
            *user = Some(Notify::Callback(self.lksb));
        }
        let conversion = Conversion {
            mode,
            flags,
            write: call.lksb.read_lvb().filter(|_| flags.contains(LockFlags::VALBLK)),
            persistent: false,
            xid: Some(call.xid),
            notices: Some(call.bast.is_some()),
        };
        let queueing = state.core.convert(token, &conversion, user, out)?;
        let status = call.lksb.begin();
        if let Some(lock) = state.core.face_mut(token) {
            lock.calls += 1;
            let ast = std::mem::replace(&mut lock.ast, call.ast.filter(|_| !waits));
            let bast = std::mem::replace(&mut lock.bast, call.bast);
            self.former = Some(Former { token, call: lock.calls, ast, bast, status });
        }
        Ok((Begun::of(token, queueing, out), queueing))
    }
}

/// Calls again with what is there to read read, if an operation of the lock is in flight as far as
/// is known here: the kernel may know better, and goes by that.
pub(crate) fn catching_up<T>(
    session: &Session,
    mut call: impl FnMut(bool) -> Result<T, ErrorKind>,
) -> Result<T, ErrorKind> {
    match call(true) {
        Err(ErrorKind::InFlight) => {
            session.read_all()?;
            call(false)
        }
        answer => answer,
    }
}

fn start_conversion(
    session: &Session,
    call: &LockCall<'_>,
    mode: Mode,
    flags: LockFlags,
) -> Result<(), Errno> {
    let mut attempt = Attempt::new(call, mode, flags, false);
    let mut user = None;
    let begun = catching_up(session, |is_first| {
        attempt.is_first = is_first;
        let prepare = |state: &mut _, user: &mut _, out: &mut _| attempt.prepare(state, user, out);
        session.call_start(prepare, &mut user, call.deadline)
    });
    match (begun, attempt.former) {
        (Ok(_), _) => Ok(()),
        (Err(kind), Some(former)) => {
            if user.is_some() {
                former.put_back(session, &call.lksb);
            }
            Err(kind.into())
        }
        (Err(kind), None) => Err(kind.into()),
    }
}

fn wait_for_conversion(
    session: Arc<Session>,
    call: &LockCall<'_>,
    mode: Mode,
    flags: LockFlags,
) -> Result<Progress<c_int>, Errno> {
    let mut attempt = Attempt::new(call, mode, flags, true);
    let begun = catching_up(&session, |is_first| {
        attempt.is_first = is_first;
        let prepare = |state: &mut _, user: &mut _, out: &mut _| attempt.prepare(state, user, out);
        session.call_first(prepare)
    });
    let Attempt { former, lksb, .. } = attempt;
    let end = match begun {
        Ok(Err(unfinished)) => {
            let deadline = call.deadline;
            return Ok(Progress::goes_on(|outer| async move {
                let end = session.see_through(&*outer, unfinished, deadline).await;
                conversion_ended(&session, end, former, &lksb)
            }));
        }
        Ok(Ok(completion)) => Ok(completion),
        Err(kind) => Err(kind),
    };
    conversion_ended(&session, end, former, &lksb).map(Progress::Ended)
}

/// Tells the caller how his conversion has ended, or that it was refused. Returns the status.
fn conversion_ended(
    session: &Session,
    end: Result<Completion, ErrorKind>,
    former: Option<Former>,
    lksb: &CallerLksb,
) -> Result<c_int, Errno> {
    match (end, former) {
        (Err(kind), None) => Err(kind.into()),
        (Err(kind), Some(former)) if !matches!(kind, ErrorKind::TimedOut(_)) => {
            former.put_back(session, lksb);
            Err(kind.into())
        }
        (end, former) => {
            let status = former.map_or(0, |former| former.status);
            tell(end, (Kind::Convert, LockId(lksb.id())), lksb, status)
        }
    }
}
