//! The rounds: a fault in each, and the return to three working nodes.

use super::driver::{self, BOUND, Machines, RESOURCES, Run};
use super::history::History;
use super::random::Random;
use crate::cargo;
use crate::cluster::{Cluster, Options, Peer};
use crate::vm::Command;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PEER: &str = "/bin/cluster_peer";
const SIGKILL: i32 = 9;

/// Held by the node that a fault is for and waited for by another, to see how long that takes.
const PROBE: &str = "probe";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Freeze,
    Cut,
    FreezeBriefly,
    CutBriefly,
    KillProgram,
}

const FAULTS: [Fault; 6] = [
    Fault::Kill,
    Fault::Freeze,
    Fault::Cut,
    Fault::FreezeBriefly,
    Fault::CutBriefly,
    Fault::KillProgram,
];

impl Fault {
    /// Whether it ends with the node switched off.
    fn fences(self) -> bool {
        matches!(self, Self::Kill | Self::Freeze | Self::Cut)
    }
}

struct Chaos {
    cluster: Arc<Cluster>,
    history: Arc<History>,
    machines: Machines,
    runs: Vec<Run>,
    seed: u64,
    random: Random,
    /// From the loss of a node to the grant of its lock.
    recoveries: Vec<Duration>,
}

/// Runs the rounds; false if something happened that may not.
pub(super) fn run(kernel: &str, rounds: u32, seed: u64) -> Result<bool> {
    let options = Options {
        kernel: kernel.to_owned(),
        time_limit: Duration::from_secs(300) + Duration::from_secs(90) * rounds,
        ..Options::default()
    };
    let programs = cargo::build(&["build", "-p", "dlm-tests", "--example", "cluster_peer"])?;
    let program = cargo::stripped(programs.first().context("cargo built no cluster_peer")?)?;
    println!("seed {seed}, kernel {kernel}, {rounds} rounds");
    let cluster = Arc::new(Cluster::start(&options)?);
    cluster.add_program(&program, PEER.as_ref())?;
    let mut chaos = Chaos {
        cluster: Arc::clone(&cluster),
        history: Arc::new(History::new()),
        machines: Machines::default(),
        runs: Vec::new(),
        seed,
        random: Random::new(seed),
        recoveries: Vec::new(),
    };
    let done = chaos.all(rounds);
    let (grants, invalid, violations) = chaos.history.counts();
    if let Err(error) = &done {
        print!("{}", chaos.history.report());
        eprintln!("xtask: seed {seed}: {}", cluster.explain(error));
    } else if violations > 0 {
        print!("{}", chaos.history.report());
    }
    println!("{grants} grants, {invalid} invalid blocks, {violations} violations (seed {seed})");
    chaos.tell_recoveries();
    Ok(done.is_ok() && violations == 0)
}

impl Chaos {
    fn all(&mut self, rounds: u32) -> Result<()> {
        for node in self.cluster.numbers() {
            self.start(node)?;
        }
        for round in 1..=rounds {
            let fault = *self.random.of(&FAULTS).context("no faults")?;
            let victim = u8::try_from(self.random.below(3))? + 1;
            let begun = Instant::now();
            self.history.note(&format!("round {round}: {fault:?} of node {victim}"));
            self.round(fault, victim).with_context(|| format!("round {round}: {fault:?}"))?;
            let (grants, _, violations) = self.history.counts();
            let seconds = begun.elapsed().as_secs_f64();
            println!("round {round}: {fault:?} of node {victim}, {seconds:.1} s, {grants} grants");
            if violations > 0 {
                break;
            }
        }
        self.end()
    }

    /// Starts the program on a node, and its work.
    fn start(&mut self, node: u8) -> Result<()> {
        let peer = Peer::start(&self.cluster, node, &Command::new(PEER))?;
        peer.say("space chaos")?;
        peer.expect_within("space ok", BOUND)?;
        let (cluster, history) = (&self.cluster, &self.history);
        let run = driver::start(cluster, history, &self.machines, peer, self.seed)?;
        self.runs.push(run);
        Ok(())
    }

