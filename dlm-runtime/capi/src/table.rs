//! The locks of an open lockspace, by token and by the kernel's id.
//!
//! Results find their lock by its token, which is never used twice. A C caller names a lock by its
//! id, which the kernel gives to another lock as soon as it is free; so an id leaves the table
//! before the request that frees it is written.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use dlm_proto::{PointerWidth, Token};

use crate::record::Record;

/// Ids are small and differ in their low bits: multiplied, they differ in the high ones, too.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

/// Odd, with its bits well mixed: the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Ids come by the other function.
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FACTOR);
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id).wrapping_mul(FACTOR);
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    record: Option<Record>,
}

/// The locks.
#[derive(Debug)]
pub(crate) struct Table {
    width: PointerWidth,
    slots: Vec<Slot>,
    free: Vec<u32>,
    ids: HashMap<u32, Token, BuildHasherDefault<IdHasher>>,
}

impl Table {
    pub(crate) fn new(width: PointerWidth) -> Self {
        Self { width, slots: Vec::new(), free: Vec::new(), ids: HashMap::default() }
    }

    /// `None`: no room.
    pub(crate) fn insert(&mut self, record: Record) -> Option<Token> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                if index > Token::max_index(self.width) {
                    return None;
                }
                self.slots.push(Slot { generation: 1, record: None });
                index
            }
        };
        let slot = self.slots.get_mut(at(index))?;
        slot.record = Some(record);
        Some(Token::new(index, slot.generation))
    }

    pub(crate) fn get(&mut self, token: Token) -> Option<&mut Record> {
        let slot = self.slots.get_mut(at(token.index()))?;
        slot.record.as_mut().filter(|_| slot.generation == token.generation())
    }

    /// The lock that C callers know by this id.
    pub(crate) fn named(&self, id: u32) -> Option<Token> {
        self.ids.get(&id).copied()
    }

    /// Gives a lock its id, once. The id of a lock that was freed in the kernel, and of which that
    /// was not read yet, passes to the new one.
    pub(crate) fn name(&mut self, token: Token, id: u32) {
        if let Some(record) = self.get(token) {
            record.is_named = true;
            self.ids.insert(id, token);
        }
    }

    /// Takes the id from a lock, if it has it still.
    pub(crate) fn unname(&mut self, token: Token, id: u32) {
        if let Some(record) = self.get(token) {
            record.is_named = false;
        }
        self.forget(token, id);
    }

    fn forget(&mut self, token: Token, id: u32) {
        if let Some(other) = self.ids.remove(&id).filter(|other| *other != token) {
            self.ids.insert(id, other);
        }
    }

    /// `false`: it is not there.
    pub(crate) fn remove(&mut self, token: Token) -> bool {
        let Some(slot) = self.slots.get_mut(at(token.index())) else { return false };
        let Some(record) = slot.record.as_ref().filter(|_| slot.generation == token.generation())
        else {
            return false;
        };
        let named = record.is_named.then_some(record.id);
        slot.record = None;
        let last = Token::max_generation(self.width);
        slot.generation = if slot.generation >= last { 1 } else { slot.generation + 1 };
        self.free.push(token.index());
        if let Some(id) = named {
            self.forget(token, id);
        }
        true
    }

    pub(crate) fn iter(&mut self) -> impl Iterator<Item = (Token, &mut Record)> {
        self.slots.iter_mut().zip(0..).filter_map(|(slot, index)| {
            Some((Token::new(index, slot.generation), slot.record.as_mut()?))
        })
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_id_may_pass_to_another_lock_before_its_owner_is_gone() {
        let mut table = Table::new(PointerWidth::W64);
        let first = table.insert(Record::default()).unwrap();
        table.get(first).unwrap().id = 7;
        table.name(first, 7);
        let second = table.insert(Record::default()).unwrap();
        table.get(second).unwrap().id = 7;
        table.name(second, 7);
        assert!(table.remove(first));
        assert_eq!(table.named(7), Some(second));
        assert!(table.get(first).is_none());
        let third = table.insert(Record::default()).unwrap();
        assert_eq!(third.index(), first.index());
        assert!(table.get(first).is_none() && !table.remove(first));
        assert_eq!(table.iter().count(), 2);
        assert!(table.remove(second));
        assert_eq!(table.named(7), None);
    }
}
