//! Names made of any bytes.

use core::fmt::Write;

use crate::name::{LockspaceName, NameError, ResourceName};

/// Any bytes as either kind of name: taken or refused as the documentation says, kept as they
/// are, and printable.
pub fn names(bytes: &[u8]) {
    match ResourceName::new(bytes) {
        Ok(name) => {
            assert!(bytes.len() <= 64, "took {} bytes", bytes.len());
            assert_eq!(&*name, bytes);
            assert_printable(bytes, format_args!("{name}"));
        }
        Err(error) => {
            assert!(bytes.len() > 64, "refused {} bytes", bytes.len());
            assert_eq!(error, NameError::TooLong(bytes.len()));
        }
    }
    match LockspaceName::new(bytes) {
        Ok(name) => {
            assert!((1..=64).contains(&bytes.len()), "took {} bytes", bytes.len());
            assert!(!bytes.iter().copied().any(is_bad), "took {}", bytes.escape_ascii());
            assert!(bytes != b"." && bytes != b"..", "took {}", bytes.escape_ascii());
            assert_eq!(&*name, bytes);
        }
        Err(error) => {
            let is_true = match error {
                NameError::TooLong(len) => len == bytes.len() && len > 64,
                NameError::Empty => bytes.is_empty(),
                NameError::BadByte { byte, at } => {
                    // The first one is named.
                    bytes.iter().position(|&byte| is_bad(byte)) == Some(at)
                        && bytes.get(at) == Some(&byte)
                }
                NameError::Dots => matches!(bytes, b"." | b".."),
            };
            assert!(is_true, "{error:?} for {}", bytes.escape_ascii());
        }
    }
}

/// `/`, white space and control characters, of ASCII: other bytes may be part of a character.
fn is_bad(byte: u8) -> bool {
    matches!(byte, b'/' | 0..=b' ' | 0x7f)
}

/// Printed text is printable ASCII, and has at least a character for each byte.
fn assert_printable(bytes: &[u8], text: core::fmt::Arguments<'_>) {
    let mut shown = Shown::default();
    let written = shown.write_fmt(text);
    assert!(written.is_ok() && shown.is_plain, "{} does not print", bytes.escape_ascii());
    assert!(shown.len >= bytes.len(), "{} is cut when printed", bytes.escape_ascii());
}

/// Looks at text instead of storing it.
struct Shown {
    len: usize,
    is_plain: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self { len: 0, is_plain: true }
    }
}

impl Write for Shown {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.len += text.len();
        self.is_plain &= text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        Ok(())
    }
}
