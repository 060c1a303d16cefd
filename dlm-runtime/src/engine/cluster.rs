//! A cluster in this process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dlm_engine::{Config, Profile};
use dlm_proto::{Abi, NodeId};

use super::faults::{Fault, FaultGuard};
use super::hub::Hub;
use super::node::Node;

/// The options of a [`Cluster`].
///
/// ```
/// use dlm_runtime::engine::{ClusterOptions, Profile};
///
/// let cluster = ClusterOptions::new().profile(Profile::Linux6_1).nodes(3).seed(7).start();
/// assert_eq!(cluster.nodes().count(), 3);
/// ```
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    config: Config,
    is_manual: bool,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        let config = Config { profile: Profile::Linux6_12, abi: Abi::V6_64, seed: 0, nodes: 1 };
        Self { config, is_manual: false }
    }
}

impl ClusterOptions {
    /// The defaults: one node that behaves as Linux 6.12 does.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Behaves as another kernel does.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.config.profile = profile;
        self
    }

    /// The number of its nodes. Their ids are counted from 1.
    #[must_use]
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.config.nodes = nodes;
        self
    }

    /// The seed that everything random follows from: how long messages and recoveries take, and
    /// which node becomes the master of a resource that has lost it. The same calls in the same
    /// order have the same results. One node alone uses no randomness.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Lets time stand still but in [`Cluster::step`], [`Cluster::advance`] and
    /// [`Cluster::settle`].
    ///
    /// Without this, each call returns when all has happened that follows from it: messages have
    /// arrived, waiters are granted, lockspaces have recovered. With it, messages are on their way
    /// until time passes, so that a test can meet what happens between. A blocking call for another
    /// node's answer then waits for another thread to let time pass.
    #[must_use]
    pub fn manual_time(mut self) -> Self {
        self.is_manual = true;
        self
    }

    /// Makes the cluster. All its nodes are up.
    #[must_use]
    pub fn start(self) -> Cluster {
        Cluster { hub: Arc::new(Hub::new(self.config, self.is_manual)) }
    }
}

/// A cluster of simulated nodes. Clones are one and the same. It goes when the last clone, the last
/// [`Node`] and the last open lockspace of it are dropped.
///
/// ```
/// use dlm_runtime::Lockspace;
/// use dlm_runtime::engine::ClusterOptions;
///
/// let cluster = ClusterOptions::new().nodes(2).start();
/// let [one, two] = [1, 2].map(|node| Lockspace::create_on(cluster.node(node), "example"));
/// assert!(one.is_ok() && two.is_ok());
/// cluster.check()?;
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct Cluster {
    hub: Arc<Hub>,
}

impl Default for Cluster {
    /// One node that behaves as Linux 6.12 does.
    fn default() -> Self {
        ClusterOptions::new().start()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("config", &self.hub.config).finish_non_exhaustive()
    }
}

impl Cluster {
    /// One of its nodes, by its id, which are counted from 1. Calls on one that it does not have
    /// fail.
    #[must_use]
    pub fn node(&self, id: u32) -> Node {
        Node::new(Arc::clone(&self.hub), NodeId(id))
    }

    /// All its nodes, by their ids.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        (1..=self.hub.config.nodes).map(|id| self.node(id))
    }

    /// Divides the network until what this returns is dropped: messages from one of these parts to
    /// another wait. The nodes in no part are one more. A new division takes the place of the one
    /// before.
    ///
    /// Nobody is declared dead by that, and nothing stops. A cluster manager would, after a second
    /// or so, have the nodes of all parts but one fenced: [`Node::crash`] does it.
    pub fn partition(&self, parts: &[&[u32]]) -> FaultGuard {
        let parts: Vec<Vec<NodeId>> =
            parts.iter().map(|part| part.iter().copied().map(NodeId).collect()).collect();
        FaultGuard::new(&self.hub, Fault::Partition, |engine| {
            let parts: Vec<&[NodeId]> = parts.iter().map(Vec::as_slice).collect();
            engine.partition(&parts);
        })
    }

    /// Keeps all lockspaces from recovering until what this returns is dropped, as fencing does
    /// that has not come to its end: a lockspace that loses a node then stays stopped.
    pub fn hold_recovery(&self) -> FaultGuard {
        FaultGuard::new(&self.hub, Fault::HeldRecovery, |engine| engine.hold_recovery(true))
    }

    /// The time in the cluster, which is none outside. It begins with zero and passes from one
    /// thing that happens to the next: a message takes 50 to 500 microseconds, a recovery 10 to 50
    /// milliseconds.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.hub.lock().engine.now())
    }

    /// The time when the next message arrives or the next recovery is done; `None` if nothing is to
    /// happen.
    #[must_use]
    pub fn next_event(&self) -> Option<Duration> {
        self.hub.lock().engine.next_event().map(Duration::from_micros)
    }

    /// Lets the next thing happen. `false` if nothing is to happen.
    pub fn step(&self) -> bool {
        let mut state = self.hub.lock();
        let happened = state.engine.step().is_some();
        self.hub.tell(state);
        happened
    }

    /// Lets this time pass.
    pub fn advance(&self, time: Duration) {
        let mut state = self.hub.lock();
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let until = state.engine.now().saturating_add(time);
        state.engine.advance(until);
        self.hub.tell(state);
    }

    /// Lets all happen that follows from what was done so far.
    pub fn settle(&self) {
        let mut state = self.hub.lock();
        state.engine.settle();
        self.hub.tell(state);
    }

    /// Looks through all queues of all nodes: whether locks are granted that exclude each other, or
    /// wait for nobody. It should never find anything.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        self.hub.lock().engine.check()
    }
}
