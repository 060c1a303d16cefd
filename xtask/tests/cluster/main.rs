//! Three nodes with corosync, dlm_controld and fencing, and what happens to locks on them. Run with
//! `--ignored`: the first time they fetch what they need.
//!
//! The variable DLM_CLUSTER_KERNEL chooses the kernel of the nodes. Programs on the nodes
//! (`tests/cluster_peer.rs`) are told line by line what to do.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod c;
mod crash;
mod danger;
mod locks;
mod programs;
mod remote;

use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use xtask::cargo;
use xtask::cluster::{Cluster, Options, Peer, is_known_warning};
use xtask::vm::Command;

/// For the loss of a node to be noticed and repaired. Three to seven seconds are usual.
const RECOVERY: Duration = Duration::from_secs(60);

/// Where the peer is in the guests.
const PEER: &str = "/bin/cluster_peer";

/// Runs a test on a new cluster of three nodes, with fencing. An error shows what all nodes say.
fn on_three(test: impl FnOnce(&Cluster) -> Result<()>) {
    on_cluster(&Options::default(), test);
}

fn on_cluster(options: &Options, test: impl FnOnce(&Cluster) -> Result<()>) {
    // One cluster is enough work for the machine.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let time_limit = Duration::from_secs(240);
    let mut options = Options { time_limit, ..options.clone() };
    if let Ok(kernel) = std::env::var("DLM_CLUSTER_KERNEL") {
        options.kernel = kernel;
    }
    let cluster = Cluster::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let add = || cluster.add_program(&built("cluster_peer", PEER_BUILD), PEER.as_ref());
    let done = add().and_then(|()| test(&cluster)).and_then(|()| no_complaints(&cluster));
    if let Err(error) = done {
        panic!("{:#}", cluster.explain(&error));
    }
}

/// What cargo is told to build the peer.
const PEER_BUILD: &[&str] = &["build", "-p", "dlm-tests", "--example", "cluster_peer"];
/// What cargo is told to build election.
const ELECTION_BUILD: &[&str] = &["build", "-p", "dlm-runtime", "--example", "election"];
/// What cargo is told to build dlmlock.
const DLMLOCK_BUILD: &[&str] = &["build", "-p", "dlm-runtime", "--example", "dlmlock"];

/// A program without its debug information, built once.
fn built(name: &str, arguments: &[&str]) -> PathBuf {
    static BUILT: OnceLock<Mutex<Vec<(String, PathBuf)>>> = OnceLock::new();
    let mut built =
        BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, path)) = built.iter().find(|(have, _)| have == name) {
        return path.clone();
    }
    let programs = cargo::build(arguments).unwrap();
    let program = programs.iter().find(|program| program.name == name).unwrap();
    let path = cargo::stripped(program).unwrap();
    built.push((name.to_owned(), path.clone()));
    path
}

/// A program on a node that has joined the lockspace.
fn peer(cluster: &Cluster, node: u8) -> Result<Peer> {
    let peer = Peer::start(cluster, node, &Command::new(PEER))?;
    peer.ask("space tests", "space ok")?;
    Ok(peer)
}

/// One on each node, in the order of the nodes.
fn peers(cluster: &Cluster) -> Result<[Peer; 3]> {
    Ok([peer(cluster, 1)?, peer(cluster, 2)?, peer(cluster, 3)?])
}

/// Checks that the kernels of all nodes that are on have no complaints.
fn no_complaints(cluster: &Cluster) -> Result<()> {
    for number in cluster.numbers() {
        let Ok(vm) = cluster.node(number) else { continue };
        let log = vm.kernel_log_since(vm.log_start()).context("is the node frozen?")?;
        let complaint = log.complaints().find(|line| !is_known_warning(line));
        if let Some(line) = complaint {
            anyhow::bail!("the kernel of node {number} complained: {line}");
        }
    }
    Ok(())
}

/// Tells how long something took, for the documentation.
fn took(what: &str, since: Instant, until: Instant) {
    let seconds = until.saturating_duration_since(since).as_secs_f64();
    println!("measured: {what}: {seconds:.2} s");
}
