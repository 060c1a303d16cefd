//! The lock value block as its reader sees it.

use dlm_proto::ValueBlock;

/// What a lock operation returned of the resource's lock value block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lvb {
    /// The 32 bytes.
    pub block: ValueBlock,
    /// `false`: somebody who could have written the block died or gave it up as invalid. The bytes
    /// are the last that the kernel knows of; assume them stale and rebuild what they describe.
    pub valid: bool,
}

impl Lvb {
    /// A valid block.
    #[must_use]
    pub const fn new(block: ValueBlock) -> Self {
        Self { block, valid: true }
    }

    /// The block, if it can be relied on.
    ///
    /// ```
    /// use dlm_runtime::{Lvb, ValueBlock};
    ///
    /// let block = ValueBlock([1; 32]);
    /// assert_eq!(Lvb::new(block).if_valid(), Some(block));
    /// assert_eq!(Lvb { block, valid: false }.if_valid(), None);
    /// ```
    #[must_use]
    pub fn if_valid(self) -> Option<ValueBlock> {
        self.valid.then_some(self.block)
    }
}
