//! Values that are cached as long as their lock is.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_proto::ValueBlock;

use super::acquire::Acquire;
use super::guard::{Exclusive, ExclusiveGuard, GuardKind, Shared, SharedGuard};
use super::hooks::{Acquired, CanEnd as _, Demotion, Hooks};
use super::level::Level;
use super::lock_cache::LockCache;
use super::resource::Resource;
use crate::error::{Error, ErrorKind, Operation};
use crate::threads::{Mutex, lock};

/// Where a [`Cached`] value comes from, and where it is written back to: a file, a block of a disk, a
/// row of a table that all nodes share.
pub trait Store: Send + Sync {
    /// The value.
    type Value: Clone + Send + Sync;

    /// Reads the value. `version`: how often it was stored, by the lock value block; `None` if that is
    /// not known, as a node was lost that may have written: then the value may be half-written.
    ///
    /// # Errors
    ///
    /// What keeps it from being read. Those who wait for it get this.
    fn load(&self, name: &[u8], version: Option<u64>) -> io::Result<Self::Value>;

    /// Writes a value that was changed back, before others can have it. It must be where others read it
    /// when this returns.
    ///
    /// # Errors
    ///
    /// What keeps it from being written. The lock is kept then, and this is called again.
    fn store(&self, name: &[u8], value: &Self::Value) -> io::Result<()>;

    /// A value that was changed, and not written back, is lost with the lock: others may have changed
    /// what is stored. It must **not** be written.
    fn lost(&self, name: &[u8], value: &Self::Value) {
        let _ = (name, value);
    }
}

/// A value that is cached as long as its lock: read in PR, changed in EX, written back and dropped when
/// the lock gives way. [`LockCache::cached`] makes it; clones are one and the same.
///
/// ```
/// # #[cfg(feature = "engine")] {
/// use std::io;
/// use std::sync::{Arc, Mutex};
///
/// use dlm_runtime::cache::{LockCache, Store};
/// # use dlm_runtime::engine::Cluster;
/// # use dlm_runtime::Lockspace;
///
/// /// A number that all nodes share.
/// struct Disk(Arc<Mutex<u64>>);
///
/// impl Store for Disk {
///     type Value = u64;
///
///     fn load(&self, _: &[u8], _: Option<u64>) -> io::Result<u64> {
///         Ok(*self.0.lock().unwrap())
///     }
///
///     fn store(&self, _: &[u8], value: &u64) -> io::Result<()> {
///         *self.0.lock().unwrap() = *value;
///         Ok(())
///     }
/// }
///
/// # let cluster = Cluster::default();
/// # let lockspaces = [
/// #     Lockspace::create_on(cluster.node(1), "example")?,
/// #     Lockspace::open_on(cluster.node(1), "example")?,
/// # ];
/// let disk = Arc::default();
/// // Two nodes.
/// let first = LockCache::builder(&lockspaces[0]).start()?;
/// let second = LockCache::builder(&lockspaces[1]).start()?;
/// let one = first.cached("count", Disk(Arc::clone(&disk)))?;
/// let two = second.cached("count", Disk(Arc::clone(&disk)))?;
/// for _ in 0..1000 {
///     *one.write().wait()? += 1;
/// }
/// assert_eq!(*disk.lock().unwrap(), 0);
/// assert_eq!(*two.read().wait()?, 1000);
/// assert_eq!(*disk.lock().unwrap(), 1000);
/// # }
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
pub struct Cached<S: Store> {
    resource: Resource,
    cell: Arc<Cell<S>>,
}

struct Cell<S: Store> {
    store: S,
    state: Mutex<State<S::Value>>,
}

struct State<V> {
    /// Taken out by whoever changes it.
    value: Option<Arc<V>>,
    is_dirty: bool,
    version: u64,
}

impl<S: Store> Clone for Cached<S> {
    fn clone(&self) -> Self {
        Self { resource: self.resource.clone(), cell: Arc::clone(&self.cell) }
    }
}

impl<S: Store> fmt::Debug for Cached<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("resource", &self.resource).finish_non_exhaustive()
    }
}

impl<S: Store> Hooks for Cell<S> {
    fn on_acquire(&self, acquired: &Acquired<'_>) -> io::Result<()> {
        let block = acquired.block.map(|lvb| lvb.block.u64_at(0).unwrap_or(0));
        if acquired.from == Level::Shared && lock(&self.state).value.is_some() {
            return Ok(());
        }
        let is_valid = acquired.block.is_some_and(|lvb| lvb.valid);
        let value = self.store.load(acquired.name, block.filter(|_| is_valid))?;
        let mut state = lock(&self.state);
        state.version = block.unwrap_or(state.version);
        let old = state.value.replace(Arc::new(value));
        drop(state);
        drop(old);
        Ok(())
    }

