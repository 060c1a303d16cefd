//! The rules of one lock: what is known of it, and what an operation or a result makes of that.

use alloc::boxed::Box;

use dlm_proto::{LockFlags, LockId, LockStatus, LvbTransfer, Mode, StatusFlags, ValueBlock};

use crate::operation::{CancelKind, Ended, Kind, Lvb, Moved, Operation, Rejected, UnlockLvb};
use crate::submission::Refusal;

/// The cancel of the operation in flight. There is one at most: the kernel refuses a second one
/// with a warning (#refused-with-a-warning).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Cancel {
    #[default]
    None,
    /// Asked for, and to be written when the write that is under way has returned.
    Wanted(CancelKind),
    /// Being written, or written.
    Sent,
    /// Refused after the kernel had noted it. It does not end the operation, and another one is not
    /// written.
    Spent,
}

/// What an unlock carries to mark the block as invalid.
const INVALIDATE: (LockFlags, ValueBlock) = (LockFlags::IVVALBLK, ValueBlock::ZERO);

/// An operation that another one was written over, and what that has replaced.
#[derive(Debug, Clone, Copy)]
struct Under {
    op: Operation,
    cancel: Cancel,
    lvb_to_write: Option<ValueBlock>,
    xid: u64,
}

/// A lock between its request and its end.
#[derive(Debug, Default)]
pub(crate) struct LockState {
    id: LockId,
    granted: Option<Mode>,
    op: Option<Operation>,
    /// The operation that the one in flight was written over.
    under: Option<Box<Under>>,
    cancel: Cancel,
    /// A cancel was written, and no other operation accepted since.
    ///
    /// It may still be on its way to another node. Until that has answered, which nobody is told,
    /// the kernel refuses an unlock without force (EBUSY).
    cancel_unanswered: bool,
    /// The flags of unlocks that were refused after the kernel had noted them. It has them until it
    /// takes a conversion, and refuses a second FORCEUNLOCK with a warning
    /// (#refused-with-a-warning).
    noted: LockFlags,
    /// The kernel does not know the lock any more. What was in flight may still have a result.
    is_lost: bool,
    /// The last request or conversion had VALBLK: then an unlock of PW or EX writes the block,
    /// asked to or not.
    valblk: bool,
    /// The kernel keeps a block for this lock, which it does from the first VALBLK on. Without one
    /// an unlock cannot write (#unlock-without-a-buffer).
    kernel_has_lvb: bool,
    /// It was another owner's, who may have left such a block in it.
    was_orphan: bool,
    known_lvb: Option<Lvb>,
    /// The block that the conversion in flight writes.
    lvb_to_write: Option<ValueBlock>,
    /// Nobody else can have written the block since: what is held keeps writers out.
    lvb_is_current: bool,
    /// The mode that the lock has if it is not NL: the kernel does not tell whether it demoted the
    /// lock before the conversion was cancelled.
    possible_mode: Option<Mode>,
    /// The mode that this node's kernel takes an alternate mode for, if the master is another node.
    local_mode: Option<Mode>,
    /// The lock outlives its device. Each conversion must say so again.
    persistent: bool,
    /// The transaction id, which each conversion must repeat.
    xid: u64,
}

impl LockState {
    /// Makes it a lock that is about to be requested.
    #[inline]
    pub(crate) fn request(&mut self, mode: Mode, flags: LockFlags, xid: u64) {
        let valblk = flags.contains(LockFlags::VALBLK);
        self.id = LockId(0);
        self.granted = None;
        self.op = Some(Operation { kind: Kind::Request, mode, flags });
        self.under = None;
        self.cancel = Cancel::None;
        self.cancel_unanswered = false;
        self.noted = LockFlags::empty();
        self.is_lost = false;
        self.valblk = valblk;
        self.kernel_has_lvb = valblk;
        self.was_orphan = false;
        self.known_lvb = None;
        self.lvb_to_write = None;
        self.lvb_is_current = false;
        self.possible_mode = None;
        self.local_mode = None;
        self.persistent = flags.contains(LockFlags::PERSISTENT);
        self.xid = xid;
    }

