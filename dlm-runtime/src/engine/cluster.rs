//! A cluster in this process.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use dlm_engine::{Config, Engine, Profile, SessionId};
use dlm_proto::{Abi, Minor, NodeId};

use super::node::Node;
use crate::signal::Signal;
use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// How a [`Cluster`] is made.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    config: Config,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        let config = Config { profile: Profile::Linux6_12, abi: Abi::V6_64, seed: 0, nodes: 1 };
        Self { config }
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

    /// Makes the cluster.
    #[must_use]
    pub fn start(self) -> Cluster {
        let state = State {
            engine: Engine::new(self.config),
            opens: HashMap::new(),
            stopped: HashMap::new(),
            removing: HashSet::new(),
        };
        let hub = Hub { config: self.config, state: Mutex::new(state), changed: Condvar::new() };
        Cluster { hub: Arc::new(hub) }
    }
}

/// A cluster of simulated nodes. Clones are one and the same. It goes when the last clone, the last
/// [`Node`] and the last open lockspace of it are dropped.
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
}

/// What the nodes of a cluster and their sessions share.
pub(super) struct Hub {
    pub(super) config: Config,
    state: Mutex<State>,
    /// Something has changed that a call may be held up by.
    changed: Condvar,
}

/// A lockspace of a node.
pub(super) type Place = (NodeId, Minor);

pub(super) struct State {
    pub(super) engine: Engine,
    pub(super) opens: HashMap<SessionId, Open>,
    /// Lockspaces that were stopped, and how often.
    pub(super) stopped: HashMap<Place, usize>,
    /// Nodes on which a removal waits for devices to be closed. As in the kernel, all creations and
    /// removals wait behind it.
    pub(super) removing: HashSet<NodeId>,
}

/// An open session, as its host sees it.
pub(super) struct Open {
    pub(super) place: Place,
    pub(super) signals: Arc<Signals>,
    /// Somebody looks at its descriptor. Until then it need not tell anything, which saves those who
    /// only make blocking calls two system calls for each result.
    pub(super) is_watched: bool,
    /// What its descriptor tells.
    pub(super) shows_results: bool,
}

/// The descriptors of a session.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) results: Signal,
    pub(super) removed: Signal,
}

impl State {
    /// Makes the descriptors of sessions tell what has become readable.
    pub(super) fn show_results(&mut self) {
        let Self { engine, opens, .. } = self;
        for session in engine.take_readable() {
            if let Some(open) = opens.get_mut(&session) {
                open.show(true);
            }
        }
    }
}

impl Open {
    /// Makes the descriptor tell whether there are results, if anybody looks at it.
    pub(super) fn show(&mut self, has_results: bool) {
        if !self.is_watched || self.shows_results == has_results {
            return;
        }
        self.shows_results = has_results;
        if has_results {
            self.signals.results.set();
        } else {
            self.signals.results.clear();
        }
    }
}

impl Hub {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Holds up the caller until something has changed.
    pub(super) fn wait(&self, state: &mut MutexGuard<'_, State>) {
        self.changed.wait(state);
    }

    /// Lets those look again who are held up.
    pub(super) fn tell(&self) {
        self.changed.notify_all();
    }
}
