//! Records as lines.

use core::fmt;

use super::{BlockRecord, HEADER, LockRecord, Place, Record, ResourceRecord};
use crate::Mode;

impl Place {
    /// The kernel's number for it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Unqueued => "0",
            Self::Waiting => "1",
            Self::Granted => "2",
            Self::Converting => "3",
        }
    }
}

/// The line, without a newline.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str(HEADER),
            Self::Resource(record) => record.fmt(f),
            Self::Block(record) => record.fmt(f),
            Self::Lock(record) => record.fmt(f),
        }
    }
}

/// The line, without a newline. In place of the resource's address there is a zero.
impl fmt::Display for ResourceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, master, first, flags, to_recover, recovering, unrecovered } = self;
        let (len, root, recover) = (name.len(), u8::from(*to_recover), u8::from(*recovering));
        let first = first.0;
        write!(f, "rsb 0 {master} {first:x} {flags:x} {root} {recover} {unrecovered} {len} ")?;
        match str::from_utf8(name) {
            Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                write!(f, "str {text}")
            }
            _ => {
                f.write_str("hex")?;
                write_bytes(f, name)
            }
        }
    }
}

/// The line, without a newline.
impl fmt::Display for BlockRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lvb {} {}", self.sequence, self.bytes.len())?;
        write_bytes(f, &self.bytes)
    }
}

/// The line, without a newline.
impl fmt::Display for LockRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, task, transaction, marks, bast_mode, awaits, .. } = self;
        let Self { sequence, since, notified, .. } = self;
        let (id, remote, flags) = (self.id.0, self.remote.0, self.flags.bits());
        let (place, lookup) = (self.place.code(), u8::from(self.in_lookup));
        let (granted, requested) = (number(self.granted), number(self.requested));
        write!(
            f,
            "lkb {id:x} {node} {remote:x} {task} {transaction} {flags:x} {marks:x} {place} "
        )?;
        write!(
            f,
            "{granted} {requested} {bast_mode} {lookup} {awaits} {sequence} {since} {notified}"
        )
    }
}

fn number(mode: Option<Mode>) -> i8 {
    mode.map_or(-1, |mode| mode as i8)
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
}
