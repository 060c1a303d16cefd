//! Locking by name.

use super::acquire::Acquire;
use super::guard::{Exclusive, Guard, Shared};
use super::lock_cache::LockCache;
use super::resource::{Handle, Resource, sealed};
use crate::error::{Error, ErrorKind};

impl LockCache {
    /// A resource by its name, to be locked at once:
    ///
    /// ```no_run
    /// # let lockspace = dlm_runtime::Lockspace::open("example")?;
    /// # let cache = dlm_runtime::cache::LockCache::builder(&lockspace).start()?;
    /// let guard = cache.lock("disk0").exclusive().wait()?;
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    ///
    /// The guards own what they need.
    pub fn lock<N: AsRef<[u8]>>(&self, name: N) -> Named<'_, N> {
        Named::new(self, name)
    }
}

/// A resource that is looked for when it is locked; [`LockCache::lock`] makes it.
#[derive(Debug, Clone)]
#[must_use = "nothing is locked before shared() or exclusive() is waited for"]
pub struct Named<'a, N> {
    cache: &'a LockCache,
    name: N,
}

impl<'a, N: AsRef<[u8]>> Named<'a, N> {
    #[inline]
    pub(super) const fn new(cache: &'a LockCache, name: N) -> Self {
        Self { cache, name }
    }
}

impl<N: AsRef<[u8]>> Named<'_, N> {
    /// A shared guard, in PR.
    #[inline]
    pub fn shared(self) -> Acquire<Self, Shared> {
        Acquire::new(self)
    }

    /// The exclusive guard, in EX.
    #[inline]
    pub fn exclusive(self) -> Acquire<Self, Exclusive> {
        Acquire::new(self)
    }

    /// As [`Resource::try_shared`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn try_shared(self) -> Result<Option<Guard<Resource, Shared>>, Error> {
        self.shared().try_now()
    }

    /// As [`Resource::try_exclusive`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn try_exclusive(self) -> Result<Option<Guard<Resource, Exclusive>>, Error> {
        self.exclusive().try_now()
    }
}

impl<N> sealed::Handle for Named<'_, N> {}

impl<N: AsRef<[u8]>> Handle for Named<'_, N> {
    type Held = Resource;

    #[inline]
    fn find(self) -> Result<Resource, ErrorKind> {
        self.cache.find(self.name.as_ref())
    }
}
