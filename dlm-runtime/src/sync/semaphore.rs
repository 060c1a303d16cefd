//! A number of permits in the cluster.

use std::fmt;
use std::num::NonZeroU16;

use dlm_proto::Mode;

use super::block::{Found, Kind};
use super::error::Error;
use super::request::{Request, Space, Way, holds, part};
use crate::lock::Lock;
use crate::lockspace::Lockspace;
use crate::several::Pending;

/// A number of permits that all in the cluster share: so many at most are out at any time.
///
/// Each permit is a lock on a resource of its own, `NAME#0` and so on; whoever asks for one goes through a
/// gate, `NAME#gate`, and waits there for the first that comes back. So permits are given in the order of
/// the requests.
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::Semaphore;
/// use std::num::NonZeroU16;
///
/// let two = NonZeroU16::new(2).ok_or("no permits")?;
/// let backups = Semaphore::open(&lockspace, "backups", two).wait()?;
/// let first = backups.acquire().wait()?;
/// let second = backups.acquire().wait()?;
/// assert!(backups.try_acquire().wait()?.is_none());
/// drop(first);
/// let third = backups.acquire().wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a node dies
///
/// Its permits come back after it was fenced, and its place at the gate is the next one's.
pub struct Semaphore {
    space: Space,
    name: Box<[u8]>,
    permits: u16,
    /// Keeps the block of the gate, which has the number of permits.
    anchor: Lock,
}

/// A permit of a [`Semaphore`]. Dropped it comes back.
#[must_use = "it comes back when this is dropped"]
pub struct Permit {
    lock: Lock,
    number: usize,
}

impl Semaphore {
    /// Opens a semaphore, of a name of up to 58 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]
    pub fn open(
        lockspace: &Lockspace,
        name: impl AsRef<[u8]>,
        permits: NonZeroU16,
    ) -> Request<'static, Self> {
        let (space, name) = (Space::of(lockspace), Box::<[u8]>::from(name.as_ref()));
        Request::new(move |way| async move {
            let anchor = way.lock(space.anchor(gate(&name))).await?;
            Ok(Self { space, name, permits: permits.get(), anchor })
        })
    }

    /// Waits until one of the permits is this program's: first come, first served.
    ///
    /// A future that is dropped has left the line, and gives back what it was just granted.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`], [`Error::OtherKind`]; [`Error::Mismatch`] if others use another number of permits.
    pub fn acquire(&self) -> Request<'_, Permit> {
        Request::new(move |way| async move {
            let gate = way.lock(self.gate()).await?;
            if let Some(permit) = self.find(way, &gate).await? {
                way.unlock(gate.unlock()).await?;
                return Ok(permit);
            }
            // All at once; those that are not wanted any more are taken back as they are dropped.
            let start = |number| Pending::start(self.slot(number));
            let mut slots = (0..self.permits).map(start).collect::<Result<Vec<_>, _>>()?;
            let (number, lock) = way.first_end(&self.space, &mut slots).await?;
            let permit = Permit { lock, number };
            drop(slots);
            way.unlock(gate.unlock()).await?;
            Ok(permit)
        })
    }

    /// Takes one of the permits if one is there and nobody waits for it. While somebody else is just being
    /// served there is none.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Request<'_, Option<Permit>> {
        Request::new(move |way| async move {
            let Some(gate) = way.try_lock(self.gate()).await? else { return Ok(None) };
            let permit = self.find(way, &gate).await?;
            way.unlock(gate.unlock()).await?;
            Ok(permit)
        })
    }

    /// Looks for a permit that nobody has.
    async fn find(&self, way: Way, gate: &Lock) -> Result<Option<Permit>, Error> {
        self.check(way, gate).await?;
        for number in 0..self.permits {
            if let Some(lock) = way.try_lock(self.slot(number)).await? {
                return Ok(Some(Permit { lock, number: number.into() }));
            }
        }
        Ok(None)
    }

    /// Checks that others use the same number of permits.
    async fn check(&self, way: Way, gate: &Lock) -> Result<(), Error> {
        let ours = u64::from(self.permits);
        match Kind::SEMAPHORE.open_numbers(gate.lvb())? {
            Found::Valid([theirs, _]) if theirs == ours => {}
            Found::Valid([theirs, _]) => return Err(Error::Mismatch { theirs, ours }),
            Found::Fresh | Found::Lost(_) => {
                let block = Kind::SEMAPHORE.numbers([ours, 0]);
                way.convert(gate.convert(Mode::Ex).write_lvb(block)).await?;
            }
        }
        Ok(())
    }

    fn gate(&self) -> crate::LockRequest<'_> {
        self.space.lock(gate(&self.name), Mode::Ex).with_lvb()
    }

    fn slot(&self, number: u16) -> crate::LockRequest<'_> {
        self.space.lock(part(&self.name, &number.to_string()), Mode::Ex)
    }

    /// Whether permits can still be had: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        holds(&self.anchor, Mode::Nl)
    }
}

fn gate(name: &[u8]) -> Vec<u8> {
    part(name, "gate")
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("lockspace", &self.space)
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

impl Permit {
    /// Which of the permits it is, from 0 on. Nobody else has this number at the same time.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Whether it is still held: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        holds(&self.lock, Mode::Ex)
    }

    /// Gives it back, and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]. It is back all the same, unless the lockspace is gone.
    pub fn release(self) -> Request<'static, ()> {
        Request::new(move |way| async move { Ok(way.unlock(self.lock.unlock()).await?) })
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("number", &self.number).finish_non_exhaustive()
    }
}
