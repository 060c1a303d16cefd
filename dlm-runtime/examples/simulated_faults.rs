//! A program in all the trouble that a cluster can make, with a seed to repeat it: requests that are
//! refused, results that come late or twice, a node that stands still, a network that is cut, a node that
//! dies.
//!
//! Three nodes count in a file that they share, each under the lock. However it goes, no number may be lost
//! or used twice, and those who live must get on. The engine is in this process; the program under test,
//! `count`, knows nothing of that.
//!
//! `cargo run -p dlm-runtime --features engine --example simulated_faults`

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use dlm_runtime::backend::{Errno, Faulty, Seeded};
use dlm_runtime::engine::{Cluster, ClusterOptions};
use dlm_runtime::{Lockspace, Mode};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const NODES: u32 = 3;
const STEPS: u64 = 60;
const SEEDS: u64 = 25;

/// The file, on a disk that takes nothing more from a node that was fenced.
#[derive(Debug)]
struct File {
    /// Who wrote which number.
    written: Mutex<Vec<(u32, u64)>>,
    fenced: Mutex<Option<u32>>,
    progress: Sender<u64>,
}

impl File {
    fn last(&self) -> u64 {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.last().map_or(0, |&(_, number)| number)
    }

    fn write(&self, node: u32, number: u64) -> Result<()> {
        let fenced = self.fenced.lock().unwrap_or_else(PoisonError::into_inner);
        if *fenced == Some(node) {
            return Err("the disk is gone".into());
        }
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push((node, number));
        _ = self.progress.send(number);
        Ok(())
    }

    fn fence(&self, node: u32) {
        *self.fenced.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
    }
}

/// The program under test: one number after the other, as long as there are any.
fn count(node: u32, space: &Lockspace, file: &File) -> Result<()> {
    loop {
        let mut lock = match space.lock("file", Mode::Ex).wait() {
            Ok(lock) => lock,
            Err(error) if error.is_closed() => return Err(error.into()),
            // Refused by the device. Nothing was asked for.
            Err(error) if error.device().is_some() => continue,
            Err(error) => return Err(error.into()),
        };
        let last = file.last();
        if last < STEPS {
            thread::yield_now();
            file.write(node, last + 1)?;
        }
        while let Err(failed) = lock.unlock().wait() {
            if failed.error.device().is_none() {
                return Err(failed.error.into());
            }
            lock = failed.lock;
        }
        if last >= STEPS {
            return Ok(());
        }
    }
}

/// Brings the trouble about, and tells which node has died.
fn trouble(seed: u64, cluster: &Cluster, file: &File, progress: &Receiver<u64>) -> Result<u32> {
    let until = |number| -> Result<()> {
        while progress.recv()? < number {}
        Ok(())
    };
    let node = |shift: u64| 1 + u32::try_from((seed + shift) % u64::from(NODES)).unwrap_or(0);
    until(STEPS / 5)?;
    let frozen = cluster.node(node(0)).freeze();
    thread::sleep(Duration::from_millis(2));
    drop(frozen);
    until(2 * STEPS / 5)?;
    let divided = cluster.partition(&[&[node(1)]]);
    thread::sleep(Duration::from_millis(2));
    drop(divided);
    until(3 * STEPS / 5)?;
    // As on a real cluster: nobody goes on before it is certain that the lost node writes no more.
    let fencing = cluster.hold_recovery();
    cluster.node(node(2)).crash();
    file.fence(node(2));
    drop(fencing);
    Ok(node(2))
}

/// Tells how many calls and results came to harm.
fn run(seed: u64) -> Result<u64> {
    let cluster = ClusterOptions::new().nodes(NODES).seed(seed).start();
    let (sender, progress) = channel();
    let file = File { written: Mutex::default(), fenced: Mutex::default(), progress: sender };
    let file = Arc::new(file);
    let (mut nodes, mut plans) = (Vec::new(), Vec::new());
    for node in 1..=NODES {
        let plan = Seeded::new(seed << 8 | u64::from(node))
            .refusals(15, Errno::ENOBUFS)
            .delays(15, Duration::from_micros(200))
            .late_results(10, Duration::from_micros(500))
            .duplicates(10);
        let faulty = Faulty::new(cluster.node(node), plan);
        let space = Lockspace::create_on(faulty.clone(), "simulated_faults")?;
        let file = Arc::clone(&file);
        plans.push(faulty);
        nodes.push(thread::spawn(move || count(node, &space, &file)));
    }
    let dead = trouble(seed, &cluster, &file, &progress)?;
    for (node, end) in (1..).zip(nodes) {
        match end.join().map_err(|_| "a node panicked")? {
            Ok(()) => {}
            Err(_) if node == dead => {}
            Err(error) => return Err(format!("seed {seed}: node {node}: {error}").into()),
        }
    }
    cluster.check()?;
    let written = file.written.lock().unwrap_or_else(PoisonError::into_inner);
    let numbers = written.iter().map(|&(_, number)| number);
    if !numbers.eq(1..=STEPS) {
        return Err(format!("seed {seed}: {written:?}").into());
    }
    Ok(plans.iter().map(Faulty::injected).sum())
}

fn main() -> Result<()> {
    let mut injected = 0;
    for seed in 1..=SEEDS {
        injected += run(seed)?;
    }
    println!("{injected} faults on {SEEDS} clusters, and no number lost or used twice");
    Ok(())
}
