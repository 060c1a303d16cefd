//! The options of a cache.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::hooks::Hooks;
use super::lock_cache::LockCache;
use super::settings::Options;
use super::shared::Inner;
use crate::error::{Error, Operation};
use crate::lockspace::Lockspace;

/// The options of a [`LockCache`]; [`LockCache::builder`] makes them.
#[must_use = "there is no cache before start()"]
pub struct CacheOptions<'a> {
    lockspace: &'a Lockspace,
    options: Options,
    hooks: Option<Arc<dyn Hooks>>,
}

impl fmt::Debug for CacheOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheOptions")
            .field("lockspace", self.lockspace)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl LockCache {
    /// The options of a cache on this lockspace, which it keeps open. There may be several caches on
    /// one lockspace; to each other they are as those of different nodes.
    pub fn builder(lockspace: &Lockspace) -> CacheOptions<'_> {
        CacheOptions::new(lockspace)
    }
}

impl<'a> CacheOptions<'a> {
    fn new(lockspace: &'a Lockspace) -> Self {
        let options = Options {
            capacity: 100_000,
            idle: Some(Duration::from_secs(60)),
            minimum_hold: Duration::from_millis(10),
            longest_hold: Duration::from_secs(5),
            pause: Duration::from_millis(200),
            value_blocks: true,
            workers: 4,
            has_delivery: true,
        };
        Self { lockspace, options, hooks: None }
    }

    /// The number of locks that the cache keeps; 100,000 by itself. Beyond that it gives those back
    /// that were not used for long. Locks that are in use all count, and stay.
    pub const fn capacity(mut self, locks: usize) -> Self {
        self.options.capacity = locks;
        self
    }

    /// A lock that nobody has used for this time, and twice this time at the latest, is given back; a
    /// minute by itself. `None`: only other nodes and the capacity decide.
    pub const fn idle_time(mut self, idle: Option<Duration>) -> Self {
        self.options.idle = idle;
        self
    }

    /// A lock is kept for this time after it was granted, whoever waits for it, and local users come
    /// and go; 10 ms by itself. A lock that two nodes fight for does useful work in this time, and
    /// whoever waits for it waits that much longer.
    pub const fn minimum_hold(mut self, hold: Duration) -> Self {
        self.options.minimum_hold = hold;
        self
    }

    /// A guard that is kept so long while somebody else waits for the lock is
    /// [overdue](super::Guard::is_overdue); 5 seconds by itself. Nothing takes it away.
    pub const fn longest_hold(mut self, hold: Duration) -> Self {
        self.options.longest_hold = hold;
        self
    }

    /// The time after which a hook or an operation that has failed is tried again; 200 ms by itself.
    pub const fn retry_after(mut self, pause: Duration) -> Self {
        self.options.pause = pause;
        self
    }

    /// Whether locks carry their lock value blocks; they do by themselves. Do without in a lockspace
    /// that a [file system has made](crate::manual::hazards#value-blocks-of-a-file-system).
    pub const fn value_blocks(mut self, carries: bool) -> Self {
        self.options.value_blocks = carries;
        self
    }

    /// The number of threads that run hooks at the same time, at most; 4 by itself. One is started with
    /// the cache, the others when they are needed.
    pub const fn workers(mut self, threads: usize) -> Self {
        self.options.workers = threads;
        self
    }

    /// The cache starts no [`DeliveryThread`](crate::DeliveryThread): the program reads the lockspace
    /// itself, by [`dispatch`](Lockspace::dispatch) or a driver for its executor. Without that no lock
    /// gives way. Unless this is said, a thread is started, if there is none.
    pub const fn dispatched(mut self) -> Self {
        self.options.has_delivery = false;
        self
    }

    /// Hooks for all resources: see [`Hooks`].
    pub fn hooks(mut self, hooks: impl Hooks + 'static) -> Self {
        self.hooks = Some(Arc::new(hooks));
        self
    }

    /// Makes the cache.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed),
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed),
    /// [`ErrorKind::Forked`](crate::ErrorKind::Forked);
    /// [`ErrorKind::System`](crate::ErrorKind::System) if a thread cannot be started.
    pub fn start(self) -> Result<LockCache, Error> {
        let driver = Arc::clone(self.lockspace.driver());
        let inner = Inner::start(driver, self.options, self.hooks);
        inner.map(LockCache::new).map_err(|kind| Error::new(Operation::StartCache, kind))
    }
}
