//! Faults of nodes, each for as long as its guard lives.

use std::fmt;
use std::sync::Arc;

use dlm_engine::Engine;
use dlm_proto::NodeId;

use super::hub::{Hub, Place};

/// Keeps something from working for as long as it lives: a lockspace from running
/// ([`Node::stop`](super::Node::stop)), a node from doing anything
/// ([`Node::freeze`](super::Node::freeze)), the network from being one
/// ([`Cluster::partition`](super::Cluster::partition)), or lockspaces from recovering
/// ([`Cluster::hold_recovery`](super::Cluster::hold_recovery)).
///
/// A crash of a node ends what was done to it before.
///
/// ```
/// use dlm_runtime::engine::ClusterOptions;
///
/// let cluster = ClusterOptions::new().nodes(3).start();
/// let apart = cluster.partition(&[&[1], &[2, 3]]);
/// drop(apart); // the network is one again
/// ```
#[must_use = "all works again when this is dropped"]
pub struct FaultGuard {
    hub: Arc<Hub>,
    number: u64,
}

/// The faults that last now.
#[derive(Debug, Default)]
pub(super) struct Faults {
    made: u64,
    lasting: Vec<(u64, Fault)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Stop(Place),
    Freeze(NodeId),
    Partition,
    HeldRecovery,
}

impl Faults {
    /// Whether a fault lasts, for one reason or several.
    fn has(&self, fault: Fault) -> bool {
        self.lasting.iter().any(|(_, it)| *it == fault)
    }

    fn end(&mut self, number: u64) -> Option<Fault> {
        let place = self.lasting.iter().position(|(it, _)| *it == number)?;
        Some(self.lasting.remove(place).1)
    }

    /// Forgets what was done to a node.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.lasting.retain(|(_, fault)| match *fault {
            Fault::Stop((at, _)) | Fault::Freeze(at) => at != node,
            Fault::Partition | Fault::HeldRecovery => true,
        });
    }
}

impl FaultGuard {
    /// Makes something fail.
    pub(super) fn new(hub: &Arc<Hub>, fault: Fault, begin: impl FnOnce(&mut Engine)) -> Self {
        let mut state = hub.lock();
        if fault == Fault::Partition {
            // There is one network, and the last word on how it is divided counts.
            state.faults.lasting.retain(|(_, it)| *it != fault);
        }
        let number = state.faults.made;
        state.faults.made += 1;
        state.faults.lasting.push((number, fault));
        begin(&mut state.engine);
        hub.done(state);
        Self { hub: Arc::clone(hub), number }
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultGuard").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        let Some(fault) = state.faults.end(self.number) else { return };
        if !state.faults.has(fault) {
            match fault {
                Fault::Stop((node, minor)) => state.engine.start(node, minor),
                Fault::Freeze(node) => state.engine.thaw(node),
                Fault::Partition => state.engine.heal(),
                Fault::HeldRecovery => state.engine.hold_recovery(false),
            }
        }
        self.hub.done(state);
    }
}
