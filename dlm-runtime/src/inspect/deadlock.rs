//! Deadlocks over any number of resources, lockspaces and nodes: found, named, and ended if asked.
//!
//! The kernel finds two conversions on one resource that wait for each other, and nothing else.
//! A [`Watch`] is given looks at the queues ([`merge`](super::merge()) of [snapshots](super::Snapshot)
//! of all nodes), now and then, and tells which parties stand still:
//!
//! ```no_run
//! use dlm_runtime::backend;
//! use dlm_runtime::inspect::{Snapshot, deadlock, merge};
//!
//! let mut watch = deadlock::watch();
//! loop {
//!     let look = merge(&[Snapshot::of_kernel()?]);
//!     for deadlock in watch.look(&look) {
//!         println!("{deadlock}");
//!         let victim = deadlock.victim();
//!         if victim.still_waits(&merge(&[Snapshot::of_kernel()?])) {
//!             deadlock::cancel(&backend::Kernel, victim)?;
//!         }
//!     }
//!     std::thread::sleep(std::time::Duration::from_secs(1));
//! }
//! # #[expect(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A party is a transaction, if the program named one, or a thread: what a thread waits for, it waits
//! for before it unlocks anything. That is not so for a thread that has several requests under way
//! at a time, as in a program of callbacks or futures; such a program should use
//! [`LockRequest::transaction`](crate::LockRequest::transaction).

use std::fmt;
use std::time::Duration;

use dlm_proto::{LockFlags, LockId, LockspaceName, MAX_REQUEST_LEN, Mode, NodeId, Request};
use dlm_proto::{NameError, ResourceName};

use super::graph::{Agent, Cycle, Grouping, WaitGraph};
use super::merge::{Obstacle, Resource};
use crate::backend::{Backend, Call, Cause, Error};

/// How long the device's node is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A party of a deadlock, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Party {
    /// The party.
    pub agent: Agent,
    /// Its program, in words.
    pub name: String,
    /// The node of its program.
    pub node: Option<NodeId>,
    /// The lock that waits, by its id on that node.
    pub id: LockId,
    /// The lockspace of the lock.
    pub lockspace: String,
    /// The resource of the lock.
    pub resource: ResourceName,
    /// The mode that it waits for.
    pub wanted: Option<Mode>,
    /// The reason why it waits for the next party.
    pub obstacle: Obstacle,
    /// The mode that the next party holds there.
    pub held: Option<Mode>,
    since: u64,
}

/// Parties that wait for each other, each for the next one and the last one for the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlock {
    /// The parties.
    pub parties: Vec<Party>,
    victim: usize,
}

impl Deadlock {
    fn new(cycle: &Cycle, graph: &WaitGraph, resources: &[Resource]) -> Option<Self> {
        let party = |wait: &super::graph::Wait| {
            let resource = resources.get(wait.resource)?;
            let lock = resource.locks.get(wait.waiting_lock)?;
            Some(Party {
                agent: graph.agents.get(wait.waiter)?.clone(),
                name: lock.owner().to_string(),
                node: lock.node,
                id: lock.id,
                lockspace: resource.lockspace.clone(),
                resource: resource.name,
                wanted: lock.requested,
                obstacle: wait.obstacle,
                held: resource.locks.get(wait.blocking_lock)?.granted,
                since: lock.since,
            })
        };
        let parties: Vec<Party> = cycle.waits.iter().map(party).collect::<Option<_>>()?;
        let victim = (0..parties.len()).max_by_key(|&at| parties.get(at).map(Party::key))?;
        Some(Self { parties, victim })
    }

    /// The party whose wait should be cancelled. All who watch, on whatever node, choose the same:
    /// of the locks that wait the one of the highest node, and there the one of the highest id.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the place of one of the parties")]
    pub fn victim(&self) -> &Party {
        &self.parties[self.victim]
    }

    /// The locks that wait, in an order that does not depend on where the circle begins.
    fn key(&self) -> Vec<Key<'_>> {
        let mut keys: Vec<_> = self.parties.iter().map(Party::key).collect();
        keys.sort_unstable();
        keys
    }
}

/// What tells a wait from others, and from another wait of the same lock.
type Key<'a> = (Option<NodeId>, LockId, u64, &'a str);

