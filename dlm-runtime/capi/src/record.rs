//! What is known of one lock: what the kernel keeps of its last calls, and what is in flight.

use std::sync::Arc;

use dlm_proto::{LockFlags, LockStatus, LvbTransfer, Mode, StatusFlags, ValueBlock};

use crate::lksb::{Ast, CallerLksb, Report};
use crate::wait::Waiter;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Convert,
    Unlock,
}

/// Who has cancelled an operation: his status block, and the thread that waits for the end.
pub(crate) type Canceller = (CallerLksb, Option<Arc<Waiter>>);

/// An operation in flight.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) flags: LockFlags,
    /// `None` once its waiter has given up.
    pub(crate) lksb: Option<CallerLksb>,
    /// The thread that waits in the call; otherwise an AST is run.
    pub(crate) waiter: Option<Arc<Waiter>>,
    /// Who cancelled it: filled in, too, and told if he waits.
    pub(crate) canceller: Option<Box<Canceller>>,
    /// A thread that waits for the end to unlock the lock then, and is told nothing else.
    pub(crate) onlooker: Option<Arc<Waiter>>,
    /// What a conversion writes into the resource.
    pub(crate) written: Option<ValueBlock>,
    /// One cancel per operation: the kernel refuses a second one with a warning.
    pub(crate) is_cancelled: bool,
    /// It was cancelled because its time was up.
    pub(crate) timed_out: bool,
    /// What was in flight when an unlock was written over it.
    pub(crate) under: Option<Box<Op>>,
}

impl Op {
    pub(crate) fn new(
        kind: Kind,
        mode: Mode,
        flags: LockFlags,
        lksb: CallerLksb,
        waiter: Option<Arc<Waiter>>,
    ) -> Self {
        Self {
            kind,
            mode,
            flags,
            lksb: Some(lksb),
            waiter,
            canceller: None,
            onlooker: None,
            written: None,
            is_cancelled: false,
            timed_out: false,
            under: None,
        }
    }

    pub(crate) fn is_async(&self) -> bool {
        self.waiter.is_none()
    }

    /// Whether it ends by itself, any moment, and its lock with it: the id may then be another's.
    pub(crate) fn ends_by_itself(&self) -> bool {
        self.kind == Kind::Request && (self.flags.contains(LockFlags::NOQUEUE) || self.is_cancelled)
    }

    fn valblk(&self) -> bool {
        self.flags.contains(LockFlags::VALBLK)
    }
}

/// A lock, from its request until it is known to be gone.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// 0 until it is known.
    pub(crate) id: u32,
    /// The process that made the last request for it: comes back in its results.
    pub(crate) owner: u32,
    pub(crate) granted: Option<Mode>,
    pub(crate) op: Option<Op>,
    /// Counts the operations.
    pub(crate) serial: u64,
    /// The completion AST of the last lock call; none if that waited. An unlock calls it, too.
    pub(crate) ast: Option<Ast>,
    pub(crate) bast: Option<Ast>,
    /// The flags of the last lock call, which the kernel adds to those of an unlock.
    pub(crate) sticky: LockFlags,
    /// The resource's value block, if it was seen or written and cannot have changed since.
    pub(crate) known: Option<ValueBlock>,
    /// Whether the table knows it by its id.
    pub(crate) is_named: bool,
}

/// How an operation ended, and who is told.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) report: Report,
    /// Called unless a thread waited; after an unlock, in any case.
    pub(crate) ast: Option<Ast>,
    /// There is no lock any more.
    pub(crate) is_gone: bool,
}

impl Record {
    /// A completion came. `tell` is called with what has ended by it. `None` if nothing of ours has.
    pub(crate) fn complete(
        &mut self,
        status: LockStatus,
        flags: StatusFlags,
        lvb: Option<&ValueBlock>,
        tell: impl FnOnce(&Op, &Report),
    ) -> Option<Ended> {
        let flying = self.op.as_mut()?;
        let under;
        let (op, goes_on) = if flying.kind == Kind::Unlock && status != LockStatus::Unlocked {
            // That of what was in flight before; the unlock's own follows.
            under = flying.under.take()?;
            (&*under, true)
        } else {
            (&*flying, false)
        };
        let fetched = settle(op, &mut self.granted, &mut self.known, status, flags, lvb);
        let is_gone = self.granted.is_none();
        let number = match status {
            LockStatus::Cancelled if op.timed_out => libc::ETIMEDOUT,
            status => status.to_raw().saturating_neg(),
        };
        // An id that names nothing is not left where a caller might use it.
        let id = if is_gone && op.kind == Kind::Request { 0 } else { self.id };
        let report = Report { status: number, id, flags: flags.bits(), lvb: fetched };
        let ast = self.ast.filter(|_| op.is_async() || op.kind == Kind::Unlock);
        tell(op, &report);
        if !goes_on {
            self.op = None;
        }
        Some(Ended { report, ast, is_gone })
    }

