//! Data that one holder in the cluster may use.

use std::fmt;
use std::ops::{Deref, DerefMut};

use dlm_proto::Mode;

use super::error::Error;
use super::request::{Request, Space, holds};
use crate::lock::Lock;
use crate::lockspace::Lockspace;

/// Data of this program that it may use only while it holds EX on a resource: no other node, program
/// or thread that locks the same resource does at that time.
///
/// The data is local. What is shared stands behind it: a path, a device, a connection, or nothing at
/// all (`()`).
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::Mutex;
/// use std::path::PathBuf;
///
/// let journal = Mutex::new(&lockspace, "journal", PathBuf::from("/shared/journal"));
/// let guard = journal.lock().wait()?;
/// assert!(guard.is_valid());
/// println!("only this thread writes to {}", guard.display());
/// guard.unlock().wait()?;
/// # Ok::<(), dlm_runtime::sync::Error>(())
/// ```
///
/// # When a node dies
///
/// What it held is granted to the next after the node was fenced. What it was about to write may be
/// half-written.
///
/// A holder whose lockspace is removed, or whose node is fenced while it does not notice, has lost its
/// lock. [`MutexGuard::is_valid`] tells the first. Against the second only a number helps that is
/// checked where the data is: see [`Election`](super::Election).
pub struct Mutex<T> {
    space: Space,
    name: Box<[u8]>,
    value: parking_lot::Mutex<T>,
}

/// The data of a [`Mutex`], locked. Dropped it is unlocked, without waiting for the answer.
#[must_use = "it is unlocked when this is dropped"]
pub struct MutexGuard<'a, T> {
    // In this order: who is granted the lock next finds the data free.
    value: parking_lot::MutexGuard<'a, T>,
    lock: Lock,
}

impl<T: Send> Mutex<T> {
    /// Data that belongs to whoever has locked a resource, of a name of up to 64 bytes. Nothing is
    /// requested yet.
    pub fn new(lockspace: &Lockspace, name: impl AsRef<[u8]>, value: T) -> Self {
        let value = parking_lot::Mutex::new(value);
        Self { space: Space::of(lockspace), name: name.as_ref().into(), value }
    }

    /// Locks it: first come, first served.
    ///
    /// A future that is dropped has taken its request back.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]; [`Error::InUse`] after the lockspace was removed under another guard.
    pub fn lock(&self) -> Request<'_, MutexGuard<'_, T>> {
        Request::new(move |way| async move {
            let lock = way.lock(self.space.lock(&self.name, Mode::Ex)).await?;
            self.guard(lock)
        })
    }

    /// Locks it if nobody has it or waits for it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(&self) -> Request<'_, Option<MutexGuard<'_, T>>> {
        Request::new(move |way| async move {
            let lock = way.try_lock(self.space.lock(&self.name, Mode::Ex)).await?;
            lock.map(|lock| self.guard(lock)).transpose()
        })
    }

    fn guard(&self, lock: Lock) -> Result<MutexGuard<'_, T>, Error> {
        let value = self.value.try_lock().ok_or(Error::InUse)?;
        Ok(MutexGuard { value, lock })
    }

    /// The data.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("lockspace", &self.space)
            .field("name", &String::from_utf8_lossy(&self.name))
            .finish_non_exhaustive()
    }
}

impl<'a, T: Send> MutexGuard<'a, T> {
    /// Whether the lock is still held: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        holds(&self.lock, Mode::Ex)
    }

    /// Unlocks it, and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]. It is unlocked all the same, unless the lockspace is gone.
    pub fn unlock(self) -> Request<'a, ()> {
        Request::new(move |way| async move {
            let Self { value, lock } = self;
            drop(value);
            Ok(way.unlock(lock.unlock()).await?)
        })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard").field("value", &*self.value).finish_non_exhaustive()
    }
}
