//! The words of a line.

use std::fmt::Write;

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What was wanted there.
    pub text: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

impl std::error::Error for Mistake {}

/// A word, or a text in quotation marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Plain(String),
    Quoted(Vec<u8>),
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Quoted(bytes) => f.write_str(&quoted(bytes)),
        }
    }
}

/// Bytes as a text in quotation marks.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    text
}

/// Cuts a line into words, without its comment.
pub(super) fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        match first {
            '#' => break,
            '"' => {
                let (bytes, after) = text(&rest[1..])?;
                words.push(Word::Quoted(bytes));
                rest = after;
            }
            _ => {
                let end = rest.find([' ', '\t', '"']).unwrap_or(rest.len());
                words.push(Word::Plain(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        rest = rest.trim_start();
    }
    Ok(words)
}

/// A text up to its closing mark, and what is behind that.
fn text(line: &str) -> Result<(Vec<u8>, &str), String> {
    let mut bytes = Vec::new();
    let mut chars = line.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((bytes, &line[at + 1..])),
            '\\' => match chars.next() {
                Some((_, mark @ ('"' | '\\'))) => bytes.extend(u8::try_from(mark)),
                Some((at, 'x')) => {
                    let digits = line.get(at + 1..at + 3).unwrap_or_default();
                    let byte = u8::from_str_radix(digits, 16)
                        .map_err(|_| format!("wanted two hex digits behind \\x, not `{digits}`"))?;
                    bytes.push(byte);
                    chars.next();
                    chars.next();
                }
                _ => {
                    return Err(
                        "in a text, \\ is followed by x and two hex digits, \\ or \"".into()
                    );
                }
            },
            _ => bytes.extend(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("wanted a closing \" on the same line".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_into_words() {
        let plain = |text: &str| Word::Plain(text.into());
        assert_eq!(words("  a lock  L # x").unwrap(), [plain("a"), plain("lock"), plain("L")]);
        assert_eq!(words("# only").unwrap(), []);
        let name = b"a b\0\"\\#".to_vec();
        assert_eq!(words(r#"on "a b\x00\"\\#""#).unwrap(), [plain("on"), Word::Quoted(name)]);
        for bad in ["\"open", r#""\n""#, r#""\x0""#, r#""\xzz""#] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_survive() {
        let all: Vec<u8> = (0..=127).collect();
        assert_eq!(words(&quoted(&all)).unwrap(), [Word::Quoted(all)]);
    }
}
