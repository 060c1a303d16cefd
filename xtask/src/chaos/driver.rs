//! What the programs on the nodes are made to do.

use super::history::{History, Owner};
use super::random::Random;
use crate::cluster::{Cluster, Line, Peer};
use anyhow::{Result, bail};
use dlm_proto::Mode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Few, so that the nodes are in each other's way.
pub(super) const RESOURCES: [&str; 3] = ["disk", "index", "leader"];
/// For every operation to end, whatever happens.
pub(super) const BOUND: Duration = Duration::from_secs(60);
/// Threads that use one program.
const THREADS: u64 = 3;

/// Numbers all locks, so that each has a name of its own.
static LOCKS: AtomicU64 = AtomicU64::new(1);

/// One run of the program on a node, and the threads that use it.
pub(super) struct Run {
    pub(super) owner: Owner,
    pub(super) peer: Arc<Peer>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Run {
    /// Lets the threads finish what they are at.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A panic was printed where it happened.
            let _ = thread.join();
        }
    }
}

/// What the threads share.
#[derive(Clone)]
struct Worker {
    cluster: Arc<Cluster>,
    history: Arc<History>,
    peer: Arc<Peer>,
    owner: Owner,
    machines: Machines,
}

/// The machine of each run, to tell whether it is on.
pub(super) type Machines = Arc<std::sync::Mutex<Vec<(Owner, u32)>>>;

/// Starts a run whose program has joined the lockspace.
pub(super) fn start(
    cluster: &Arc<Cluster>,
    history: &Arc<History>,
    machines: &Machines,
    peer: Peer,
    seed: u64,
) -> Result<Run> {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    let owner = Owner { node: peer.node, run: RUNS.fetch_add(1, Ordering::Relaxed) };
    let machine = cluster.node(peer.node)?.process();
    let peer = Arc::new(peer);
    for resource in RESOURCES {
        // Keeps the value block on every node.
        peer.ask(
            &format!("lock keep-{resource} {resource} NL lvb"),
            &format!("keep-{resource} g"),
        )?;
    }
    machines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((owner, machine));
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for number in 0..THREADS {
        let worker = Worker {
            cluster: Arc::clone(cluster),
            history: Arc::clone(history),
            peer: Arc::clone(&peer),
            owner,
            machines: Arc::clone(machines),
        };
        let stop = Arc::clone(&stop);
        let mut random = Random::new(seed.wrapping_add(owner.run * 100 + number));
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

impl Worker {
    /// One lock, from its request to its end.
    fn operation(&self, random: &mut Random) -> Result<()> {
        let number = LOCKS.fetch_add(1, Ordering::Relaxed);
        let lock = format!("L{number}");
        let done = self.lock(random, number, &lock);
        self.peer.forget(&format!("{lock} "));
        done
    }

    fn lock(&self, random: &mut Random, number: u64, lock: &str) -> Result<()> {
        let Some(resource) = random.of(&RESOURCES) else { return Ok(()) };
        let mode =
            *random.of(&[Mode::Ex, Mode::Ex, Mode::Pr, Mode::Pr, Mode::Pw]).unwrap_or(&Mode::Ex);
        let how = random.below(10);
        let options = match how {
            0 | 1 => " noqueue",
            2 | 3 => " ms=100",
            _ => "",
        };
        let at_least = self.history.committed(resource);
        self.peer.say(&format!("lock {lock} {resource} {mode} lvb{options}"))?;
        if how == 4 {
            std::thread::sleep(Duration::from_millis(random.below(60)));
            // Whatever comes of it, the request ends.
            self.peer.say(&format!("cancel {lock}"))?;
        }
        let ended = self.answer(lock, &["granted ", "again ", "timedout ", "cancelled "])?;
        if !ended.text.contains(" granted ") {
            return Ok(());
        }
        self.history.granted(resource, self.owner, number, mode, |owner| self.is_off(owner));
        let (value, valid) = block(&ended.text)?;
        self.history.read(resource, value, valid, at_least);
        std::thread::sleep(Duration::from_millis(random.below(40)));
        let written = match mode {
            Mode::Pr => None,
            _ => Some(self.history.next_value(resource, value, valid)),
        };
        let write = written.map(|value| format!(" write={value}")).unwrap_or_default();
        self.history.gives_up(resource, number);
        self.peer.say(&format!("unlock {lock}{write}"))?;
        self.answer(lock, &["unlocked"])?;
        if let Some(value) = written {
            self.history.wrote(resource, value);
        }
        Ok(())
    }

    /// The line with which something ends. Blocking notices and words about the cancel come before.
    fn answer(&self, lock: &str, endings: &[&str]) -> Result<Line> {
        let until = std::time::Instant::now() + BOUND;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            let line = self.peer.expect_within(&format!("{lock} "), left)?;
            let what = line.text.get(lock.len() + 1..).unwrap_or_default();
            if endings.iter().any(|ending| what.starts_with(ending)) {
                return Ok(line);
            }
            if !["blocks ", "cancelling", "cannot cancel"].iter().any(|word| what.starts_with(word))
            {
                bail!("node {}: {}", self.owner.node, line.text);
            }
        }
    }

    /// Whether the machine of a run is off, and with it its locks.
    fn is_off(&self, owner: Owner) -> bool {
        let machines = self.machines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let machine = machines.iter().find(|(have, _)| *have == owner).map(|(_, machine)| *machine);
        self.cluster.node(owner.node).map(|vm| vm.process()).ok() != machine
    }

    /// Fine if the program or its node were to end.
    fn give_up(&self, error: &anyhow::Error) {
        if !self.history.has_ended(self.owner.run) && !self.is_off(self.owner) {
            self.history.violation(&format!("{error:#}"));
        }
    }
}

/// `L5 granted EX [17] valid`
fn block(line: &str) -> Result<(u64, bool)> {
    let inner = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let Some((text, valid)) = inner else { bail!("no value block in \"{line}\"") };
    let value = if text.is_empty() { 0 } else { text.parse()? };
    Ok((value, valid.trim() == "valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_from_answers() {
        assert_eq!(block("L5 granted EX [17] valid").unwrap(), (17, true));
        assert_eq!(block("L5 granted PR [] invalid").unwrap(), (0, false));
        assert!(block("L5 granted PR").is_err());
        assert!(block("L5 granted PR [x] valid").is_err());
    }
}
