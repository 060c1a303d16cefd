//! The work that is drawn, in this process and on machines alike.

use dlm_proto::Mode;

/// The resources. Few, so that the nodes are in each other's way.
pub const RESOURCES: [&str; 3] = ["disk", "index", "leader"];

/// What is special about a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// It is refused rather than queued.
    NoQueue,
    /// It has a deadline.
    Deadline,
    /// It is cancelled soon.
    Cancel,
    /// It is held until a notice tells that somebody waits.
    UntilBlocked,
    /// A reader's, that becomes a writer's and a reader's again.
    Converts,
}

/// The kinds, each as often as it is drawn.
pub const KINDS: [Kind; 10] = [
    Kind::Plain,
    Kind::Plain,
    Kind::NoQueue,
    Kind::NoQueue,
    Kind::Deadline,
    Kind::Cancel,
    Kind::UntilBlocked,
    Kind::UntilBlocked,
    Kind::Converts,
    Kind::Converts,
];

/// What is asked for, unless the kind says it.
pub const MODES: [Mode; 5] = [Mode::Ex, Mode::Ex, Mode::Pr, Mode::Pr, Mode::Pw];
