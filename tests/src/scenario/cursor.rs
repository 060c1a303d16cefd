//! The words of a line, taken one by one.

use std::collections::VecDeque;

use dlm_sys::Errno;

use super::text::{Word, words};

/// What was wanted, if it was not there.
pub(super) type Parsed<T> = Result<T, String>;

/// The words of a line that are not understood yet.
pub(super) struct Cursor {
    pub(super) words: VecDeque<Word>,
    /// What stands behind the arrow.
    pub(super) errno: Option<Errno>,
}

impl Cursor {
    pub(super) fn new(line: &str) -> Parsed<Self> {
        let mut words = words(line)?;
        let arrow = words.iter().position(|word| *word == Word::Plain("->".into()));
        let errno = match arrow {
            None => None,
            Some(at) => match words.split_off(at).as_slice() {
                [_, Word::Plain(name)] => Some(errno(name)?),
                _ => return Err("wanted one error name behind ->, such as EBUSY".into()),
            },
        };
        Ok(Self { words: words.into(), errno })
    }

    /// Takes the next word if it is this one.
    pub(super) fn is(&mut self, wanted: &str) -> bool {
        let found = matches!(self.words.front(), Some(Word::Plain(word)) if word == wanted);
        if found {
            self.words.pop_front();
        }
        found
    }

    /// Takes the next word if it is no text.
    pub(super) fn plain(&mut self) -> Option<String> {
        match self.words.pop_front() {
            Some(Word::Plain(word)) => Some(word),
            Some(other) => {
                self.words.push_front(other);
                None
            }
            None => None,
        }
    }

    pub(super) fn want(&mut self, what: &str) -> Parsed<String> {
        self.plain().ok_or_else(|| format!("wanted {what}, not {}", self.next()))
    }

    pub(super) fn text(&mut self) -> Parsed<Vec<u8>> {
        match self.words.pop_front() {
            Some(Word::Quoted(bytes)) => Ok(bytes),
            Some(other) => Err(format!("wanted a resource in quotation marks, not `{other}`")),
            None => Err("wanted a resource in quotation marks, not the end of the line".into()),
        }
    }

    /// Takes the value of `key=VALUE`, wherever it stands.
    pub(super) fn value(&mut self, key: &str) -> Option<String> {
        let value = |word: &Word| match word {
            Word::Plain(word) => Some(word.strip_prefix(key)?.strip_prefix('=')?.to_owned()),
            Word::Quoted(_) => None,
        };
        let at = self.words.iter().position(|word| value(word).is_some())?;
        self.words.remove(at).as_ref().and_then(value)
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &str) -> Parsed<Option<T>> {
        self.value(key).map(|text| whole(&text)).transpose()
    }

    /// Takes a word, wherever it stands.
    pub(super) fn has(&mut self, wanted: &str) -> bool {
        let at = self.words.iter().position(|word| *word == Word::Plain(wanted.into()));
        at.is_some_and(|at| self.words.remove(at).is_some())
    }

    pub(super) fn next(&self) -> String {
        match self.words.front() {
            Some(word) => format!("`{word}`"),
            None => "the end of the line".into(),
        }
    }

    pub(super) fn end(&self) -> Parsed<()> {
        if self.words.is_empty() {
            return match self.errno {
                None => Ok(()),
                Some(errno) => Err(format!("nothing here can fail with {errno}")),
            };
        }
        Err(format!("not understood here: {}", self.next()))
    }
}

/// A number, decimal or hexadecimal.
pub(super) fn whole<T: TryFrom<u64>>(text: &str) -> Parsed<T> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let number = parsed.map_err(|_| format!("wanted a number, not `{text}`"))?;
    T::try_from(number).map_err(|_| format!("{text} is too large here"))
}

fn errno(name: &str) -> Parsed<Errno> {
    if let Ok(number) = name.parse() {
        return Ok(Errno::from_raw(number));
    }
    (1..=133)
        .map(Errno::from_raw)
        .find(|errno| errno.name() == Some(name))
        .ok_or_else(|| format!("wanted an error name such as EBUSY, not `{name}`"))
}

/// A name of the file's own: letters, digits and `_`.
pub(super) fn name(cursor: &mut Cursor, what: &str) -> Parsed<String> {
    let name = cursor.want(what)?;
    let good = |char: char| char.is_ascii_alphanumeric() || char == '_';
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() && name.chars().all(good) => Ok(name),
        _ => Err(format!("wanted {what}, not `{name}`")),
    }
}