    /// Starts a plain operation: see the module `plain` of the crate.
    #[inline(always)]
    pub(crate) fn begin_plain(&mut self, kind: Kind, mode: Mode, flags: LockFlags) {
        self.op = Some(Operation { kind, mode, flags });
    }

    /// Ends one.
    #[inline(always)]
    pub(crate) fn end_plain(&mut self, granted: Option<Mode>) {
        self.op = None;
        self.granted = granted;
    }

    #[inline(always)]
    pub(crate) fn set_id(&mut self, id: LockId) {
        self.id = id;
    }

    /// Makes it an orphan that is being adopted.
    pub(crate) fn adopt(&mut self, mode: Mode, flags: LockFlags) {
        self.request(mode, flags, 0);
        self.granted = Some(mode);
        self.op = None;
        self.was_orphan = true;
    }

    /// Makes it a lock that is gone, as all are when their lockspace has ended.
    pub(crate) fn end(&mut self) {
        self.op = None;
        self.under = None;
        self.granted = None;
        self.possible_mode = None;
        self.cancel = Cancel::None;
    }

    /// 0 while it is not known.
    #[inline]
    pub(crate) const fn id(&self) -> LockId {
        self.id
    }

    #[inline]
    pub(crate) const fn granted(&self) -> Option<Mode> {
        self.granted
    }

    #[inline]
    pub(crate) const fn op(&self) -> Option<Operation> {
        self.op
    }

    pub(crate) const fn xid(&self) -> u64 {
        self.xid
    }

    pub(crate) const fn is_persistent(&self) -> bool {
        self.persistent
    }

    pub(crate) const fn known_lvb(&self) -> Option<Lvb> {
        self.known_lvb
    }

    /// Whether the mode is not known for certain.
    pub(crate) const fn is_uncertain(&self) -> bool {
        self.possible_mode.is_some()
    }

    /// The modes, beside the granted one, that the kernel may have for the lock.
    pub(crate) fn other_modes(&self) -> impl Iterator<Item = Mode> {
        self.possible_mode.into_iter().chain(self.local_mode)
    }

    pub(crate) const fn cancel(&self) -> Cancel {
        self.cancel
    }

    pub(crate) fn set_cancel(&mut self, cancel: Cancel) {
        self.cancel = cancel;
        if cancel == Cancel::Sent {
            self.cancel_unanswered = true;
        }
    }

    /// Whether a cancel was written that the node of the master may not have answered.
    pub(crate) const fn awaits_cancel(&self) -> bool {
        self.cancel_unanswered && self.under.is_none()
    }

    /// What the conversion in flight writes.
    pub(crate) const fn block_to_write(&self) -> Option<ValueBlock> {
        self.lvb_to_write
    }

    /// A cancel that was only asked for is not to be written.
    pub(crate) fn forget_wanted_cancel(&mut self) {
        if matches!(self.cancel, Cancel::Wanted(_)) {
            self.cancel = Cancel::None;
        }
    }

    /// A cancel was refused, and may be asked for again, or is.
    pub(crate) fn take_back_cancel(&mut self, cancel: Cancel) {
        self.cancel = cancel;
        self.cancel_unanswered = false;
    }

    /// Learns that the kernel does not know the lock any more.
    pub(crate) fn set_lost(&mut self) {
        self.is_lost = true;
    }

    /// Whether the kernel does not know the lock any more, although what was in flight has no
    /// result yet.
    pub(crate) const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Learns the id, from the return of `write` or from a result, whichever comes first.
    #[inline]
    pub(crate) fn note_id(&mut self, id: LockId) {
        if self.id == LockId(0) {
            self.id = id;
        }
    }

    /// The granted mode of a lock with nothing in flight.
    #[inline]
    pub(crate) fn idle_mode(&self) -> Result<Mode, Rejected> {
        match (self.op, self.granted) {
            (Some(Operation { kind: Kind::Unlock, .. }), _) | (None, None) => {
                Err(Rejected::LockGone)
            }
            (Some(_), _) => Err(Rejected::InFlight),
            (None, Some(mode)) => Ok(mode),
        }
    }