    fn on_demote(&self, demotion: &mut Demotion<'_>) -> io::Result<()> {
        let (value, is_dirty, version) = {
            let state = lock(&self.state);
            (state.value.clone(), state.is_dirty, state.version)
        };
        let changed = value.as_ref().filter(|_| is_dirty);
        if demotion.is_lost() {
            if let Some(value) = changed {
                self.store.lost(demotion.name, value);
            }
        } else if let Some(value) = changed {
            self.store.store(demotion.name, value)?;
            if demotion.is_lost() {
                // Before or after: the value may be lost all the same, which is told next.
                return Err(lost());
            }
            demotion.set_block(with_version(demotion.block.map(|lvb| lvb.block), version + 1));
        }
        let mut state = lock(&self.state);
        state.version += u64::from(is_dirty);
        state.is_dirty = false;
        let old = if demotion.left <= Level::Null { state.value.take() } else { None };
        drop(state);
        drop((old, value));
        Ok(())
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the lock of the value is lost")
}

/// The block with another version, and the rest as it was.
fn with_version(block: Option<ValueBlock>, version: u64) -> ValueBlock {
    let block = block.unwrap_or(ValueBlock::ZERO);
    block.with_u64_at(0, version).unwrap_or(block)
}

impl LockCache {
    /// A value that is cached with its lock. The first eight bytes of the resource's lock value block
    /// count how often it was stored, unless the cache does without
    /// [value blocks](super::CacheOptions::value_blocks).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Illegal`] if the resource is locked here already, or has a value;
    /// [`ErrorKind::Name`], [`ErrorKind::Closed`].
    pub fn cached<S: Store + 'static>(
        &self,
        name: impl AsRef<[u8]>,
        store: S,
    ) -> Result<Cached<S>, Error> {
        let resource = self.resource(name)?;
        let state = State { value: None, is_dirty: false, version: 0 };
        let cell = Arc::new(Cell { store, state: Mutex::new(state) });
        let hooks: Arc<dyn Hooks> = Arc::<Cell<S>>::clone(&cell);
        let is_set = {
            let entry = resource.entry();
            let mut state = entry.state();
            let slow = state.wake(&entry.cache);
            let can = slow.own_hooks.is_none() && slow.machine.add_hooks();
            if can {
                slow.own_hooks = Some(hooks);
            }
            can
        };
        if is_set {
            return Ok(Cached { resource, cell });
        }
        let kind = ErrorKind::Illegal(
            "cached() needs a resource without a value that is not locked yet: keep one Cached, and clone it",
        );
        Err(Error::new(Operation::Acquire, kind))
    }
}

impl<S: Store> Cached<S> {
    /// The resource.
    #[must_use]
    pub const fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Reads the value, in PR: [`wait`](Access::wait) gets it.
    pub fn read(&self) -> Access<'_, S, Shared> {
        Access { cached: self, acquire: self.resource.shared() }
    }

    /// Changes the value, in EX: [`wait`](Access::wait) gets it. It is written back when the lock
    /// gives way, or by [`ValueMut::sync`].
    pub fn write(&self) -> Access<'_, S, Exclusive> {
        Access { cached: self, acquire: self.resource.exclusive() }
    }

    fn gone() -> Error {
        Error::new(Operation::Acquire, ErrorKind::LockGone)
    }

    fn reading<'a>(&self, guard: SharedGuard<'a>) -> Result<Value<'a, S>, Error> {
        let value = lock(&self.cell.state).value.clone().ok_or_else(Self::gone)?;
        Ok(Value { value, guard })
    }

    fn writing<'a>(&'a self, guard: ExclusiveGuard<'a>) -> Result<ValueMut<'a, S>, Error> {
        let value = lock(&self.cell.state).value.take().ok_or_else(Self::gone)?;
        Ok(ValueMut { value, is_changed: false, cell: &self.cell, guard })
    }
}

/// An access to a [`Cached`] value in the making.
#[must_use = "nothing is accessed before wait() or get()"]
pub struct Access<'a, S: Store, K> {
    cached: &'a Cached<S>,
    acquire: Acquire<&'a Resource, K>,
}

impl<S: Store, K: GuardKind> fmt::Debug for Access<'_, S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("acquire", &self.acquire).finish_non_exhaustive()
    }
}

