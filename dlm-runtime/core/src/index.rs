//! An index from a hash to the slots of a table, kept beside them.
//!
//! The table holds what is indexed; the index holds one chain of slots for each hash. It allocates
//! only when the table grows.

use alloc::vec;
use alloc::vec::Vec;

/// No slot.
const END: u32 = u32::MAX;

/// Odd, with its bits well mixed: the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Fewer chains are not worth their trouble.
const FEWEST: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Link {
    next: u32,
    hash: u32,
    is_linked: bool,
}

/// The chains.
#[derive(Debug, Default)]
pub(crate) struct Index {
    heads: Vec<u32>,
    links: Vec<Link>,
    len: usize,
}

impl Index {
    fn chain(&self, hash: u32) -> usize {
        // The number of chains is a power of two.
        at(hash) & self.heads.len().wrapping_sub(1)
    }

    /// Adds a slot. One that is there already stays where it is.
    pub(crate) fn insert(&mut self, hash: u32, slot: u32) {
        if self.len >= self.heads.len() {
            self.grow();
        }
        let chain = self.chain(hash);
        while self.links.len() <= at(slot) {
            self.links.push(Link { next: END, hash: 0, is_linked: false });
        }
        let (Some(head), Some(link)) = (self.heads.get_mut(chain), self.links.get_mut(at(slot)))
        else {
            return;
        };
        if !link.is_linked {
            *link = Link { next: *head, hash, is_linked: true };
            *head = slot;
            self.len += 1;
        }
    }

    /// Removes a slot, if it is there.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(at(slot)).filter(|link| link.is_linked) else { return };
        link.is_linked = false;
        let Link { next, hash, .. } = *link;
        self.len -= 1;
        let chain = self.chain(hash);
        let mut place = self.heads.get_mut(chain);
        while let Some(current) = place {
            if *current == slot {
                *current = next;
                return;
            }
            let follow = at(*current);
            place = self.links.get_mut(follow).map(|link| &mut link.next);
        }
    }

    /// The first slot under this hash that is the one, the last one added first.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut slot = *self.heads.get(self.chain(hash))?;
        while let Some(link) = self.links.get(at(slot)) {
            if link.hash == hash && is_it(slot) {
                return Some(slot);
            }
            slot = link.next;
        }
        None
    }

    #[cold]
    fn grow(&mut self) {
        let count = (self.heads.len() * 2).max(FEWEST);
        let old = core::mem::replace(&mut self.heads, vec![END; count]);
        let mut slots = Vec::with_capacity(self.len);
        for mut slot in old {
            while let Some(link) = self.links.get(at(slot)) {
                slots.push(slot);
                slot = link.next;
            }
        }
        // The last one added stays the first one of its chain.
        for slot in slots.into_iter().rev() {
            let Some(link) = self.links.get_mut(at(slot)) else { continue };
            if let Some(head) = self.heads.get_mut(at(link.hash) & (count - 1)) {
                link.next = *head;
                *head = slot;
            }
        }
    }
}

/// The hash of a number. Ids are small and differ in their low bits.
pub(crate) const fn hash_number(number: u32) -> u32 {
    fold((number as u64).wrapping_mul(FACTOR))
}

/// The hash of a name.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u32 {
    let mut hash = bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        hash = (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
    for &byte in words.remainder() {
        hash = (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(FACTOR);
    }
    fold(hash)
}

const fn fold(hash: u64) -> u32 {
    (hash >> 32) as u32
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_by_their_hash_until_they_are_removed() {
        let mut index = Index::default();
        let key = |slot: u32| slot / 3;
        for slot in 0..1000 {
            index.insert(hash_number(key(slot)), slot);
        }
        let find =
            |index: &Index, number| index.find(hash_number(number), |slot| key(slot) == number);
        for number in 0..300 {
            assert_eq!(find(&index, number), Some(3 * number + 2));
        }
        assert_eq!(find(&index, 400), None);
        for slot in (0..1000).filter(|slot| slot % 3 != 1) {
            index.remove(slot);
            index.remove(slot);
        }
        for number in 0..300 {
            assert_eq!(find(&index, number), Some(3 * number + 1));
        }
        assert_eq!(index.len, 333);
    }

    /// A number that one slot still has and another one has already.
    #[test]
    fn the_last_slot_that_was_added_is_found_first_also_when_the_index_grows() {
        let mut index = Index::default();
        index.insert(hash_number(7), 9);
        index.insert(hash_number(7), 3);
        for slot in 10..1000 {
            index.insert(hash_number(slot), slot);
            assert_eq!(index.find(hash_number(7), |slot| [3, 9].contains(&slot)), Some(3));
        }
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let mut index = Index::default();
        assert_eq!(index.find(hash_number(1), |_| true), None);
        index.remove(3);
        assert_eq!(index.find(0, |_| true), None);
    }

    #[test]
    fn names_differ_in_their_hash() {
        let names = [&b""[..], b"a", b"b", b"disk0", b"disk1", b"0123456789", b"0123456780"];
        let mut hashes = names.map(hash_bytes).to_vec();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), names.len());
    }
}
