//! The body of the fuzz target `misc`: properties of any list of misc devices.
//!
//! It panics if, and only if, an invariant is broken. The program in `fuzz/` feeds it from
//! libFuzzer, and `tests/corpus.rs` replays the inputs kept in `fuzz/corpus`. Hidden because no
//! program but a test has a use for it; see `dlm_proto::fuzzing`.

use crate::misc;

/// The longest line that is built here: a number, a blank, a name and the end of the line.
const LINE: usize = 10 + 1 + 132 + 1;

/// Any bytes as the list, and a list with a line that is known.
///
/// The first byte says how long the name to look for is; it follows, and four bytes of a minor
/// number, and the rest is the list.
pub fn misc(bytes: &[u8]) {
    let (len, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (name, rest) = rest.split_at_checked(usize::from(len % 128)).unwrap_or((rest, &[]));
    let (minor, list) = rest.split_first_chunk().unwrap_or((&[0; 4], rest));
    // As it stands in its documentation: no number from 10 to 63 is free, and none, or all, above.
    let minors = list.split(|&byte| byte == b'\n').filter_map(misc::parse_line);
    let mut counts = [0_u8; 128];
    for (minor, _) in minors {
        if let Some(count) = usize::try_from(minor).ok().and_then(|minor| counts.get_mut(minor)) {
            *count = 1;
        }
    }
    let sum = |from: usize, to: usize| counts.get(from..to).map_or(0, |c| c.iter().sum::<u8>());
    assert_eq!(misc::is_full(list), sum(10, 64) == 54 && [0, 64].contains(&sum(64, 128)));
    let mut wanted = [None; 2];
    for line in list.split(|&byte| byte == b'\n') {
        let parsed = parse_another_way(line);
        assert_eq!(misc::parse_line(line), parsed, "{}", line.escape_ascii());
        let Some((minor, found)) = parsed else { continue };
        for (wanted, prefix) in wanted.iter_mut().zip(PREFIXES) {
            // The first line of a name is the one that counts.
            if wanted.is_none() && found.strip_prefix(prefix) == Some(name) {
                *wanted = Some(minor);
            }
        }
    }
    for (wanted, prefix) in wanted.into_iter().zip(PREFIXES) {
        assert_eq!(look_up(list, prefix, name), wanted, "{}", list.escape_ascii());
        if !name.contains(&b'\n') {
            built(u32::from_ne_bytes(*minor), prefix, name, list, wanted);
        }
    }
}

/// What is before the name of any device, and before that of a lockspace.
const PREFIXES: [&[u8]; 2] = [b"", b"dlm_"];

fn look_up(list: &[u8], prefix: &[u8], name: &[u8]) -> Option<u32> {
    match prefix {
        b"" => misc::minor_of(list, name),
        _ => misc::minor_of_lockspace(list, name),
    }
}

/// A line as the kernel writes it is found again, alone, and behind a list in which the name has
/// the number `before` or none.
fn built(minor: u32, prefix: &[u8], name: &[u8], list: &[u8], before: Option<u32>) {
    let mut buffer = [0; LINE];
    let line = write_line(&mut buffer, minor, prefix, name);
    let whole = line.strip_suffix(b"\n").unwrap_or_default();
    let (found, rest) = misc::parse_line(whole).unwrap_or_default();
    assert_eq!((found, rest.strip_prefix(prefix)), (minor, Some(name)));
    assert_eq!(look_up(line, prefix, name), Some(minor), "{}", line.escape_ascii());
    let mut both = [0; 512];
    let Some(both) = both.get_mut(..list.len() + 1 + line.len()) else { return };
    let (head, tail) = both.split_at_mut(list.len());
    head.copy_from_slice(list);
    if let Some((end, tail)) = tail.split_first_mut() {
        *end = b'\n';
        tail.copy_from_slice(line);
    }
    let wanted = before.unwrap_or(minor);
    assert_eq!(look_up(both, prefix, name), Some(wanted), "{}", both.escape_ascii());
}

/// Writes what the kernel's `"%3i %s\n"` does.
fn write_line<'b>(buffer: &'b mut [u8; LINE], minor: u32, prefix: &[u8], name: &[u8]) -> &'b [u8] {
    let mut digits = [b' '; 10];
    let (mut left, mut count) = (minor, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789".get(left as usize % 10).copied().unwrap_or_default();
        left /= 10;
        count += 1;
        if left == 0 {
            break;
        }
    }
    for blank in digits.iter_mut().rev().skip(count) {
        *blank = b' ';
    }
    let number = digits.get(10 - count.max(3)..).unwrap_or_default();
    let mut len = 0;
    for part in [number, b" ", prefix, name, b"\n"] {
        if let Some(room) = buffer.get_mut(len..len + part.len()) {
            room.copy_from_slice(part);
        }
        len += part.len();
    }
    buffer.get(..len).unwrap_or_default()
}

/// A line as the documentation of [`misc`] says: blanks, a number, one blank, and a name that may
/// hold any byte.
fn parse_another_way(line: &[u8]) -> Option<(u32, &[u8])> {
    let start =
        line.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | 0x0c | b'\n'))?;
    let line = line.get(start..)?;
    let end = line.iter().position(|byte| !byte.is_ascii_digit())?;
    let digits = core::str::from_utf8(line.get(..end)?).ok()?;
    let name = line.get(end..)?.strip_prefix(b" ")?;
    Some((digits.parse().ok()?, name))
}
