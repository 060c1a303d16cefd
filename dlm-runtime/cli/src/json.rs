//! What is printed with `--json`. Fields are added, and never renamed, removed or given another
//! meaning. What is not known is `null`.

use dlm_runtime::inspect::{self, Obstacle, Snapshot, State, deadlock, meaning};
use dlm_runtime::{LockFlags, Mode, NodeId};
use serde::Serialize;

use crate::output::place;

/// A lockspace on a node: an element of the output of `ls`.
#[derive(Debug, Serialize)]
pub struct Lockspace {
    /// The node.
    pub node: Option<u32>,
    /// The node's host name.
    pub host: String,
    /// The cluster's name.
    pub cluster: String,
    /// The lockspace's name.
    pub name: String,
    /// Its id, the same on all nodes.
    pub id: Option<u32>,
    /// The minor number of its device; `null` for one of the kernel's own.
    pub minor: Option<u32>,
    /// `running`, `stopped` (recovering, or waiting for quorum or fencing), `unknown`.
    pub state: &'static str,
    /// The node whose answer a recovery waits for.
    pub waiting_for: Option<u32>,
    /// What it awaits before it may recover: `fencing of node 3`, `quorum`.
    pub awaits: Option<String>,
    /// The ids of its members.
    pub members: Vec<u32>,
    /// Resources on this node, with locks or without; `null` if only root may see that.
    pub resources: Option<usize>,
    /// Locks that this node knows of.
    pub locks: Option<usize>,
    /// Resources for which somebody waits.
    pub contended: Option<usize>,
    /// The processes that have its device open.
    pub users: Option<Vec<User>>,
    /// It has a device, and nobody has it open: a reference may have been left behind.
    pub left_behind: Option<bool>,
}

/// A process that has a lockspace's device open.
#[derive(Debug, Serialize)]
pub struct User {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub program: String,
    /// The number of open files.
    pub count: usize,
}

/// A resource: an element of the output of `locks`, and of `why`.
#[derive(Debug, Serialize)]
pub struct Resource {
    /// The lockspace.
    pub lockspace: String,
    /// The name; bytes that are not printable are `\xNN`.
    pub name: String,
    /// The bytes of the name, in hexadecimal.
    pub name_hex: String,
    /// What it stands for, if a known program has such names.
    pub meaning: Option<String>,
    /// The node that grants its locks.
    pub master: Option<u32>,
    /// All locks of all nodes are here, in the order of the queue.
    pub complete: bool,
    /// A node has two resources of this name, whose locks know nothing of each other.
    pub doubled: bool,
    /// It is being recovered.
    pub recovering: bool,
    /// Its value block.
    pub block: Option<Block>,
    /// Its locks: granted, converting, waiting, each in their order.
    pub locks: Vec<Lock>,
}

/// A value block.
#[derive(Debug, Serialize)]
pub struct Block {
    /// Its bytes, in hexadecimal.
    pub hex: String,
    /// It is not marked as invalid.
    pub valid: bool,
}

/// A lock.
#[derive(Debug, Serialize)]
pub struct Lock {
    /// The node of its program.
    pub node: Option<u32>,
    /// The number of its process.
    pub pid: Option<u32>,
    /// The name of its program.
    pub program: Option<String>,
    /// The thread that asked for it last.
    pub thread: u32,
    /// Its id on that node.
    pub id: u32,
    /// The transaction that its program named; 0 for none.
    pub transaction: u64,
    /// `granted`, `converting`, `waiting`, or `unqueued` for one that is on its way to the master.
    pub queue: &'static str,
    /// The mode that it holds.
    pub granted: Option<&'static str>,
    /// The mode that it waits for.
    pub requested: Option<&'static str>,
    /// The milliseconds that it has been in this queue.
    pub age_ms: Option<u64>,
    /// The flags of its last operation, as a number.
    pub flags: u32,
    /// It outlives its program.
    pub persistent: bool,
    /// Its program is gone.
    pub orphan: Option<bool>,
    /// What it waits for.
    pub waits_for: Vec<WaitsFor>,
}

/// A lock that another one waits for.
#[derive(Debug, Serialize)]
pub struct WaitsFor {
    /// Its place in the resource's `locks`, counted from 0.
    pub lock: usize,
    /// `holds` a mode that excludes the one asked for, or `precedes` it in the queue.
    pub why: &'static str,
}

/// The output of `graph`.
#[derive(Debug, Serialize)]
pub struct Graph {
    /// All waits.
    pub waits: Vec<Wait>,
    /// Circles of waits.
    pub deadlocks: Vec<Deadlock>,
}

/// A wait of one party for another.
#[derive(Debug, Serialize)]
pub struct Wait {
    /// Who waits.
    pub waiter: String,
    /// Whom for.
    pub blocker: String,
    /// The lockspace.
    pub lockspace: String,
    /// The resource.
    pub resource: String,
    /// `holds` or `precedes`.
    pub why: &'static str,
}

