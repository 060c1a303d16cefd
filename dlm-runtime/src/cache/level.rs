//! The modes that a cache knows.

use dlm_proto::Mode;

/// What a resource's lock is in the cluster: not there, NL, PR or EX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// There is no lock.
    None,
    /// NL: it keeps the resource and its value block, and nobody out.
    Null,
    /// PR: what is cached can be read.
    Shared,
    /// EX: what is cached can be changed.
    Exclusive,
}

impl Level {
    /// The mode, if there is a lock.
    #[must_use]
    pub const fn mode(self) -> Option<Mode> {
        match self {
            Self::None => None,
            Self::Null => Some(Mode::Nl),
            Self::Shared => Some(Mode::Pr),
            Self::Exclusive => Some(Mode::Ex),
        }
    }

    /// How far a lock must give way to one that waits for this mode.
    pub(super) const fn beside(wanted: Mode) -> Self {
        if wanted.is_compatible_with(Mode::Ex) {
            Self::Exclusive
        } else if wanted.is_compatible_with(Mode::Pr) {
            Self::Shared
        } else {
            Self::Null
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_give_way_as_far_as_they_must() {
        for (wanted, level) in [
            (Mode::Nl, Level::Exclusive),
            (Mode::Cr, Level::Shared),
            (Mode::Cw, Level::Null),
            (Mode::Pr, Level::Shared),
            (Mode::Pw, Level::Null),
            (Mode::Ex, Level::Null),
        ] {
            assert_eq!(Level::beside(wanted), level, "{wanted}");
        }
    }
}
