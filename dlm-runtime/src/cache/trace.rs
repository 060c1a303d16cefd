//! Events of a cache for the `tracing` crate, with the feature of that name; nothing without it.
//!
//! They are told when nothing is locked, as [`crate::trace`] has it. The short way tells nothing.

#![cfg_attr(
    not(feature = "tracing"),
    expect(dead_code, unused_variables, reason = "as with tracing")
)]

use std::time::Duration;

use super::cause::Cause;
use super::level::Level;

/// Something that has happened to a cached lock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Note {
    /// It was granted.
    Granted { from: Level, to: Level },
    /// It was not, which those who asked are told.
    Refused { to: Level },
    /// It has given way. The time since the grant, if nobody can use it any more.
    GaveWay { from: Level, to: Level, cause: Cause, held: Option<Duration> },
    /// It has gone with its lockspace.
    Lost { from: Level },
}

impl Note {
    pub(super) fn tell(self, name: &[u8]) {
        #[cfg(feature = "tracing")]
        {
            let resource = name.escape_ascii();
            match self {
                Self::Granted { from, to } => {
                    tracing::debug!(%resource, ?from, ?to, "cached lock granted");
                }
                Self::Refused { to } => tracing::debug!(%resource, ?to, "cached lock refused"),
                Self::GaveWay { from, to, cause, held } => {
                    tracing::debug!(%resource, ?from, ?to, ?cause, ?held, "cached lock gave way");
                }
                Self::Lost { from } => tracing::warn!(%resource, ?from, "cached lock lost"),
            }
        }
    }
}