    /// The mode that is granted; of a request in flight, that which is granted if another process
    /// has read its end.
    pub(crate) fn granted_unless_lost(&self) -> Option<Mode> {
        let requested = || self.op.filter(|op| op.kind == Kind::Request).map(|op| op.mode);
        self.granted.or_else(requested)
    }

    /// The kind of the operation that the one in flight was written over.
    pub(crate) fn under(&self) -> Option<Kind> {
        self.under.as_deref().map(|under| under.op.kind)
    }

    /// Starts an operation, over what is in flight if something is.
    #[inline]
    fn start(&mut self, op: Operation) {
        let Self { cancel, lvb_to_write, xid, .. } = *self;
        let over = self.op.replace(op);
        self.under = over.map(|op| Box::new(Under { op, cancel, lvb_to_write, xid }));
    }

    /// Starts a conversion, of a lock with nothing in flight or whose operation the kernel may know
    /// to have ended.
    pub(crate) fn begin_convert(&mut self, op: Operation, write: Option<ValueBlock>, xid: u64) {
        self.start(op);
        self.lvb_to_write = write;
        self.cancel = Cancel::None;
        self.xid = xid;
    }

    /// The flags of an unlock that is asked for with these.
    #[inline]
    pub(crate) fn unlock_flags(&self, flags: LockFlags) -> LockFlags {
        if self.noted.contains(LockFlags::FORCEUNLOCK) {
            flags - LockFlags::FORCEUNLOCK
        } else if self.cancel_unanswered {
            flags | LockFlags::FORCEUNLOCK
        } else {
            flags
        }
    }

    /// Starts an unlock, over what is in flight if something is.
    #[inline]
    pub(crate) fn begin_unlock(&mut self, flags: LockFlags) {
        let mode = self.granted.unwrap_or(Mode::Nl);
        self.start(Operation { kind: Kind::Unlock, mode, flags });
    }

    /// The kernel has accepted the operation in flight: a cancel of the last one was answered.
    #[inline]
    pub(crate) fn accepted(&mut self, kind: Kind) {
        if kind == Kind::Unlock {
            return;
        }
        if self.cancel != Cancel::Sent {
            self.cancel_unanswered = false;
        }
        self.noted = LockFlags::empty();
        if let Some(under) = self.under.take() {
            self.note_lost(kind, under.op);
        }
    }

    /// The kernel has taken an operation over this one. If that is a conversion, this one has
    /// ended; a request, by a grant.
    fn note_lost(&mut self, kind: Kind, under: Operation) {
        if kind == Kind::Convert && under.kind == Kind::Request {
            self.granted = self.granted.or(Some(under.mode));
        }
    }

