//! Locks between the nodes of a cluster.

use anyhow::{Context, Result, bail};
use std::time::Duration;

use super::choice::Choice;
use super::file::ResultFile;
use super::library::{FOLDER, Library};
use super::race::{Clock, Race, Row, Turn, printed};
use super::{beside, fight, guest};
use dlm_lab::cluster::{Cluster, Options, Peer, is_known_warning};
use dlm_lab::vm::Command;

use Library::{CapiLt, LibdlmLt, Runtime};

/// The libraries that need no thread of their own.
const LIBRARIES: &[Library] = &[Runtime, LibdlmLt, CapiLt];

/// The rows in which two nodes take turns.
const ROWS: &[Row] = &[
    Row { name: "handover", libraries: LIBRARIES },
    Row { name: "value-exchange", libraries: LIBRARIES },
];

/// The names of all rows.
pub(super) fn rows() -> impl Iterator<Item = &'static str> {
    [beside::ROW, fight::ROW].into_iter().chain(ROWS.iter().map(|row| row.name))
}

/// The name of all rows together.
pub(super) const ALL: &str = "cluster";

/// Here the master of the resource is, and nobody measures.
const KEEPER: u8 = 3;

/// Many short turns: what else the machine does changes from second to second.
const CLOCK: Clock = Clock { name: "wall", counts_instructions: false, rounds: 41, pairs: 60 };
const QUICK_ROUNDS: usize = 9;

/// For all rows. Usual are two minutes.
const LIMIT: Duration = Duration::from_secs(1200);

/// Measures and prints, and adds the rows to the file.
pub(super) fn run(choice: &Choice, file: &mut ResultFile) -> Result<()> {
    let mut clock = CLOCK;
    if choice.quick {
        clock.rounds = QUICK_ROUNDS;
    }
    // First what a fresh machine lacks: compilers are among it.
    drop(dlm_lab::cluster::image::prepare(&choice.kernel)?);
    let folder = guest::programs()?;
    let kernel = choice.kernel.clone();
    let cluster = Cluster::start(&Options { kernel, time_limit: LIMIT, ..Options::default() })?;
    cluster
        .add_dir(&folder, FOLDER.as_ref())
        .and_then(|()| all(&cluster, choice, clock, file))
        .map_err(|error| cluster.explain(&error))?;
    println!();
    Ok(())
}

fn all(cluster: &Cluster, choice: &Choice, clock: Clock, file: &mut ResultFile) -> Result<()> {
    let kernel = cluster.node(KEEPER)?.kernel().to_owned();
    let _keepers = stay(cluster)?;
    if choice.has(beside::ROW) {
        file.add(beside::run(&*cluster.node(1)?, choice)?)?;
    }
    if choice.has(fight::ROW) {
        file.add(fight::run(cluster, &kernel, choice)?)?;
    }
    if ROWS.iter().any(|row| choice.has(row.name)) {
        println!("Three nodes with Linux {kernel}, wall time; medians of {} rounds", clock.rounds);
        println!("{}", clock.head());
    }
    for row in ROWS.iter().filter(|row| choice.has(row.name)) {
        let race = Race::of(row.name, &choice.libraries_of(row), clock, |library| {
            turn(cluster, &library.command(row.name, clock.pairs), clock.pairs)
        })?;
        print!("{race}");
        file.add(race.json(&kernel))?;
    }
    for node in cluster.numbers() {
        let vm = cluster.node(node)?;
        let log = vm.kernel_log_since(vm.log_start())?;
        if let Some(line) = log.complaints().find(|line| !is_known_warning(line)) {
            bail!("the kernel of node {node} complained, so these numbers mean nothing: {line}");
        }
    }
    Ok(())
}

/// Keeps the lockspace on all nodes, so that a program which begins or ends does not stop it.
fn stay(cluster: &Cluster) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for node in cluster.numbers() {
        let how = if node == KEEPER { "keep" } else { "stay" };
        let peer = Peer::start(cluster, node, &Command::new(format!("{FOLDER}/locks")).arg(how))?;
        peer.expect("ready")?;
        peers.push(peer);
    }
    Ok(peers)
}

/// The same command on two nodes at the same time, which take turns.
fn turn(cluster: &Cluster, command: &Command, pairs: u32) -> Result<Turn> {
    let turns: Vec<Result<Turn>> = std::thread::scope(|scope| {
        let run = |node| move || printed(&*cluster.node(node)?, command.clone());
        let threads: Vec<_> = (1..=2).map(|node| scope.spawn(run(node))).collect();
        let ended = threads.into_iter().map(|thread| {
            let printed = thread.join().unwrap_or_else(|_| bail!("a thread panicked"))?;
            Turn::of(&printed, f64::from(pairs))
        });
        ended.collect()
    });
    let turns = turns.into_iter().collect::<Result<Vec<_>>>()?;
    // Each node does as many turns, so what both did is limited by the slower one.
    let slowest = turns.iter().map(|turn| turn.cost).max_by(f64::total_cmp).context("no nodes")?;
    let allocations = turns.first().and_then(|turn| turn.allocations);
    Ok(Turn { cost: slowest / 2.0, allocations })
}
