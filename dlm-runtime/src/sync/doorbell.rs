//! Telling all nodes that something has happened.

use std::sync::Arc;

use super::bell::{Bell, Numbers};
use super::block::{Found, Kind};
use super::request::{Request, Space};
use crate::lockspace::Lockspace;

/// A bell that all in the cluster can ring, and to which all can listen.
///
/// It carries no message but the number of the ring. What is to be read or done then is elsewhere: a
/// configuration file, a queue, a cache to be dropped.
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::Doorbell;
///
/// let bell = Doorbell::open(&lockspace, "config-changed").wait()?;
/// let mut listener = bell.listen().wait()?;
/// bell.ring().wait()?;
/// bell.ring().wait()?;
/// // Rings that come before they are heard are one.
/// assert_eq!(listener.hear().wait()?.number(), Some(2));
/// # Ok::<(), dlm_runtime::sync::Error>(())
/// ```
///
/// # What is promised
///
/// When [`ring`](Self::ring) returns, all listeners that were waiting have been woken, and find this
/// ring or a later one; all others find it when they wait next, at once. The last ring is never missed,
/// those before it may be merged with it. A listener that is busy with something else holds up nobody.
///
/// # When a node dies
///
/// A listener that dies while it waits is waited for until its node was fenced. If the ringer dies, its
/// ring is heard, or is as if it had not been rung, or is heard without a number: then some may be
/// missing, and what was last rung may be heard again.
#[derive(Debug, Clone)]
pub struct Doorbell {
    bell: Arc<Bell>,
}

/// A listener of a [`Doorbell`].
#[derive(Debug)]
pub struct Listener {
    bell: Arc<Bell>,
    heard: Numbers,
}

/// What a [`Listener`] has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ring {
    number: Option<u64>,
}

impl Doorbell {
    /// Opens a bell on a resource, of a name of up to 64 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`](super::Error::Lock)
    pub fn open(lockspace: &Lockspace, name: impl AsRef<[u8]>) -> Request<'static, Self> {
        let (space, name) = (Space::of(lockspace), name.as_ref().into());
        Request::new(move |way| async move {
            let bell = Bell::open(way, space, name, Kind::DOORBELL).await?;
            Ok(Self { bell: Arc::new(bell) })
        })
    }

    /// Rings, and waits until all listeners that wait have been told. Returns the number of the ring,
    /// which is greater than that of all rings before, unless that was lost with all who had heard it.
    ///
    /// A future that is dropped has not rung, or has just done so.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`](super::Error::Lock), [`Error::OtherKind`](super::Error::OtherKind)
    pub fn ring(&self) -> Request<'_, u64> {
        Request::new(move |way| async move { self.bell.ring(way).await })
    }

    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// As [`ring`](Self::ring).
    pub fn listen(&self) -> Request<'_, Listener> {
        Request::new(move |way| async move {
            let (lock, heard) = self.bell.watch(way).await?;
            way.unlock(lock.unlock()).await?;
            Ok(Listener { bell: Arc::clone(&self.bell), heard })
        })
    }

    /// Whether it can still be rung: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.bell.is_valid()
    }
}

impl Listener {
    /// Waits for a ring since the last one that was heard, and returns the last one.
    ///
    /// A future that is dropped has heard nothing: the next one hears it.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`](super::Error::Lock), [`Error::OtherKind`](super::Error::OtherKind)
    pub fn hear(&mut self) -> Request<'_, Ring> {
        Request::new(move |way| async move {
            let Self { bell, heard } = self;
            let before = *heard;
            let news = |now: Numbers| {
                let is_news = match (before, now) {
                    // Whatever was lost was told already.
                    (Found::Lost(_), Found::Lost(_)) => false,
                    (before, now) => before != now,
                };
                is_news.then_some(Ok(now))
            };
            let now = bell.wait(way, news).await?;
            *heard = now;
            Ok(Ring { number: now.valid().map(|[number, _]| number) })
        })
    }
}

impl Ring {
    /// The number of the ring. `None`: it was lost with a node that died. There may have been rings that
    /// nobody hears of any more.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        self.number
    }
}
