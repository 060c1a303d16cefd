//! Three nodes with corosync, dlm_controld and fencing, and what happens to locks on them. Run with
//! `--ignored`: the first time they fetch what they need.
//!
//! The variable DLM_CLUSTER_KERNEL chooses the kernel of the nodes. Programs on the nodes
//! (`peer.rs`) are told line by line what to do.

mod c;
mod clients;
mod crash;
mod danger;
mod key_value;
mod locks;
mod programs;
mod remote;
mod sync;
mod tool;

use anyhow::{Context, Result};
use dlm_lab::cargo;
use dlm_lab::cluster::{Cluster, Options, Peer, is_known_warning};
use dlm_lab::vm::Command;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// For the loss of a node to be noticed and repaired. Three to seven seconds are usual.
const RECOVERY: Duration = Duration::from_secs(120);

/// Where the peer is in the guests.
const PEER: &str = "/bin/cluster_peer";

/// Runs a test on a new cluster of three nodes, with fencing. An error shows what all nodes say.
fn on_three(test: impl FnOnce(&Cluster) -> Result<()>) {
    on_cluster(&Options::default(), test);
}

fn on_cluster(options: &Options, test: impl FnOnce(&Cluster) -> Result<()>) {
    let _place = Place::take();
    // First, as it is not the cluster's time.
    let program = built("cluster_peer", PEER_BUILD);
    // For a busy machine; a quarter of a minute is usual.
    let time_limit = Duration::from_secs(1800);
    let mut options = Options { time_limit, ..options.clone() };
    if let Ok(kernel) = std::env::var("DLM_CLUSTER_KERNEL") {
        options.kernel = kernel;
    }
    let cluster = Cluster::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let added = cluster.add_program(&program, PEER.as_ref());
    let done = added.and_then(|()| test(&cluster)).and_then(|()| no_complaints(&cluster));
    if let Err(error) = done {
        panic!("{:#}", cluster.explain(&error));
    }
}

/// One of the places for clusters that run at the same time. They mostly wait, for timeouts and for
/// each other, so there is one for each processor, up to a few.
struct Place;

static TAKEN: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

impl Place {
    fn take() -> Self {
        let places = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = LEFT.wait_while(taken, |taken| *taken >= places);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        LEFT.notify_one();
    }
}

/// What cargo is told to build the peer.
const PEER_BUILD: &[&str] = &["build", "-p", "dlm-tests", "--example", "cluster_peer"];
/// What cargo is told to build election.
const ELECTION_BUILD: &[&str] = &["build", "-p", "dlm-runtime", "--example", "election"];
/// What cargo is told to build the program `dlm`.
const TOOL_BUILD: &[&str] = &["build", "-p", "dlm-cli", "--bin", "dlm"];
/// Where it is in the guests.
const TOOL: &str = "/bin/dlm";

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

/// The folder with our libraries for C, built once.
fn libraries() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let output = cargo::cargo(&["xtask", "capi", "--build"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    };
    BUILT.get_or_init(build).clone()
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
