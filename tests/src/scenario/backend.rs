//! The lock managers that scenarios run on.

use dlm_runtime::inspect::{InspectError, LocalResource, LockRecord, Place, parse_queues};
use dlm_sys::Errno;

use crate::kernel::Kernel;

/// A thread that writes requests: 0 is the main one.
pub type Thread = usize;

/// Something that takes requests as the kernel's devices do, and gives results.
///
/// A call returns when all it causes on this node has happened.
pub trait Backend {
    /// An open device.
    type Session: std::fmt::Debug;

    /// The kernel that this is, or that it behaves like.
    fn kernel(&self) -> Kernel;

    /// Writes to the control device.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    fn control(&mut self, by: Thread, request: &[u8]) -> Result<i64, Errno>;

    /// Opens the device of a lockspace, if it exists.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    fn open(&mut self, space: &[u8], minor: u32) -> Result<Self::Session, Errno>;

    /// Writes to a lockspace's device.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    fn write(&mut self, by: Thread, session: &Self::Session, request: &[u8]) -> Result<i64, Errno>;

    /// Reads from a lockspace's device, without waiting.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    fn read(&mut self, session: &Self::Session, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Whether a result can be read.
    fn is_readable(&mut self, session: &Self::Session) -> bool;

    /// Closes a device.
    fn close(&mut self, session: Self::Session);

    /// The resources of a lockspace that have locks, by name.
    fn resources(&mut self, space: &[u8], minor: u32) -> Vec<Resource>;

    /// The number by which the kernel knows a thread.
    fn owner(&mut self, thread: Thread) -> u32;
}

/// A resource and the locks on it, as the kernel's debugfs shows them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value block, if it has one.
    pub lvb: Option<[u8; 32]>,
    /// Those granted, in order, then those that are converted, then those that wait.
    pub locks: Vec<Lock>,
}

/// A lock in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lock {
    /// Its id.
    pub id: u32,
    /// The queue that it is in.
    pub queue: Queue,
    /// The mode granted, -1 for none.
    pub granted: i8,
    /// The mode asked for, -1 for none.
    pub requested: i8,
    /// The flags of its last request, and of unlocks since.
    pub flags: u32,
    /// The thread that made it.
    pub owner: u32,
}

/// A queue of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Queue {
    /// Of locks that are granted.
    Granted,
    /// Of locks that are converted.
    Converting,
    /// Of requests.
    Waiting,
}

impl Resource {
    /// The resources with locks in a dump of the kernel's debugfs, or of an engine, by name.
    ///
    /// # Errors
    ///
    /// A line that is not understood.
    pub fn all_in(lockspace: &str, dump: &[u8]) -> Result<Vec<Self>, InspectError> {
        let all = parse_queues(lockspace, dump)?;
        let mut all: Vec<Self> = all.iter().map(Self::from).collect();
        all.retain(|resource| !resource.locks.is_empty());
        all.sort();
        Ok(all)
    }
}

impl From<&LocalResource> for Resource {
    fn from(resource: &LocalResource) -> Self {
        let block = resource.block.as_ref();
        Self {
            name: resource.record.name.to_vec(),
            lvb: block.and_then(|block| block.bytes.as_slice().try_into().ok()),
            locks: resource.locks.iter().map(Lock::from).collect(),
        }
    }
}

impl From<&LockRecord> for Lock {
    fn from(lock: &LockRecord) -> Self {
        let mode = |mode: Option<dlm_proto::Mode>| mode.map_or(-1, |mode| mode as i8);
        Self {
            id: lock.id.0,
            queue: match lock.place {
                Place::Granted => Queue::Granted,
                Place::Converting => Queue::Converting,
                Place::Waiting => Queue::Waiting,
                Place::Unqueued => panic!("a lock of one node is in a queue: {lock}"),
            },
            granted: mode(lock.granted),
            requested: mode(lock.requested),
            flags: lock.flags.bits(),
            owner: lock.task,
        }
    }
}
