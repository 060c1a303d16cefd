//! The rounds: a fault in each, and the return to three working nodes.

use super::driver::{self, BOUND, Run, Scene};
use super::faults::{FAULTS, Fault, Figures};
use anyhow::{Context, Result, bail, ensure};
use dlm_chaos::plan::RESOURCES;
use dlm_lab::cargo;
use dlm_lab::cluster::{Cluster, Options, Peer};
use dlm_lab::vm::Command;
use dlm_random::Random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const PEER: &str = "/bin/cluster_peer";
const SPACE: &str = "chaos";
const SIGKILL: i32 = 9;

/// Held by the node that a fault is for and waited for by another, to see how long that takes.
const PROBE: &str = "probe";

struct Chaos {
    scene: Arc<Scene>,
    /// By node.
    runs: BTreeMap<u8, Run>,
    random: Random,
    figures: Figures,
    /// Nodes that were fenced although no round was to.
    unasked: u32,
}

/// Runs the rounds; false if something happened that may not.
pub(super) fn run(kernel: &str, rounds: u32, seed: u64) -> Result<bool> {
    let options = Options {
        kernel: kernel.to_owned(),
        time_limit: Duration::from_secs(300) + Duration::from_secs(120) * rounds,
        ..Options::default()
    };
    let programs = cargo::build(&["build", "-p", "dlm-tests", "--example", "cluster_peer"])?;
    let program = cargo::stripped(programs.first().context("cargo built no cluster_peer")?)?;
    println!("seed {seed}, kernel {kernel}, {rounds} rounds");
    let cluster = Cluster::start(&options)?;
    cluster.add_program(&program, PEER.as_ref())?;
    let scene = Scene::new(cluster, seed);
    let mut chaos = Chaos {
        scene: Arc::clone(&scene),
        runs: BTreeMap::new(),
        random: Random::new(seed),
        figures: Figures::default(),
        unasked: 0,
    };
    let begun = Instant::now();
    let done = chaos.all(rounds);
    let (grants, invalid, violations) = scene.history.counts();
    if let Err(error) = &done {
        print!("{}", scene.history.report());
        eprintln!("xtask: seed {seed}: {}", scene.cluster.explain(error));
    } else if violations > 0 {
        print!("{}", scene.history.report());
    }
    print!("{}", chaos.figures);
    let (longest, quiet) = scene.waits.longest();
    let (longest, quiet) = (longest.as_secs_f64(), quiet.as_secs_f64());
    println!("longest wait: {longest:.2} s; that no fault explains: {quiet:.2} s");
    if chaos.unasked > 0 {
        println!("{} nodes more were fenced, as this machine is busy", chaos.unasked);
    }
    let seconds = begun.elapsed().as_secs();
    let guards = scene.guards.load(Ordering::Relaxed);
    println!(
        "{grants} grants ({guards} by the cache), {invalid} invalid blocks, {violations} violations (seed {seed}, {seconds} s)"
    );
    Ok(done.is_ok() && violations == 0)
}

impl Chaos {
    fn all(&mut self, rounds: u32) -> Result<()> {
        for node in self.scene.cluster.numbers() {
            self.start(node)?;
        }
        for round in 1..=rounds {
            let fault = *self.random.of(&FAULTS).context("no faults")?;
            let victim = u8::try_from(self.random.below(3))? + 1;
            let begun = Instant::now();
            self.scene.history.note(&format!("round {round}: {fault} ({victim})"));
            std::thread::sleep(Duration::from_millis(500 + self.random.below(1500)));
            let fenced = self.scene.cluster.fenced();
            let fenced = fenced.iter().filter(|fenced| fenced.off.is_some()).count();
            self.bring_back()?;
            self.scene.waits.fault_begins(Instant::now());
            if let Err(error) = self.round(fault, victim) {
                self.repair(fenced, fault, victim, &error)?;
            }
            self.scene.waits.fault_ends(Instant::now());
            let (grants, _, violations) = self.scene.history.counts();
            let seconds = begun.elapsed().as_secs_f64();
            println!("round {round}: {fault}, node {victim}, {seconds:.1} s, {grants} grants");
            if violations > 0 {
                break;
            }
            self.figures.round(fault);
        }
        self.end()
    }

    /// Starts the program on a node, and its work.
    fn start(&mut self, node: u8) -> Result<()> {
        let peer = Peer::start(&self.scene.cluster, node, &Command::new(PEER))?;
        peer.say(&format!("space {SPACE}"))?;
        peer.expect_within("space ok", BOUND)?;
        self.runs.insert(node, driver::start(&self.scene, peer)?);
        Ok(())
    }