    fn round(&mut self, fault: Fault, victim: u8) -> Result<()> {
        std::thread::sleep(Duration::from_millis(500 + self.random.below(1500)));
        let place = self.runs.iter().position(|run| run.owner.node == victim);
        let run = self.runs.swap_remove(place.context("the victim does not work")?);
        let waiter = self.runs.first().context("nobody else works")?;
        let probe = format!("probe-{}", run.owner.run);
        if fault.fences() || fault == Fault::KillProgram {
            run.peer.ask(&format!("lock {probe} {PROBE} EX"), &format!("{probe} granted"))?;
            waiter.peer.say(&format!("lock {probe} {PROBE} EX"))?;
            run.peer.expect(&format!("{probe} blocks"))?;
        }
        let waiter = Arc::clone(&waiter.peer);
        let begun = Instant::now();
        match fault {
            Fault::Kill => {
                self.history.ends(run.owner, "its node is killed");
                self.cluster.kill(victim);
            }
            Fault::KillProgram => {
                self.history.ends(run.owner, "it is killed");
                run.peer.signal(SIGKILL)?;
            }
            Fault::Freeze => self.cluster.freeze(victim)?,
            Fault::Cut => self.cluster.network().isolate(victim),
            Fault::FreezeBriefly => {
                self.cluster.freeze(victim)?;
                std::thread::sleep(Duration::from_millis(100 + self.random.below(400)));
                self.cluster.thaw(victim)?;
            }
            Fault::CutBriefly => {
                self.cluster.network().isolate(victim);
                std::thread::sleep(Duration::from_millis(100 + self.random.below(400)));
                self.cluster.network().heal();
            }
        }
        if !fault.fences() && fault != Fault::KillProgram {
            self.runs.push(run);
            return Ok(());
        }
        let granted = waiter.expect_within(&format!("{probe} granted"), BOUND)?;
        waiter.ask(&format!("unlock {probe}"), &format!("{probe} unlocked"))?;
        if fault.fences() {
            self.recoveries.push(granted.at.saturating_duration_since(begun));
            self.cluster.await_fenced(victim, BOUND)?;
            self.history.ends(run.owner, "its node was fenced");
        }
        run.stop();
        if fault.fences() {
            self.cluster.network().heal();
            self.cluster.reboot(victim)?;
        }
        self.start(victim)
    }

    /// Lets all work end, and looks at what is left.
    fn end(&mut self) -> Result<()> {
        let peers: Vec<_> = self.runs.iter().map(|run| Arc::clone(&run.peer)).collect();
        for run in std::mem::take(&mut self.runs) {
            run.stop();
        }
        let first = peers.first().context("nobody is left")?;
        for resource in RESOURCES.into_iter().chain([PROBE]) {
            let lock = format!("last-{resource}");
            first.say(&format!("lock {lock} {resource} EX noqueue"))?;
            let line = first.expect_within(&format!("{lock} "), BOUND)?;
            if !line.text.contains("granted") {
                self.history.violation(&format!("{resource} is still held: {}", line.text));
            }
        }
        for number in self.cluster.numbers() {
            let vm = self.cluster.node(number)?;
            let log = vm.kernel_log_since(vm.log_start())?;
            let complaint = log.complaints().find(|line| !crate::cluster::is_known_warning(line));
            if let Some(line) = complaint {
                self.history.violation(&format!("the kernel of node {number} complained: {line}"));
            }
        }
        ensure!(self.history.counts().0 > 0, "no lock was ever granted");
        Ok(())
    }

    fn tell_recoveries(&mut self) {
        self.recoveries.sort();
        let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        let median = seconds(self.recoveries.get(self.recoveries.len() / 2));
        let worst = seconds(self.recoveries.last());
        let count = self.recoveries.len();
        println!("recovery of {count} lost nodes: median {median:.2} s, worst {worst:.2} s");
    }
}