/// A circle of waits.
#[derive(Debug, Serialize)]
pub struct Deadlock {
    /// The parties, each of which waits for the next, and the last for the first.
    pub parties: Vec<Party>,
    /// The place of the one whose wait should be cancelled.
    pub victim: usize,
}

/// A party of a deadlock.
#[derive(Debug, Serialize)]
pub struct Party {
    /// Its program.
    pub name: String,
    /// Its node.
    pub node: Option<u32>,
    /// The id of the lock that waits.
    pub id: u32,
    /// The lockspace.
    pub lockspace: String,
    /// The resource.
    pub resource: String,
    /// The mode that it waits for.
    pub requested: Option<&'static str>,
}

const fn number(node: Option<NodeId>) -> Option<u32> {
    match node {
        Some(node) => Some(node.0),
        None => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) const fn why(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Holds => "holds",
        Obstacle::Precedes => "precedes",
    }
}

pub(crate) const fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Stopped => "stopped",
        State::Absent => "absent",
        _ => "unknown",
    }
}

impl Lockspace {
    /// The lockspaces of a node.
    pub fn all(snapshot: &Snapshot) -> impl Iterator<Item = Self> + '_ {
        let contended = inspect::merge(std::slice::from_ref(snapshot));
        snapshot.lockspaces.iter().map(move |space| {
            let waited_for = |resource: &&inspect::Resource| {
                resource.lockspace == space.name && resource.is_contended()
            };
            let users = space.openers.as_ref().map(|openers| {
                let user = |opener: &inspect::Opener| User {
                    pid: opener.program.pid,
                    program: opener.program.name.clone(),
                    count: opener.count,
                };
                openers.iter().map(user).collect()
            });
            Self {
                node: number(snapshot.node),
                host: snapshot.host.clone(),
                cluster: snapshot.cluster.clone(),
                name: space.name.clone(),
                id: space.id,
                minor: space.minor.map(|minor| minor.0),
                state: state(space.status.state),
                waiting_for: number(space.status.waiting_for),
                awaits: space.condition.as_ref().map(ToString::to_string),
                members: space.status.members.iter().map(|node| node.0).collect(),
                resources: space.resources.as_ref().map(Vec::len),
                locks: space.lock_count(),
                contended: space
                    .resources
                    .as_ref()
                    .map(|_| contended.iter().filter(waited_for).count()),
                users,
                left_behind: space.is_left_behind(),
            }
        })
    }
}

impl From<&inspect::Resource> for Resource {
    fn from(resource: &inspect::Resource) -> Self {
        let locks = resource.locks.iter().enumerate();
        Self {
            lockspace: resource.lockspace.clone(),
            name: resource.name.to_string(),
            name_hex: hex(&resource.name),
            meaning: meaning(&resource.lockspace, &resource.name),
            master: number(resource.master),
            complete: resource.is_complete,
            doubled: resource.is_doubled,
            recovering: resource.is_recovering,
            block: resource
                .block
                .as_ref()
                .map(|block| Block { hex: hex(&block.bytes), valid: !resource.is_block_invalid }),
            locks: locks.map(|(at, lock)| Lock::new(resource, at, lock)).collect(),
        }
    }
}

impl Lock {
    fn new(resource: &inspect::Resource, at: usize, lock: &inspect::Lock) -> Self {
        let blockers = resource.blockers(at).into_iter();
        Self {
            node: number(lock.node),
            pid: lock.program.as_ref().map(|program| program.pid),
            program: lock.program.as_ref().map(|program| program.name.clone()),
            thread: lock.task,
            id: lock.id.0,
            transaction: lock.transaction,
            queue: place(lock.place),
            granted: lock.granted.map(Mode::name),
            requested: lock.requested.map(Mode::name),
            age_ms: lock.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            flags: lock.flags.bits(),
            persistent: lock.flags.contains(LockFlags::PERSISTENT),
            orphan: lock.is_orphan,
            waits_for: blockers
                .map(|blocker| WaitsFor { lock: blocker.lock, why: why(blocker.obstacle) })
                .collect(),
        }
    }
}

impl From<&deadlock::Deadlock> for Deadlock {
    fn from(deadlock: &deadlock::Deadlock) -> Self {
        let victim = deadlock.victim();
        let parties = deadlock.parties.iter();
        Self {
            victim: parties.clone().position(|party| party == victim).unwrap_or(0),
            parties: parties.map(Party::from).collect(),
        }
    }
}

impl From<&deadlock::Party> for Party {
    fn from(party: &deadlock::Party) -> Self {
        Self {
            name: party.name.clone(),
            node: number(party.node),
            id: party.id.0,
            lockspace: party.lockspace.clone(),
            resource: party.resource.to_string(),
            requested: party.wanted.map(Mode::name),
        }
    }
}
