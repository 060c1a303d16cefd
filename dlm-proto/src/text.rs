//! Modes, flags and numbers as text: each reads what it prints.

use core::fmt;
use core::num::ParseIntError;
use core::str::FromStr;

use crate::flags::{LockFlags, LockspaceFlags, RemoveFlags, StatusFlags};
use crate::id::{LockId, Minor, NodeId};
use crate::mode::{Mode, ModeCode};

/// Text or a number that stands for no mode or flag.
///
/// ```
/// use dlm_proto::{Mode, ParseError};
///
/// let unknown: Result<Mode, ParseError> = "XX".parse();
/// println!("{}", unknown.unwrap_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is the name of no mode.
    Mode,
    /// The number is that of no mode.
    ModeNumber(u8),
    /// The text is no list of flags.
    Flags,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode => f.write_str("no lock mode: NL, CR, CW, PR, PW or EX is expected"),
            Self::ModeNumber(number) => {
                write!(f, "{number} is no lock mode: 0 (NL) to 5 (EX) are expected")
            }
            Self::Flags => f.write_str(
                "no list of flags: names as in the kernel's header without their prefix, or numbers \
                 such as 0x10, with '|' between them, are expected",
            ),
        }
    }
}

impl core::error::Error for ParseError {}

/// By its two letters, of either case.
///
/// ```
/// use dlm_proto::Mode;
///
/// assert_eq!("ex".parse(), Ok(Mode::Ex));
/// assert_eq!(Mode::Ex.to_string(), "EX");
/// assert!("X".parse::<Mode>().is_err());
/// ```
impl FromStr for Mode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let is_called = |mode: &Self| mode.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(is_called).ok_or(ParseError::Mode)
    }
}

impl TryFrom<u8> for Mode {
    type Error = ParseError;

    fn try_from(number: u8) -> Result<Self, ParseError> {
        ModeCode(number).known().ok_or(ParseError::ModeNumber(number))
    }
}

impl From<Mode> for u8 {
    fn from(mode: Mode) -> Self {
        ModeCode::from(mode).0
    }
}

macro_rules! flags_as_text {
    ($($name:ident),+) => {$(
        /// The names, as in the kernel's header without their prefix, and what has none as a number,
        /// with ` | ` between them. Nothing for no flag.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                bitflags::parser::to_writer(self, f)
            }
        }

        /// Reads what is printed.
        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                bitflags::parser::from_str(text).map_err(|_| ParseError::Flags)
            }
        }
    )+};
}

flags_as_text!(LockFlags, StatusFlags, LockspaceFlags, RemoveFlags);

macro_rules! numbers_as_text {
    ($($name:ident),+) => {$(
        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }

        impl From<u32> for $name {
            fn from(number: u32) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u32 {
            fn from($name(number): $name) -> Self {
                number
            }
        }
    )+};
}

numbers_as_text!(LockId, Minor, NodeId);

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn modes_are_read_by_name_and_by_number() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
            assert_eq!(mode.name().to_lowercase().parse(), Ok(mode));
            assert_eq!(Mode::try_from(u8::from(mode)), Ok(mode));
        }
        for bad in ["", "E", "EXX", "null", " EX"] {
            assert_eq!(bad.parse::<Mode>(), Err(ParseError::Mode), "{bad:?}");
        }
        assert_eq!(Mode::try_from(6), Err(ParseError::ModeNumber(6)));
    }

    #[test]
    fn flags_are_read_as_they_are_printed() {
        let flags = LockFlags::NOQUEUE | LockFlags::VALBLK | LockFlags::from_bits_retain(1 << 20);
        assert_eq!(flags.to_string(), "NOQUEUE | VALBLK | 0x100000");
        for bits in [0, 1, 0x10_0009, u32::MAX] {
            let flags = LockFlags::from_bits_retain(bits);
            assert_eq!(flags.to_string().parse(), Ok(flags));
        }
        assert_eq!("NEWEXCL".parse(), Ok(LockspaceFlags::NEWEXCL));
        assert_eq!("noqueue".parse::<LockFlags>(), Err(ParseError::Flags));
    }

    #[test]
    fn numbers_are_read_as_they_are_printed() {
        assert_eq!(NodeId(7).to_string().parse(), Ok(NodeId(7)));
        assert!("-1".parse::<LockId>().is_err());
        assert_eq!(u32::from(Minor::from(3)), 3);
    }
}