impl<S: Store, K: GuardKind> Access<'_, S, K> {
    /// Waits no longer than until this time.
    pub const fn deadline(mut self, at: Instant) -> Self {
        self.acquire = self.acquire.deadline(at);
        self
    }

    /// Waits no longer than this.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.acquire = self.acquire.timeout(timeout);
        self
    }
}

impl<'a, S: Store> Access<'a, S, Shared> {
    /// Waits for the value.
    ///
    /// # Errors
    ///
    /// As [`Acquire::wait`]; [`ErrorKind::System`] is what [`Store::load`] has failed with.
    pub fn wait(self) -> Result<Value<'a, S>, Error> {
        self.cached.reading(self.acquire.wait()?)
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn get(self) -> Result<Value<'a, S>, Error> {
        self.cached.reading(self.acquire.await?)
    }
}

impl<'a, S: Store> Access<'a, S, Exclusive> {
    /// Waits for the value, to change it.
    ///
    /// # Errors
    ///
    /// As [`Acquire::wait`]; [`ErrorKind::System`] is what [`Store::load`] has failed with.
    pub fn wait(self) -> Result<ValueMut<'a, S>, Error> {
        self.cached.writing(self.acquire.wait()?)
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn get(self) -> Result<ValueMut<'a, S>, Error> {
        self.cached.writing(self.acquire.await?)
    }
}

/// A value that is read: nobody changes it as long as this is there.
#[must_use = "dropping it ends the use of the value"]
pub struct Value<'a, S: Store> {
    // Dropped before the guard, so that whoever changes it is alone with it.
    value: Arc<S::Value>,
    guard: SharedGuard<'a>,
}

impl<'a, S: Store> Value<'a, S> {
    /// The guard that protects it.
    pub const fn guard(&self) -> &SharedGuard<'a> {
        &self.guard
    }
}

impl<S: Store> Deref for Value<'_, S> {
    type Target = S::Value;

    fn deref(&self) -> &S::Value {
        &self.value
    }
}

impl<S: Store> fmt::Debug for Value<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// A value that is changed: nobody else has it as long as this is there.
#[must_use = "dropping it ends the use of the value"]
pub struct ValueMut<'a, S: Store> {
    value: Arc<S::Value>,
    is_changed: bool,
    cell: &'a Cell<S>,
    guard: ExclusiveGuard<'a>,
}

impl<'a, S: Store> ValueMut<'a, S> {
    /// The guard that protects it.
    pub const fn guard(&self) -> &ExclusiveGuard<'a> {
        &self.guard
    }

    /// Stores the value now, if it was changed since it was stored last: what was changed before
    /// survives the loss of this node then.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] if the lock is lost, before the value was written or meanwhile. What
    /// [`Store::store`] fails with: the value is stored when the lock gives way, or by the next call.
    pub fn sync(&mut self) -> io::Result<()> {
        let entry = self.guard.resource().entry();
        if !self.guard.is_valid() || entry.has_ended() {
            return Err(lost());
        }
        if !self.is_changed && !lock(&self.cell.state).is_dirty {
            return Ok(());
        }
        self.cell.store.store(&entry.name, &self.value)?;
        if entry.has_ended() {
            return Err(lost());
        }
        let version = {
            let mut state = lock(&self.cell.state);
            state.is_dirty = false;
            state.version += 1;
            state.version
        };
        self.is_changed = false;
        let block = self.guard.value_block();
        if let Some(lvb) = block {
            self.guard.set_value_block(with_version(Some(lvb.block), version));
        }
        Ok(())
    }
}

impl<S: Store> Deref for ValueMut<'_, S> {
    type Target = S::Value;

    fn deref(&self) -> &S::Value {
        &self.value
    }
}

impl<S: Store> DerefMut for ValueMut<'_, S> {
    fn deref_mut(&mut self) -> &mut S::Value {
        self.is_changed = true;
        // Nobody else has it.
        Arc::make_mut(&mut self.value)
    }
}

impl<S: Store> Drop for ValueMut<'_, S> {
    fn drop(&mut self) {
        let mut state = lock(&self.cell.state);
        state.is_dirty |= self.is_changed;
        // Where it was taken from: there is nothing.
        state.value = Some(Arc::clone(&self.value));
    }
}

impl<S: Store> fmt::Debug for ValueMut<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueMut")
            .field("guard", &self.guard)
            .field("is_changed", &self.is_changed)
            .finish_non_exhaustive()
    }
}
