//! Why a lock gives way.

use super::level::Level;

/// The cause for which a cached lock gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Somebody on another node, or outside of the cache, waits for it, and leaves this much of it.
    Wanted(Level),
    /// Two nodes held PR and wanted EX at the same time, and this one was chosen to give way.
    Deadlock,
    /// Nobody has used it for the idle time.
    Idle,
    /// There are more locks than the cache may keep, and this one was not used for long.
    Capacity,
    /// The program asked for it ([`LockCache::shrink`](super::LockCache::shrink)).
    Shrink,
    /// The cache is closed.
    Closed,
    /// The hook [`on_acquire`](super::Hooks::on_acquire) has failed.
    NotLoaded,
    /// The lockspace has ended, and all of its locks with it. Somebody else may have the lock by now:
    /// nothing may be written back.
    Lost,
}
