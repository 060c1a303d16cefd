//! Numbers that the kernel hands out.

use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id! {
    /// A lock id (`lkid`): names a lock for conversions, unlocks and cancels.
    ///
    /// The kernel hands out the lowest free number, shared by all processes of a node and by the
    /// copies of remote nodes' locks, and trusts what it is given: a stale or guessed id hits a
    /// lock of somebody else or crashes the kernel. Forget an id when its unlock is written, never
    /// store one, and never look up a result by it. 0 is never a lock.
    LockId
}

id! {
    /// A minor number of the misc device major (10). It names a lockspace when it is removed.
    ///
    /// Above 255 on kernel 6.12 and newer.
    Minor
}

id! {
    /// The id of a cluster node. 0 means the local node in a purge.
    NodeId
}
