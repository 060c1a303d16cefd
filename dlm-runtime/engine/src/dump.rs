//! A look at the queues.

use alloc::vec::Vec;

use dlm_proto::{LockFlags, LockId, Mode, ResourceName, ValueBlock};

use crate::chain::{self, OnQueue};
use crate::lock::Queue;
use crate::resource::Resource;
use crate::space::Space;

/// The queues of a lockspace on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Its resources, in the order of their names. One without queued locks is there as long as a
    /// lock's results are unread (6.1).
    pub resources: Vec<ResourceDump>,
}

/// A resource and its queues, each in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceDump {
    /// Its name.
    pub name: ResourceName,
    /// Its value block, if it has one.
    pub lvb: Option<ValueBlock>,
    /// The value block is marked as not valid.
    pub lvb_invalid: bool,
    /// Granted locks.
    pub granted: Vec<LockDump>,
    /// Locks that wait for a conversion.
    pub converting: Vec<LockDump>,
    /// Locks that wait to be granted.
    pub waiting: Vec<LockDump>,
}

/// A lock in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockDump {
    /// Its id.
    pub id: LockId,
    /// The mode that it holds.
    pub granted: Option<Mode>,
    /// The mode that it waits for; in the grant queue, that of its last conversion that failed.
    pub requested: Option<Mode>,
    /// The flags of its last operation, and those of unlocks and cancels since.
    pub flags: LockFlags,
    /// The thread that wrote the last operation.
    pub task: u32,
}

impl Dump {
    pub(crate) fn of(space: &Space) -> Self {
        let mut resources: Vec<_> =
            space.resources.iter().map(|(_, resource)| ResourceDump::of(space, resource)).collect();
        resources.sort_by_key(|resource| resource.name);
        Self { resources }
    }
}

impl ResourceDump {
    fn of(space: &Space, resource: &Resource) -> Self {
        let queue = |queue: Queue| -> Vec<LockDump> {
            let list = resource.list(queue).copied().unwrap_or_default();
            chain::iter::<OnQueue>(&space.locks, &list)
                .map(|(at, lock)| LockDump {
                    id: at.id(),
                    granted: lock.granted,
                    requested: lock.requested,
                    flags: lock.flags,
                    task: lock.task,
                })
                .collect()
        };
        Self {
            name: resource.name,
            lvb: resource.lvb,
            lvb_invalid: resource.lvb_invalid,
            granted: queue(Queue::Granted),
            converting: queue(Queue::Convert),
            waiting: queue(Queue::Waiting),
        }
    }
}
