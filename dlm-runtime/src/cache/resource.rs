//! Handles of resources.

use std::fmt;
use std::sync::Arc;

use super::shared::Entry;
use crate::error::ErrorKind;

/// A handle of a resource in a [`LockCache`](super::LockCache). Clones are one and the same.
///
/// The guards of [`shared`](Self::shared) and [`exclusive`](Self::exclusive) borrow it; those of
/// [`owned`](Self::owned) keep it.
#[derive(Clone)]
pub struct Resource {
    entry: Arc<Entry>,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").field("entry", &self.entry).finish()
    }
}

impl Resource {
    #[inline]
    pub(super) const fn new(entry: Arc<Entry>) -> Self {
        Self { entry }
    }

    #[inline]
    pub(super) const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.entry.name
    }
}

/// Something that leads to a resource. Not for users to implement.
pub trait Handle: sealed::Handle {
    /// What a guard keeps of it.
    type Held: Holder;

    #[doc(hidden)]
    fn find(self) -> Result<Self::Held, ErrorKind>;
}

/// What a guard keeps. Not for users to implement.
pub trait Holder: sealed::Holder + Clone {
    /// The resource.
    fn resource(&self) -> &Resource;
}

pub(super) mod sealed {
    pub trait Handle {}
    pub trait Holder {}
}

impl sealed::Handle for Resource {}
impl sealed::Handle for &Resource {}
impl sealed::Holder for Resource {}
impl sealed::Holder for &Resource {}

impl Holder for Resource {
    #[inline]
    fn resource(&self) -> &Resource {
        self
    }
}

impl Holder for &Resource {
    #[inline]
    fn resource(&self) -> &Resource {
        self
    }
}

impl Handle for Resource {
    type Held = Self;

    #[inline]
    fn find(self) -> Result<Self, ErrorKind> {
        Ok(self)
    }
}

impl Handle for &Resource {
    type Held = Self;

    #[inline]
    fn find(self) -> Result<Self, ErrorKind> {
        Ok(self)
    }
}
