//! One leader in the cluster.

use std::fmt;
use std::sync::Arc;

use dlm_proto::Mode;

use super::block::Kind;
use super::error::Error;
use super::record::{Record, advance};
use super::request::{Request, Space, Way, holds};
use crate::lock::Lock;
use crate::lockspace::Lockspace;

/// The election of a leader: whoever holds EX on a resource leads, the others wait in line.
///
/// Each leadership has a *term*, a number that is greater than that of every leadership before. It is
/// a *fencing token*: send it along with whatever is done in the leader's name, and have the receiver
/// refuse what comes with a smaller number than it has seen.
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let folder = std::env::temp_dir().join(format!("dlm-election-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::{Election, FileRecord};
///
/// // On a file system that all nodes share.
/// let record = FileRecord::new(folder.join("last-term"));
/// let election = Election::open(&lockspace, "leader", record).wait()?;
/// let leadership = election.campaign().wait()?;
/// assert!(leadership.is_leader());
/// println!("leads in term {}", leadership.term());
/// leadership.resign().wait()?;
/// assert_eq!(election.campaign().wait()?.term(), 2);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a node dies
///
/// A leader that dies is followed by the next in line after its node was fenced. Its successor's term
/// is greater, also if the leader died before it could store its own: the [`Record`] has it. Terms may
/// leave numbers out.
///
/// A leader that is cut off, or stands still, does not know of it. It may act after its successor has
/// begun if its node is fenced by other means than its power; the term is there for that.
pub struct Election {
    space: Space,
    name: Box<[u8]>,
    record: Arc<dyn Record>,
    /// Keeps the block.
    anchor: Lock,
}

impl Election {
    /// Opens the elections on a resource, of a name of up to 64 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]
    pub fn open(
        lockspace: &Lockspace,
        name: impl AsRef<[u8]>,
        record: impl Record + 'static,
    ) -> Request<'static, Self> {
        let (space, name) = (Space::of(lockspace), name.as_ref().into());
        Request::new(move |way| async move {
            let anchor = way.lock(space.anchor(&name)).await?;
            Ok(Self { space, name, record: Arc::new(record), anchor })
        })
    }

    /// Waits in line until this candidate leads.
    ///
    /// A future that is dropped has left the line. If it was just about to lead, its term is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`], [`Error::Record`], [`Error::OtherKind`]: it does not lead then.
    pub fn campaign(&self) -> Request<'_, Leadership> {
        Request::new(move |way| async move {
            let request = self.space.lock(&self.name, Mode::Ex).with_lvb().note_blocking();
            let lock = way.lock(request).await?;
            self.begin_term(way, lock).await
        })
    }

    /// Leads if nobody else does or waits for it.
    ///
    /// # Errors
    ///
    /// As [`campaign`](Self::campaign).
    pub fn try_campaign(&self) -> Request<'_, Option<Leadership>> {
        Request::new(move |way| async move {
            let request = self.space.lock(&self.name, Mode::Ex).with_lvb().note_blocking();
            match way.try_lock(request).await? {
                Some(lock) => self.begin_term(way, lock).await.map(Some),
                None => Ok(None),
            }
        })
    }

    async fn begin_term(&self, way: Way, lock: Lock) -> Result<Leadership, Error> {
        let (_, term) = advance(Kind::ELECTION, lock.lvb(), &*self.record, 1)?;
        let block = Kind::ELECTION.numbers([term, 0]);
        way.convert(lock.convert(Mode::Ex).write_lvb(block)).await?;
        Ok(Leadership { space: self.space.clone(), lock, term })
    }

    /// Whether this candidate can still take part: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        holds(&self.anchor, Mode::Nl)
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election")
            .field("lockspace", &self.space)
            .field("name", &String::from_utf8_lossy(&self.name))
            .finish_non_exhaustive()
    }
}

/// A term in office, from [`Election::campaign`]. Dropped it ends, and the next in line leads.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Leadership {
    space: Space,
    lock: Lock,
    term: u64,
}

impl Leadership {
    /// The number of the term: greater than that of all leaderships before.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// Whether it lasts, as far as this node knows: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        holds(&self.lock, Mode::Ex)
    }

    /// Waits until another candidate has stood in line since the term began. Nothing is asked of the
    /// leader: it may resign, now or later, or go on.
    ///
    /// A future that is dropped leaves all as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]: the lockspace is gone, and with it the leadership; a deadline has passed.
    pub fn challenged(&self) -> Request<'_, ()> {
        Request::new(move |way| async move {
            way.first(&self.space, &mut [], Some(&self.lock)).await?;
            Ok(())
        })
    }

    /// Ends it, and waits until that is done.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]. It has ended all the same, unless the lockspace is gone.
    pub fn resign(self) -> Request<'static, ()> {
        Request::new(move |way| async move { Ok(way.unlock(self.lock.unlock()).await?) })
    }
}
