//! The parts of a scenario.

use dlm_proto::{LockFlags, LockStatus, LockspaceFlags, Mode, RemoveFlags, ValueBlock, Version};
use dlm_sys::Errno;

use crate::kernel::Kernel;

/// A name that a scenario gives to a session, a lock, a lockspace or a thread.
pub type Name = String;

/// The lockspace that every scenario has.
pub const MAIN: &str = "main";

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The file, for messages.
    pub file: String,
    /// The facts of the account that it shows, by their anchors.
    pub shows: Vec<String>,
    /// Whether the kernel logs a warning.
    pub warns: bool,
    /// What is done and expected.
    pub steps: Vec<Placed>,
}

/// A step in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The line of the file, from 1.
    pub line: usize,
    /// The kernel that it is for, if not for all.
    pub only: Option<Kernel>,
    /// What is done.
    pub step: Step,
}

/// One thing that is done, with what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Opens devices of a lockspace.
    Open {
        /// Their names.
        sessions: Vec<Name>,
        /// The lockspace.
        space: Name,
        /// What the kernel answers, if not success.
        errno: Option<Errno>,
    },
    /// Closes devices.
    Close {
        /// Their names.
        sessions: Vec<Name>,
    },
    /// Writes a request.
    Ask {
        /// To which device.
        device: Device,
        /// The thread that writes, if not the main one.
        by: Option<Name>,
        /// The request.
        ask: Ask,
        /// What the kernel answers, if not success.
        errno: Option<Errno>,
    },
    /// Reads one result.
    Gets {
        /// From this session.
        session: Name,
        /// With a buffer of this many bytes.
        size: usize,
        /// What must come.
        wanted: Wanted,
    },
    /// Reads with a buffer that the kernel refuses.
    Reads {
        /// From this session.
        session: Name,
        /// With a buffer of this many bytes.
        size: usize,
        /// What the kernel answers.
        errno: Errno,
    },
    /// Reads the version record.
    Version {
        /// From this session.
        session: Name,
    },
    /// Asks whether a result can be read.
    Ready {
        /// From this session.
        session: Name,
        /// What must be so.
        wanted: bool,
    },
    /// Looks at the queues of a resource.
    Queues {
        /// Its lockspace.
        space: Name,
        /// Its name.
        resource: Vec<u8>,
        /// What must be there; `None` for no such resource.
        wanted: Option<Queues>,
    },
    /// Compares the ids of two locks.
    Ids {
        /// One lock.
        left: Name,
        /// The other.
        right: Name,
        /// Whether they must have the same id, or else different ones.
        same: bool,
    },
}

/// What a request is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// The control device.
    Control,
    /// A lockspace's device.
    Session(Name),
}

/// A lock that a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockRef {
    /// That of an earlier request.
    Named(Name),
    /// Any number.
    Id(u32),
}

/// Whose locks a purge is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The thread that asks.
    Caller,
    /// The main thread.
    Main,
    /// Another thread.
    Thread(Name),
    /// Any number.
    Number(u32),
}

/// A request, and how its bytes differ from the usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is asked.
    pub what: What,
    /// How it is written.
    pub frame: Frame,
}

/// What a request asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A new lock.
    Lock {
        /// What it is called from now on.
        lock: Name,
        /// The resource.
        resource: Vec<u8>,
        /// The rest.
        body: Body,
    },
    /// An orphan.
    Adopt {
        /// What it is called from now on.
        lock: Name,
        /// The resource.
        resource: Vec<u8>,
        /// The rest.
        body: Body,
    },
    /// Another mode.
    Convert {
        /// The lock.
        lock: LockRef,
        /// The rest.
        body: Body,
    },
    /// The end of a lock, or of what it waits for.
    Unlock {
        /// The lock.
        lock: LockRef,
        /// The rest; the mode has no meaning.
        body: Body,
    },
    /// The end of what a lock waits for, as by a deadlock.
    Deadlock {
        /// The lock.
        lock: LockRef,
        /// The flags.
        flags: LockFlags,
    },
    /// The end of orphans, or of the caller's own locks.
    Purge {
        /// The node; 0 for the local one.
        node: u32,
        /// The thread that made the locks.
        owner: Owner,
    },
    /// A lockspace.
    Create {
        /// What it is called.
        space: Name,
        /// The length that its real name is brought to.
        length: Option<usize>,
        /// The flags.
        flags: LockspaceFlags,
    },
    /// The end of a lockspace.
    Remove {
        /// What it is called.
        space: Name,
        /// The flags.
        flags: RemoveFlags,
    },
}

/// What requests of locks have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The mode, which need not be one.
    pub mode: u8,
    /// The flags; those that make the kind of request are added to them.
    pub flags: LockFlags,
    /// The value block.
    pub lvb: ValueBlock,
    /// The five words.
    pub words: Words,
    /// The transaction.
    pub xid: u64,
    /// The timeout.
    pub timeout: u64,
}

impl Body {
    /// A mode and nothing else.
    #[must_use]
    pub fn new(mode: u8) -> Self {
        Self {
            mode,
            flags: LockFlags::empty(),
            lvb: ValueBlock::ZERO,
            words: Words::default(),
            xid: 0,
            timeout: 0,
        }
    }
}

/// The words of a request or result, where they differ from those of the lock's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Words {
    /// Another number than the lock's.
    pub number: Option<u8>,
    /// Another address of completions; in a result, another address.
    pub addr: Option<u64>,
    /// Another parameter of completions; in a result, another parameter.
    pub param: Option<u64>,
    /// Another address of notices.
    pub notice_addr: Option<u64>,
    /// Another parameter of notices.
    pub notice_param: Option<u64>,
    /// Another lksb.
    pub lksb: Option<u64>,
}

/// How the bytes of a request differ from the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    /// Whether it is written as a 32-bit program does.
    pub narrow: bool,
    /// The number of bytes.
    pub size: Option<usize>,
    /// The version.
    pub version: Option<Version>,
    /// The number of the command.
    pub command: Option<u8>,
    /// The length of the name.
    pub namelen: Option<u8>,
}

/// What must come when a result is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A result or none: where a generated script reads.
    Anything,
    /// No result.
    Nothing,
    /// A completion.
    Completion(Result),
    /// A blocking notice for this mode.
    Notice(Mode, Result),
}

/// What must be in a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Result {
    /// The lock.
    pub lock: LockRef,
    /// How it ended; of a notice, the status that it carries.
    pub status: LockStatus,
    /// The status flags, all bits.
    pub flags: u8,
    /// The value block.
    pub lvb: Option<ValueBlock>,
    /// The words.
    pub words: Words,
}

/// The queues of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queues {
    /// Granted locks and their modes.
    pub granted: Vec<(LockRef, Mode)>,
    /// Locks that are converted, their modes, and those they wait for.
    pub converting: Vec<(LockRef, Mode, Mode)>,
    /// Locks that wait, and for which modes.
    pub waiting: Vec<(LockRef, Mode)>,
    /// The value block, if it matters: `Some(None)` when the resource must have none.
    pub lvb: Option<Option<ValueBlock>>,
}
