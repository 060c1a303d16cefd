//! The table of locks of a lockspace: a lock's id is its place.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::{Index, IndexMut};

use dlm_proto::LockId;

use crate::lock::Lock;

/// A lock's place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ref(pub(crate) u32);

/// No lock.
pub(crate) const NIL: Ref = Ref(u32::MAX);

impl Ref {
    pub(crate) const fn id(self) -> LockId {
        LockId(self.0.wrapping_add(1))
    }
}

/// All locks of a lockspace on a node. Ids are handed out as the kernel does: the lowest one that
/// is free, from 1 on.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    table: Vec<Lock>,
    free: BinaryHeap<Reverse<u32>>,
}

impl Locks {
    /// Takes a place, in which a fresh lock is, or `None` when all are taken.
    pub(crate) fn create(&mut self) -> Option<Ref> {
        if let Some(Reverse(place)) = self.free.pop() {
            self[Ref(place)] = Lock { live: true, ..Lock::default() };
            return Some(Ref(place));
        }
        let place = u32::try_from(self.table.len()).ok().filter(|&place| place < NIL.0 - 1)?;
        self.table.push(Lock { live: true, ..Lock::default() });
        Some(Ref(place))
    }

    pub(crate) fn free(&mut self, lock: Ref) {
        self[lock].live = false;
        self.free.push(Reverse(lock.0));
        if self.free.len() == self.table.len() && self.table.len() > 64 {
            *self = Self::default();
        }
    }

    /// The lock with this id.
    pub(crate) fn find(&self, id: LockId) -> Option<Ref> {
        let place = id.0.checked_sub(1)?;
        let lock = self.table.get(usize::try_from(place).ok()?)?;
        lock.live.then_some(Ref(place))
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ref, &Lock)> {
        (0..).map(Ref).zip(&self.table).filter(|(_, lock)| lock.live)
    }
}

impl Index<Ref> for Locks {
    type Output = Lock;

    #[expect(clippy::indexing_slicing, reason = "a Ref that is not NIL is a place in its table")]
    #[inline]
    fn index(&self, lock: Ref) -> &Lock {
        &self.table[lock.0 as usize]
    }
}

impl IndexMut<Ref> for Locks {
    #[expect(clippy::indexing_slicing, reason = "a Ref that is not NIL is a place in its table")]
    #[inline]
    fn index_mut(&mut self, lock: Ref) -> &mut Lock {
        &mut self.table[lock.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_id_comes_first() {
        let mut locks = Locks::default();
        let made: Vec<_> = (0..4).filter_map(|_| locks.create()).collect();
        assert_eq!(made.iter().map(|lock| lock.id().0).collect::<Vec<_>>(), [1, 2, 3, 4]);
        locks.free(made[2]);
        locks.free(made[0]);
        assert_eq!(locks.find(LockId(1)), None);
        assert_eq!(locks.find(LockId(2)), Some(made[1]));
        assert_eq!((locks.find(LockId(0)), locks.find(LockId(5))), (None, None));
        assert_eq!(locks.create().map(Ref::id), Some(LockId(1)));
        assert_eq!(locks.create().map(Ref::id), Some(LockId(3)));
        assert_eq!(locks.create().map(Ref::id), Some(LockId(5)));
        assert_eq!(locks.len(), 5);
    }
}
