//! The cache as users see it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dlm_proto::ResourceName;

use super::counts::CacheCounters;
use super::resource::Resource;
use super::shared::{Entry, Inner};
use crate::error::{Error, ErrorKind, Operation};
use crate::threads::deadline_after;

/// A cache of locks on an open lockspace; see the [module](super).
///
/// Clones are one and the same. When the last one is dropped the cache is [closed](Self::close), but
/// not waited for.
#[derive(Clone)]
pub struct LockCache {
    owner: Arc<Owner>,
}

struct Owner(Arc<Inner>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for LockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockCache")
            .field("lockspace", &self.owner.0.driver.name)
            .finish_non_exhaustive()
    }
}

impl LockCache {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { owner: Arc::new(Owner(inner)) }
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.owner.0
    }

    /// A handle of a resource, named by up to 64 bytes. Keep it: with a handle an acquisition does not
    /// look for the name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], [`ErrorKind::Closed`] if the cache is closed.
    pub fn resource(&self, name: impl AsRef<[u8]>) -> Result<Resource, Error> {
        self.find(name.as_ref()).map_err(|kind| Error::new(Operation::Acquire, kind))
    }

    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Result<Resource, ErrorKind> {
        match self.inner().table.get(name) {
            Some(entry) => Ok(Resource::new(entry)),
            None => self.add(name),
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&self, name: &[u8]) -> Result<Resource, ErrorKind> {
        ResourceName::new(name)?;
        let inner = self.inner();
        if inner.is_closed() {
            return Err(inner.driver.end_or(ErrorKind::Closed));
        }
        let make = || Arc::new(Entry::new(Arc::clone(inner), name));
        let entry = inner.table.get_or_add(name, make);
        if inner.is_closed() {
            // Between the two looks: it was not closed with the others, maybe.
            inner.close_known();
            return Err(inner.driver.end_or(ErrorKind::Closed));
        }
        Ok(Resource::new(entry))
    }

    /// Gives back up to `most` locks that nobody uses now, those first that were not used for long.
    /// Returns how many. With hooks they go when those have returned.
    pub fn shrink(&self, most: usize) -> usize {
        self.inner().shrink(most)
    }

    /// Counts of what happened. The hits are summed up over all resources that are known.
    #[must_use]
    pub fn counters(&self) -> CacheCounters {
        let inner = self.inner();
        let hits = inner.table.sum(|entry| entry.word.hits());
        inner.counts.read(hits, inner.kept.count())
    }

    /// The number of resources that the cache knows, locked or not.
    #[must_use]
    pub fn known(&self) -> usize {
        self.inner().table.len()
    }

    /// Closes the cache: nobody gets a guard any more, and whoever waits gets
    /// [`ErrorKind::Closed`]. Guards that are there stay valid. Each lock is given back when its last
    /// guard is dropped and its hook has returned; this waits for that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] if locks are left at that time: guards are held, or hooks have not
    /// returned. They go when those do.
    pub fn close(&self, timeout: Duration) -> Result<(), Error> {
        let inner = self.inner();
        inner.close();
        if inner.kept.wait_none(deadline_after(timeout)) {
            return Ok(());
        }
        let kind =
            ErrorKind::TimedOut("guards of the cache are held, or its hooks have not returned");
        Err(Error::new(Operation::CloseCache, kind))
    }
}
