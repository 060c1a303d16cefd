//! The ways to lock a resource by its handle.

use super::acquire::Acquire;
use super::guard::{Exclusive, Guard, Shared};
use super::resource::Resource;
use crate::error::Error;

impl Resource {
    /// A shared guard, in PR: [`wait`](Acquire::wait) or `.await` gets it.
    #[inline]
    pub fn shared(&self) -> Acquire<&Self, Shared> {
        Acquire::new(self)
    }

    /// The exclusive guard, in EX: [`wait`](Acquire::wait) or `.await` gets it.
    #[inline]
    pub fn exclusive(&self) -> Acquire<&Self, Exclusive> {
        Acquire::new(self)
    }

    /// The same, with guards that keep a handle of their own.
    #[must_use]
    pub fn owned(&self) -> OwnedResource {
        OwnedResource(self.clone())
    }

    /// A shared guard, if that can be had without waiting for anybody. Another node that caches the
    /// lock is told that it is wanted: a later try may find it free.
    ///
    /// If the lock is not here the lock manager is asked, and its answer is waited for.
    ///
    /// # Errors
    ///
    /// As [`Acquire::wait`].
    pub fn try_shared(&self) -> Result<Option<Guard<&Self, Shared>>, Error> {
        self.shared().try_now()
    }

    /// The exclusive guard, if that can be had without waiting for anybody; as
    /// [`try_shared`](Self::try_shared).
    ///
    /// # Errors
    ///
    /// As [`Acquire::wait`].
    pub fn try_exclusive(&self) -> Result<Option<Guard<&Self, Exclusive>>, Error> {
        self.exclusive().try_now()
    }
}

/// A [`Resource`] whose guards keep a handle of their own.
#[derive(Debug, Clone)]
pub struct OwnedResource(Resource);

impl OwnedResource {
    /// As [`Resource::shared`].
    pub fn shared(self) -> Acquire<Resource, Shared> {
        Acquire::new(self.0)
    }

    /// As [`Resource::exclusive`].
    pub fn exclusive(self) -> Acquire<Resource, Exclusive> {
        Acquire::new(self.0)
    }
}
