//! The copies of the value block that a lock's requests may carry.

use dlm_proto::{LockFlags, ValueBlock};

/// The value block of a lock.
///
/// The kernel has a buffer for it from the first VALBLK on, which each CONVERT and UNLOCK
/// overwrites with what it carries, whether it writes the block or not. When the master of the
/// resource dies, such buffers are what the block is rebuilt from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Block {
    /// The content of the kernel's buffer, if there is one.
    buffer: Option<ValueBlock>,
    /// The block of the resource, as this lock last read or wrote it.
    known: Option<ValueBlock>,
    /// The content of the buffer before the last grant, which another thread may have read.
    before: Option<ValueBlock>,
    /// There may be a buffer, with what the lock's owner before an adoption left in it.
    is_adopted: bool,
}

impl Block {
    /// The block of a lock that is requested with these flags.
    pub(super) fn requested(flags: LockFlags) -> Self {
        let buffer = flags.contains(LockFlags::VALBLK).then_some(ValueBlock::ZERO);
        Self { buffer, ..Self::default() }
    }

    /// The block of a lock that was another owner's.
    pub(super) fn adopted() -> Self {
        Self { is_adopted: true, ..Self::default() }
    }

    pub(super) fn may_have_buffer(&self) -> bool {
        self.buffer.is_some() || self.is_adopted
    }

    /// A conversion with these flags carries this.
    pub(super) fn carry(&mut self, flags: LockFlags, block: &ValueBlock) {
        if flags.contains(LockFlags::VALBLK) || self.may_have_buffer() {
            self.buffer = Some(*block);
        }
    }

    /// An operation was granted, whose result has this block.
    pub(super) fn granted(&mut self, flags: LockFlags, writes: bool, result: Option<&ValueBlock>) {
        self.before = self.buffer;
        if let Some(block) = result {
            self.buffer = Some(*block);
        }
        // IVVALBLK marks the block of the resource where it would be written.
        let is_written = writes && !flags.contains(LockFlags::IVVALBLK);
        let is_read = !writes && result.is_some();
        if flags.contains(LockFlags::VALBLK) && (is_written || is_read) {
            self.known = self.buffer;
        }
    }

    /// Whether a request with these flags that writes no block may carry this one. `counts`: the
    /// flags of the lock's last operation make its buffer one that the block is rebuilt from; if
    /// they do not, zeros are as good as an old block.
    pub(super) fn may_carry(&self, block: &ValueBlock, flags: LockFlags, counts: bool) -> bool {
        let is_zero = *block == ValueBlock::ZERO;
        let Some(buffer) = self.buffer else {
            // It comes back as the block if the resource has none.
            return self.is_adopted || is_zero || !flags.contains(LockFlags::VALBLK);
        };
        let is_own = *block == buffer || Some(*block) == self.known;
        // What a conversion carried that was refused is no better than anything else.
        let is_unknown = self.is_adopted && self.known.is_none();
        is_own || is_unknown || (!counts && is_zero)
    }

    /// The same for a request that is written while an operation is in flight, as far as its thread
    /// knows.
    pub(super) fn may_carry_in_flight(
        &self,
        block: &ValueBlock,
        flags: LockFlags,
        counts: bool,
    ) -> bool {
        self.may_carry(block, flags, counts) || Some(*block) == self.before
    }
}
