//! What the two libraries differ in.

/// The one of the two libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// libdlm, the pthread build: a call that waits returns 0 when the operation has ended, and its
    /// status is in the status block.
    Threaded,
    /// libdlm_lt: a call that waits returns -1 with the status as `errno`, unless the lock was
    /// granted, or unlocked.
    Light,
}
