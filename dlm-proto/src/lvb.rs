//! The lock value block.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in a lock value block, the same on every kernel for user space (`DLM_USER_LVB_LEN`).
pub const LVB_LEN: usize = 32;

/// 32 bytes that belong to a resource and travel with its locks.
///
/// They live as long as the resource has a lock on any node; a fresh resource's block is zero.
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
}
