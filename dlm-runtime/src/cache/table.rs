//! The resources that a cache knows, by their names.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::threads::{Mutex, lock};

/// As many threads as find resources by name at the same time without meeting, on average.
const SHARDS: usize = 64;

type Shard<T> = Mutex<HashTable<Arc<T>>>;

/// Something that is known by a name.
pub(super) trait Known {
    fn name(&self) -> &[u8];

    /// Whether nothing is lost if it is forgotten.
    fn is_blank(&self) -> bool;
}

/// The resources by name, in parts with a lock of their own.
pub(super) struct Table<T> {
    hash: FixedState,
    shards: [Shard<T>; SHARDS],
}

impl<T: Known> Table<T> {
    pub(super) fn new() -> Self {
        Self {
            hash: FixedState::with_seed(seed()),
            shards: std::array::from_fn(|_| Mutex::new(HashTable::new())),
        }
    }

    #[inline]
    fn hash(&self, name: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write(name);
        hasher.finish()
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard<T> {
        // The table inside uses the other bits.
        let [.., a, b] = hash.to_be_bytes();
        let index = usize::from(u16::from_be_bytes([a, b]) >> 4) % SHARDS;
        self.shards.get(index).unwrap_or(&self.shards[0])
    }

    /// A resource that is known.
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<T>> {
        let hash = self.hash(name);
        let shard = lock(self.shard(hash));
        shard.find(hash, |entry| entry.name() == name).map(Arc::clone)
    }

    /// A resource, which is made if it is not known.
    pub(super) fn get_or_add(&self, name: &[u8], make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let hash = self.hash(name);
        let mut shard = lock(self.shard(hash));
        if let Some(entry) = shard.find(hash, |entry| entry.name() == name) {
            return Arc::clone(entry);
        }
        let entry = make();
        shard.insert_unique(hash, Arc::clone(&entry), |entry| self.hash(entry.name()));
        entry
    }

    /// Forgets a resource, if nobody but the caller and this table has it, and it is not locked.
    /// Returns it, to be dropped when nothing is locked.
    pub(super) fn forget(&self, entry: &Arc<T>) -> Option<Arc<T>> {
        let hash = self.hash(entry.name());
        let mut shard = lock(self.shard(hash));
        // Whoever gets it by its name must come here; nobody else has it to clone.
        if Arc::strong_count(entry) != 2 || !entry.is_blank() {
            return None;
        }
        let found = shard.find_entry(hash, |known| Arc::ptr_eq(known, entry)).ok()?;
        Some(found.remove().0)
    }

    /// Adds something up over all.
    pub(super) fn sum(&self, of: impl Fn(&T) -> u64) -> u64 {
        let each = |shard: &Shard<T>| lock(shard).iter().map(|entry| of(entry)).sum::<u64>();
        self.shards.iter().map(each).sum()
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.shards
            .iter()
            .flat_map(|shard| lock(shard).iter().cloned().collect::<Vec<_>>())
            .collect()
    }

    pub(super) fn take_all(&self) -> Vec<Arc<T>> {
        self.shards.iter().flat_map(|shard| lock(shard).drain().collect::<Vec<_>>()).collect()
    }

    /// Those that nobody else has.
    pub(super) fn unused(&self) -> Vec<Arc<T>> {
        let unused = |entry: &&Arc<T>| Arc::strong_count(entry) == 1;
        let of = |shard: &Shard<T>| lock(shard).iter().filter(unused).cloned().collect::<Vec<_>>();
        self.shards.iter().flat_map(of).collect()
    }
}

/// Names may come from others, who must not know what they hash to.
#[cfg(not(dlm_model))]
fn seed() -> u64 {
    std::hash::RandomState::new().hash_one(0)
}

/// A schedule can be repeated.
#[cfg(dlm_model)]
fn seed() -> u64 {
    1
}
