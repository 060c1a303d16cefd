//! The kernel's list of misc devices, `/proc/misc`.
//!
//! A line is a minor number, padded to three columns, a blank, and the name as the driver gave it.
//! A lockspace `x` stands there as `dlm_x`. Names may hold blanks, so a line is split once.

/// The prefix of a lockspace's name, in `/proc/misc` and below `/dev`.
pub const LOCKSPACE_PREFIX: &[u8] = b"dlm_";

/// The name of the control device.
pub const CONTROL: &[u8] = b"dlm-control";

/// A line of the list, or `None` if it is not as the kernel writes them.
#[must_use]
pub fn parse_line(line: &[u8]) -> Option<(u32, &[u8])> {
    let line = line.trim_ascii_start();
    let blank = line.iter().position(|&byte| byte == b' ')?;
    let (digits, name) = line.split_at_checked(blank)?;
    let minor = digits.iter().try_fold(0_u32, |sum, &byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    });
    match (minor, digits, name) {
        (Some(minor), [_, ..], [b' ', name @ ..]) => Some((minor, name)),
        _ => None,
    }
}

/// The minor number of the device with this name, in a list as `/proc/misc` has it.
#[must_use]
pub fn minor_of(list: &[u8], name: &[u8]) -> Option<u32> {
    lines(list).find(|&(_, found)| found == name).map(|(minor, _)| minor)
}

/// The minor number of a lockspace.
#[must_use]
pub fn minor_of_lockspace(list: &[u8], lockspace: &[u8]) -> Option<u32> {
    lines(list)
        .find(|&(_, found)| found.strip_prefix(LOCKSPACE_PREFIX) == Some(lockspace))
        .map(|(minor, _)| minor)
}

/// Whether a kernel that answers EEXIST to one more device does so because no minor number is left.
///
/// Kernels up to 6.1 hand numbers out from 127 downwards (some from 63), with no regard to those
/// that belong to certain devices whether or not they are there: when the numbers come to one of
/// these, which are below ten, the name in `/sys/dev/char` exists already. Later kernels go on
/// above 255.
#[must_use]
pub fn is_full(list: &[u8]) -> bool {
    let bit = |minor| 1_u128.checked_shl(minor).unwrap_or(0);
    let listed = lines(list).fold(0, |listed, (minor, _)| listed | bit(minor));
    let (lower, upper) = (listed & LOWER, listed & UPPER);
    lower == LOWER && (upper == UPPER || upper == 0)
}

/// The minor numbers that are handed out, one bit for each: from 10 to 63, and from there to 127.
const LOWER: u128 = (1 << 64) - (1 << 10);
const UPPER: u128 = !((1 << 64) - 1);

fn lines(list: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    list.split(|&byte| byte == b'\n').filter_map(parse_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"263 dlm_a b\n121 dlm_one\n  7 dlm-control\n 58 dlm_\n235 autofs\n";

    #[test]
    fn lines_are_split_once_and_read_as_numbers() {
        assert_eq!(parse_line(b"  7 dlm-control"), Some((7, &b"dlm-control"[..])));
        assert_eq!(parse_line(b"263 dlm_a b"), Some((263, &b"dlm_a b"[..])));
        assert_eq!(parse_line(b"1048575 x"), Some((1_048_575, &b"x"[..])));
        for bad in [&b""[..], b" ", b"x y", b"12", b"-1 x", b"99999999999 x", b"1x y"] {
            assert_eq!(parse_line(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_list_is_full_when_the_numbers_have_come_to_those_that_are_given_away() {
        let list = |minors: &mut dyn Iterator<Item = u32>| -> Vec<u8> {
            minors.flat_map(|minor| format!("{minor:3} dlm_{minor}\n").into_bytes()).collect()
        };
        assert!(is_full(&list(&mut (2..128))));
        assert!(is_full(&list(&mut (10..128).chain([228, 1]))));
        assert!(is_full(&list(&mut (2..64))));
        for free in [10, 63, 64, 127] {
            assert!(!is_full(&list(&mut (0..128).filter(|&minor| minor != free))), "{free}");
        }
        assert!(!is_full(LIST));
    }

    #[test]
    fn devices_and_lockspaces_are_found_by_their_whole_name() {
        assert_eq!(minor_of(LIST, CONTROL), Some(7));
        assert_eq!(minor_of(LIST, b"dlm"), None);
        assert_eq!(minor_of_lockspace(LIST, b"one"), Some(121));
        assert_eq!(minor_of_lockspace(LIST, b"a b"), Some(263));
        assert_eq!(minor_of_lockspace(LIST, b"a"), None);
        assert_eq!(minor_of_lockspace(LIST, b"on"), None);
    }
}
