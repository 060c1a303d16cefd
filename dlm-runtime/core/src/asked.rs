//! What can be asked for a lock, and the outcome of the call that asks.

use dlm_proto::{LockFlags, Mode, ResourceName, ValueBlock};

use crate::operation::UnlockLvb;

/// A new lock.
#[derive(Debug, Clone, Copy)]
pub struct NewLock<'a> {
    /// The resource.
    pub name: &'a ResourceName,
    /// The mode.
    pub mode: Mode,
    /// Flags for the kernel.
    pub flags: LockFlags,
    /// The transaction id.
    pub xid: u64,
    /// The kernel is to send blocking notices.
    pub notices: bool,
}

/// A conversion.
#[derive(Debug, Clone, Copy)]
pub struct Conversion {
    /// The mode.
    pub mode: Mode,
    /// Flags for the kernel; CONVERT is added.
    pub flags: LockFlags,
    /// The block to store, with VALBLK. With [`Rules::AsAsked`](crate::Rules::AsAsked) it is ignored if the conversion
    /// does not store one.
    pub write: Option<ValueBlock>,
    /// The lock is persistent from now on. Only for [`Rules::Checked`](crate::Rules::Checked), where `flags` may not say
    /// so.
    pub persistent: bool,
    /// Another transaction id.
    pub xid: Option<u64>,
    /// Whether the kernel is to send blocking notices, if that changes.
    pub notices: Option<bool>,
}

/// An unlock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unlocking {
    /// The effect on the value block.
    pub lvb: UnlockLvb,
    /// The lock ends also if a remote operation is in flight (FORCEUNLOCK).
    pub force: bool,
    /// With [`Rules::AsAsked`](crate::Rules::AsAsked), if the request of the lock is in flight and ends by itself: the
    /// unlock is kept until it has. Without this it is refused then.
    pub waits: bool,
}

/// The outcome of a call for a conversion or unlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queueing {
    /// The submission is to be written.
    Write,
    /// The operation is kept until a write for its lock has returned, or until what was given up or
    /// cancelled has ended. Whoever learns of that is given its submission.
    Queued {
        /// The number of the operation.
        serial: u64,
    },
}

/// The outcome of a call for a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelStep {
    /// The submission is to be written.
    Write,
    /// The thread that writes for this lock is given the submission.
    Left,
    /// The operation ends by itself: a NOQUEUE request. The kernel is not asked.
    EndsByItself,
    /// A cancel was asked for before.
    Already,
    /// Nothing is in flight that could be cancelled.
    Nothing,
}
