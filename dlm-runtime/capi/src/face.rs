//! The C face of a driver: ASTs in place of callbacks, and status blocks that are filled in.
//!
//! Kept in the table is the status block of an operation that ends in an AST, which belongs to the
//! library until then. A call that waits fills in its own, in its own thread: of such a caller
//! nothing is kept that could be touched when he has returned.

use std::ffi::c_int;
use std::task::Waker;

use dlm_core::Kind;
use dlm_proto::{LockId, Token};
use dlm_runtime::driver::{Driver, Due, Face, Notice};
use dlm_runtime::{Blocking, Completion};

use crate::lksb::{Ast, CallerLksb, Report};

/// The C face.
#[derive(Debug)]
pub(crate) struct CFace;

/// An open lockspace.
pub(crate) type Session = Driver<CFace>;

/// The data kept for a lock.
#[derive(Debug, Default)]
pub(crate) struct LockData {
    /// The completion AST of the last lock call; none if that waited. An unlock calls it, too.
    pub(crate) ast: Option<Ast>,
    /// The blocking AST of the last lock call.
    pub(crate) bast: Option<Ast>,
    /// The status block of who has cancelled the operation in flight and does not wait.
    pub(crate) canceller: Option<CallerLksb>,
    /// Counts the calls that have changed the ASTs.
    pub(crate) calls: u64,
}

/// Status blocks to be filled in, and an AST to be called.
#[derive(Debug)]
pub(crate) struct DueAst {
    lksbs: [Option<CallerLksb>; 2],
    report: Report,
    ast: Option<Ast>,
    /// There is no lock any more.
    is_gone: bool,
}

impl Face for CFace {
    type Callback = CallerLksb;
    type Lock = LockData;
    type Due = DueAst;

    const RUNS_IN_WAITS: bool = true;
    const HAS_HANDLES: bool = false;

    #[inline]
    fn keep_plain(place: &mut LockData, lock: &mut LockData) {
        // All of it is plain data.
        *place = std::mem::take(lock);
    }

    fn learned(callback: &CallerLksb, id: LockId) {
        callback.set_id(id.0);
    }

    #[inline(always)]
    fn ended(
        lock: &mut LockData,
        kind: Kind,
        callback: Option<CallerLksb>,
        completion: &Completion,
        id: LockId,
    ) -> Option<DueAst> {
        let canceller = lock.canceller.take();
        // What a thread waits for calls no AST, unless it is an unlock.
        let ast = lock.ast.filter(|_| callback.is_some() || kind == Kind::Unlock);
        if callback.is_none() && canceller.is_none() && ast.is_none() {
            return None;
        }
        let report = Report::new(kind, completion, id);
        if let (Some(lksb), Kind::Request) = (&callback, kind) {
            // Until the AST is called the block is the library's. Its caller may look for the id as
            // soon as his call has returned.
            lksb.set_id(report.id.unwrap_or(0));
        }
        let is_gone = completion.mode.is_none();
        Some(DueAst { lksbs: [callback, canceller], report, ast, is_gone })
    }

    /// What an unlock was written over ends with it, and has no AST of its own.
    fn overtaken(_: CallerLksb, _: &Completion) -> Option<DueAst> {
        None
    }

    fn is_vacant(_: &LockData) -> bool {
        true
    }

    fn noticed(lock: &mut LockData, _: Blocking) -> Notice {
        if lock.bast.is_some() { Notice::Callback } else { Notice::Nothing }
    }

    fn take_waker(_: &mut LockData) -> Option<Waker> {
        None
    }

    fn failed(lock: &mut LockData, callback: CallerLksb, errno: c_int) -> Option<DueAst> {
        let lksbs = [Some(callback), lock.canceller.take()];
        let report = Report { status: errno, id: None, flags: 0, lvb: None };
        Some(DueAst { lksbs, report, ast: lock.ast, is_gone: true })
    }
}

impl DueAst {
    /// Fills in the status blocks. What is left is to call this AST.
    fn tell(&self) -> Option<Ast> {
        for lksb in self.lksbs.iter().flatten() {
            lksb.finish(&self.report);
        }
        self.ast
    }
}

/// As [`ast_of`], for a completion. `is_removed`: the lock has left the table.
#[inline(always)]
pub(crate) fn completion_ast(
    driver: &Session,
    token: Token,
    due: &DueAst,
    is_removed: bool,
) -> Option<Ast> {
    if due.is_gone && !is_removed {
        driver.state().core.settle(token);
    }
    due.tell()
}

/// Tells the caller what is due. What is left is to call this AST.
pub(crate) fn ast_of(driver: &Session, due: &Due<CFace>) -> Option<Ast> {
    match due {
        &(Due::Completion(token, ref due) | Due::Now(token, ref due)) => {
            completion_ast(driver, token, due, false)
        }
        Due::Gone(due) => due.tell(),
        &Due::Blocking(token, _) => {
            let mut state = driver.state();
            let view = state.core.view(token);
            let is_there = view.is_some_and(|view| view.mode.is_some() || view.op.is_some());
            state.core.face_mut(token).filter(|_| is_there).and_then(|lock| lock.bast)
        }
        // There are no tasks in C.
        Due::Wake(_) => None,
    }
}

impl Report {
    /// The content of a status block for an end.
    pub(crate) fn new(kind: Kind, completion: &Completion, id: LockId) -> Self {
        // An id that names nothing is not left where a caller might use it.
        let is_failed_request = kind == Kind::Request && completion.mode.is_none();
        Self {
            status: completion.status.to_raw().saturating_neg(),
            id: Some(if is_failed_request { 0 } else { id.0 }),
            flags: completion.flags.bits(),
            lvb: completion.lvb.map(|lvb| lvb.block),
        }
    }
}
