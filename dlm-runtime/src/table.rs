//! The locks of an open lockspace, by token.
//!
//! A token names a slot and its generation. A slot gets a new generation each time it is freed, so
//! a result that comes late, or that somebody forged, finds nothing.

use dlm_proto::{PointerWidth, Token};

struct Slot<T> {
    generation: u32,
    entry: Option<T>,
}

/// A slab with generations.
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    width: PointerWidth,
}

impl<T> Table<T> {
    pub(crate) fn new(width: PointerWidth) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), width }
    }

    /// Puts an entry into a free slot; gives it back if there is none.
    pub(crate) fn insert(&mut self, entry: T) -> Result<Token, T> {
        if let Some(index) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(at(index)) {
                slot.entry = Some(entry);
                return Ok(Token::new(index, slot.generation));
            }
        }
        match u32::try_from(self.slots.len()) {
            Ok(index) if index <= Token::max_index(self.width) => {
                self.slots.push(Slot { generation: 1, entry: Some(entry) });
                Ok(Token::new(index, 1))
            }
            _ => Err(entry),
        }
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(at(token.index()))?;
        if slot.generation == token.generation() { slot.entry.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slots.get_mut(at(token.index()))?;
        if slot.generation != token.generation() {
            return None;
        }
        let entry = slot.entry.take()?;
        slot.generation = if slot.generation >= Token::max_generation(self.width) {
            1
        } else {
            slot.generation + 1
        };
        self.free.push(token.index());
        Some(entry)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut())
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_reused_under_another_token() {
        let mut table = Table::new(PointerWidth::W64);
        let first = table.insert('a').unwrap();
        let second = table.insert('b').unwrap();
        assert_eq!(table.remove(first), Some('a'));
        assert_eq!(table.remove(first), None);
        let third = table.insert('c').unwrap();
        assert_eq!(third.index(), first.index());
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.get_mut(third), Some(&mut 'c'));
        assert_eq!(table.get_mut(second), Some(&mut 'b'));
        assert_eq!(table.get_mut(Token::new(7, 1)), None);
        assert_eq!(table.len(), 2);
        assert_eq!(table.iter_mut().count(), 2);
    }

    #[test]
    fn generations_wrap_within_the_width() {
        let mut table = Table::new(PointerWidth::W32);
        for _ in 0..2 * Token::max_generation(PointerWidth::W32) {
            let token = table.insert(()).unwrap();
            assert!(token.to_word(PointerWidth::W32).is_some());
            table.remove(token);
        }
    }
}