impl Party {
    fn key(&self) -> Key<'_> {
        (self.node, self.id, self.since, &self.lockspace)
    }

    /// Whether the lock still waits, for the same thing, in a later look.
    #[must_use]
    pub fn still_waits(&self, resources: &[Resource]) -> bool {
        let of_it = |resource: &&Resource| {
            resource.lockspace == self.lockspace && resource.name == self.resource
        };
        let locks = resources.iter().filter(of_it).flat_map(|resource| &resource.locks);
        let mut same = locks.filter(|lock| lock.is_waiting() && lock.node == self.node);
        same.any(|lock| lock.id == self.id && lock.since == self.since)
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deadlock of {}:", self.parties.len())?;
        let next = self.parties.iter().cycle().skip(1);
        for (party, next) in self.parties.iter().zip(next) {
            let Party { name, lockspace, resource, .. } = party;
            let wanted = party.wanted.map_or("-", Mode::name);
            write!(f, " {name} waits for {wanted} on {lockspace}/{resource}")?;
            match (party.obstacle, party.held) {
                (Obstacle::Holds, Some(held)) => write!(f, ", held {held} by {};", next.name)?,
                _ => write!(f, ", behind {};", next.name)?,
            }
        }
        let victim = self.victim();
        write!(f, " victim: lock {:x} of {}", victim.id.0, victim.name)
    }
}

/// The deadlocks in a look, certain or not: see [`Watch`].
#[must_use]
pub fn find(resources: &[Resource], grouping: Grouping) -> Vec<Deadlock> {
    let graph = WaitGraph::new(resources, grouping);
    let cycles = graph.cycles();
    cycles.iter().filter_map(|cycle| Deadlock::new(cycle, &graph, resources)).collect()
}

/// A watch for deadlocks that has seen nothing yet.
#[must_use]
pub fn watch() -> Watch {
    Watch::default()
}

/// A watch for deadlocks.
///
/// It tells of one when it has seen the same waits in two looks in a row: looks at several nodes are
/// not of one moment, and circles of waits that were never there together do not show twice.
#[derive(Debug, Default)]
pub struct Watch {
    grouping: Grouping,
    seen: Vec<(Deadlock, bool)>,
}

impl Watch {
    /// Takes the locks of a [`Grouping`] for those of one party.
    #[must_use]
    pub fn grouping(mut self, grouping: Grouping) -> Self {
        self.grouping = grouping;
        self
    }

    /// Takes a look, and returns the deadlocks that are certain now and were not told of before.
    pub fn look(&mut self, resources: &[Resource]) -> Vec<Deadlock> {
        let before = std::mem::take(&mut self.seen);
        let mut certain = Vec::new();
        for deadlock in find(resources, self.grouping) {
            let known = before.iter().find(|(seen, _)| seen.key() == deadlock.key());
            let is_told = match known {
                None => false,
                Some((_, is_told)) => {
                    if !is_told {
                        certain.push(deadlock.clone());
                    }
                    true
                }
            };
            self.seen.push((deadlock, is_told));
        }
        certain
    }
}

/// Cancels the wait of a party, whoever it belongs to: its program is told that there was a deadlock
/// ([`LockStatus::Deadlock`](crate::LockStatus::Deadlock)), and keeps what it held. `backend` is the
/// lock manager of the party's node: [`backend::Kernel`](crate::backend::Kernel) for this one.
///
/// The kernel asks for no more than the permission to open the lockspace's device. It names the
/// lock by its id, which is free for another lock as soon as the wait has ended by itself: look with
/// [`Party::still_waits`] right before. A cancel that comes too late finds nothing to cancel,
/// unless a new lock of the same id waits by then. A lock is cancelled once only: the kernel refuses
/// the second cancel of an operation, with a warning in its log.
///
/// # Errors
///
/// ENOENT: no such lock. Those of opening the lockspace.
pub fn cancel(backend: &dyn Backend, party: &Party) -> Result<(), Error> {
    let call = Call::Submit(dlm_proto::Command::Deadlock);
    let name = LockspaceName::new(party.lockspace.as_bytes()).map_err(|error: NameError| {
        let _ = error;
        Error::new(Call::OpenLockspace, Cause::NoLockspace)
    })?;
    let device = backend.open(&name, None, PATIENCE)?;
    let request = Request::Deadlock { lock: party.id, flags: LockFlags::CANCEL };
    let mut buffer = [0; MAX_REQUEST_LEN];
    let bytes = request
        .encode(device.abi(), &mut buffer)
        .map_err(|error| Error::new(call, Cause::Encode(error)))?;
    device.submit(dlm_proto::Command::Deadlock, bytes).map(drop)
}
