//! Messages between nodes.

use dlm_proto::{LockFlags, LockId, LockStatus, Mode, ResourceName, StatusFlags, ValueBlock};

use crate::lock::Op;

/// The outcome of an operation at the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted,
    /// It waits.
    Queued,
    Again,
    Deadlock,
    Unlocked,
    Cancelled,
    /// There was nothing to cancel, or no such lock.
    Nothing,
    /// The node is not the master.
    NotMaster,
}

impl From<LockStatus> for Answer {
    fn from(status: LockStatus) -> Self {
        match status {
            LockStatus::Granted => Self::Granted,
            LockStatus::Again => Self::Again,
            LockStatus::Deadlock => Self::Deadlock,
            LockStatus::Cancelled => Self::Cancelled,
            LockStatus::Unlocked => Self::Unlocked,
            _ => Self::Nothing,
        }
    }
}

/// The master's news of a lock, with an answer or a grant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) status: StatusFlags,
    pub(crate) lvb: ValueBlock,
    pub(crate) lvb_seq: u32,
}

/// A message. `peer` is the sender's id of the lock, `at` the receiver's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Message {
    /// To the master.
    Request { peer: LockId, name: ResourceName, mode: Mode, flags: LockFlags, task: u32 },
    /// To the master.
    Convert {
        peer: LockId,
        at: LockId,
        mode: Mode,
        flags: LockFlags,
        lvb: ValueBlock,
        lvb_seq: u32,
        /// It is a conversion down, which the sender has granted itself.
        down: bool,
    },
    /// To the master.
    Unlock { peer: LockId, at: LockId, flags: LockFlags, lvb: ValueBlock },
    /// To the master.
    Cancel { peer: LockId, at: LockId, flags: LockFlags },
    /// From the master.
    Answer { op: Op, peer: LockId, at: LockId, answer: Answer, told: Told },
    /// From the master: what waited is granted.
    Grant { peer: LockId, at: LockId, told: Told },
    /// From the master: another lock waits for this mode.
    Notice { peer: LockId, at: LockId, mode: Mode },
    /// To any node.
    Purge { pid: u32 },
}
