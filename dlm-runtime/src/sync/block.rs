//! What primitives write into value blocks: a tag that tells them apart, and behind it their values.

use dlm_core::Lvb;
use dlm_proto::ValueBlock;

use super::error::Error;

/// The kind of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// The first four bytes, of which the last is the version.
    tag: [u8; 4],
    name: &'static str,
}

/// The value in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// Nobody has written it yet.
    Fresh,
    /// What was written last.
    Valid(T),
    /// What was written last is gone with its writer. This is the newest that is left, if any is.
    Lost(Option<T>),
}

impl<T> Found<T> {
    pub(super) fn map<U>(self, to: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Fresh => Found::Fresh,
            Self::Valid(value) => Found::Valid(to(value)),
            Self::Lost(value) => Found::Lost(value.map(to)),
        }
    }

    /// The newest that is left. What is lost may have been greater.
    pub(super) fn newest(self) -> Option<T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Lost(value) => value,
            Self::Fresh => None,
        }
    }

    /// What was written last, if that is known.
    pub(super) fn valid(self) -> Option<T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Fresh | Self::Lost(_) => None,
        }
    }
}

/// Where numbers begin.
const NUMBERS: usize = 8;

impl Kind {
    pub(super) const BARRIER: Self = Self { tag: *b"bar\x01", name: "barrier" };
    pub(super) const DOORBELL: Self = Self { tag: *b"bel\x01", name: "doorbell" };
    pub(super) const ELECTION: Self = Self { tag: *b"ele\x01", name: "election" };
    pub(super) const MEMBER: Self = Self { tag: *b"mem\x01", name: "presence" };
    pub(super) const SEMAPHORE: Self = Self { tag: *b"sem\x01", name: "semaphore" };
    pub(super) const SEQUENCE: Self = Self { tag: *b"seq\x01", name: "sequence" };

    /// A block of this kind with these bytes behind the tag.
    pub(super) fn block(self, body: &[u8]) -> ValueBlock {
        let mut block = [0; ValueBlock::ZERO.0.len()];
        let bytes = self.tag.iter().chain(body);
        block.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        ValueBlock(block)
    }

    /// A block of this kind with two numbers.
    pub(super) fn numbers(self, [first, second]: [u64; 2]) -> ValueBlock {
        let block = self.block(&[]).with_u64_at(NUMBERS, first);
        block.and_then(|block| block.with_u64_at(NUMBERS + 8, second)).unwrap_or_default()
    }

    /// What is in the block of a lock.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]
    pub(super) fn open(self, lvb: Option<Lvb>) -> Result<Found<ValueBlock>, Error> {
        let Some(Lvb { block, valid, .. }) = lvb else { return Ok(Found::Lost(None)) };
        let is_ours = block.0.starts_with(&self.tag);
        match (is_ours, valid) {
            (true, true) => Ok(Found::Valid(block)),
            (_, false) => Ok(Found::Lost(is_ours.then_some(block))),
            (false, true) if block == ValueBlock::ZERO => Ok(Found::Fresh),
            (false, true) => Err(Error::OtherKind { expected: self.name }),
        }
    }

    /// As [`open`](Self::open), of a block with two numbers.
    pub(super) fn open_numbers(self, lvb: Option<Lvb>) -> Result<Found<[u64; 2]>, Error> {
        let number = |block: &ValueBlock, at| block.u64_at(at).unwrap_or(0);
        let numbers = |block| [number(&block, NUMBERS), number(&block, NUMBERS + 8)];
        self.open(lvb).map(|found| found.map(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_another_kind_are_told_from_fresh_and_lost_ones() {
        let ours = Kind::ELECTION.numbers([7, 8]);
        let open =
            |block, valid| Kind::ELECTION.open_numbers(Some(Lvb { valid, ..Lvb::new(block) })).ok();
        assert_eq!(open(ours, true), Some(Found::Valid([7, 8])));
        assert_eq!(open(ours, false), Some(Found::Lost(Some([7, 8]))));
        assert_eq!(open(ValueBlock::ZERO, true), Some(Found::Fresh));
        assert_eq!(open(ValueBlock::ZERO, false), Some(Found::Lost(None)));
        assert_eq!(open(Kind::SEQUENCE.numbers([7, 8]), true), None);
        assert_eq!(open(Kind::SEQUENCE.numbers([7, 8]), false), Some(Found::Lost(None)));
        assert_eq!(Kind::ELECTION.open_numbers(None).ok(), Some(Found::Lost(None)));
    }
}
