//! Who holds a lock, who waits for it, and why: the lockspaces and queues of all programs.
//!
//! The rest of this crate knows the locks of its own program. This module looks at those of
//! everybody, on one node or on all of them, and changes nothing.
//!
//! * A [`Snapshot`] is what one node knows at a moment: its lockspaces with their members and
//!   queues, and the programs that have them open. [`Snapshot::of_kernel`] takes one of this node;
//!   [`Snapshot::parse`] reads one that another node wrote (`ssh node dlm dump`, or
//!   [`Snapshot`]'s `Display` in a program of yours).
//! * [`merge()`] puts the snapshots of several nodes together: a [`Resource`] has the locks of all of
//!   them, in the order of the queue.
//! * [`Resource::blockers`] says what a waiting lock waits for, and [`WaitGraph`] puts that together
//!   for all locks: who waits for whom, and [where that is a circle](WaitGraph::cycles), over any
//!   number of resources, lockspaces and nodes. The kernel itself looks at conversions of one
//!   resource only.
//! * [`deadlock`] watches for such circles, and can end them.
//! * [`meaning()`] tells what the names of well-known users stand for.
//!
//! ```no_run
//! use dlm_runtime::inspect::{Snapshot, merge};
//!
//! let here = Snapshot::of_kernel()?;
//! for resource in merge(&[here]) {
//!     for lock in resource.locks.iter().filter(|lock| lock.is_waiting()) {
//!         println!("{} waits for {}", lock.owner(), resource.name);
//!     }
//! }
//! # Ok::<(), dlm_runtime::inspect::InspectError>(())
//! ```
//!
//! # What a node knows
//!
//! The queue of a resource is complete, and in its order, on one node alone: its *master*. Others
//! know their own locks. A [`Resource`] whose master is not among the snapshots says so by
//! [`Resource::is_complete`]. A node knows the programs of its own locks only; those of others have a
//! process number.
//!
//! Snapshots of several nodes are not of the same moment. A lock that changes hands meanwhile can
//! look granted twice, and a circle can be one of waits that were never there together;
//! [`deadlock::Watch`] therefore believes a circle when it sees the same one twice.

mod condition;
mod controller;
pub mod deadlock;
mod dump;
mod error;
mod events;
mod graph;
mod kernel;
mod meaning;
mod merge;
mod program;
mod queues;
mod snapshot;
#[cfg(test)]
mod tests;

pub use condition::Condition;
pub use controller::parse_conditions;
pub use error::InspectError;
pub use events::{Change, ChangeKind, changes};
pub use graph::{Agent, Cycle, Grouping, Wait, WaitGraph};
pub use kernel::{DEBUGFS, members_addresses};
pub use meaning::meaning;
pub use merge::{Blocker, Lock, Obstacle, Resource, merge};
pub use program::{Opener, Program};
pub use queues::{LocalResource, parse_queues};
pub use snapshot::{Snapshot, Space};

pub use crate::status::{State, Status};
pub use dlm_proto::debugfs::{BlockRecord, LockRecord, Place, ResourceRecord};