    fn round(&mut self, fault: Fault, victim: u8) -> Result<()> {
        let scene = Arc::clone(&self.scene);
        let run = self.runs.get(&victim).context("the victim does not work")?;
        let waiter = self.runs.values().find(|run| run.owner.node != victim);
        let waiter = Arc::clone(&waiter.context("nobody else works")?.peer);
        let probe = format!("probe-{}", run.owner.run);
        if fault.ends_program() {
            let patient = |peer: &Peer, words: &str, answer: &str| {
                peer.say(words)?;
                peer.expect_within(&format!("{probe} {answer}"), BOUND)
            };
            patient(&run.peer, &format!("lock {probe} {PROBE} EX"), "granted")?;
            waiter.say(&format!("lock {probe} {PROBE} EX"))?;
            run.peer.expect_within(&format!("{probe} blocks"), BOUND)?;
        }
        let begun = Instant::now();
        match fault {
            Fault::Kill => {
                scene.history.ends(run.owner, "its node is killed");
                scene.cluster.kill(victim);
            }
            Fault::KillProgram => {
                scene.history.ends(run.owner, "it is killed");
                run.peer.signal(SIGKILL)?;
            }
            Fault::Freeze => scene.cluster.freeze(victim)?,
            Fault::Cut => scene.cluster.network().isolate(victim),
            Fault::KillController => scene.cluster.kill_controller(victim)?,
            Fault::FreezeBriefly => {
                scene.cluster.freeze(victim)?;
                std::thread::sleep(Duration::from_millis(100 + self.random.below(400)));
                return scene.cluster.thaw(victim);
            }
            Fault::CutBriefly => {
                scene.cluster.network().isolate(victim);
                std::thread::sleep(Duration::from_millis(100 + self.random.below(400)));
                scene.cluster.network().heal();
                return Ok(());
            }
            Fault::RestartController => return self.restart_controller(victim),
        }
        let granted = waiter.expect_within(&format!("{probe} granted"), BOUND)?;
        waiter.say(&format!("unlock {probe}"))?;
        waiter.expect_within(&format!("{probe} unlocked"), BOUND)?;
        self.figures.grant(fault, granted.at.saturating_duration_since(begun));
        if !fault.fences() {
            self.replace(victim);
            return self.start(victim);
        }
        let fenced = scene.cluster.await_fenced(victim, BOUND)?;
        ensure!(fenced.off.is_some_and(|off| off < granted.at), "granted before the node was off");
        self.return_of(victim)
    }

    /// Ends the work of a run, whose program has ended.
    fn replace(&mut self, node: u8) {
        if let Some(mut run) = self.runs.remove(&node) {
            if !self.scene.history.has_ended(run.owner.run) {
                self.scene.history.ends(run.owner, "its node was fenced");
            }
            run.stop();
        }
    }

    /// Brings a node back that was fenced.
    fn return_of(&mut self, node: u8) -> Result<()> {
        self.replace(node);
        self.scene.cluster.network().heal();
        self.scene.cluster.reboot(node)?;
        self.start(node)
    }

    /// Ends a program in order, and starts dlm_controld anew before the next one.
    fn restart_controller(&mut self, node: u8) -> Result<()> {
        let mut run = self.runs.remove(&node).context("no program")?;
        run.stop();
        self.scene.history.ends(run.owner, "it leaves");
        run.peer.say("drop")?;
        run.peer.expect_within("drop ok", BOUND)?;
        run.peer.say("leave force")?;
        run.peer.expect_within("leave ok", BOUND)?;
        self.scene.cluster.restart_controller(node)?;
        self.start(node)
    }

    /// A busy machine can keep a node from its work for as long as the token's timeout. Then it is
    /// fenced, as it must be, and comes back here. Anything else is the error that it was.
    fn repair(
        &mut self,
        fenced: usize,
        fault: Fault,
        victim: u8,
        error: &anyhow::Error,
    ) -> Result<()> {
        let all = self.scene.cluster.fenced();
        let asked_for = |node: u8| fault.fences() && node == victim;
        let Some(lost) = all.iter().skip(fenced).find(|fenced| !asked_for(fenced.victim)) else {
            bail!("{fault}, node {victim}: {error:#}");
        };
        println!("{fault}, node {victim}: {error:#}");
        self.scene.cluster.await_fenced(lost.victim, BOUND)?;
        self.bring_back()
    }

    /// Lets nodes that are off return, which were fenced although no round was to.
    fn bring_back(&mut self) -> Result<()> {
        for node in self.scene.cluster.numbers() {
            let run = self.runs.get(&node);
            if self.scene.cluster.node(node).is_err() {
                println!("node {node} was fenced unasked");
                self.unasked += 1;
                self.return_of(node)?;
            } else if run.is_none_or(|run| self.scene.is_off(run.owner)) {
                self.replace(node);
                self.start(node)?;
            }
        }
        Ok(())
    }

    /// Lets all work end, and looks at what is left.
    fn end(&mut self) -> Result<()> {
        let scene = Arc::clone(&self.scene);
        for run in self.runs.values_mut() {
            run.stop();
        }
        let peers: Vec<_> = self.runs.values().map(|run| Arc::clone(&run.peer)).collect();
        self.runs.clear();
        for peer in &peers {
            peer.say("uncache")?;
            peer.expect_within("uncache ok", BOUND)?;
        }
        let first = peers.first().context("nobody is left")?;
        for resource in RESOURCES.into_iter().chain([PROBE]) {
            let lock = format!("last-{resource}");
            first.say(&format!("lock {lock} {resource} EX noqueue"))?;
            let line = first.expect_within(&format!("{lock} "), BOUND)?;
            if !line.text.contains("granted") {
                scene.history.violation(&format!("{resource} is still held: {}", line.text));
            }
        }
        for peer in &peers {
            peer.say("drop")?;
            peer.expect_within("drop ok", BOUND)?;
        }
        // The kernel refuses the release as long as it has a lock, its own or one that it is master
        // of.
        for peer in peers {
            peer.say("leave")?;
            let line = peer.expect_within("leave ", BOUND)?;
            if line.text != "leave ok" {
                scene.history.violation(&format!("node {}: {}", peer.node, line.text));
            }
        }
        for number in scene.cluster.numbers() {
            let vm = scene.cluster.node(number)?;
            let log = vm.kernel_log_since(vm.log_start())?;
            let complaint = log.complaints().find(|line| !dlm_lab::cluster::is_known_warning(line));
            if let Some(line) = complaint {
                let what = format!("the kernel of node {number} complained: {line}");
                scene.history.violation(&what);
            }
        }
        ensure!(scene.history.counts().0 > 0, "no lock was ever granted");
        Ok(())
    }
}