    /// The kernel refused the operation in flight: the lock is as it was, but for the flags that
    /// the kernel may have noted.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        if let Some(op) = self.op {
            match (op.kind, refusal) {
                (Kind::Convert, Refusal::NoBuffer) => {
                    self.replace_flags(op.flags);
                    self.noted = LockFlags::empty();
                }
                (Kind::Unlock, Refusal::NoBuffer) => self.noted |= op.flags,
                // It had FORCEUNLOCK.
                (Kind::Unlock, Refusal::Never) => self.noted |= op.flags & LockFlags::FORCEUNLOCK,
                _ => {}
            }
        }
        let Some(under) = self.under.take() else {
            self.op = None;
            return;
        };
        let Under { op, cancel, lvb_to_write, xid } = *under;
        self.op = Some(op);
        self.cancel = cancel;
        self.lvb_to_write = lvb_to_write;
        self.xid = xid;
    }

    /// Whether the operation in flight ends by itself, any moment, and the lock with it: its id may
    /// then be another's.
    pub(crate) fn ends_by_itself(&self) -> bool {
        self.op.is_some_and(|op| {
            op.kind == Kind::Request
                && (op.contains(LockFlags::NOQUEUE) || self.cancel == Cancel::Sent)
        })
    }

    /// The kernel has given the lock the flags of a conversion.
    fn replace_flags(&mut self, flags: LockFlags) {
        self.valblk = flags.contains(LockFlags::VALBLK);
        self.kernel_has_lvb |= self.valblk;
        self.persistent = flags.contains(LockFlags::PERSISTENT);
    }

    /// Whether a cancel was sent that ends the operation in flight, if nothing else does.
    ///
    /// An unlock waits for that. Of a cancel and an unlock behind a conversion the kernel forgets
    /// the unlock if the master of the resource dies before it has answered.
    pub(crate) fn is_cancelling(&self) -> bool {
        self.cancel == Cancel::Sent && self.op.is_some_and(|op| op.kind != Kind::Unlock)
    }

    /// Decides how to get rid of a lock that nobody wants any more. Nothing is being written for
    /// it.
    pub(crate) fn release(&self) -> Release {
        let unlock = |(flags, block)| Release::Unlock(flags, block);
        let force = |(flags, block)| Release::Unlock(LockFlags::FORCEUNLOCK | flags, block);
        let Some(op) = self.op.filter(|_| !self.is_lost) else {
            let is_gone = self.granted.is_none() || self.is_lost;
            return if is_gone { Release::Gone } else { unlock(self.unlock_lvb(UnlockLvb::Keep)) };
        };
        if op.kind == Kind::Unlock || self.ends_by_itself() || self.is_cancelling() {
            return Release::Await;
        }
        match (self.kept(), self.cancel) {
            (Some(kept), _) => force(kept),
            // Granted by now, an unlock would change a block that is not known.
            (None, Cancel::None) => Release::Cancel,
            (None, Cancel::Wanted(_) | Cancel::Sent) => Release::Await,
            // It may wait for ever.
            (None, Cancel::Spent) => force(INVALIDATE),
        }
    }

    /// Checks what an unlock is to do to the value block.
    #[inline]
    pub(crate) fn check_unlock_lvb(&self, wish: UnlockLvb) -> Result<(), &'static str> {
        let writes = matches!(self.granted, None | Some(Mode::Pw | Mode::Ex));
        match wish {
            UnlockLvb::Keep => Ok(()),
            _ if !writes => Err("write_lvb() and invalidate_lvb() need a lock in PW or EX"),
            UnlockLvb::Write(_) if !self.kernel_has_lvb => Err(
                "write_lvb() needs a lock that was requested or converted with its value block: with_lvb()",
            ),
            _ => Ok(()),
        }
    }

    /// The flags and block that an unlock must carry so that the value block becomes what was asked
    /// for, and nothing else changes it.
    #[inline]
    pub(crate) fn unlock_lvb(&self, wish: UnlockLvb) -> (LockFlags, ValueBlock) {
        match wish {
            UnlockLvb::Write(block) if self.can_write() => (LockFlags::VALBLK, block),
            // The kernel would not store it, but might take it for the block when the master dies.
            UnlockLvb::Write(_) => self.kept().unwrap_or(INVALIDATE),
            UnlockLvb::Invalidate => INVALIDATE,
            UnlockLvb::Keep => self.kept().unwrap_or(INVALIDATE),
        }
    }

    /// The block that a request must carry in place of one that it writes
    /// (#carried-block-becomes-the-block).
    ///
    /// The kernel puts the bytes of each conversion and unlock into the lock's own buffer, and when
    /// the master of the resource dies these buffers are all that is left of the block: that of a
    /// lock in CW or above becomes the block, and counts as valid, even if its conversion is still
    /// in flight or has failed.
    #[inline]
    pub(crate) fn carried_block(&self) -> ValueBlock {
        match self.known_lvb {
            Some(Lvb { block, .. }) if self.valblk || self.lvb_is_current => block,
            _ => ValueBlock::ZERO,
        }
    }

    /// Whether a conversion may write a block that it is given.
    pub(crate) fn writes(&self, mode: Mode, flags: LockFlags) -> bool {
        let mut from = self.granted.into_iter().chain(self.other_modes());
        flags.contains(LockFlags::VALBLK)
            && from.any(|from| from.lvb_transfer(mode) == LvbTransfer::Write)
    }

    /// Whether an unlock may write a block that it is given.
    fn can_write(&self) -> bool {
        let flying = self.op.is_some_and(|op| op.kind != Kind::Unlock && op.mode >= Mode::Pw);
        (self.kernel_has_lvb || self.was_orphan) && (self.may_write() || flying)
    }

    /// Whether the kernel may take what is held for a mode that writes the block when it is
    /// unlocked.
    fn may_write(&self) -> bool {
        self.granted.max(self.possible_mode).is_some_and(|mode| mode >= Mode::Pw)
    }

    /// The flags and block that an unlock must carry so that the block stays as it is, whatever has
    /// become of what is in flight. `None`: it may change a block that is not known.
    ///
    /// The kernel stores whatever an unlock of PW or EX carries if the last request or conversion
    /// had VALBLK: then this is what is there already.
    fn kept(&self) -> Option<(LockFlags, ValueBlock)> {
        let flying = self.op.filter(|op| op.kind != Kind::Unlock);
        let (valblk, mode) =
            flying.map_or((self.valblk, Mode::Nl), |op| (op.contains(LockFlags::VALBLK), op.mode));
        let valblk = valblk || self.noted.contains(LockFlags::VALBLK);
        let writes = valblk && (self.may_write() || mode >= Mode::Pw);
        if !writes {
            return Some((LockFlags::empty(), self.carried_block()));
        }
        match (flying, self.lvb_to_write, self.known_lvb) {
            (Some(_), Some(block), _) => Some((LockFlags::empty(), block)),
            (_, _, Some(Lvb { block, valid: true })) if self.lvb_is_current => {
                Some((LockFlags::empty(), block))
            }
            // A write would make the block valid again.
            (_, _, Some(_)) if self.lvb_is_current => Some(INVALIDATE),
            (Some(_), ..) => None,
            // It would put an old one into its place.
            (None, ..) => Some(INVALIDATE),
        }
    }

    /// Takes in a completion.
    #[inline(always)]
    pub(crate) fn complete(
        &mut self,
        status: LockStatus,
        flags: StatusFlags,
        lvb: Option<&ValueBlock>,
    ) -> Completed {
        let Some(op) = self.op else { return Completed::Nothing };
        if op.kind == Kind::Unlock && status != LockStatus::Unlocked {
            return self.complete_under(status, flags, lvb);
        }
        self.op = None;
        if let Some(under) = self.under.take() {
            self.note_lost(op.kind, under.op);
        }
        let moved = self.settle(op, status, flags, lvb);
        Completed::Op(op, Ended { status, flags, mode: self.granted, moved })
    }

    /// Takes in the completion of what an unlock was written over. The unlock's own follows, unless
    /// what has failed was the request for the lock.
    #[inline(never)]
    fn complete_under(
        &mut self,
        status: LockStatus,
        flags: StatusFlags,
        lvb: Option<&ValueBlock>,
    ) -> Completed {
        let Some(under) = self.under.take().map(|under| under.op) else {
            return Completed::Nothing;
        };
        let moved = self.settle(under, status, flags, lvb);
        let ended = Ended { status, flags, mode: self.granted, moved };
        if self.granted.is_none() {
            self.op = None;
            return Completed::Both(under, ended);
        }
        Completed::Under(under, ended)
    }

    /// Works out what the end of an operation makes of the lock.
    #[inline(always)]
    fn settle(
        &mut self,
        op: Operation,
        status: LockStatus,
        flags: StatusFlags,
        lvb: Option<&ValueBlock>,
    ) -> Moved {
        let asked = op.flags;
        let valblk = asked.contains(LockFlags::VALBLK);
        if op.kind == Kind::Convert {
            // Also those of a conversion that failed have replaced the lock's flags.
            self.replace_flags(asked);
        }
        let mut moved = Moved::Nothing;
        let mut fetch = |known: &mut Option<Lvb>| {
            if let Some(&block) = lvb {
                *known = Some(Lvb { block, valid: !flags.contains(StatusFlags::VALNOTVALID) });
                moved = Moved::Read;
            }
        };
        match (op.kind, status) {
            (Kind::Request, LockStatus::Granted) => {
                let mode = alternate(op, flags);
                self.granted = Some(mode);
                // With both flags CW is granted in place of PR, which is taken for PR here.
                let is_odd = mode != op.mode && op.mode == Mode::Pr;
                self.local_mode = Some(op.mode).filter(|_| is_odd && op.contains(LockFlags::ALTPR));
                if valblk {
                    fetch(&mut self.known_lvb);
                }
            }
            (Kind::Convert, LockStatus::Granted) => {
                let mode = alternate(op, flags);
                let from = self.granted.replace(mode);
                self.possible_mode = None;
                self.local_mode = Some(op.mode).filter(|&asked| asked != mode);
                self.lvb_is_current &= from.is_some_and(keeps_writers_out);
                let transfer = from.map_or(LvbTransfer::None, |from| from.lvb_transfer(op.mode));
                match transfer {
                    LvbTransfer::Read if valblk => fetch(&mut self.known_lvb),
                    LvbTransfer::Write if valblk => {
                        if let Some(block) = self.lvb_to_write {
                            self.known_lvb = Some(Lvb::new(block));
                            moved = Moved::Written;
                        }
                    }
                    LvbTransfer::Write if asked.contains(LockFlags::IVVALBLK) => {
                        self.lvb_is_current = false;
                    }
                    _ => {}
                }
            }
            (Kind::Convert, LockStatus::Cancelled | LockStatus::Deadlock)
                if asked.contains(LockFlags::CONVDEADLK) =>
            {
                // The kernel may have demoted it before, and does not tell.
                let before = self.granted.replace(Mode::Nl);
                self.possible_mode = self.possible_mode.or(before.filter(|&mode| mode != Mode::Nl));
            }
            (Kind::Convert, LockStatus::Unlocked) => self.granted = None,
            (Kind::Convert, _) => {}
            (Kind::Request | Kind::Unlock, _) => self.granted = None,
        }
        if self.is_lost {
            self.granted = None;
        }
        if moved != Moved::Nothing {
            self.lvb_is_current = true;
        }
        if self.lvb_is_current {
            // A lock that was perhaps demoted writes the block only if it was not.
            self.lvb_is_current =
                self.granted.max(self.possible_mode).is_some_and(keeps_writers_out);
        }
        moved
    }
}

