//! The kernel's own account of a lockspace's locks: the lines of `/sys/kernel/debug/dlm/NAME_all`.
//!
//! The file has a header, then for each resource a line `rsb`, a line `lvb` if it has a value block,
//! and a line `lkb` for each lock: those granted, those converting, those waiting, and those that
//! wait for an answer to the question who the master is, each group in the order of its queue.
//!
//! ```
//! use dlm_proto::debugfs::{Place, Record};
//!
//! let resource = "rsb 00000000d5629aa6 0 0 0 0 0 0 5 str disk0";
//! let Record::Resource(resource) = Record::parse(resource.as_bytes())? else { panic!() };
//! assert_eq!((&*resource.name, resource.master), (&b"disk0"[..], 0));
//!
//! let lock = "lkb 4 0 0 89 7 8 1 2 5 -1 0 0 0 0 2802511588 0";
//! let Record::Lock(lock) = Record::parse(lock.as_bytes())? else { panic!() };
//! assert_eq!((lock.id.0, lock.task, lock.place), (4, 89, Place::Granted));
//! # Ok::<(), dlm_proto::debugfs::LineError>(())
//! ```
//!
//! The fields are the same from Linux 5.10 on; what stands in two of them differs:
//! [`LockRecord::marks`] and [`LockRecord::bast_mode`]. dlm-engine writes the same lines. Numbers
//! that say "none" by 0 or -1 are kept as they are.

mod parse;
mod show;
#[cfg(test)]
mod tests;

use core::fmt;

use heapless::Vec;

use crate::{LockFlags, LockId, Mode, NodeId, ResourceName};

/// Most bytes of a value block: user space and GFS2 have 32, OCFS2 and clustered MD 64.
pub const MAX_BLOCK_LEN: usize = 64;

/// The bit in [`ResourceRecord::flags`] of a value block that is marked as not valid.
pub const VALNOTVALID: u64 = 2;

/// The bit in [`LockRecord::marks`] of a lock that was made through a device, on kernels that show
/// it (6.1 does, 6.12 does not).
pub const USER: u32 = 1;

/// The bit in [`LockRecord::marks`] of an orphan, on kernels that show it (6.1 does, 6.12 does not).
pub const ORPHAN: u32 = 2;

/// The first line of the file.
pub const HEADER: &str = "version rsb 1.1 lvb 1.1 lkb 1.1";

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The header, or one of a later version of it.
    Header,
    /// A resource. What follows belongs to it, up to the next one.
    Resource(ResourceRecord),
    /// The value block of the resource before.
    Block(BlockRecord),
    /// A lock on the resource before.
    Lock(LockRecord),
}

/// A resource, as the node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRecord {
    /// Its name.
    pub name: ResourceName,
    /// The node that grants its locks: 0 is this one, -1 not known yet.
    pub master: i32,
    /// The lock that asks for the master.
    pub first: LockId,
    /// The kernel's marks, such as [`VALNOTVALID`].
    pub flags: u64,
    /// It is to be recovered.
    pub to_recover: bool,
    /// It is being recovered.
    pub recovering: bool,
    /// Its locks that the new master has not answered for.
    pub unrecovered: u32,
}

/// The value block of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRecord {
    /// Its age: a higher number is newer.
    pub sequence: u32,
    /// Its bytes.
    pub bytes: Vec<u8, MAX_BLOCK_LEN>,
}

/// The place of a lock in its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// It holds its mode.
    Granted,
    /// It holds a mode, and waits for another.
    Converting,
    /// It holds nothing, and waits.
    Waiting,
    /// It is in no queue: the node asks who the master is, or the request is on its way there.
    Unqueued,
}

/// A lock, as the node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRecord {
    /// Its id on this node.
    pub id: LockId,
    /// The node where the lock's other half is: of a lock of this node its master, of another
    /// node's lock on a resource of which this node is the master that node. 0: there is none.
    pub node: i32,
    /// The id of the other half, on that node.
    pub remote: LockId,
    /// The thread that asked for it last, by its number on the node of its process.
    pub task: u32,
    /// The number that the program gave its transaction.
    pub transaction: u64,
    /// The flags of the last operation.
    pub flags: LockFlags,
    /// The kernel's marks: [`USER`] and [`ORPHAN`] on some kernels.
    pub marks: u32,
    /// The queue that it is in.
    pub place: Place,
    /// The mode that it holds.
    pub granted: Option<Mode>,
    /// The mode that it asks for, or last asked for.
    pub requested: Option<Mode>,
    /// The mode of the last notice to its holder; on some kernels the highest since it was granted.
    pub bast_mode: i32,
    /// It waits for the answer to the question who the master is.
    pub in_lookup: bool,
    /// The kind of the answer that is awaited from another node; 0: none.
    pub awaits: u32,
    /// The age of the value block when this lock last had it.
    pub sequence: u32,
    /// The time when it came into its queue, in nanoseconds of the node's monotonic clock.
    pub since: u64,
    /// The time of the last notice to its holder.
    pub notified: u64,
}

impl BlockRecord {
    /// A block of these bytes, unless they are more than [`MAX_BLOCK_LEN`].
    #[must_use]
    pub fn new(sequence: u32, bytes: &[u8]) -> Option<Self> {
        Some(Self { sequence, bytes: Vec::from_slice(bytes).ok()? })
    }
}

impl LockRecord {
    /// The node of the process that has the lock, as seen from a node that is the resource's master
    /// (`is_master`) or is not. `None`: the node whose file this is.
    #[must_use]
    pub fn foreign_node(&self, is_master: bool) -> Option<NodeId> {
        u32::try_from(self.node).ok().filter(|&node| is_master && node != 0).map(NodeId)
    }
}

/// A line that is not as the kernel writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// It begins with none of the known words.
    Kind,
    /// A field is missing, or is not of its kind. Its name in the kernel's source.
    Field(&'static str),
    /// The name has another length than the line says.
    NameLength,
    /// There is more on the line than a kernel writes.
    Trailing,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind => {
                f.write_str("a line that is no rsb, lvb or lkb: is this a file NAME_all?")
            }
            Self::Field(name) => write!(f, "the field {name} is missing or has another form"),
            Self::NameLength => f.write_str("the name has another length than the line says"),
            Self::Trailing => f.write_str("more fields than there should be"),
        }
    }
}

impl core::error::Error for LineError {}
