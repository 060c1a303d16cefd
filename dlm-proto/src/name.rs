//! Names of resources and lockspaces.

use core::fmt;
use core::ops::Deref;

use heapless::Vec;

/// The longest name, in bytes, of a resource (`DLM_RESNAME_MAXLEN`) and of a lockspace
/// (`DLM_LOCKSPACE_LEN`).
pub const MAX_NAME_LEN: usize = 64;

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// Longer than [`MAX_NAME_LEN`]; the length that was given.
    TooLong(usize),
    /// A lockspace name needs at least one byte.
    Empty,
    /// A byte that a lockspace name may not hold, and where it stands.
    BadByte {
        /// The byte.
        byte: u8,
        /// Its position.
        at: usize,
    },
    /// `.` and `..` would be folders of the kernel's own file systems.
    Dots,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => write!(f, "name of {len} bytes, at most {MAX_NAME_LEN} allowed"),
            Self::Empty => f.write_str("a lockspace name needs at least one byte"),
            Self::BadByte { byte, at } => write!(
                f,
                "byte {byte:#04x} at position {at}: a lockspace name may not hold '/', \
                 white space or control characters"
            ),
            Self::Dots => f.write_str("a lockspace may not be named '.' or '..'"),
        }
    }
}

impl core::error::Error for NameError {}

/// A resource name: 0 to 64 bytes of any value, NUL included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ResourceName(Vec<u8, MAX_NAME_LEN, u8>);

impl ResourceName {
    /// Takes a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// [`NameError::TooLong`] above 64 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        copy(bytes).map(Self)
    }
}

/// A lockspace name: 1 to 64 bytes without `/`, white space and control characters.
///
/// The kernel itself checks only the length. A `/` makes its CREATE hang for ever, and white space
/// breaks readers of `/proc/misc`, C libdlm among them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockspaceName(Vec<u8, MAX_NAME_LEN, u8>);

impl LockspaceName {
    /// Takes a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule is broken, and where.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        let name = copy(bytes)?;
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if bytes == b"." || bytes == b".." {
            return Err(NameError::Dots);
        }
        let bad = |byte: u8| byte == b'/' || byte == b' ' || byte.is_ascii_control();
        if let Some((at, &byte)) = bytes.iter().enumerate().find(|&(_, &byte)| bad(byte)) {
            return Err(NameError::BadByte { byte, at });
        }
        Ok(Self(name))
    }
}

fn copy(bytes: &[u8]) -> Result<Vec<u8, MAX_NAME_LEN, u8>, NameError> {
    Vec::from_slice(bytes).map_err(|_| NameError::TooLong(bytes.len()))
}

macro_rules! as_bytes {
    ($name:ident) => {
        impl Deref for $name {
            type Target = [u8];

            fn deref(&self) -> &[u8] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = NameError;

            fn try_from(bytes: &[u8]) -> Result<Self, NameError> {
                Self::new(bytes)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text.as_bytes())
            }
        }

        /// Bytes that are no printable ASCII are escaped.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.escape_ascii())
            }
        }
    };
}

as_bytes!(ResourceName);
as_bytes!(LockspaceName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_names_take_any_bytes_up_to_64() {
        for len in 0..=64 {
            assert_eq!(ResourceName::new(&[0; 64][..len]).unwrap().len(), len);
        }
        assert_eq!(ResourceName::new(&[b'x'; 65]), Err(NameError::TooLong(65)));
    }

    #[test]
    fn lockspace_names_are_refused_for_the_reason_they_deserve() {
        assert_eq!(LockspaceName::new(b""), Err(NameError::Empty));
        assert!(LockspaceName::new(&[b'x'; 64]).is_ok());
        assert_eq!(LockspaceName::new(&[b'x'; 65]), Err(NameError::TooLong(65)));
        assert_eq!(LockspaceName::new(b".."), Err(NameError::Dots));
        for byte in [b'/', b' ', b'\t', b'\n', 0, 0x0b, 0x0c, 0x7f] {
            assert_eq!(LockspaceName::new(&[b'a', byte]), Err(NameError::BadByte { byte, at: 1 }));
        }
        assert!(LockspaceName::new("größe.1-2_3".as_bytes()).is_ok());
    }

    #[test]
    fn names_print_escaped() {
        let name = ResourceName::new(b"a\0b").unwrap();
        assert_eq!(std::format!("{name}"), "a\\x00b");
    }
}
