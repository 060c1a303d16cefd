//! Three nodes change the store, and one of them is killed. What is checked: no read is stale, nothing that
//! was flushed is lost, and what is lost is told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use dlm_runtime::Lockspace;
use dlm_runtime::engine::{ClusterOptions, Node};

use super::disk::Disk;
use super::store::{KeyValue, Loss, bucket_of};
use super::{LOCKSPACE, Result};

const NODES: u32 = 3;
/// Threads of a node. Each counts under a key of its own.
const THREADS: u32 = 2;
const COUNTS: u64 = 60;
/// It flushes once in so many counts.
const FLUSH: u64 = 8;

/// What a thread does, and what it was told that it did.
struct Counter {
    key: String,
    node: u32,
    set: AtomicU64,
    flushed: AtomicU64,
}

/// What all threads know.
struct Scene {
    counters: Vec<Counter>,
    victim: u32,
    /// When its first thread has counted so far, the victim is killed.
    fatal: u64,
    is_killed: AtomicBool,
    /// The buckets of which the survivors were told that something may be lost.
    told: Mutex<BTreeSet<String>>,
}

/// A node, its way to the disk, and its store.
struct Party {
    node: Node,
    disk: Arc<Disk>,
    store: KeyValue,
}

pub(crate) fn run() -> Result<()> {
    let chance = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.subsec_nanos();
    let counters = (1..=NODES).flat_map(|node| (1..=THREADS).map(move |thread| (node, thread)));
    let scene = Arc::new(Scene {
        counters: counters.map(|(node, thread)| Counter::new(node, thread)).collect(),
        victim: 1 + chance % NODES,
        fatal: 1 + u64::from(chance / NODES) % COUNTS,
        is_killed: AtomicBool::new(false),
        told: Mutex::default(),
    });
    let cluster = ClusterOptions::new().nodes(NODES).start();
    let path = std::env::temp_dir().join(format!("key_value-{}", std::process::id()));
    let parties = cluster.nodes().map(|node| Party::new(node, &path, &scene));
    let parties = parties.collect::<Result<Vec<_>>>()?;
    // All have it open.
    fs::remove_file(&path)?;

    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (party, number) in parties.iter().zip(1..) {
            for counter in scene.counters.iter().filter(|counter| counter.node == number) {
                let scene = &scene;
                threads.push(scope.spawn(move || party.count(counter, scene)));
            }
        }
        let ends = threads.into_iter().map(|it| it.join().map_err(|_| "a thread panicked")?);
        ends.collect::<Result<()>>()
    })?;
    end(&scene, parties)
}

impl Scene {
    fn told(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread that the victim is killed by, as far as this example goes.
    fn kills(&self, counter: &Counter, count: u64) -> bool {
        let first = self.counters.iter().find(|it| it.node == self.victim);
        count == self.fatal && first.is_some_and(|first| first.key == counter.key)
    }
}

impl Counter {
    fn new(node: u32, thread: u32) -> Self {
        let key = format!("count-{node}-{thread}");
        Self { key, node, set: AtomicU64::new(0), flushed: AtomicU64::new(0) }
    }

    /// What is in the store.
    fn read(&self, store: &KeyValue) -> Result<u64> {
        Ok(store.get(&self.key)?.unwrap_or_else(|| "0".to_owned()).parse()?)
    }

    /// Reads, and sees that it is not old.
    fn check(&self, store: &KeyValue, scene: &Scene) -> Result<()> {
        let flushed = self.flushed.load(Ordering::SeqCst);
        let set = self.set.load(Ordering::SeqCst);
        let found = self.read(store)?;
        let may_be_lost = self.node == scene.victim && scene.is_killed.load(Ordering::SeqCst);
        if found < if may_be_lost { flushed } else { set } {
            return Err(format!("{} is {found} after {set}, {flushed}", self.key).into());
        }
        Ok(())
    }
}

impl Party {
    fn new(node: Node, path: &Path, scene: &Arc<Scene>) -> Result<Self> {
        let lockspace = Lockspace::create_on(node.clone(), LOCKSPACE)?;
        let disk = Arc::new(Disk::open(path)?);
        let scene = Arc::clone(scene);
        let store = KeyValue::open(&lockspace, &disk, move |bucket, loss| {
            if matches!(loss, Loss::Elsewhere) {
                scene.told().insert(bucket.to_owned());
            }
        })?;
        Ok(Self { node, disk, store })
    }

    /// The work of a thread, until it is done or its node is killed.
    fn count(&self, counter: &Counter, scene: &Scene) -> Result<()> {
        for count in 1..=COUNTS {
            if let Err(error) = self.step(counter, count, scene) {
                let is_victim = counter.node == scene.victim;
                let is_killed = scene.is_killed.load(Ordering::SeqCst);
                return if is_victim && is_killed { Ok(()) } else { Err(error) };
            }
        }
        Ok(())
    }

    fn step(&self, counter: &Counter, count: u64, scene: &Scene) -> Result<()> {
        self.store.set(&counter.key, &count.to_string())?;
        counter.set.store(count, Ordering::SeqCst);
        if count.is_multiple_of(FLUSH) {
            self.store.flush(&counter.key)?;
            counter.flushed.store(count, Ordering::SeqCst);
        }
        if scene.kills(counter, count) {
            scene.is_killed.store(true, Ordering::SeqCst);
            self.disk.cut();
            self.node.crash();
        }
        scene.counters.iter().try_for_each(|other| other.check(&self.store, scene))
    }
}

/// What the survivors find in the end.
fn end(scene: &Scene, parties: Vec<Party>) -> Result<()> {
    let survivor = &parties.iter().find(|party| party.node.is_up()).ok_or("all are killed")?.store;
    let mut all_lost = 0;
    for counter in &scene.counters {
        counter.check(survivor, scene)?;
        let lost = counter.set.load(Ordering::SeqCst).saturating_sub(counter.read(survivor)?);
        if lost > 0 && !scene.told().contains(&bucket_of(&counter.key)) {
            return Err(format!("{lost} of {} are lost, and nobody was told", counter.key).into());
        }
        all_lost += lost;
    }
    let (hits, misses) = survivor.hits_and_misses();
    println!(
        "a survivor found a bucket in its cache {hits} times, and asked for one {misses} times"
    );
    println!("{all_lost} counts were lost with node {}, in {:?}", scene.victim, scene.told());
    for party in parties {
        party.store.close()?;
    }
    println!("no read was stale, nothing that was flushed is lost, and what is lost was told");
    Ok(())
}
