//! Lines of the kernel's account of a lockspace.

use core::fmt::Write;

use heapless::String;

use crate::debugfs::Record;

/// More than the longest line needs.
const LONGEST: usize = 512;

/// Any bytes as lines: each is refused, or is a record that reads the same after it was shown.
pub fn debugfs(bytes: &[u8]) {
    for line in bytes.split(|&byte| byte == b'\n') {
        let Ok(record) = Record::parse(line) else { continue };
        let mut shown = String::<LONGEST>::new();
        assert!(write!(shown, "{record}").is_ok(), "{} is shown longer", line.escape_ascii());
        assert_eq!(Record::parse(shown.as_bytes()), Ok(record), "{}", line.escape_ascii());
    }
}
