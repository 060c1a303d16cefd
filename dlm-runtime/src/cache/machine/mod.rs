//! The life of one resource's lock, without threads, clock, or input and output.
//!
//! Whoever has the resource's mutex tells the machine what has happened, and does what comes out. At
//! most one thing is under way: an operation of the lock manager, or work of the user's hooks. What
//! comes meanwhile waits for its end.
//!
//! Guards come and go by the [`Word`](super::word::Word) alone, unless the machine has barred it. The order of things is
//! then: the lock gives way before anybody new comes in; after that those who wait come in one after
//! the other, in the order in which they came.

#[cfg(test)]
#[cfg(not(dlm_model))]
mod cases;
mod events;
mod pump;
mod rare;
mod terms;
#[cfg(test)]
#[cfg(not(dlm_model))]
mod tests;

use std::time::Instant;

use super::cause::Cause;
use super::level::Level;

use self::rare::Rare;
pub(super) use self::terms::{Action, Admission, Now, Raised, Refusal, Turn, Wish};

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Rest,
    Raise {
        to: Level,
        is_cancelled: bool,
    },
    Load {
        from: Level,
    },
    Flush {
        to: Level,
        cause: Cause,
    },
    Lower {
        to: Level,
        cause: Cause,
    },
    /// The same, to be tried again.
    Paused {
        to: Level,
        cause: Cause,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    No,
    Closed,
    Lost,
}

#[derive(Debug, Clone, Hash)]
struct Queued<W> {
    waiter: W,
    wish: Wish,
}

/// The state of one resource's lock.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Machine<W: 'static> {
    held: Level,
    step: Step,
    end: End,
    /// The lock has not been used since somebody looked.
    is_aged: bool,
    /// Nobody has come in since the lock was granted: whoever it was asked for comes first.
    is_fresh: bool,
    /// Two holders wanted more at the same time: this one gives way.
    is_deadlocked: bool,
    /// What was granted could not be loaded.
    is_unloaded: bool,
    has_hooks: bool,
    attempt: u32,
    /// Grows with everything after which what was read may be old.
    version: u32,
    /// The number of the operation that was granted last.
    grant: u64,
    /// What others leave of the present grant.
    demand: Option<Level>,
    /// The lock is given back, for this reason.
    give_back: Option<Cause>,
    /// The time of the last grant that gained something.
    since: Option<Instant>,
    /// Who waits here, and what else few locks have.
    rare: Rare<W>,
}

impl<W: 'static> Machine<W> {
    pub(crate) const fn new() -> Self {
        Self {
            held: Level::None,
            step: Step::Rest,
            end: End::No,
            is_aged: false,
            is_fresh: false,
            is_deadlocked: false,
            is_unloaded: false,
            has_hooks: false,
            attempt: 0,
            version: 0,
            grant: 0,
            demand: None,
            give_back: None,
            since: None,
            rare: Rare::NONE,
        }
    }

    /// What the lock manager has granted, as far as this machine was told.
    pub(crate) const fn held(&self) -> Level {
        self.held
    }

    /// Whether nothing is there, under way, or waited for.
    pub(crate) fn is_blank(&self) -> bool {
        self.held == Level::None && self.step == Step::Rest && self.rare.queue.is_empty()
    }

    /// Whether a new one would do as well.
    pub(crate) fn is_new(&self) -> bool {
        self.is_blank() && self.end == End::No
    }

    /// How far the lock is to give way, and since when.
    pub(crate) fn wanted(&self) -> Option<(Level, Instant)> {
        Some((self.demand?, self.rare.wanted_since?))
    }

    /// The time of the last grant that gained something.
    pub(crate) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The version for [`Wish::seen`], of one that holds a shared guard.
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    /// There are hooks from now on. `false`: too late, there is a lock.
    pub(crate) fn add_hooks(&mut self) -> bool {
        let can = self.is_new();
        self.has_hooks |= can;
        can
    }
}
