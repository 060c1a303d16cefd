//! The knowledge of one lock, as its program has it: from requests, their answers and results.

use dlm_proto::{LockFlags, LockId, LockStatus, LvbTransfer, Mode, ResourceName, StatusFlags};

use super::block::Block;
use crate::grant::alternate;

/// A request or conversion that was written and whose completion was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation {
    /// The number of its `write`.
    pub(super) serial: u64,
    /// It asks for a new lock.
    pub(super) is_request: bool,
    pub(super) mode: Mode,
    pub(super) flags: LockFlags,
}

/// The part of its life that a lock is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Live,
    /// Its UNLOCK was written.
    GivenUp,
    /// It has ended before the `write` of its LOCK returned.
    Ended,
}

/// A lock of the device.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The number of the `write` of its LOCK.
    pub(super) key: u64,
    pub(super) life: Life,
    /// `None` until the LOCK returns or a result tells.
    pub(super) id: Option<LockId>,
    /// The number of writes that had begun when the id was learnt.
    pub(super) id_since: u64,
    /// The parameter word of its completions.
    pub(super) param: u64,
    pub(super) name: ResourceName,
    /// The `write` of its LOCK has not returned.
    pub(super) is_new: bool,
    /// The number of a CONVERT that has not returned, unless its completion was read.
    pub(super) converting: Option<u64>,
    /// CANCELs that have not returned.
    pub(super) cancelling: u32,
    pub(super) operation: Option<Operation>,
    /// The mode that it holds. It may be NL instead after a conversion with CONVDEADLK that failed,
    /// which no result tells; no rule is stricter for NL.
    pub(super) held: Option<Mode>,
    pub(super) cancel: Cancel,
    /// A FORCEUNLOCK was refused after the kernel had marked the lock with it.
    pub(super) is_forced: bool,
    /// The flags of the last LOCK, CONVERT or adoption.
    pub(super) flags: LockFlags,
    pub(super) block: Block,
}

/// The cancels since the last LOCK or CONVERT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cancel {
    /// The kernel may have marked the lock with CANCEL.
    pub(super) is_marked: bool,
    /// The request may have been taken back, and the lock with it.
    pub(super) may_end: bool,
    /// The master may not have answered yet.
    pub(super) is_unanswered: bool,
}

impl Record {
    pub(super) fn id(&self) -> LockId {
        self.id.unwrap_or_default()
    }

    pub(super) fn is_live(&self, id: LockId) -> bool {
        self.id == Some(id) && self.life == Life::Live
    }

    /// The lock may have ended by itself although no result said so yet.
    pub(super) fn may_have_ended(&self) -> bool {
        self.operation.is_some_and(|it| {
            it.is_request && (it.flags.contains(LockFlags::NOQUEUE) || self.cancel.may_end)
        })
    }

    /// Another thread is in a `write` for it that the kernel may not have seen yet.
    pub(super) fn is_being_written(&self) -> bool {
        self.converting.is_some() || self.cancelling > 0
    }

    /// A request is in flight that a close would leave behind, waiting for ever.
    pub(super) fn waits_persistently(&self) -> bool {
        self.life == Life::Live
            && self.operation.is_some_and(|it| {
                it.is_request
                    && it.flags.contains(LockFlags::PERSISTENT)
                    && !it.flags.contains(LockFlags::NOQUEUE)
            })
    }

    /// Whether a conversion moves its block to the resource.
    pub(super) fn writes_by_conversion(&self, mode: Mode, flags: LockFlags) -> bool {
        flags.contains(LockFlags::VALBLK)
            && self.held.is_some_and(|held| held.lvb_transfer(mode) == LvbTransfer::Write)
    }

    /// Whether an unlock with these flags moves its block to the resource because it says so.
    pub(super) fn writes_by_unlock(&self, flags: LockFlags) -> bool {
        let may_be_granted = self.operation.is_some_and(|it| it.mode >= Mode::Pw);
        flags.contains(LockFlags::VALBLK) && (self.held >= Some(Mode::Pw) || may_be_granted)
    }

    /// The mode of a conversion that the kernel may grant twice.
    pub(super) fn held_alternate(&self, mode: Mode, flags: LockFlags) -> Option<Mode> {
        if flags.contains(LockFlags::NOQUEUE) {
            return None;
        }
        alternate(flags, Some(mode)).filter(|&alternate| self.held == Some(alternate))
    }

    /// Takes in the completion of what is in flight. `false` if the lock has ended with it.
    pub(super) fn complete(
        &mut self,
        status: LockStatus,
        flags: StatusFlags,
        lvb: Option<&dlm_proto::ValueBlock>,
    ) -> bool {
        self.converting = None;
        if matches!(status, LockStatus::Cancelled | LockStatus::Deadlock) {
            self.cancelling = 0;
            self.cancel.is_unanswered = false;
        }
        let Some(operation) = self.operation.take() else {
            if status == LockStatus::Granted {
                // A second grant (#alternate-granted-twice) takes the mode away.
                self.held = None;
            }
            return true;
        };
        if status == LockStatus::Granted {
            let is_alternate = flags.contains(StatusFlags::ALTMODE);
            let other = alternate(operation.flags, Some(operation.mode)).filter(|_| is_alternate);
            let writes = self.writes_by_conversion(operation.mode, operation.flags);
            self.block.granted(operation.flags, writes, lvb);
            self.held = other.or(Some(operation.mode));
            return true;
        }
        !operation.is_request
    }
}
