//! Numbers that come once in the cluster.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::sync::Arc;

use dlm_proto::Mode;

use super::block::Kind;
use super::error::Error;
use super::record::{Record, advance};
use super::request::{Request, Space, Way, holds};
use crate::lock::Lock;
use crate::lockspace::Lockspace;
use crate::threads::{self, Mutex};

/// Numbers from 1 on, each of which is given out once in the cluster.
///
/// Each participant takes a batch of numbers at a time, under the lock, and gives them out without it.
/// So numbers rise for each participant, and not in the order of time among several.
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let folder = std::env::temp_dir().join(format!("dlm-sequence-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::{FileRecord, Sequence};
/// use std::num::NonZeroU64;
///
/// // On a file system that all nodes share.
/// let record = FileRecord::new(folder.join("last-order"));
/// let batch = NonZeroU64::new(100).ok_or("a batch of nothing")?;
/// let orders = Sequence::open(&lockspace, "orders", batch, record).wait()?;
/// assert_eq!(orders.next().wait()?, 1);
/// assert_eq!(orders.next().wait()?, 2);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a node dies
///
/// What it had not given out of its batch is left out. No number comes twice, as long as all read the
/// same [`Record`]: it has the end of a batch before the first of its numbers is given out.
pub struct Sequence {
    space: Space,
    name: Box<[u8]>,
    batch: NonZeroU64,
    record: Arc<dyn Record>,
    /// Numbers of this program.
    own: Mutex<VecDeque<RangeInclusive<u64>>>,
    /// Keeps the block.
    anchor: Lock,
}

impl Sequence {
    /// Opens a sequence on a resource, of a name of up to 64 bytes. Participants may have
    /// batches of different sizes.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`]
    pub fn open(
        lockspace: &Lockspace,
        name: impl AsRef<[u8]>,
        batch: NonZeroU64,
        record: impl Record + 'static,
    ) -> Request<'static, Self> {
        let (space, name) = (Space::of(lockspace), name.as_ref().into());
        Request::new(move |way| async move {
            let anchor = way.lock(space.anchor(&name)).await?;
            let own = Mutex::new(VecDeque::new());
            Ok(Self { space, name, batch, record: Arc::new(record), own, anchor })
        })
    }

    /// The next number: from the batch at hand, or from a new one.
    ///
    /// A future that is dropped takes no number. The batch that it may have taken is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Lock`], [`Error::Record`], [`Error::OtherKind`]; [`Error::Exhausted`].
    pub fn next(&self) -> Request<'_, u64> {
        Request::new(move |way| async move {
            if let Some(number) = self.take_own() {
                return Ok(number);
            }
            let request = self.space.lock(&self.name, Mode::Ex).with_lvb();
            let lock = way.lock(request).await?;
            // Another thread of this program may have been before.
            if let Some(number) = self.take_own() {
                way.unlock(lock.unlock()).await?;
                return Ok(number);
            }
            self.take_batch(way, lock).await
        })
    }

    async fn take_batch(&self, way: Way, lock: Lock) -> Result<u64, Error> {
        let (last, end) = advance(Kind::SEQUENCE, lock.lvb(), &*self.record, self.batch.get())?;
        way.unlock(lock.unlock().write_lvb(Kind::SEQUENCE.numbers([end, 0]))).await?;
        // All of them are this program's now, and the first is the caller's.
        if last + 1 < end {
            threads::lock(&self.own).push_back(last + 2..=end);
        }
        Ok(last + 1)
    }

    fn take_own(&self) -> Option<u64> {
        let mut own = threads::lock(&self.own);
        let number = own.front_mut()?.next();
        own.retain(|numbers| !numbers.is_empty());
        number
    }

    /// Whether this participant can still take numbers: the lockspace has not been closed or removed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        holds(&self.anchor, Mode::Nl)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequence")
            .field("lockspace", &self.space)
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}
