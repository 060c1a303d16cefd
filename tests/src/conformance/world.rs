//! The state that a script has led to so far, on an engine: so that its next step has a sense.

use std::collections::BTreeMap;

use dlm_proto::{Mode, ModeCode};

use super::hazard::{self, Owners, note_owner, space_of};
use crate::kernel::Kernel;
use crate::scenario::{EngineDevices, Executor, Lock, Name, Resource, Step, What};

/// The state of a script's locks.
pub(super) struct World {
    executor: Executor<EngineDevices>,
    owners: Owners,
    /// Which lock has which id now.
    names: BTreeMap<(Name, u32), Name>,
    /// Nothing is done that would harm a kernel.
    is_careful: bool,
}

impl World {
    /// Without locks. Scripts are the same for all kernels, so one of them will do.
    pub(super) fn new(is_careful: bool) -> Option<Self> {
        let executor = super::spaces::with_spaces(EngineDevices::new(Kernel::V6_12)).ok()?;
        Some(Self { executor, owners: Owners::new(), names: BTreeMap::new(), is_careful })
    }

    /// Does a step, unless it is to be left out because it would harm a kernel.
    pub(super) fn go(&mut self, step: &Step) -> bool {
        let reason = hazard::reason(step, &mut self.executor, &self.owners);
        if reason.is_err() || (self.is_careful && reason != Ok(None)) {
            return false;
        }
        let space = space_of(step, &self.executor);
        let Ok(observed) = self.executor.play(step) else { return false };
        if let (Step::Ask { ask, .. }, Some(space)) = (step, &space) {
            if let What::Lock { lock, .. } | What::Adopt { lock, .. } = &ask.what {
                if let Ok(handle) = self.executor.lock(lock) {
                    self.names.insert((space.clone(), handle.id), lock.clone());
                }
            }
        }
        note_owner(step, &observed, space, &mut self.owners);
        true
    }

    /// The lockspace of a session.
    pub(super) fn space_of(&self, session: &str) -> Name {
        self.executor.space_of(session).unwrap_or_default().to_owned()
    }

    /// The locks in a lockspace, by name.
    pub(super) fn live(&mut self, space: &str) -> Vec<(Name, Lock)> {
        let mut live = Vec::new();
        for lock in self.resources(space).into_iter().flat_map(|resource| resource.locks) {
            if let Some(name) = self.names.get(&(space.to_owned(), lock.id)) {
                live.push((name.clone(), lock));
            }
        }
        live
    }

    /// The orphans of a lockspace: their resources and modes.
    pub(super) fn orphans(&mut self, space: &str) -> Vec<(Vec<u8>, Mode)> {
        let mut orphans = Vec::new();
        for resource in self.resources(space) {
            for lock in resource.locks {
                let mode = u8::try_from(lock.granted).ok().and_then(|mode| ModeCode(mode).known());
                let is_owned = self.owners.contains_key(&(space.to_owned(), lock.id));
                if let (false, Some(mode)) = (is_owned, mode) {
                    orphans.push((resource.name.clone(), mode));
                }
            }
        }
        orphans
    }

    fn resources(&mut self, space: &str) -> Vec<Resource> {
        self.executor.resources(space).unwrap_or_default()
    }
}
