//! Where the last number is kept that must never come again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use dlm_core::Lvb;

use super::block::Kind;
use super::error::Error;

/// The place where the last number is recorded, of an [`Election`](super::Election) or a
/// [`Sequence`](super::Sequence): a file that all nodes see, a row of a database, the header of the
/// data that the numbers protect.
///
/// The lock manager keeps the number, too, in a lock value block; that one is lost when its writer
/// dies, or all nodes are down. As all participants read the same record, numbers never go back. With
/// a record on each node alone they may, after the block was lost.
///
/// Its functions are called while the lock is held, by one participant at a time. They may block, and
/// a task that calls them blocks with them.
pub trait Record: Send + Sync {
    /// The last number that was recorded, or 0.
    ///
    /// # Errors
    ///
    /// The number cannot be found out. The operation ends with
    /// [`Error::Record`].
    fn last(&self) -> io::Result<u64>;

    /// Records a number, which is greater than all before. It must be there for all when this returns.
    ///
    /// # Errors
    ///
    /// It may not be there. The number is not used then.
    fn record(&self, number: u64) -> io::Result<()>;
}

impl<R: Record + ?Sized> Record for Arc<R> {
    fn last(&self) -> io::Result<u64> {
        (**self).last()
    }

    fn record(&self, number: u64) -> io::Result<()> {
        (**self).record(number)
    }
}

/// Records the next numbers after the last one, which is the greater of that in the block and that in the
/// record. Returns the last one before, and the last one now. The caller stores it in the block.
///
/// # Errors
///
/// Those of the record; a block of another kind; there are no more numbers.
pub(super) fn advance(
    kind: Kind,
    lvb: Option<Lvb>,
    record: &dyn Record,
    by: u64,
) -> Result<(u64, u64), Error> {
    let stored = kind.open_numbers(lvb)?.newest();
    let recorded = record.last().map_err(Error::Record)?;
    let last = stored.map_or(0, |[number, _]| number).max(recorded);
    let end = last.checked_add(by).ok_or(Error::Exhausted)?;
    record.record(end).map_err(Error::Record)?;
    Ok((last, end))
}

/// A [`Record`] in a file of its own, which is replaced and synced for each number. On a file system
/// that all nodes share it is there for all.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("dlm-record-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// use dlm_runtime::sync::{FileRecord, Record};
///
/// let record = FileRecord::new(folder.join("term"));
/// assert_eq!(record.last()?, 0);
/// record.record(7)?;
/// assert_eq!(record.last()?, 7);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileRecord {
    path: PathBuf,
}

impl FileRecord {
    /// The record in this file, which need not be there yet. Beside it a file of the same name with
    /// `.new` behind is written.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Record for FileRecord {
    fn last(&self) -> io::Result<u64> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            text => text?,
        };
        text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn record(&self, number: u64) -> io::Result<()> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let mut file = File::create(&new)?;
        writeln!(file, "{number}")?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // The name is in the folder.
        match self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    }
}
