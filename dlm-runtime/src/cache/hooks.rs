//! What a program does with what its locks protect.

use std::{fmt, io};

use dlm_core::Lvb;
use dlm_proto::ValueBlock;

use super::cause::Cause;
use super::level::Level;

/// The work of a program around the locks that it caches: to load what they protect, and to write it
/// back before they give way.
///
/// Hooks run in threads of the cache, one at a time for each resource, with no lock of this library
/// held. While one runs nobody comes in to its resource, and other resources go on.
pub trait Hooks: Send + Sync {
    /// The lock was granted in a mode that this node did not have: what it protects can be loaded.
    /// Guards are given out when this has returned.
    ///
    /// # Errors
    ///
    /// What keeps it from being used. Those who wait get it as
    /// [`ErrorKind::System`](crate::ErrorKind::System), and the lock gives way again.
    fn on_acquire(&self, acquired: &Acquired<'_>) -> io::Result<()> {
        let _ = acquired;
        Ok(())
    }

    /// The lock is about to give way, and nobody uses it: what was changed under EX is to be written
    /// back, and what was cached is to be dropped, if nothing is [left](Demotion::left) of the lock.
    /// The lock is kept until this has returned. To [`Level::Shared`] it gives way while readers are
    /// there.
    ///
    /// # Errors
    ///
    /// What keeps it from being written back. The lock is **kept**, and this is called again after a
    /// while, with [`attempt`](Demotion::attempt) counting up: whoever waits, waits on. One that gives
    /// up, and loses what was changed, returns `Ok`.
    fn on_demote(&self, demotion: &mut Demotion<'_>) -> io::Result<()> {
        let _ = demotion;
        Ok(())
    }
}

/// A lock that goes with its lockspace.
pub(super) trait CanEnd: fmt::Debug {
    /// Whether that has ended, which the cache may not have heard yet.
    fn has_ended(&self) -> bool;
}

/// The argument of [`Hooks::on_acquire`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Acquired<'a> {
    /// The resource.
    pub name: &'a [u8],
    /// The lock that there was. With [`Level::Shared`] it was kept all the time, and what was read
    /// under it is not old.
    pub from: Level,
    /// The lock that there is.
    pub to: Level,
    /// The lock value block, unless the cache does without. One that is not valid was lost with a node
    /// that may have written, which is true of what the lock protects, too.
    pub block: Option<Lvb>,
}

/// The argument of [`Hooks::on_demote`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Demotion<'a> {
    /// The resource.
    pub name: &'a [u8],
    /// The lock that there is.
    pub from: Level,
    /// What is left of it: with [`Level::Shared`] what was cached may be kept.
    pub left: Level,
    /// Why. If the lock is [lost](Cause::Lost), **nothing may be written**.
    pub cause: Cause,
    /// How often this has failed before.
    pub attempt: u32,
    /// The lock value block as it is known here.
    pub block: Option<Lvb>,
    pub(super) written: Option<ValueBlock>,
    pub(super) lock: &'a dyn CanEnd,
}

impl Demotion<'_> {
    /// Stores a lock value block with the lock that gives way. Only a lock in EX stores one,
    /// and only if the cache has [value blocks](super::CacheOptions::value_blocks).
    pub fn set_block(&mut self, block: ValueBlock) {
        self.written = Some(block);
    }

    /// Whether the lock is lost: nothing may be written. It looks anew each time: what was written before
    /// may have been written after the loss. The hook is called once more then, for [`Cause::Lost`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.cause == Cause::Lost || self.lock.has_ended()
    }
}
