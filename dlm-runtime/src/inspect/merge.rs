//! The queues of several nodes, put together.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dlm_proto::debugfs::{BlockRecord, LockRecord, Place, VALNOTVALID};
use dlm_proto::{LockFlags, LockId, Mode, NodeId, ResourceName};

use super::program::Program;
use super::queues::LocalResource;
use super::snapshot::Snapshot;

/// A resource and its locks, as all nodes at hand know them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resource {
    /// The lockspace.
    pub lockspace: String,
    /// Its name.
    pub name: ResourceName,
    /// The node that grants its locks, if anybody at hand knows it.
    pub master: Option<NodeId>,
    /// The master's queues are at hand: all locks are here, in their order. Otherwise these are the
    /// locks of the nodes at hand, each node's in its order.
    pub is_complete: bool,
    /// One node has two resources of this name, whose locks know nothing of each other; see
    /// [hazards](crate::manual::hazards#two-resources-of-one-name).
    pub is_doubled: bool,
    /// The value block, if it has one and its master is at hand.
    pub block: Option<BlockRecord>,
    /// The value block is marked as not valid.
    pub is_block_invalid: bool,
    /// It is being recovered.
    pub is_recovering: bool,
    /// Its locks: those granted, those converting, those waiting, each in their order.
    pub locks: Vec<Lock>,
}

/// A lock of a program on some node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lock {
    /// The node of its program; `None` without a cluster.
    pub node: Option<NodeId>,
    /// Its id on that node.
    pub id: LockId,
    /// The thread that asked for it last, on that node.
    pub task: u32,
    /// The program, if that node is at hand and the program is still there.
    pub program: Option<Program>,
    /// The number that the program gave its transaction; 0 for none, or if that node is not at hand.
    pub transaction: u64,
    /// The queue that it is in.
    pub place: Place,
    /// The mode that it holds.
    pub granted: Option<Mode>,
    /// The mode that it waits for.
    pub requested: Option<Mode>,
    /// The flags of its last operation.
    pub flags: LockFlags,
    /// The time that it has been in this queue, if that is known.
    pub age: Option<Duration>,
    /// The time when it came there, on the clock of the node whose dump says so. The same at each
    /// look, as long as it is there.
    pub since: u64,
    /// It outlived its program: nobody can unlock it but who adopts or purges it. `None` if that
    /// cannot be told: its node is not at hand, or its kernel does not show it.
    pub is_orphan: Option<bool>,
}

/// The reason why one lock waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    /// The other holds a mode that excludes the one asked for.
    Holds,
    /// The other is before it in the queue.
    Precedes,
}

/// A lock that another one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocker {
    /// Its place in [`Resource::locks`].
    pub lock: usize,
    /// The reason.
    pub obstacle: Obstacle,
}

impl Lock {
    /// Whether it waits for a mode.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        !matches!(self.place, Place::Granted)
    }

    /// Its owner, in words: `program[pid] on node 2`.
    #[must_use]
    pub fn owner(&self) -> impl fmt::Display + '_ {
        Owner(self)
    }
}

struct Owner<'a>(&'a Lock);

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lock = self.0;
        match &lock.program {
            Some(program) => program.fmt(f)?,
            None if lock.is_orphan == Some(true) => f.write_str("an orphan")?,
            None => write!(f, "thread {}", lock.task)?,
        }
        lock.node.map_or(Ok(()), |node| write!(f, " on node {node}"))
    }
}

impl Resource {
    /// The locks that the lock at this place of [`locks`](Self::locks) waits for: holders of modes
    /// that exclude what it asks for, and the one right before it in the queue, which it must let
    /// go first. None for a lock that waits for nothing.
    #[must_use]
    pub fn blockers(&self, waiter: usize) -> Vec<Blocker> {
        let Some(lock) = self.locks.get(waiter).filter(|lock| lock.is_waiting()) else {
            return Vec::new();
        };
        let Some(wanted) = lock.requested else { return Vec::new() };
        let locks = self.locks.iter().enumerate().filter(|(at, _)| *at != waiter);
        let mut blockers: Vec<Blocker> = locks
            .filter(|(_, other)| matches!(other.place, Place::Granted | Place::Converting))
            .filter(|(_, other)| other.granted.is_some_and(|mode| !mode.is_compatible_with(wanted)))
            .map(|(lock, _)| Blocker { lock, obstacle: Obstacle::Holds })
            .collect();
        // Of nodes whose queues are not put together by the master the order is not known.
        if self.is_complete && !lock.flags.contains(LockFlags::NOORDER) {
            let before = self.locks.get(..waiter).unwrap_or_default();
            let is_ahead = |other: &Lock| match lock.place {
                Place::Waiting => matches!(other.place, Place::Converting | Place::Waiting),
                Place::Converting => other.place == Place::Converting,
                Place::Granted | Place::Unqueued => false,
            };
            let ahead = before.iter().rposition(is_ahead);
            let known = |lock: usize| blockers.iter().any(|blocker| blocker.lock == lock);
            if let Some(lock) = ahead.filter(|&lock| !known(lock)) {
                blockers.push(Blocker { lock, obstacle: Obstacle::Precedes });
            }
        }
        blockers
    }

    /// Whether a lock waits.
    #[must_use]
    pub fn is_contended(&self) -> bool {
        self.locks.iter().any(Lock::is_waiting)
    }
}

/// A node's account of a resource.
struct Account<'a> {
    of: &'a Snapshot,
    resource: &'a LocalResource,
    /// How many processes have the device open, if there is one, and that could be seen.
    openers: Option<usize>,
}

