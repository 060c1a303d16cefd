//! Names of resources and lockspaces.

use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

/// The longest name, in bytes, of a resource (`DLM_RESNAME_MAXLEN`) and of a lockspace
/// (`DLM_LOCKSPACE_LEN`).
pub const MAX_NAME_LEN: usize = 64;

/// The reason why a name was refused.
///
/// ```
/// use dlm_proto::{LockspaceName, NameError, ResourceName};
///
/// assert_eq!(ResourceName::new(&[0; 65]), Err(NameError::TooLong(65)));
/// assert_eq!(LockspaceName::new(b"a/b"), Err(NameError::BadByte { byte: b'/', at: 1 }));
/// ```
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
            Self::TooLong(len) => {
                write!(f, "name of {len} bytes: at most {MAX_NAME_LEN} are allowed")
            }
            Self::Empty => f.write_str("empty lockspace name: it needs one byte at least"),
            Self::BadByte { byte, at } => write!(
                f,
                "byte {byte:#04x} at position {at} of a lockspace name: '/', white space and control \
                 characters are refused"
            ),
            Self::Dots => {
                f.write_str("lockspace name '.' or '..': these are folders of the kernel")
            }
        }
    }
}

impl core::error::Error for NameError {}

/// A resource name: 0 to 64 bytes of any value, NUL included.
///
/// ```
/// use dlm_proto::ResourceName;
///
/// let name = ResourceName::new(b"disk\0")?;
/// assert_eq!((name.len(), &name[..]), (5, &b"disk\0"[..]));
/// # Ok::<(), dlm_proto::NameError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ResourceName(Bytes);

impl ResourceName {
    /// Takes a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// [`NameError::TooLong`] above 64 bytes.
    #[inline]
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        Bytes::new(bytes).map(Self)
    }

    /// The bytes, with zeros behind them.
    #[inline]
    pub(crate) const fn padded(&self) -> &[u8; MAX_NAME_LEN] {
        &self.0.bytes
    }

    /// How many of them are the name's.
    #[inline]
    pub(crate) const fn short_len(&self) -> u8 {
        self.0.len
    }
}

/// A lockspace name: 1 to 64 bytes without `/`, white space and control characters.
///
/// The kernel itself checks only the length. A `/` makes its CREATE hang for ever, and white space
/// breaks readers of `/proc/misc`, C libdlm among them.
///
/// ```
/// use dlm_proto::LockspaceName;
///
/// let name: LockspaceName = "example".parse()?;
/// assert_eq!(name.to_string(), "example");
/// # Ok::<(), dlm_proto::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockspaceName(Bytes);

impl LockspaceName {
    /// Takes a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule is broken, and where.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        let name = Bytes::new(bytes)?;
        if bytes.is_empty() {
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

/// Up to 64 bytes. What is behind them is zero, so that comparing all is comparing them: of two
/// names of which one is the start of the other, the shorter one is the lower.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Bytes {
    bytes: [u8; MAX_NAME_LEN],
    len: u8,
}

impl Bytes {
    #[inline]
    fn new(bytes: &[u8]) -> Result<Self, NameError> {
        let mut copy = [0; MAX_NAME_LEN];
        match (copy.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(len)) => {
                copy_short(place, bytes);
                Ok(Self { bytes: copy, len })
            }
            _ => Err(NameError::TooLong(bytes.len())),
        }
    }

    #[inline]
    fn get(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self { bytes: [0; MAX_NAME_LEN], len: 0 }
    }
}

/// Copies a name of at most 64 bytes to a place of the same length.
///
/// Two copies of a fixed length, which may overlap, are a few instructions; a call of `memcpy` is
/// many.
#[inline]
pub(crate) fn copy_short(place: &mut [u8], name: &[u8]) {
    let is_copied = copy_ends::<32>(place, name)
        || copy_ends::<16>(place, name)
        || copy_ends::<8>(place, name)
        || copy_ends::<4>(place, name)
        || copy_ends::<2>(place, name);
    if !is_copied {
        // One byte, or none.
        if let (Some(to), Some(from)) = (place.first_mut(), name.first()) {
            *to = *from;
        }
    }
}

/// Copies the first `N` and the last `N` bytes: all of a name that has `N` to 2 `N`. False for a
/// shorter one.
#[inline]
fn copy_ends<const N: usize>(place: &mut [u8], name: &[u8]) -> bool {
    let (Some(first), Some(last)) = (name.first_chunk::<N>(), name.last_chunk::<N>()) else {
        return false;
    };
    if let Some(to) = place.first_chunk_mut::<N>() {
        *to = *first;
    }
    if let Some(to) = place.last_chunk_mut::<N>() {
        *to = *last;
    }
    true
}

macro_rules! as_bytes {
    ($name:ident) => {
        impl Deref for $name {
            type Target = [u8];

            #[inline]
            fn deref(&self) -> &[u8] {
                self.0.get()
            }
        }

        impl AsRef<[u8]> for $name {
            #[inline]
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

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{self}\"")
            }
        }

        /// The bytes of the text, as they are: what [`Display`](fmt::Display) has escaped stays so.
        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text.as_bytes())
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
    fn names_are_copied_whole_whatever_their_length() {
        let bytes: [u8; 64] = core::array::from_fn(|at| u8::try_from(at).unwrap() + 1);
        for len in 0..=64 {
            let name = ResourceName::new(&bytes[..len]).unwrap();
            assert_eq!(&*name, &bytes[..len]);
        }
    }

    #[test]
    fn names_are_ordered_as_their_bytes_are() {
        let bytes: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"\0a", b"a", b"a\0", b"b"];
        let names = bytes.map(|bytes| ResourceName::new(bytes).unwrap());
        for (a, name_a) in bytes.iter().zip(&names) {
            for (b, name_b) in bytes.iter().zip(&names) {
                assert_eq!(a.cmp(b), name_a.cmp(name_b), "{a:?} {b:?}");
                assert_eq!(a == b, name_a == name_b, "{a:?} {b:?}");
            }
        }
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
        assert_eq!(std::format!("{name:?}"), "\"a\\x00b\"");
    }
}
