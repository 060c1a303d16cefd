//! What a machine is told, and what it answers.

use std::time::{Duration, Instant};

use crate::cache::cause::Cause;
use crate::cache::level::Level;

/// What somebody wants who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Wish {
    /// The kind of guard.
    pub(crate) level: Level,
    /// Nobody is waited for, here or on another node.
    pub(crate) no_queue: bool,
    /// A shared guard gives itself up for this: the version that it has seen.
    pub(crate) seen: Option<u32>,
}

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Admission {
    /// Nobody can have changed anything since the version that was seen.
    pub(crate) is_kept: bool,
}

/// Why somebody does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// It would have to wait.
    WouldBlock,
    /// There are too many shared guards.
    Crowded,
    /// The lock manager refused the lock.
    Failed,
    /// The hook that loads has failed.
    NotLoaded,
    /// The cache is closed, or the lockspace has ended.
    Ended,
}

/// Something to do for whoever has told the machine of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Request or convert the lock, and tell [`Machine::raised`](super::Machine::raised).
    Raise { from: Level, to: Level, no_queue: bool },
    /// Cancel that.
    Cancel,
    /// Convert or unlock the lock, and tell [`Machine::lowered`](super::Machine::lowered).
    Lower { from: Level, to: Level, cause: Cause },
    /// Run the hook for a new grant, and tell [`Machine::loaded`](super::Machine::loaded).
    Load { from: Level, to: Level },
    /// Run the hook before the lock gives way, and tell [`Machine::flushed`](super::Machine::flushed).
    Flush { to: Level, cause: Cause, attempt: u32 },
}

/// The end of a [`Action::Raise`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Raised {
    /// Granted, by the operation of this number.
    Granted(u64),
    /// Somebody has it.
    Again,
    /// Two holders want more at the same time.
    Deadlock,
    Cancelled,
    Failed,
}

/// What follows from an event.
#[derive(Debug)]
pub(crate) struct Turn<W> {
    /// Those who wait no longer.
    pub(crate) settled: Vec<(W, Result<Admission, Refusal>)>,
    pub(crate) action: Option<Action>,
    /// When to tell [`Machine::look`](super::Machine::look).
    pub(crate) look_at: Option<Instant>,
}

impl<W> Default for Turn<W> {
    fn default() -> Self {
        Self { settled: Vec::new(), action: None, look_at: None }
    }
}

/// What an event finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) time: Instant,
    /// So long a lock is kept after its grant, whoever waits for it.
    pub(crate) minimum_hold: Duration,
    /// So long after a failure the same is tried again.
    pub(crate) pause: Duration,
}
