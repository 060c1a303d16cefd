//! Saves and restores all nodes of a cluster at once.
//!
//! They are stopped while they are saved, and go on together when all are restored: to them no
//! time has passed, and what was on the network meanwhile is sent again, as any lost frame is.

use super::Cluster;
use crate::vm::start::wake;
use crate::vm::store::{Store, remove_all};
use anyhow::Result;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// Snapshots kept: of two kernels, with fencing and without.
const KEPT: usize = 4;

/// A place for the snapshot of one kind of cluster.
pub(super) struct Shelf {
    store: Store,
    place: PathBuf,
}

impl Shelf {
    pub(super) fn new(store: &Store, kernel: &str, key: &str) -> Self {
        let place = store.path("cluster/snapshots").join(format!("{kernel}-{key}"));
        Self { store: store.clone(), place }
    }

    pub(super) fn is_there(&self) -> bool {
        self.place.is_dir()
    }

    pub(super) fn remove(&self) {
        // Another process may have removed it; if it cannot be removed, the next restore tells.
        let _ = remove_all(&self.place);
    }

    fn file(&self, node: u8) -> PathBuf {
        self.place.join(format!("node{node}"))
    }

    /// Removes all but the newest.
    fn tidy(&self) -> Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.store.path("cluster/snapshots"))? {
            let entry = entry?;
            let age = entry.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((age, entry.path()));
        }
        found.sort();
        for (_, old) in found.iter().rev().skip(KEPT) {
            remove_all(old)?;
        }
        Ok(())
    }
}

impl Cluster {
    /// Saves all nodes, which go on then, also after a failure.
    pub(super) fn save(&self, shelf: &Shelf) -> Result<()> {
        let scratch = shelf.store.scratch("cluster")?;
        fs::create_dir_all(&scratch)?;
        let saved =
            self.shared.each(|node| self.shared.node(node)?.control().stop()).and_then(|()| {
                self.shared.each(|node| {
                    let file = scratch.join(format!("node{node}"));
                    self.shared.node(node)?.control().migrate(&file)
                })
            });
        self.go_on()?;
        saved?;
        fs::create_dir_all(shelf.store.path("cluster/snapshots"))?;
        // Another process may have been faster, whose snapshot is as good.
        if !shelf.is_there() {
            fs::rename(&scratch, &shelf.place)?;
        }
        remove_all(&scratch)?;
        shelf.tidy()
    }

    pub(super) fn restore(&self, shelf: &Shelf) -> Result<()> {
        self.shared.each(|node| {
            let mut incoming = OsString::from("file:");
            incoming.push(shelf.file(node));
            let mut arguments = self.shared.recipe.arguments(node);
            arguments.extend(["-incoming".into(), incoming]);
            self.shared.launch(node, |launcher| {
                let (vm, _) = launcher.launch(&arguments)?;
                vm.control().restored()?;
                Ok(vm)
            })
        })?;
        self.go_on()?;
        self.wake()?;
        self.watch_fences()
    }

    fn go_on(&self) -> Result<()> {
        self.shared.each(|node| self.shared.node(node)?.control().go_on())
    }

    /// Gives each the time of day.
    fn wake(&self) -> Result<()> {
        self.shared.each(|node| wake(&*self.shared.node(node)?))
    }
}