/// The operation that a completion has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completed {
    /// Nothing that is known of.
    Nothing,
    /// The operation in flight.
    Op(Operation, Ended),
    /// What the unlock in flight was written over. The unlock goes on.
    Under(Operation, Ended),
    /// A request that failed, and the unlock that was written over it.
    Both(Operation, Ended),
}

/// The way to get rid of a lock that nobody wants any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Write an unlock with these flags and this value block.
    Unlock(LockFlags, ValueBlock),
    /// Cancel what is in flight, and decide when that has ended.
    Cancel,
    /// Leave it alone until its completion has come.
    Await,
    /// There is no lock.
    Gone,
}

/// Whether a lock of this mode keeps out those who may write the value block, PW and EX.
const fn keeps_writers_out(mode: Mode) -> bool {
    !mode.is_compatible_with(Mode::Pw)
}

/// The mode that was granted: the one asked for, or the alternate.
#[inline]
const fn alternate(op: Operation, flags: StatusFlags) -> Mode {
    if !flags.contains(StatusFlags::ALTMODE) {
        op.mode
    } else if op.contains(LockFlags::ALTPR) && !matches!(op.mode, Mode::Pr) {
        Mode::Pr
    } else {
        Mode::Cw
    }
}

#[cfg(test)]
mod tests;
