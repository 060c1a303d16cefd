//! A look at the queues.

use alloc::vec::Vec;
use core::fmt;

use dlm_proto::debugfs::{self, BlockRecord, LockRecord, Place, Record, ResourceRecord};
use dlm_proto::{LockFlags, LockId, Mode, NodeId, ResourceName, ValueBlock};

use crate::chain::{self, OnQueue};
use crate::config::Profile;
use crate::lock::{Owner, Queue};
use crate::resource::Resource;
use crate::space::Space;

/// The queues of a lockspace on a node. Shown, it is the text that debugfs has: the lines of
/// [`records`](Self::records).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// The kernel that the node behaves like.
    pub profile: Profile,
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
    /// The age of the value block: a higher number is newer.
    pub lvb_seq: u32,
    /// The node that grants its locks, if that is another one.
    pub master: Option<NodeId>,
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
    /// The transaction that its program named; 0 for none, and on the master of another node's lock.
    pub transaction: u64,
    /// The node of the lock's other half, and its id there: for a lock of this node its master's
    /// copy, for a copy that it stands for.
    pub other: Option<(NodeId, LockId)>,
    /// The highest mode that the holder was notified of since it was granted.
    pub noticed: Option<Mode>,
    /// It outlived its session.
    pub is_orphan: bool,
    /// It waits for an answer of its master.
    pub is_awaiting: bool,
    /// The age of the value block when this lock last had it.
    pub lvb_seq: u32,
}

impl Dump {
    pub(crate) fn of(space: &Space) -> Self {
        let mut resources: Vec<_> =
            space.resources.iter().map(|(_, resource)| ResourceDump::of(space, resource)).collect();
        resources.sort_by_key(|resource| resource.name);
        Self { profile: space.profile, resources }
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
                    transaction: lock.transaction,
                    other: (lock.node != 0).then_some((NodeId(lock.node), lock.peer)),
                    noticed: Some(lock.noticed.0).filter(|mode| *mode != Mode::Nl),
                    is_orphan: lock.owner == Owner::Orphans,
                    is_awaiting: lock.wait.is_some(),
                    lvb_seq: lock.lvb_seq,
                })
                .collect()
        };
        Self {
            name: resource.name,
            lvb: resource.lvb,
            lvb_invalid: resource.lvb_invalid,
            lvb_seq: resource.lvb_seq,
            master: (resource.master != 0).then_some(NodeId(resource.master)),
            granted: queue(Queue::Granted),
            converting: queue(Queue::Convert),
            waiting: queue(Queue::Waiting),
        }
    }
}

impl Dump {
    /// The lines of the file `NAME_all` of debugfs, as the kernel that the node behaves like has
    /// them. Times are not kept: they are 0.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let Self { profile, resources } = self;
        let resources = resources.iter().flat_map(|resource| resource.records(*profile));
        core::iter::once(Record::Header).chain(resources)
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.records().try_for_each(|record| writeln!(f, "{record}"))
    }
}

impl ResourceDump {
    fn records(&self, profile: Profile) -> impl Iterator<Item = Record> {
        let queues = [
            (Place::Granted, &self.granted),
            (Place::Converting, &self.converting),
            (Place::Waiting, &self.waiting),
        ];
        let locks = queues.into_iter().flat_map(move |(place, queue)| {
            queue.iter().map(move |lock| Record::Lock(lock.record(profile, place)))
        });
        let block =
            self.lvb.and_then(|lvb| BlockRecord::new(self.lvb_seq, &lvb.0)).map(Record::Block);
        core::iter::once(Record::Resource(self.record())).chain(block).chain(locks)
    }

    fn record(&self) -> ResourceRecord {
        ResourceRecord {
            name: self.name,
            master: self.master.map_or(0, number),
            first: LockId(0),
            flags: if self.lvb_invalid { debugfs::VALNOTVALID } else { 0 },
            to_recover: false,
            recovering: false,
            unrecovered: 0,
        }
    }
}

impl LockDump {
    fn record(&self, profile: Profile, place: Place) -> LockRecord {
        let is_old = profile == Profile::Linux6_1;
        let (node, remote) = self.other.map_or((0, LockId(0)), |(node, id)| (number(node), id));
        LockRecord {
            id: self.id,
            node,
            remote,
            task: self.task,
            transaction: self.transaction,
            flags: self.flags,
            marks: match (is_old, self.is_orphan) {
                (true, true) => debugfs::USER | debugfs::ORPHAN,
                (true, false) => debugfs::USER,
                (false, _) => 0,
            },
            place,
            granted: self.granted,
            requested: self.requested,
            bast_mode: match self.noticed {
                Some(mode) => mode as i32,
                None if is_old => 0,
                None => -1,
            },
            in_lookup: false,
            awaits: self.is_awaiting.into(),
            sequence: self.lvb_seq,
            since: 0,
            notified: 0,
        }
    }
}

fn number(node: NodeId) -> i32 {
    i32::try_from(node.0).unwrap_or(i32::MAX)
}
