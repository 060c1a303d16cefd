//! Readers that become writers: each of four nodes looks for volumes that have no owner, and takes them.
//!
//! Looking needs PR, which all can have at the same time; taking needs EX. What a reader has seen still
//! holds after an upgrade. Of two that upgrade at the same time one is told of the deadlock: it lets go,
//! stands in line as a writer, and looks again.
//!
//! `cargo run -p dlm-runtime --features engine --example upgrade -- --engine`

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use dlm_runtime::sync::{ReadGuard, RwLock, WriteGuard};
use dlm_runtime::{Lockspace, LockspaceOptions};

mod common;
use common::Result;

const LOCKSPACE: &str = "upgrade";
const NODES: usize = 4;
const VOLUMES: usize = 25;

/// The shared disk, on which the owners stand. Locks on nodes protect it, no mutex: this one stands for a
/// disk's own order of single reads and writes.
#[derive(Default)]
struct Disk(Mutex<BTreeMap<usize, Vec<usize>>>);

impl Disk {
    fn has_owner(&self, volume: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&volume)
    }

    fn write_owner(&self, volume: usize, node: usize) {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owners.entry(volume).or_default().push(node);
    }
}

/// What has happened on a node.
#[derive(Debug, Default, Clone, Copy)]
struct Account {
    upgrades: usize,
    deadlocks: usize,
}

fn main() -> Result<()> {
    let options = LockspaceOptions::new().backend(common::backend()?);
    let lockspace = options.create(LOCKSPACE)?;
    let (disk, meet) = (Arc::new(Disk::default()), Arc::new(Barrier::new(NODES)));
    let mut nodes = Vec::new();
    for node in 0..NODES {
        let (space, disk, meet) = (options.open(LOCKSPACE)?, Arc::clone(&disk), Arc::clone(&meet));
        nodes.push(thread::spawn(move || take_volumes(&space, node, &disk, &meet)));
    }
    let mut all = Account::default();
    for node in nodes {
        let account = node.join().map_err(|_| "a node panicked")??;
        println!("{account:?}");
        all.upgrades += account.upgrades;
        all.deadlocks += account.deadlocks;
    }
    let owners = disk.0.lock().unwrap_or_else(PoisonError::into_inner);
    if (all.upgrades, all.deadlocks) != (VOLUMES, VOLUMES * (NODES - 1)) {
        return Err(format!("one was to be granted each time, not {all:?}").into());
    }
    if owners.len() != VOLUMES || owners.values().any(|owners| owners.len() != 1) {
        return Err(format!("not one owner each: {owners:?}").into());
    }
    lockspace.release()?;
    println!("{VOLUMES} volumes have one owner each");
    Ok(())
}

fn take_volumes(space: &Lockspace, node: usize, disk: &Disk, meet: &Barrier) -> Result<Account> {
    let mut account = Account::default();
    for volume in 0..VOLUMES {
        let lock = RwLock::new(space, format!("volume {volume}"), ());
        let reader = lock.read().wait()?;
        let is_free = !disk.has_owner(volume);
        // Unlucky: all nodes have looked before one of them takes it.
        meet.wait();
        if !is_free {
            return Err("a volume has an owner before anybody took it".into());
        }
        if let Some(guard) = take(&lock, reader, || !disk.has_owner(volume), &mut account)? {
            disk.write_owner(volume, node);
            guard.unlock().wait()?;
        }
    }
    Ok(account)
}

/// Makes a writer of a reader that has found the volume free, unless another one takes it first.
fn take<'a>(
    lock: &'a RwLock<()>,
    reader: ReadGuard<'a, ()>,
    is_free: impl Fn() -> bool,
    account: &mut Account,
) -> Result<Option<WriteGuard<'a, ()>>> {
    match reader.upgrade().wait() {
        Ok(writer) => {
            account.upgrades += 1;
            Ok(Some(writer))
        }
        Err(failed) if failed.error.is_deadlock() => {
            account.deadlocks += 1;
            // The other one waits for this reader.
            drop(failed.guard);
            let writer = lock.write().wait()?;
            Ok(is_free().then_some(writer))
        }
        Err(failed) => Err(failed.error.into()),
    }
}
