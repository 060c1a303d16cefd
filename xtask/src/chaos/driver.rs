//! The programs on the nodes, and the threads here that tell them what to do.

use super::waits::Waits;
use super::work::Worker;
use anyhow::Result;
use dlm_chaos::history::{History, Owner};
use dlm_chaos::plan::RESOURCES;
use dlm_lab::cluster::{Cluster, Peer};
use dlm_random::Random;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// For every operation to end, whatever happens.
pub(super) const BOUND: Duration = Duration::from_secs(120);
/// Threads that use one program.
const THREADS: u64 = 3;

/// What everybody in a run of the rounds knows.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) cluster: Cluster,
    pub(super) history: History,
    pub(super) waits: Waits,
    /// How many of the grants are guards of the cache.
    pub(super) guards: AtomicU64,
    /// The machine of each run, to tell whether it is on.
    machines: Mutex<Vec<(Owner, u32)>>,
    runs: AtomicU64,
    pub(super) seed: u64,
}

impl Scene {
    pub(super) fn new(cluster: Cluster, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            history: History::new(),
            waits: Waits::default(),
            guards: AtomicU64::new(0),
            machines: Mutex::default(),
            runs: AtomicU64::new(1),
            seed,
        })
    }

    /// Whether the machine of a run is off, and with it its locks.
    pub(super) fn is_off(&self, owner: Owner) -> bool {
        let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = machines.iter().find(|(have, _)| *have == owner).map(|(_, machine)| *machine);
        drop(machines);
        self.cluster.node(owner.node).map(|vm| vm.process()).ok() != machine
    }
}

/// One run of the program on a node, and the threads that use it.
pub(super) struct Run {
    pub(super) owner: Owner,
    pub(super) peer: Arc<Peer>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Run {
    /// Lets the threads finish what they are at.
    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was printed where it happened.
            let _ = thread.join();
        }
    }
}

/// Starts the work of a program that has joined the lockspace.
pub(super) fn start(scene: &Arc<Scene>, peer: Peer) -> Result<Run> {
    let run = scene.runs.fetch_add(1, Ordering::Relaxed);
    let owner = Owner { node: peer.node, run };
    let machine = scene.cluster.node(peer.node)?.process();
    scene.machines.lock().unwrap_or_else(PoisonError::into_inner).push((owner, machine));
    let peer = Arc::new(peer);
    for resource in RESOURCES {
        // Keeps the value block on every node.
        peer.say(&format!("lock keep-{resource} {resource} NL lvb"))?;
        peer.expect_within(&format!("keep-{resource} g"), BOUND)?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for number in 0..THREADS {
        let worker = Worker { scene: Arc::clone(scene), peer: Arc::clone(&peer), owner };
        let stop = Arc::clone(&stop);
        let mut random = Random::new(scene.seed.wrapping_add(owner.run * 100 + number));
        threads.push(std::thread::Builder::new().name("driver".into()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Err(error) = worker.operation(&mut random) {
                    worker.give_up(&error);
                    return;
                }
            }
        })?);
    }
    Ok(Run { owner, peer, stop, threads })
}