/// Puts the queues of several nodes together: each resource once, in the order of lockspaces and
/// names. With one snapshot this is what that node knows.
#[must_use]
pub fn merge(snapshots: &[Snapshot]) -> Vec<Resource> {
    let mut accounts: BTreeMap<(&str, &ResourceName), Vec<Account<'_>>> = BTreeMap::new();
    for of in snapshots {
        for space in &of.lockspaces {
            let openers = space.openers.as_ref().filter(|_| space.minor.is_some()).map(Vec::len);
            for resource in space.resources.iter().flatten() {
                let account = Account { of, resource, openers };
                let key = (space.name.as_str(), &resource.record.name);
                accounts.entry(key).or_default().push(account);
            }
        }
    }
    let merged = accounts
        .into_iter()
        .map(|((space, name), accounts)| one(space, name, &accounts, snapshots));
    // A resource without locks is of no interest: the kernel keeps it for a while.
    merged.filter(|resource| !resource.locks.is_empty()).collect()
}

fn one(
    lockspace: &str,
    name: &ResourceName,
    accounts: &[Account<'_>],
    snapshots: &[Snapshot],
) -> Resource {
    let masters = || accounts.iter().filter(|account| account.resource.is_master());
    // What nodes that are not the master know of their own locks.
    let mut own: BTreeMap<(Option<NodeId>, LockId), Lock> = BTreeMap::new();
    for account in accounts.iter().filter(|account| !account.resource.is_master()) {
        let locks = account.resource.locks.iter();
        own.extend(locks.map(|lock| ((account.of.node, lock.id), account.own(lock))));
    }
    let mut locks = Vec::new();
    for account in masters() {
        let all = account.resource.locks.iter();
        locks.extend(all.map(|lock| of_master(account, lock, &mut own, snapshots)));
    }
    let is_complete = masters().next().is_some();
    // Those that the master does not know are on their way there.
    locks.extend(own.into_values());
    locks.sort_by_key(|lock| match lock.place {
        Place::Granted => 0,
        Place::Converting => 1,
        Place::Waiting => 2,
        Place::Unqueued => 3,
    });
    let stated = |account: &Account<'_>| match account.resource.record.master {
        0 => account.of.node,
        node => u32::try_from(node).ok().map(NodeId),
    };
    let doubled = accounts.iter().enumerate().any(|(at, account)| {
        let before = accounts.get(..at).unwrap_or_default();
        before.iter().any(|other| std::ptr::eq(other.of, account.of))
    });
    let first_master = masters().next();
    Resource {
        lockspace: lockspace.to_owned(),
        name: *name,
        master: first_master.and_then(stated).or_else(|| accounts.iter().find_map(stated)),
        is_complete,
        is_doubled: doubled,
        block: first_master.and_then(|account| account.resource.block.clone()),
        is_block_invalid: first_master
            .is_some_and(|account| account.resource.record.flags & VALNOTVALID != 0),
        is_recovering: accounts.iter().any(|account| {
            account.resource.record.recovering || account.resource.record.to_recover
        }),
        locks,
    }
}

/// A lock in the queues of the master, with what its own node knows of it.
fn of_master(
    master: &Account<'_>,
    lock: &LockRecord,
    own: &mut BTreeMap<(Option<NodeId>, LockId), Lock>,
    snapshots: &[Snapshot],
) -> Lock {
    let Some(node) = lock.foreign_node(true) else { return master.own(lock) };
    // The master decides which queue it is in.
    let (place, granted, requested) = (lock.place, lock.granted, waits_for(lock));
    let (age, since) = (master.age(lock), lock.since);
    match own.remove(&(Some(node), lock.remote)) {
        Some(own) => Lock { place, granted, requested, age, since, ..own },
        None => Lock {
            node: Some(node),
            id: lock.remote,
            task: lock.task,
            // Its node took its snapshot before the lock was there, or without these queues.
            program: snapshots
                .iter()
                .find(|snapshot| snapshot.node == Some(node))
                .and_then(|snapshot| snapshot.programs.get(&lock.task).cloned()),
            transaction: 0,
            place,
            granted,
            requested,
            flags: lock.flags,
            age,
            since,
            is_orphan: None,
        },
    }
}

fn waits_for(lock: &LockRecord) -> Option<Mode> {
    lock.requested.filter(|_| lock.place != Place::Granted)
}

impl Account<'_> {
    /// A lock of this node.
    fn own(&self, lock: &LockRecord) -> Lock {
        let program = self.of.programs.get(&lock.task).cloned();
        let is_marked = lock.marks & dlm_proto::debugfs::ORPHAN != 0;
        let is_persistent = lock.flags.contains(LockFlags::PERSISTENT);
        Lock {
            node: self.of.node,
            id: lock.id,
            task: lock.task,
            is_orphan: match program {
                _ if is_marked => Some(true),
                // Newer kernels show no mark.
                None if is_persistent && self.openers == Some(0) => Some(true),
                // The thread has ended, its process perhaps has not.
                None if is_persistent => None,
                _ => Some(false),
            },
            program,
            transaction: lock.transaction,
            place: lock.place,
            granted: lock.granted,
            requested: waits_for(lock),
            flags: lock.flags,
            age: self.age(lock),
            since: lock.since,
        }
    }

    fn age(&self, lock: &LockRecord) -> Option<Duration> {
        let since = Some(lock.since).filter(|since| *since != 0)?;
        self.of.taken.checked_sub(Duration::from_nanos(since))
    }
}