    /// What an unlock with these flags must carry: what the caller gave to be stored, and otherwise
    /// what leaves the resource's block as it is. The kernel stores whatever an unlock carries if
    /// the last lock call had VALBLK.
    pub(crate) fn unlock_block(
        &self,
        flags: LockFlags,
        given: Option<ValueBlock>,
    ) -> (LockFlags, ValueBlock) {
        match given {
            _ if flags.contains(LockFlags::IVVALBLK) => (flags, ValueBlock::ZERO),
            Some(block) if flags.contains(LockFlags::VALBLK) => (flags, block),
            _ => {
                let flags = flags - LockFlags::VALBLK;
                let writes = self.sticky.contains(LockFlags::VALBLK)
                    && self.granted.is_none_or(|mode| mode >= Mode::Pw);
                match self.known {
                    _ if !writes => (flags, ValueBlock::ZERO),
                    Some(block) => (flags, block),
                    None => (flags | LockFlags::IVVALBLK, ValueBlock::ZERO),
                }
            }
        }
    }
}

/// What the end of an operation makes of the mode that is granted and the block that is known.
/// Returns the block that it fetched.
fn settle(
    op: &Op,
    granted: &mut Option<Mode>,
    known: &mut Option<ValueBlock>,
    status: LockStatus,
    flags: StatusFlags,
    lvb: Option<&ValueBlock>,
) -> Option<ValueBlock> {
    let mut fetched = None;
    match (op.kind, status) {
        (Kind::Request, LockStatus::Granted) => {
            *granted = Some(alternate(op, flags));
            fetched = lvb.filter(|_| op.valblk()).copied();
            *known = fetched.filter(|_| is_valid(flags));
        }
        (Kind::Convert, LockStatus::Granted) => {
            let from = granted.replace(alternate(op, flags));
            match from.map_or(LvbTransfer::None, |from| from.lvb_transfer(op.mode)) {
                LvbTransfer::Read if op.valblk() => {
                    fetched = lvb.copied();
                    *known = fetched.filter(|_| is_valid(flags));
                }
                LvbTransfer::Write if op.valblk() => *known = op.written,
                LvbTransfer::Write if op.flags.contains(LockFlags::IVVALBLK) => *known = None,
                // Whether others could write it in between, the mode says that was held.
                _ if from.is_some_and(keeps_writers_out) => {}
                _ => *known = None,
            }
        }
        (Kind::Convert, LockStatus::Unlocked) => *granted = None,
        // It may have been demoted before it ended, which nobody tells.
        (Kind::Convert, _) if op.flags.contains(LockFlags::CONVDEADLK) => *known = None,
        (Kind::Convert, _) => {}
        (Kind::Request | Kind::Unlock, _) => *granted = None,
    }
    if !granted.is_some_and(keeps_writers_out) {
        *known = None;
    }
    fetched
}

/// Whether a lock of this mode keeps out those who may write the value block, PW and EX.
fn keeps_writers_out(mode: Mode) -> bool {
    !mode.is_compatible_with(Mode::Pw)
}

fn is_valid(flags: StatusFlags) -> bool {
    !flags.contains(StatusFlags::VALNOTVALID)
}

/// The mode that was granted: the one asked for, or the alternate.
fn alternate(op: &Op, flags: StatusFlags) -> Mode {
    if !flags.contains(StatusFlags::ALTMODE) {
        op.mode
    } else if op.flags.contains(LockFlags::ALTPR) && op.mode != Mode::Pr {
        Mode::Pr
    } else {
        Mode::Cw
    }
}
