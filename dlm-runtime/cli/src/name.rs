//! Names of resources as people type them: `\xNN` stands for a byte, `\\` for a backslash.

/// The bytes of a name.
///
/// # Errors
///
/// A backslash with something else behind it.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{text}: \\ is followed by xNN (a byte), n, r, t, ', \" or \\");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let (&kind, behind) = rest.split_first().ok_or_else(wrong)?;
        rest = behind;
        bytes.push(match kind {
            b'x' => {
                let (digits, behind) = rest.split_at_checked(2).ok_or_else(wrong)?;
                rest = behind;
                let digits = str::from_utf8(digits).map_err(|_| wrong())?;
                u8::from_str_radix(digits, 16).map_err(|_| wrong())?
            }
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'\'' | b'"' | b'\\' => kind,
            _ => return Err(wrong()),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dlm_runtime::ResourceName;

    #[test]
    #[allow(clippy::unwrap_used, reason = "tests")]
    fn names_are_read_as_they_are_shown() {
        for name in [&b"disk0"[..], b"a b", b"odd\x01name", b"zero\0end", b"q\"u'o\\te\n\xff", b""]
        {
            let shown = ResourceName::new(name).unwrap().to_string();
            assert_eq!(bytes(&shown).unwrap(), name, "{shown}");
        }
        for bad in ["\\", "\\q", "\\x", "\\x1", "\\xg0"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
