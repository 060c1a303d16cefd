//! A point that all must have reached before any goes on.

use std::num::NonZeroU32;
use std::time::Duration;

use super::bell::{Bell, Numbers};
use super::block::{Found, Kind};
use super::error::Error;
use super::request::{Request, Space, Way};
use crate::lockspace::Lockspace;
use crate::threads::deadline_after;

/// How long it may take to take an arrival back.
const GRACE: Duration = Duration::from_secs(10);

/// A point in the work of several programs of the cluster that all must have reached before any goes
/// on. It can be passed again and again; each time is a *generation*.
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::Barrier;
/// use std::num::NonZeroU32;
///
/// let two = NonZeroU32::new(2).ok_or("nobody")?;
/// let barrier = Barrier::open(&lockspace, "phase", two).wait()?;
/// let barrier = &barrier;
/// std::thread::scope(|scope| {
///     for worker in 0..2 {
///         scope.spawn(move || match barrier.arrive().wait() {
///             Ok(passed) => assert_eq!(passed.generation(), 1),
///             Err(error) => eprintln!("worker {worker}: {error}"),
///         });
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a node dies
///
/// Who has arrived stays arrived. Who dies before is waited for: give a deadline, and the arrival is
/// taken back. If a node dies while it arrives, or if the node that keeps the count dies while nobody
/// waits, the count is lost: all who wait, and all who arrive, get [`Error::Lost`].
#[derive(Debug)]
pub struct Barrier {
    bell: Bell,
    parties: u32,
}

/// A barrier that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Passed {
    generation: u64,
    was_last: bool,
}

/// The second number: how many must come, and how many have.
fn pack(parties: u32, arrived: u32) -> u64 {
    u64::from(parties) << 32 | u64::from(arrived)
}

impl Barrier {
    /// Opens a barrier for so many parties on a resource, of a name of up to 64 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]
    pub fn open(
        lockspace: &Lockspace,
        name: impl AsRef<[u8]>,
        parties: NonZeroU32,
    ) -> Request<'static, Self> {
        let (space, name) = (Space::of(lockspace), name.as_ref().into());
        Request::new(move |way| async move {
            let bell = Bell::open(way, space, name, Kind::BARRIER).await?;
            Ok(Self { bell, parties: parties.get() })
        })
    }

    /// Arrives, and waits until all others have.
    ///
    /// When the deadline passes the arrival is taken back, unless all have come by then. That takes ten
    /// seconds at most, after which the arrival stays counted: so it is while the cluster stands still. A
    /// future that is dropped leaves nothing held, but its arrival stays counted.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`], [`Error::OtherKind`], [`Error::Lost`]; [`Error::Mismatch`] if others wait for
    /// another number of parties.
    pub fn arrive(&self) -> Request<'_, Passed> {
        Request::new(move |way| async move {
            let count = |found| {
                let (generation, arrived) = self.count(found)?;
                let arrived = arrived + 1;
                let is_last = arrived >= self.parties;
                let (generation, arrived) =
                    if is_last { (generation + 1, 0) } else { (generation, arrived) };
                Ok(([generation, pack(self.parties, arrived)], (generation, is_last)))
            };
            let (generation, was_last) = self.bell.change(way, count).await?;
            if was_last {
                return Ok(Passed { generation, was_last });
            }
            let passed = |found| match self.count(found) {
                Ok((now, _)) if now == generation => None,
                // It may have been passed once more meanwhile.
                found => Some(found.map(|_| generation + 1)),
            };
            match self.bell.wait(way, passed).await {
                Err(late) if late.is_timed_out() => self.take_back(way, generation, late).await,
                passed => passed.map(|generation| Passed { generation, was_last: false }),
            }
        })
    }

    /// The generation, and how many have arrived since.
    fn count(&self, found: Numbers) -> Result<(u64, u32), Error> {
        let [generation, count] = match found {
            Found::Fresh => [0, pack(self.parties, 0)],
            Found::Valid(numbers) => numbers,
            Found::Lost(_) => return Err(Error::Lost),
        };
        let (theirs, ours) = (count >> 32, u64::from(self.parties));
        let arrived = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0);
        if theirs == ours {
            Ok((generation, arrived))
        } else {
            Err(Error::Mismatch { theirs, ours })
        }
    }

    /// Takes the arrival back, unless all have come by now.
    async fn take_back(&self, way: Way, generation: u64, late: Error) -> Result<Passed, Error> {
        let way = way.until(deadline_after(GRACE));
        let take_back = |found| {
            let (now, arrived) = self.count(found)?;
            let is_passed = now != generation;
            let left = if is_passed { arrived } else { arrived.saturating_sub(1) };
            Ok(([now, pack(self.parties, left)], is_passed))
        };
        if self.bell.change(way, take_back).await? {
            return Ok(Passed { generation: generation + 1, was_last: false });
        }
        Err(late)
    }

    /// Whether it can still be passed: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.bell.is_valid()
    }
}

impl Passed {
    /// The number of times that the barrier had been passed then, with this one.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.generation
    }

    /// Whether this party was the last to arrive. Of each generation one was.
    #[must_use]
    pub const fn was_last(self) -> bool {
        self.was_last
    }
}
