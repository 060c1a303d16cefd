//! Guards: what a user holds while it uses what a lock protects.

use std::fmt;
use std::marker::PhantomData;

use dlm_core::Lvb;
use dlm_proto::ValueBlock;

use super::level::Level;
use super::resource::{Holder, Resource};
use crate::threads::now;

/// The kind of guard that others may hold beside: the lock is held in PR, or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared;

/// The kind of guard that is alone: the lock is held in EX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exclusive;

/// A kind of guard. Not for users to implement.
pub trait GuardKind: sealed::GuardKind {
    /// The level that the lock must have.
    const LEVEL: Level;
}

mod sealed {
    pub trait GuardKind {}
}

impl sealed::GuardKind for Shared {}
impl sealed::GuardKind for Exclusive {}

impl GuardKind for Shared {
    const LEVEL: Level = Level::Shared;
}

impl GuardKind for Exclusive {
    const LEVEL: Level = Level::Exclusive;
}

/// A shared guard that borrows its resource's handle.
pub type SharedGuard<'a> = Guard<&'a Resource, Shared>;
/// An exclusive guard that borrows its resource's handle.
pub type ExclusiveGuard<'a> = Guard<&'a Resource, Exclusive>;
/// A shared guard that keeps a handle of its resource.
pub type OwnedSharedGuard = Guard<Resource, Shared>;
/// An exclusive guard that keeps a handle of its resource.
pub type OwnedExclusiveGuard = Guard<Resource, Exclusive>;

/// A local use of a cached lock: [`Shared`] or [`Exclusive`]. It ends when the guard is dropped; the
/// lock stays.
///
/// A guard can be sent to another thread, and dropped there. One that is leaked (`mem::forget`) keeps
/// the lock for ever.
#[must_use = "dropping a guard ends its use of the lock"]
pub struct Guard<H: Holder, K: GuardKind> {
    holder: H,
    /// It has not been turned into another one.
    is_armed: bool,
    kind: PhantomData<K>,
}

impl<H: Holder, K: GuardKind> fmt::Debug for Guard<H, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("resource", self.resource())
            .field("level", &K::LEVEL)
            .field("is_valid", &self.is_valid())
            .finish()
    }
}

impl<H: Holder, K: GuardKind> Guard<H, K> {
    /// One that has come in.
    #[inline]
    pub(super) const fn new(holder: H) -> Self {
        Self { holder, is_armed: true, kind: PhantomData }
    }

    /// The holder; the guard is not there any more.
    pub(super) fn into_holder(mut self) -> H {
        self.is_armed = false;
        self.holder.clone()
    }

    /// The resource.
    #[inline]
    #[must_use]
    pub fn resource(&self) -> &Resource {
        self.holder.resource()
    }

    /// Whether the lock is still held. It is not if the lockspace has ended: closed, removed, or lost
    /// with its node's membership. Others may have changed then what it protected, and **nothing may be
    /// written**. A node that stands still learns of that late: this tells what is known here.
    #[inline]
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.resource().entry().is_valid()
    }

    /// How far the lock is to give way, if somebody waits for it on another node or outside of the
    /// cache. A user that takes long should see to an end then.
    #[must_use]
    pub fn wanted(&self) -> Option<Level> {
        self.resource().entry().wanted().map(|(level, _)| level)
    }

    /// Whether somebody else has waited for the
    /// [longest hold](super::CacheOptions::longest_hold) now.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        let entry = self.resource().entry();
        let since = entry.wanted().map(|(_, since)| since);
        since.is_some_and(|since| {
            now().saturating_duration_since(since) >= entry.cache.options.longest_hold
        })
    }

    /// The lock value block: what came with the lock, or what a guard of this node has set since. `None`
    /// if the cache does without.
    #[must_use]
    pub fn value_block(&self) -> Option<Lvb> {
        self.resource().entry().block()
    }
}

impl<H: Holder> Guard<H, Exclusive> {
    /// Sets the lock value block. It goes to the other nodes when the lock gives way, and is lost if this
    /// node is lost before: then the block is not valid for the others. Nothing happens if the cache
    /// does without [value blocks](super::CacheOptions::value_blocks).
    pub fn set_value_block(&mut self, block: ValueBlock) {
        // There is a lock, unless it is lost.
        if let Some(slow) = self.resource().entry().state().get_mut() {
            slow.written = Some(Box::new(block));
        }
    }

    /// Makes it a shared guard, with nobody in between.
    pub fn downgrade(self) -> Guard<H, Shared> {
        let holder = self.into_holder();
        let entry = holder.resource().entry();
        if entry.word.downgrade() {
            entry.left();
        }
        Guard::new(holder)
    }
}

impl<H: Holder, K: GuardKind> Drop for Guard<H, K> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_armed {
            return;
        }
        let entry = self.holder.resource().entry();
        let must_look = match K::LEVEL {
            Level::Exclusive => entry.word.leave_exclusive(),
            _ => entry.word.leave_shared(),
        };
        if must_look {
            entry.left();
        }
    }
}
