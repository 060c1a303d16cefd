//! Tokens: words that a program sends through the kernel in place of pointers.

use crate::version::PointerWidth;

/// Names an entry of a table of locks: a slot index and the slot's generation.
///
/// The kernel carries five words of each request to the result, untouched and unread. C libdlm
/// puts addresses there and dereferences what comes back. A token is looked up instead: a result
/// with a stale or foreign token finds no entry of that generation and can be counted and dropped.
///
/// A token is never zero as a word: generations start at 1. (An unlock whose parameter word is
/// zero leaves the former one in place.)
///
/// ```
/// use dlm_proto::{PointerWidth, Token};
///
/// let token = Token::new(7, 1);
/// let word = token.to_word(PointerWidth::W64).ok_or("too wide")?;
/// assert_eq!(Token::from_word(word, PointerWidth::W64), Some(token));
/// assert_eq!(Token::from_word(0, PointerWidth::W64), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    index: u32,
    generation: u32,
}

/// Index bits of a token in a 32-bit word; the other 12 are the generation.
const INDEX_BITS_32: u32 = 20;

impl Token {
    /// A token for a slot. `generation` is never 0; a 0 is taken as 1.
    #[inline]
    #[must_use]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation: if generation == 0 { 1 } else { generation } }
    }

    /// The slot.
    #[inline]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The generation of the slot.
    #[inline]
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// The highest slot index that a word of this width can carry.
    #[inline]
    #[must_use]
    pub const fn max_index(width: PointerWidth) -> u32 {
        match width {
            PointerWidth::W64 => u32::MAX,
            PointerWidth::W32 => (1 << INDEX_BITS_32) - 1,
        }
    }

    /// The highest generation that a word of this width can carry; 1 follows it.
    #[inline]
    #[must_use]
    pub const fn max_generation(width: PointerWidth) -> u32 {
        match width {
            PointerWidth::W64 => u32::MAX,
            PointerWidth::W32 => u32::MAX >> INDEX_BITS_32,
        }
    }

    /// The token as a word of this width, or `None` if it does not fit.
    #[inline]
    #[must_use]
    pub const fn to_word(self, width: PointerWidth) -> Option<u64> {
        if self.index > Self::max_index(width) || self.generation > Self::max_generation(width) {
            return None;
        }
        let shift = match width {
            PointerWidth::W64 => u32::BITS,
            PointerWidth::W32 => INDEX_BITS_32,
        };
        Some((self.generation as u64) << shift | self.index as u64)
    }

    /// The token that a word of this width carries, or `None` for a word that is none.
    #[inline]
    #[must_use]
    pub const fn from_word(word: u64, width: PointerWidth) -> Option<Self> {
        let (index, generation) = match width {
            PointerWidth::W64 => (word & 0xffff_ffff, word >> u32::BITS),
            PointerWidth::W32 => (word & ((1 << INDEX_BITS_32) - 1), word >> INDEX_BITS_32),
        };
        if generation == 0 || generation > Self::max_generation(width) as u64 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "masked above, and compared above")]
        Some(Self { index: index as u32, generation: generation as u32 })
    }
}

/// The five opaque words of a request.
///
/// The kernel looks at two things only: `completion_addr` and `lksb` must not be zero, and a zero
/// `blocking_addr` means that the lock wants no blocking notices.
///
/// ```
/// use dlm_proto::{Cookies, Token};
///
/// let quiet = Cookies::for_token(Token::new(7, 1), 0).with_blocking(false);
/// assert_eq!(quiet.blocking_addr, 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cookies {
    /// `castaddr`: comes back as the address of a completion.
    pub completion_addr: u64,
    /// `castparam`: comes back as the parameter of a completion.
    pub completion_param: u64,
    /// `bastaddr`: comes back as the address of a blocking notice.
    pub blocking_addr: u64,
    /// `bastparam`: comes back as the parameter of a blocking notice.
    pub blocking_param: u64,
    /// `lksb`: comes back with both.
    pub lksb: u64,
}

impl Cookies {
    /// The address word that marks a completion of a request made by [`Cookies::for_token`].
    pub const COMPLETION: u64 = 0x444c_4d01;
    /// The address word that marks a blocking notice of such a request.
    pub const BLOCKING: u64 = 0x444c_4d02;

    /// The words for the lock that `token` names, with blocking notices, for 64-bit records.
    ///
    /// `owner` comes back in the lksb word. A program that shares an open device with others (after
    /// a fork) can tell its own results by it. 0 is taken as 1, as the kernel refuses a 0.
    #[inline]
    #[must_use]
    pub const fn for_token(token: Token, owner: u32) -> Self {
        let word = (token.generation as u64) << u32::BITS | token.index as u64;
        Self::for_word(word, owner)
    }

    /// The words for the lock that `token` names, for records of the given width, or `None` if the
    /// token does not fit into it.
    #[inline]
    #[must_use]
    pub const fn for_token_in(token: Token, owner: u32, width: PointerWidth) -> Option<Self> {
        match token.to_word(width) {
            Some(word) => Some(Self::for_word(word, owner)),
            None => None,
        }
    }

    /// The same words with the blocking notice switched off or on.
    #[inline]
    #[must_use]
    pub const fn with_blocking(self, wanted: bool) -> Self {
        let blocking_addr = if wanted { Self::BLOCKING } else { 0 };
        Self { blocking_addr, ..self }
    }

    #[inline]
    const fn for_word(word: u64, owner: u32) -> Self {
        Self {
            completion_addr: Self::COMPLETION,
            completion_param: word,
            blocking_addr: Self::BLOCKING,
            blocking_param: word,
            lksb: if owner == 0 { 1 } else { owner as u64 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_in_both_widths() {
        for width in [PointerWidth::W32, PointerWidth::W64] {
            for index in [0, 1, Token::max_index(width)] {
                for generation in [1, 2, Token::max_generation(width)] {
                    let token = Token::new(index, generation);
                    let word = token.to_word(width).unwrap();
                    assert_ne!(word, 0);
                    assert!(width.fits(word));
                    assert_eq!(Token::from_word(word, width), Some(token));
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_a_32_bit_word_is_refused() {
        let width = PointerWidth::W32;
        assert_eq!(Token::new(1 << 20, 1).to_word(width), None);
        assert_eq!(Token::new(0, 1 << 12).to_word(width), None);
        assert_eq!(Token::from_word(1 << 32, width), None);
    }

    #[test]
    fn generation_zero_is_no_token() {
        assert_eq!(Token::from_word(5, PointerWidth::W64), None);
        assert_eq!(Token::from_word(5, PointerWidth::W32), None);
        assert_eq!(Token::new(5, 0).generation(), 1);
    }
}
