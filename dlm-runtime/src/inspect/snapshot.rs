//! What one node knows.

use std::collections::BTreeMap;
use std::time::Duration;

use dlm_proto::{Minor, NodeId};

use super::condition::Condition;
use super::program::{Opener, Program};
use super::queues::LocalResource;
use crate::status::Status;

/// What one node knows at a moment: its lockspaces, their queues, and the programs that use them.
///
/// `Display` writes it as text, and [`Snapshot::parse`] reads that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The node's id; `None` without a cluster.
    pub node: Option<NodeId>,
    /// The node's host name.
    pub host: String,
    /// The cluster's name; empty if it has none.
    pub cluster: String,
    /// The release of the kernel.
    pub kernel: String,
    /// The moment, on the node's monotonic clock, which the times of locks are on.
    pub taken: Duration,
    /// The lockspaces, by name.
    pub lockspaces: Vec<Space>,
    /// The programs of this node that have locks, by the number of the thread that asked for them.
    pub programs: BTreeMap<u32, Program>,
}

/// A lockspace on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Its name.
    pub name: String,
    /// Its id, the same on all nodes.
    pub id: Option<u32>,
    /// The minor number of its device. `None`: it is the kernel's own, a file system's say.
    pub minor: Option<Minor>,
    /// Whether it runs, and its members.
    pub status: Status,
    /// What it waits for before it may recover, if its controller was asked
    /// ([`Snapshot::ask_controller`]).
    pub condition: Option<Condition>,
    /// Its resources. `None` if the queues could not be read.
    pub resources: Option<Vec<LocalResource>>,
    /// The processes that have its device open. `None` if that could not be seen.
    pub openers: Option<Vec<Opener>>,
}

impl Space {
    /// Whether the lockspace has a device that nobody has open: a reference was left behind, or its
    /// user does not need it at the moment. `None` if that could not be seen.
    #[must_use]
    pub fn is_left_behind(&self) -> Option<bool> {
        let openers = self.openers.as_ref()?;
        Some(self.minor.is_some() && openers.is_empty())
    }

    /// The number of locks; `None` if the queues could not be read.
    #[must_use]
    pub fn lock_count(&self) -> Option<usize> {
        Some(self.resources.as_ref()?.iter().map(|resource| resource.locks.len()).sum())
    }
}

impl Snapshot {
    /// The lockspace of this name.
    #[must_use]
    pub fn lockspace(&self, name: &str) -> Option<&Space> {
        self.lockspaces.iter().find(|space| space.name == name)
    }
}
