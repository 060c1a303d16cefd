//! Taking bytes apart: records by offset, and inputs from front to back.

use crate::version::{Abi, AbiVersion, PointerWidth, Version};

/// The kernel's header files on one layout, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// The place where the name of a lock request starts.
    pub(super) name_at: usize,
    /// The length of a request without a name.
    pub(super) request: usize,
    /// The length of a result without a value block.
    pub(super) result: usize,
    /// The place where a result states its length.
    pub(super) length_at: usize,
    /// The place where a result states the place of its value block.
    pub(super) lvb_offset_at: usize,
}

impl Facts {
    pub(super) const fn of(abi: Abi) -> Self {
        let (name_at, request, result, length_at, lvb_offset_at) = match (abi.version, abi.width) {
            (AbiVersion::V6, PointerWidth::W64) => (120, 120, 72, 12, 68),
            // A 64-bit kernel takes 4 bytes more from a 32-bit program than the program's struct
            // has.
            (AbiVersion::V6, PointerWidth::W32) => (100, 104, 52, 12, 48),
            (AbiVersion::V5, PointerWidth::W64) => (104, 104, 64, 0, 60),
            (AbiVersion::V5, PointerWidth::W32) => (80, 80, 40, 0, 36),
        };
        Self { name_at, request, result, length_at, lvb_offset_at }
    }
}

/// Four bytes as a number; 0 behind the end.
pub(super) fn word_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    u32::from_ne_bytes(word.copied().unwrap_or_default())
}

/// One byte; 0 behind the end.
pub(super) fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

/// Three numbers from the start.
pub(super) fn version_at_start(bytes: &[u8]) -> Version {
    Version::new(word_at(bytes, 0), word_at(bytes, 4), word_at(bytes, 8))
}

/// Takes values from an input. What is not there any more is zero, so that every input is one.
#[derive(Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        if let Some((head, rest)) = self.0.split_first_chunk() {
            self.0 = rest;
            return *head;
        }
        let mut array = [0; N];
        for (to, from) in array.iter_mut().zip(self.0) {
            *to = *from;
        }
        self.0 = &[];
        array
    }

    pub(super) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.array())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.array())
    }

    /// As many bytes as are there, and not more than `most`.
    pub(super) fn slice(&mut self, most: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at_checked(most).unwrap_or((self.0, &[]));
        self.0 = rest;
        head
    }
}
