//! Errors of records: requests that cannot be encoded, bytes that cannot be decoded.

use core::fmt;

use crate::version::{Abi, Version};

/// A request that cannot be written.
///
/// ```
/// use dlm_proto::{Abi, Cookies, EncodeError, LockRequest, Mode, Token};
///
/// let cookies = Cookies::for_token(Token::new(7, 1), 0);
/// let short = LockRequest::new(b"disk0", Mode::Ex, cookies).encode(Abi::V6_64, &mut [0; 8]).map(|_| ());
/// assert_eq!(short, Err(EncodeError::BufferTooSmall { need: 125, have: 8 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The caller's buffer is too short.
    BufferTooSmall {
        /// Bytes that the record needs.
        need: usize,
        /// Bytes that the buffer has.
        have: usize,
    },
    /// A resource or lockspace name of this many bytes; at most 64 are allowed.
    NameTooLong(usize),
    /// A lockspace name with a NUL byte would be cut there by the kernel.
    NulInName,
    /// The layout has no place for this field or value.
    NotInAbi {
        /// The field, as the kernel's header calls it.
        field: &'static str,
        /// The layout.
        abi: Abi,
    },
    /// A word above 32 bits in a 32-bit layout.
    WordTooWide {
        /// The field, as the kernel's header calls it.
        field: &'static str,
        /// The word.
        word: u64,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { need, have } => {
                write!(f, "buffer of {have} bytes: the record needs {need}")
            }
            Self::NameTooLong(len) => write!(f, "name of {len} bytes: at most 64 are allowed"),
            Self::NulInName => {
                f.write_str("lockspace name with a NUL byte: the kernel would cut it there")
            }
            Self::NotInAbi { field, abi } => {
                write!(f, "{field}: the records of {abi} programs have no place for it")
            }
            Self::WordTooWide { field, word } => {
                write!(f, "{field} {word:#x}: records of 32-bit programs have 32 bits for it")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// A record that does not say what a record of its kind must say.
///
/// ```
/// use dlm_proto::{Abi, DecodeError, LockResult};
///
/// let short = LockResult::decode(Abi::V6_64, &[0; 8]).map(|_| ());
/// assert_eq!(short, Err(DecodeError::Truncated { need: 72, have: 8 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the record's fixed part.
    Truncated {
        /// Bytes of the fixed part.
        need: usize,
        /// Bytes at hand.
        have: usize,
    },
    /// The record has one legal length, or states one, and has another.
    Length {
        /// The length that the record must have or states.
        wanted: usize,
        /// Its length.
        got: usize,
    },
    /// A record of a foreign version.
    Version {
        /// The version of the layout.
        wanted: Version,
        /// The version that the record carries.
        got: Version,
    },
    /// A 64-bit record in a 32-bit layout, or the other way round (`is64bit`).
    Width {
        /// The flag of the layout.
        wanted: u8,
        /// The flag that the record carries.
        got: u8,
    },
    /// A command that this crate does not know, or that the layout does not have.
    Command(u8),
    /// `lvb_offset` is neither 0 nor the end of the fixed part, or the block is not all there.
    LvbOffset {
        /// The only offset, apart from 0, that fits the record.
        wanted: usize,
        /// The offset that the record states.
        got: u32,
    },
    /// The name reaches beyond the record, or beyond 64 bytes.
    NameLength {
        /// Bytes that the record has room for, or 64.
        most: usize,
        /// Bytes that the record states.
        got: usize,
    },
    /// A blocking notice with a mode that does not exist (`bast_mode`).
    Mode(u8),
    /// An address word that neither marks a completion nor a blocking notice.
    Kind(u64),
    /// A parameter word that is no token.
    Token(u64),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { need, have } => {
                write!(f, "record of {have} bytes: it must have {need} at least")
            }
            Self::Length { wanted, got } => {
                write!(f, "record of {got} bytes: it must have {wanted}")
            }
            Self::Version { wanted, got } => write!(f, "version {got}: this layout is of {wanted}"),
            Self::Width { wanted, got } => write!(f, "is64bit {got}: this layout has {wanted}"),
            Self::Command(got) => write!(f, "cmd {got}: this layout has no such command"),
            Self::LvbOffset { wanted, got } => {
                write!(f, "lvb_offset {got}: it must be 0, or {wanted} with 32 bytes behind it")
            }
            Self::NameLength { most, got } => {
                write!(f, "namelen {got}: the record has room for {most}")
            }
            Self::Mode(got) => write!(f, "bast_mode {got}: lock modes are 0 (NL) to 5 (EX)"),
            Self::Kind(got) => {
                write!(
                    f,
                    "user_astaddr {got:#x}: it marks neither a completion nor a blocking notice"
                )
            }
            Self::Token(got) => write!(f, "user_astparam {got:#x}: it is no token"),
        }
    }
}

impl core::error::Error for DecodeError {}
