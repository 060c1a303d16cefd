//! One lock.

use bitflags::bitflags;
use dlm_proto::{Cookies, LockFlags, LockId, Mode, StatusFlags, ValueBlock};

use crate::chain::Link;
use crate::results::Unread;

/// The queue of its resource that a lock is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Queue {
    /// None: before it is queued, and after it is gone.
    #[default]
    None,
    Granted,
    Convert,
    Waiting,
}

/// The list that keeps a lock for an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Owner {
    #[default]
    None,
    /// The session's locks.
    Session,
    /// The session's locks whose unlock was taken, but is not complete.
    Unlocking,
    /// The orphans of the lockspace.
    Orphans,
}

bitflags! {
    /// Further marks of a lock.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(crate) struct Bits: u16 {
        /// It has ended, and results of its may be unread. No call may name it any more.
        const ENDED = 1;
        /// Its session is closed; no results are queued.
        const DEAD = 2;
        /// It outlived its session; no results are queued until it is adopted.
        const ORPHAN = 4;
        /// The next cancel ends with the status of a deadlock.
        const DEADLOCK = 8;
        /// The lock itself exists, apart from lists that it is in.
        const EXISTS = 16;
        /// The value block is one that the lock's operations use: one was accepted since it was
        /// made.
        const LVB_IN_USE = 32;
        /// The value block exists.
        const LVB = 64;
        /// It stands for the lock of another node, of whose resource this node is the master.
        const COPY = 128;
        /// An unlock was written while another operation is on its way.
        const OVERLAP_UNLOCK = 256;
        /// A cancel was written while another operation is on its way.
        const OVERLAP_CANCEL = 512;
        /// Its operation was on its way to a node that is gone, and is to be sent again.
        const RESEND = 1024;
        /// It was adopted while it was being converted: its flags are not those that the conversion
        /// was queued with.
        const ADOPTED_CONVERTING = 2048;
    }
}

/// A lock, as its node has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lock {
    pub(crate) live: bool,
    pub(crate) queue: Queue,
    pub(crate) owner: Owner,
    pub(crate) granted: Option<Mode>,
    pub(crate) requested: Option<Mode>,
    /// The highest mode that the holder was notified of since it was granted.
    pub(crate) noticed: Notice,
    pub(crate) status: StatusFlags,
    pub(crate) bits: Bits,
    /// Those of the last lock, conversion or adoption, and those of unlocks since.
    pub(crate) flags: LockFlags,
    /// The resource, as a place in the table of the lockspace.
    pub(crate) resource: u32,
    /// The session, as a place in the table of the lockspace.
    pub(crate) session: u32,
    /// The thread that wrote the last lock, conversion or adoption.
    pub(crate) task: u32,
    /// The transaction that its program named with it; 0 for none, and for a copy.
    pub(crate) transaction: u64,
    pub(crate) queue_link: Link,
    pub(crate) owner_link: Link,
    pub(crate) results_link: Link,
    pub(crate) cookies: Cookies,
    pub(crate) lvb: ValueBlock,
    pub(crate) unread: Unread,
    /// What the node says that the lock's other half is on: its holder's for a copy, its master's
    /// for what a copy stands for. 0 for a lock of this node alone.
    pub(crate) node: u32,
    /// The id of the other half.
    pub(crate) peer: LockId,
    /// The operation that was sent to the master and is not answered.
    pub(crate) wait: Option<Op>,
    /// Answers that are to come.
    pub(crate) answers: u8,
    /// A copy's operation that is to be answered.
    pub(crate) serves: Option<Serves>,
    /// The age of the value block: a higher number is newer.
    pub(crate) lvb_seq: u32,
}

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Request,
    Convert,
    Unlock,
    Cancel,
}

/// What is done for a copy at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serves {
    /// An operation that is to be answered.
    Op(Op),
    /// A conversion down, which is granted where it comes from and needs no answer.
    Quietly,
}

/// A mode, NL to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notice(pub(crate) Mode);

impl Default for Notice {
    fn default() -> Self {
        Self(Mode::Nl)
    }
}

impl Lock {
    /// Flags with which a queued conversion may be granted, refused or skipped out of its turn.
    const UNUSUAL: LockFlags = LockFlags::NOORDER
        .union(LockFlags::ALTPR)
        .union(LockFlags::ALTCW)
        .union(LockFlags::CONVDEADLK)
        .union(LockFlags::NODLCKWT)
        .union(LockFlags::HEADQUE);

    /// Whether passes over the queue must look at this lock for itself.
    pub(crate) fn is_unusual(&self) -> bool {
        self.flags.intersects(Self::UNUSUAL) || self.bits.contains(Bits::ADOPTED_CONVERTING)
    }

    pub(crate) fn is_demoted(&self) -> bool {
        self.status.contains(StatusFlags::DEMOTED)
    }
}
