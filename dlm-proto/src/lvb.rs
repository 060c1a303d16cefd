//! The lock value block.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in a lock value block, the same on every kernel for user space (`DLM_USER_LVB_LEN`).
pub const LVB_LEN: usize = 32;

/// 32 bytes that belong to a resource and travel with its locks.
///
/// They live as long as the resource has a lock on any node; a fresh resource's block is zero.
///
/// ```
/// use dlm_proto::ValueBlock;
///
/// let block = ValueBlock::from_prefix(b"generation 7").ok_or("too long")?;
/// assert!(block.as_ref().starts_with(b"generation 7\0"));
/// # Ok::<(), &str>(())
/// ```
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(transparent)]
pub struct ValueBlock(pub [u8; LVB_LEN]);

impl ValueBlock {
    /// All bytes zero.
    pub const ZERO: Self = Self([0; LVB_LEN]);

    /// A block that starts with `prefix` and is zero behind it, or `None` if that is too long.
    #[must_use]
    pub fn from_prefix(prefix: &[u8]) -> Option<Self> {
        let mut block = Self::ZERO;
        prefix.write_to_prefix(&mut block.0).ok()?;
        Some(block)
    }

    /// The number in the eight bytes from `offset` on, little-endian on every machine, as nodes of
    /// a cluster may differ. `None` if the block ends before.
    #[must_use]
    pub fn u64_at(&self, offset: usize) -> Option<u64> {
        self.0.get(offset..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// The block with this number in the eight bytes from `offset` on, as
    /// [`u64_at`](Self::u64_at) reads it. `None` if the block ends before.
    ///
    /// ```
    /// use dlm_proto::ValueBlock;
    ///
    /// let block = ValueBlock::ZERO.with_u64_at(24, 7).ok_or("too long")?;
    /// assert_eq!((block.u64_at(24), block.u64_at(25)), (Some(7), None));
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn with_u64_at(mut self, offset: usize, number: u64) -> Option<Self> {
        *self.0.get_mut(offset..)?.first_chunk_mut()? = number.to_le_bytes();
        Some(self)
    }
}

impl From<[u8; LVB_LEN]> for ValueBlock {
    fn from(bytes: [u8; LVB_LEN]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for ValueBlock {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_padded_and_a_long_one_refused() {
        let block = ValueBlock::from_prefix(b"epoch 7").unwrap();
        assert_eq!(&block.0[..7], b"epoch 7");
        assert_eq!(block.0[7..], [0; 25]);
        assert!(ValueBlock::from_prefix(&[1; 32]).is_some());
        assert!(ValueBlock::from_prefix(&[1; 33]).is_none());
    }

    #[test]
    fn numbers_are_little_endian_and_stay_inside() {
        let block = ValueBlock::ZERO.with_u64_at(3, 0x0102_0304_0506_0708).unwrap();
        assert_eq!(block.0[..12], [0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(block.u64_at(3), Some(0x0102_0304_0506_0708));
        let last = ValueBlock::ZERO.with_u64_at(24, u64::MAX).unwrap();
        assert_eq!((last.0[23], last.u64_at(24)), (0, Some(u64::MAX)));
        for outside in [25, 32, 33, usize::MAX] {
            assert_eq!(last.u64_at(outside), None);
            assert_eq!(last.with_u64_at(outside, 1), None);
        }
    }
}
