//! The table of the locks of an open lockspace, by token.
//!
//! A token names a slot and its generation. A slot gets a new generation each time it is freed, so
//! a result that comes late, or that somebody forged, finds nothing.

use alloc::vec::Vec;

use dlm_proto::{PointerWidth, Token};

/// Slots are added in no smaller number.
const FEWEST: usize = 16;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    is_used: bool,
    /// Of the entry nothing was changed but by who has it from [`Table::insert_plain`] or
    /// [`Table::plain`].
    is_plain: bool,
    entry: T,
}

/// A slab with generations. Entries stay where they are: what is large is not moved.
///
/// An entry is plain as long as nobody has it from [`Table::get_mut`]. Whoever uses plain entries only
/// knows that all else in them is as by default.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    width: PointerWidth,
}

impl<T: Default> Table<T> {
    pub(crate) fn new(width: PointerWidth) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), width }
    }

    /// Takes a free slot: its entry is the default one, or what the last user left. `None` if there
    /// is no room.
    #[inline]
    pub(crate) fn insert(&mut self) -> Option<(Token, &mut T)> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.grow()?,
        };
        let slot = self.slots.get_mut(at(index))?;
        slot.is_used = true;
        slot.is_plain = false;
        Some((Token::new(index, slot.generation), &mut slot.entry))
    }

    /// Takes a free slot for a plain entry. It is as the last user of a plain one has left it, or the
    /// default one.
    #[inline(always)]
    pub(crate) fn insert_plain(&mut self) -> Option<(Token, &mut T)> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.grow()?,
        };
        let slot = self.slots.get_mut(at(index))?;
        slot.is_used = true;
        if !slot.is_plain {
            slot.make_plain();
        }
        Some((Token::new(index, slot.generation), &mut slot.entry))
    }

    #[cold]
    fn grow(&mut self) -> Option<u32> {
        let index = u32::try_from(self.slots.len()).ok()?;
        if index > Token::max_index(self.width) {
            return None;
        }
        if self.slots.len() == self.slots.capacity() {
            // By a little, as what is large would leave much unused.
            self.slots.reserve_exact((self.slots.len() / 8).max(FEWEST));
        }
        let entry = T::default();
        self.slots.push(Slot { generation: 1, is_used: false, is_plain: true, entry });
        // So that nothing is allocated when it is freed.
        self.free.reserve(self.slots.len());
        Some(index)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(at(token.index()))?;
        slot.is_plain = false;
        (slot.is_used && slot.generation == token.generation()).then_some(&mut slot.entry)
    }

    /// An entry, if it is a plain one.
    #[inline(always)]
    pub(crate) fn plain(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(at(token.index()))?;
        let is_it = slot.is_used && slot.is_plain && slot.generation == token.generation();
        is_it.then_some(&mut slot.entry)
    }

    /// As [`Table::get_mut`], for who leaves a plain entry as the users of such want it.
    #[inline]
    pub(crate) fn get_as_it_is(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(at(token.index()))?;
        (slot.is_used && slot.generation == token.generation()).then_some(&mut slot.entry)
    }

    #[inline]
    pub(crate) fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(at(token.index()))?;
        (slot.is_used && slot.generation == token.generation()).then_some(&slot.entry)
    }

    /// What is in this slot.
    pub(crate) fn at(&self, index: u32) -> Option<(Token, &T)> {
        let slot = self.slots.get(at(index)).filter(|slot| slot.is_used)?;
        Some((Token::new(index, slot.generation), &slot.entry))
    }

    /// Frees a slot. Its entry stays as it is, for the next user.
    #[inline(always)]
    pub(crate) fn remove(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(at(token.index()))?;
        if !slot.is_used || slot.generation != token.generation() {
            return None;
        }
        slot.is_used = false;
        slot.generation = if slot.generation >= Token::max_generation(self.width) {
            1
        } else {
            slot.generation + 1
        };
        self.free.push(token.index());
        Some(&mut slot.entry)
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        let slots = (0..).zip(&self.slots).filter(|(_, slot)| slot.is_used);
        slots.map(|(index, slot)| (Token::new(index, slot.generation), &slot.entry))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Token, &mut T)> {
        let slots = (0..).zip(&mut self.slots).filter(|(_, slot)| slot.is_used);
        slots.map(|(index, slot)| {
            slot.is_plain = false;
            (Token::new(index, slot.generation), &mut slot.entry)
        })
    }
}

impl<T: Default> Slot<T> {
    #[cold]
    fn make_plain(&mut self) {
        self.entry = T::default();
        self.is_plain = true;
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert<T: Default>(table: &mut Table<T>, value: T) -> Token {
        let (token, entry) = table.insert().unwrap();
        *entry = value;
        token
    }

    #[test]
    fn a_freed_slot_is_reused_under_another_token() {
        let mut table = Table::new(PointerWidth::W64);
        let first = insert(&mut table, 'a');
        let second = insert(&mut table, 'b');
        assert_eq!(table.remove(first), Some(&mut 'a'));
        assert_eq!(table.remove(first), None);
        assert_eq!(table.len(), 1);
        let third = insert(&mut table, 'c');
        assert_eq!(third.index(), first.index());
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.get_mut(third), Some(&mut 'c'));
        assert_eq!(table.get_mut(second), Some(&mut 'b'));
        assert_eq!(table.get_mut(Token::new(7, 1)), None);
        assert_eq!(table.len(), 2);
        assert_eq!(table.iter_mut().count(), 2);
    }

    #[test]
    fn nothing_is_found_in_a_free_slot() {
        let mut table = Table::new(PointerWidth::W64);
        let token = insert(&mut table, 'a');
        table.remove(token);
        // The token that the slot would have next.
        let next = Token::new(token.index(), token.generation() + 1);
        assert_eq!(table.get_mut(next), None);
        assert_eq!(table.remove(next), None);
        assert_eq!(table.iter_mut().count(), 0);
    }

    #[test]
    fn generations_wrap_within_the_width() {
        let mut table = Table::<()>::new(PointerWidth::W32);
        for _ in 0..2 * Token::max_generation(PointerWidth::W32) {
            let (token, ()) = table.insert().unwrap();
            assert!(token.to_word(PointerWidth::W32).is_some());
            table.remove(token);
        }
    }
}
