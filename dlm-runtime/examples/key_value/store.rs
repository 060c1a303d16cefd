//! The store: buckets of keys and values, each cached with a lock of its own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlm_runtime::cache::{self, Cached, LockCache};
use dlm_runtime::{Lock, Lockspace, Lvb, Mode, ValueBlock};

use super::Result;
use super::disk::{BUCKETS, Disk, ROOM, checksum};

/// The content of a bucket. On the disk it is a line `KEY VALUE` for each.
pub(crate) type Entries = BTreeMap<String, String>;

/// What a crash loses.
pub(crate) enum Loss<'a> {
    /// Another node was lost while it could change the bucket. What it had not flushed is gone. Whoever
    /// gets the bucket next is told.
    Elsewhere,
    /// This node has lost its locks, and with them what it had changed: this is not written any more.
    Here(&'a Entries),
}

type OnLoss = Arc<dyn Fn(&str, Loss<'_>) + Send + Sync>;

/// How a bucket is read and written. When, is the cache's business.
struct Bucket {
    disk: Arc<Disk>,
    place: u64,
    /// The number of its latest state.
    number: AtomicU64,
    /// Number and version as they were when it was read last.
    read: Mutex<Option<(u64, u64)>>,
    on_loss: OnLoss,
}

impl cache::Store for Bucket {
    type Value = Entries;

    /// The lock was granted, in PR or EX.
    fn load(&self, name: &[u8], version: Option<u64>) -> io::Result<Entries> {
        let (number, content) = self.disk.read(self.place)?;
        match version {
            Some(version) => {
                let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                // The value block tells how often it was stored since.
                let is_old = last.is_some_and(|(at, before)| {
                    number.saturating_sub(at) < version.saturating_sub(before)
                });
                if is_old {
                    let what = format!(
                        "state {number} is too old for version {version}, after {last:?}: do all nodes use one disk?"
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                *last = Some((number, version));
            }
            None => (self.on_loss)(&String::from_utf8_lossy(name), Loss::Elsewhere),
        }
        self.number.store(number, Ordering::Relaxed);
        let text = String::from_utf8(content).map_err(io::Error::other)?;
        let entries = text.lines().filter_map(|line| line.split_once(' '));
        Ok(entries.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    /// Another node wants the bucket, or it is flushed.
    fn store(&self, _: &[u8], entries: &Entries) -> io::Result<()> {
        let number = self.number.load(Ordering::Relaxed) + 1;
        self.disk.write(self.place, number, text(entries).as_bytes())?;
        self.number.store(number, Ordering::Relaxed);
        Ok(())
    }

    fn lost(&self, name: &[u8], entries: &Entries) {
        (self.on_loss)(&String::from_utf8_lossy(name), Loss::Here(entries));
    }
}

/// Takes a NL lock on a bucket, to be kept. A value block lives as long as there is a lock with it on some
/// node: this one outlives the loss of others. And a block is marked then if it was written before: once, here.
fn keep(lockspace: &Lockspace, name: &str) -> Result<Lock> {
    const NEW: Lvb = Lvb { block: ValueBlock::ZERO, valid: true };
    loop {
        let keeper = lockspace.lock(name, Mode::Nl).with_lvb().wait()?;
        if keeper.lvb() != Some(NEW) {
            return Ok(keeper);
        }
        let exclusive = keeper.convert(Mode::Ex).read_lvb().wait()?;
        if exclusive.lvb == Some(NEW) {
            let first = ValueBlock::ZERO.with_u64_at(0, 1).ok_or("the block is too short")?;
            keeper.convert(Mode::Nl).write_lvb(first).wait()?;
            return Ok(keeper);
        }
        // Another node was faster.
        keeper.unlock().wait()?;
    }
}

/// Makes the value block of a bucket valid, by whom its loss was told.
fn mend(bucket: &Cached<Bucket>) -> Result<()> {
    let mut entries = bucket.write().wait()?;
    if entries.guard().value_block().is_some_and(|lvb| !lvb.valid) {
        // Changed, though it is the same.
        let _: &mut Entries = &mut entries;
        entries.sync()?;
    }
    Ok(())
}

fn text(entries: &Entries) -> String {
    let mut text = String::new();
    for (key, value) in entries {
        // Strings take everything.
        let _ = writeln!(text, "{key} {value}");
    }
    text
}

fn place(key: &str) -> u64 {
    checksum(key.as_bytes()) % BUCKETS
}

fn name(place: u64) -> String {
    format!("bucket {place}")
}

/// The name of the bucket with this key.
pub(crate) fn bucket_of(key: &str) -> String {
    name(place(key))
}

/// A node's way to all keys and values.
pub(crate) struct KeyValue {
    cache: LockCache,
    buckets: Vec<Cached<Bucket>>,
    _keepers: Vec<Lock>,
}

impl KeyValue {
    pub(crate) fn open(
        lockspace: &Lockspace,
        disk: &Arc<Disk>,
        on_loss: impl Fn(&str, Loss<'_>) + Send + Sync + 'static,
    ) -> Result<Self> {
        let on_loss: OnLoss = Arc::new(on_loss);
        let cache = LockCache::builder(lockspace).start()?;
        let (mut buckets, mut keepers) = (Vec::new(), Vec::new());
        for place in 0..BUCKETS {
            let name = name(place);
            keepers.push(keep(lockspace, &name)?);
            let (disk, on_loss) = (Arc::clone(disk), Arc::clone(&on_loss));
            let (number, read) = (AtomicU64::new(0), Mutex::new(None));
            buckets.push(cache.cached(name, Bucket { disk, place, number, read, on_loss })?);
        }
        Ok(Self { cache, buckets, _keepers: keepers })
    }

    fn bucket(&self, key: &str) -> Result<&Cached<Bucket>> {
        Ok(self.buckets.get(usize::try_from(place(key))?).ok_or("no such bucket")?)
    }

    /// Reads, in PR. As long as nobody writes to the bucket, this costs nothing but memory.
    pub(crate) fn get(&self, key: &str) -> Result<Option<String>> {
        let bucket = self.bucket(key)?;
        let entries = bucket.read().wait()?;
        let value = entries.get(key).cloned();
        let is_valid = entries.guard().value_block().is_some_and(|lvb| lvb.valid);
        drop(entries);
        if !is_valid {
            mend(bucket)?;
        }
        Ok(value)
    }

    /// Changes, in EX. All nodes see it from now on; it survives a crash of this one when it is flushed,
    /// or when another node has seen it.
    pub(crate) fn set(&self, key: &str, value: &str) -> Result<()> {
        if key.is_empty() || key.contains(char::is_whitespace) || value.contains('\n') {
            return Err("a key is a word, and a value is a line".into());
        }
        let mut entries = self.bucket(key)?.write().wait()?;
        // Before it is changed, as a bucket that does not fit could never be written back.
        let mut changed = entries.clone();
        changed.insert(key.to_owned(), value.to_owned());
        if text(&changed).len() > ROOM {
            return Err("the bucket is full".into());
        }
        *entries = changed;
        Ok(())
    }

    /// Sees to it that what was set is on the disk when this returns.
    pub(crate) fn flush(&self, key: &str) -> Result<()> {
        Ok(self.bucket(key)?.write().wait()?.sync()?)
    }

    /// Writes everything back.
    pub(crate) fn close(self) -> Result<()> {
        Ok(self.cache.close(Duration::from_secs(60))?)
    }

    /// How often a key was there without asking anybody, and how often it was not.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        let counters = self.cache.counters();
        (counters.hits, counters.grants)
    }
}
