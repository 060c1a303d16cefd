//! The hub that the nodes of a cluster and their sessions share.

use std::collections::HashSet;
use std::sync::Arc;

use dlm_engine::{Config, Engine, SessionId};
use dlm_proto::{Minor, NodeId};

use super::faults::Faults;
use crate::driver::signal::Signal;
use crate::threads::{Condvar, Mutex, MutexGuard, lock};

pub(super) struct Hub {
    pub(super) config: Config,
    /// Time passes in calls for it only.
    is_manual: bool,
    /// The forks when it was made.
    forks: u32,
    state: Mutex<State>,
    /// Something has changed that a call may be held up by.
    changed: Condvar,
}

/// A lockspace of a node.
pub(super) type Place = (NodeId, Minor);

pub(super) struct State {
    pub(super) engine: Engine,
    pub(super) opens: Opens,
    /// Nodes on which a removal waits for devices to be closed. As in the kernel, all creations and
    /// removals wait behind it.
    pub(super) removing: HashSet<NodeId>,
    pub(super) faults: Faults,
}

/// The open sessions, each at the [slot](SessionId::slot) of its id.
#[derive(Default)]
pub(super) struct Opens {
    table: Vec<Option<(SessionId, Open)>>,
}

impl Opens {
    pub(super) fn insert(&mut self, id: SessionId, open: Open) {
        let needed = self.table.len().max(id.slot() + 1);
        self.table.resize_with(needed, || None);
        if let Some(slot) = self.table.get_mut(id.slot()) {
            *slot = Some((id, open));
        }
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Open> {
        let (of, open) = self.table.get_mut(id.slot())?.as_mut()?;
        (*of == id).then_some(open)
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        let slot = self.table.get(id.slot()).and_then(Option::as_ref);
        slot.is_some_and(|(of, _)| *of == id)
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        self.retain(|of, _| of != id);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Open)> {
        self.table.iter().flatten().map(|(id, open)| (*id, open))
    }

    pub(super) fn retain(&mut self, keeps: impl Fn(SessionId, &Open) -> bool) {
        for slot in &mut self.table {
            slot.take_if(|(id, open)| !keeps(*id, open));
        }
    }
}

/// An open session, as its host sees it.
pub(super) struct Open {
    pub(super) place: Place,
    pub(super) signals: Arc<Signals>,
    /// Somebody looks at its descriptor. Until then it need not tell anything, which saves those
    /// who only make blocking calls two system calls for each result.
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
    fn show_results(&mut self) {
        let Self { engine, opens, .. } = self;
        for session in engine.take_readable() {
            if let Some(open) = opens.get_mut(session) {
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
    pub(super) fn new(config: Config, is_manual: bool) -> Self {
        let state = State {
            engine: Engine::new(config),
            opens: Opens::default(),
            removing: HashSet::new(),
            faults: Faults::default(),
        };
        let forks = dlm_sys::fork_count();
        Self { config, is_manual, forks, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The state, for something that was made after so many forks. A child uses its own copy, unless the
    /// state was locked at the time of the fork: by whom is not here to give it back.
    pub(super) fn lock_since(&self, forks: u32) -> Option<MutexGuard<'_, State>> {
        if forks == dlm_sys::fork_count() { Some(self.lock()) } else { self.state.try_lock() }
    }

    /// Whether this is a child that cannot use its copy.
    pub(super) fn is_stuck(&self) -> bool {
        self.lock_since(self.forks).is_none()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The state, once the node does not stand still.
    pub(super) fn lock_awake(&self, node: NodeId) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while state.engine.is_frozen(node) {
            self.wait(&mut state);
        }
        state
    }

    /// Holds up the caller until something has changed.
    pub(super) fn wait(&self, state: &mut MutexGuard<'_, State>) {
        self.changed.wait(state);
    }

    /// After something was done: lets all happen that follows from it, and tells those who wait.
    pub(super) fn done(&self, mut state: MutexGuard<'_, State>) {
        if !self.is_manual && self.config.nodes > 1 {
            state.engine.settle();
        }
        self.tell(state);
    }

    /// After something has happened: tells those who wait.
    pub(super) fn tell(&self, mut state: MutexGuard<'_, State>) {
        state.show_results();
        drop(state);
        self.changed.notify_all();
    }
}
