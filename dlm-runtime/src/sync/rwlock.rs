//! Data that many in the cluster may read, or one write.

use std::fmt;
use std::ops::{Deref, DerefMut};

use dlm_proto::Mode;

use super::error::Error;
use super::request::{Request, Space, holds};
use crate::lock::Lock;
use crate::lockspace::Lockspace;

/// Data of this program that it may read while it holds PR on a resource, and change while it holds
/// EX. As [`Mutex`](super::Mutex), with readers beside each other.
///
/// A reader can [upgrade](ReadGuard::upgrade). If two readers want that at the same time, the second
/// is refused, as each would wait for the other.
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::RwLock;
///
/// let config = RwLock::new(&lockspace, "config", 0);
/// let reader = config.read().wait()?;
/// let writer = match reader.upgrade().wait() {
///     Ok(writer) => writer,
///     // Another reader upgrades at this moment, and waits for this one to let go.
///     Err(failed) if failed.error.is_deadlock() => {
///         drop(failed.guard);
///         config.write().wait()?
///     }
///     Err(failed) => return Err(failed.error),
/// };
/// assert_eq!(*writer, 0);
/// # Ok::<(), dlm_runtime::sync::Error>(())
/// ```
///
/// # When a node dies
///
/// As [`Mutex`](super::Mutex): what it held is granted to others after it was fenced.
pub struct RwLock<T> {
    space: Space,
    name: Box<[u8]>,
    value: parking_lot::RwLock<T>,
}

/// The data of a [`RwLock`], locked for reading. Dropped it is unlocked.
#[must_use = "it is unlocked when this is dropped"]
pub struct ReadGuard<'a, T> {
    // In this order: who is granted the lock next finds the data free.
    value: parking_lot::RwLockReadGuard<'a, T>,
    lock: Lock,
    of: &'a RwLock<T>,
}

/// The data of a [`RwLock`], locked for writing. Dropped it is unlocked.
#[must_use = "it is unlocked when this is dropped"]
pub struct WriteGuard<'a, T> {
    value: parking_lot::RwLockWriteGuard<'a, T>,
    lock: Lock,
    of: &'a RwLock<T>,
}

/// A reader that could not become a writer.
#[non_exhaustive]
pub struct UpgradeError<'a, T> {
    /// The reason: [`Error::is_deadlock`] if another reader upgrades, too, and waits for this one.
    pub error: Error,
    /// The reader, who still reads. `None` after [`Error::InUse`].
    pub guard: Option<ReadGuard<'a, T>>,
}

impl<T: Send + Sync> RwLock<T> {
    /// Data that belongs to those who have locked a resource, of a name of up to 64 bytes. Nothing is
    /// requested yet.
    pub fn new(lockspace: &Lockspace, name: impl AsRef<[u8]>, value: T) -> Self {
        let value = parking_lot::RwLock::new(value);
        Self { space: Space::of(lockspace), name: name.as_ref().into(), value }
    }

    /// Locks it for reading. A reader that comes after a writer waits behind that.
    ///
    /// A future that is dropped has taken its request back.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]; [`Error::InUse`] after the lockspace was removed under another guard.
    pub fn read(&self) -> Request<'_, ReadGuard<'_, T>> {
        Request::new(move |way| async move {
            let lock = way.lock(self.space.lock(&self.name, Mode::Pr)).await?;
            self.reader(lock)
        })
    }

    /// Locks it for writing.
    ///
    /// A future that is dropped has taken its request back.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write(&self) -> Request<'_, WriteGuard<'_, T>> {
        Request::new(move |way| async move {
            let lock = way.lock(self.space.lock(&self.name, Mode::Ex)).await?;
            self.writer(lock)
        })
    }

    /// Locks it for reading if no writer has it or waits for it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn try_read(&self) -> Request<'_, Option<ReadGuard<'_, T>>> {
        Request::new(move |way| async move {
            let lock = way.try_lock(self.space.lock(&self.name, Mode::Pr)).await?;
            lock.map(|lock| self.reader(lock)).transpose()
        })
    }

    /// Locks it for writing if nobody has it or waits for it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn try_write(&self) -> Request<'_, Option<WriteGuard<'_, T>>> {
        Request::new(move |way| async move {
            let lock = way.try_lock(self.space.lock(&self.name, Mode::Ex)).await?;
            lock.map(|lock| self.writer(lock)).transpose()
        })
    }

    fn reader(&self, lock: Lock) -> Result<ReadGuard<'_, T>, Error> {
        let value = self.value.try_read().ok_or(Error::InUse)?;
        Ok(ReadGuard { value, lock, of: self })
    }

    fn writer(&self, lock: Lock) -> Result<WriteGuard<'_, T>, Error> {
        let value = self.value.try_write().ok_or(Error::InUse)?;
        Ok(WriteGuard { value, lock, of: self })
    }

    /// The data.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<'a, T: Send + Sync> ReadGuard<'a, T> {
    /// Whether the lock is still held: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        holds(&self.lock, Mode::Pr)
    }

    /// Makes a writer of this reader, past those who wait to read or write. Nobody has written in
    /// between.
    ///
    /// A future that is dropped has let go of the lock, too.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`] with the reader: a deadlock with another upgrade, a deadline that has passed, and
    /// what else [`Error::Lock`] tells.
    pub fn upgrade(self) -> Request<'a, WriteGuard<'a, T>, UpgradeError<'a, T>> {
        Request::new(move |way| async move {
            if let Err(error) = way.convert(self.lock.convert(Mode::Ex)).await {
                return Err(UpgradeError { error: error.into(), guard: Some(self) });
            }
            let Self { value, lock, of } = self;
            drop(value);
            of.writer(lock).map_err(|error| UpgradeError { error, guard: None })
        })
    }

    /// Unlocks it, and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]. It is unlocked all the same, unless the lockspace is gone.
    pub fn unlock(self) -> Request<'a, ()> {
        Request::new(move |way| async move {
            let Self { value, lock, .. } = self;
            drop(value);
            Ok(way.unlock(lock.unlock()).await?)
        })
    }
}

impl<'a, T: Send + Sync> WriteGuard<'a, T> {
    /// Whether the lock is still held: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        holds(&self.lock, Mode::Ex)
    }

    /// Makes a reader of this writer. Nobody writes in between.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]: it is unlocked then.
    pub fn downgrade(self) -> Request<'a, ReadGuard<'a, T>> {
        Request::new(move |way| async move {
            let Self { value, lock, of } = self;
            // First the data: who is granted PR next finds it free to read.
            let value = parking_lot::RwLockWriteGuard::downgrade(value);
            let guard = ReadGuard { value, lock, of };
            way.convert(guard.lock.convert(Mode::Pr)).await?;
            Ok(guard)
        })
    }

    /// Unlocks it, and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]. It is unlocked all the same, unless the lockspace is gone.
    pub fn unlock(self) -> Request<'a, ()> {
        Request::new(move |way| async move {
            let Self { value, lock, .. } = self;
            drop(value);
            Ok(way.unlock(lock.unlock()).await?)
        })
    }
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("lockspace", &self.space)
            .field("name", &String::from_utf8_lossy(&self.name))
            .finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGuard").field("value", &*self.value).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for WriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteGuard").field("value", &*self.value).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for UpgradeError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for UpgradeError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl<T> std::error::Error for UpgradeError<'_, T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// The error alone. The reader is dropped, which unlocks it.
impl<T> From<UpgradeError<'_, T>> for Error {
    fn from(failed: UpgradeError<'_, T>) -> Self {
        failed.error
    }
}
