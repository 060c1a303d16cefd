//! What is looked at: this node's kernel, dumps of nodes, or a cluster in this process.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::backend::{Backend, Kernel};
use dlm_runtime::inspect::{InspectError, Resource, Snapshot, members_addresses, merge};
use dlm_runtime::{LockspaceOptions, NodeId};

use crate::args::Common;
use crate::status::{Failure, Status};

mod sample;

/// How long other nodes are given to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is looked at.
#[derive(Debug)]
pub struct Scene {
    sample: Option<sample::Sample>,
    dumps: Vec<Snapshot>,
    ask: Option<String>,
}

/// How much of a node is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth<'a> {
    /// Its lockspaces, and the queues of one of them.
    Lockspace(&'a str),
    /// Everything.
    All,
}

impl Scene {
    /// The scene that the arguments ask for.
    ///
    /// # Errors
    ///
    /// A dump that cannot be read.
    pub fn new(common: &Common) -> Result<Self, Failure> {
        let dumps = common.dump.iter().map(|file| {
            let text = fs::read(file).map_err(|error| {
                Failure::new(Status::System, format!("{}: {error}", file.display()))
            })?;
            Snapshot::parse(&text).map_err(|error| {
                Failure::new(Status::System, format!("{}: {error}", file.display()))
            })
        });
        Ok(Self {
            dumps: dumps.collect::<Result<_, _>>()?,
            sample: if common.engine { Some(sample::Sample::new()?) } else { None },
            ask: common.ask.clone(),
        })
    }

    /// A snapshot of each node at hand.
    ///
    /// # Errors
    ///
    /// This node cannot be looked at.
    pub fn snapshots(&self, depth: Depth<'_>) -> Result<Vec<Snapshot>, Failure> {
        if let Some(sample) = &self.sample {
            return Ok(sample.snapshots());
        }
        if !self.dumps.is_empty() {
            return Ok(self.dumps.clone());
        }
        let others = self.ask.as_deref().map(ask_others).unwrap_or_default();
        let here = match depth {
            Depth::All => Snapshot::of_kernel(),
            Depth::Lockspace(name) => Snapshot::of_kernel_with(name),
        };
        let mut here = here?;
        here.ask_controller();
        let mut all = vec![here];
        all.extend(others);
        Ok(all)
    }

    /// This node without its queues, or all nodes if they are at hand anyway: what needs no root.
    ///
    /// # Errors
    ///
    /// As [`snapshots`](Self::snapshots).
    pub fn lockspaces(&self) -> Result<Vec<Snapshot>, Failure> {
        if self.sample.is_some() || !self.dumps.is_empty() || self.ask.is_some() {
            return self.snapshots(Depth::All);
        }
        let mut here = match Snapshot::of_kernel() {
            Err(InspectError::NoDebugfs) => Snapshot::without_queues()?,
            Err(error) if error.is_denied() => Snapshot::without_queues()?,
            answer => answer?,
        };
        here.ask_controller();
        Ok(vec![here])
    }

    /// This node's lockspaces, or those of all nodes that are at hand anyway, without their queues.
    ///
    /// # Errors
    ///
    /// As [`snapshots`](Self::snapshots).
    pub fn without_queues(&self) -> Result<Vec<Snapshot>, Failure> {
        if self.sample.is_some() || !self.dumps.is_empty() {
            return self.snapshots(Depth::All);
        }
        let mut here = Snapshot::without_queues()?;
        here.ask_controller();
        Ok(vec![here])
    }

    /// The lock manager of a node, if it is at hand.
    pub fn backend_of(&self, node: Option<NodeId>) -> Option<Box<dyn Backend>> {
        match &self.sample {
            Some(sample) => Some(Box::new(sample.node(node?))),
            None if !self.dumps.is_empty() => None,
            None => {
                let here = Snapshot::without_queues().ok()?.node;
                let is_here = node.is_none() || here == node;
                is_here.then(|| -> Box<dyn Backend> { Box::new(Kernel) })
            }
        }
    }

    /// The resources of all nodes at hand.
    ///
    /// # Errors
    ///
    /// As [`snapshots`](Self::snapshots); no lockspace of this name.
    pub fn resources(&self, lockspace: Option<&str>) -> Result<Vec<Resource>, Failure> {
        let depth = lockspace.map_or(Depth::All, Depth::Lockspace);
        let snapshots = self.snapshots(depth)?;
        if let Some(name) = lockspace {
            check_lockspace(&snapshots, name)?;
        }
        let mut resources = merge(&snapshots);
        resources.retain(|resource| lockspace.is_none_or(|name| resource.lockspace == name));
        Ok(resources)
    }

    /// Options to open lockspaces with.
    pub fn options(&self) -> LockspaceOptions {
        let options = LockspaceOptions::new();
        match &self.sample {
            Some(sample) => options.backend(sample.here()),
            None => options,
        }
    }
}

/// Checks that a lockspace is there.
pub(crate) fn check_lockspace(snapshots: &[Snapshot], name: &str) -> Result<(), Failure> {
    if snapshots.iter().any(|snapshot| snapshot.lockspace(name).is_some()) {
        return Ok(());
    }
    let mut names: Vec<_> = snapshots
        .iter()
        .flat_map(|snapshot| &snapshot.lockspaces)
        .map(|space| space.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let there = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
    Err(Failure::new(Status::NoLockspace, format!("no lockspace {name} here: {there}")))
}

/// The snapshots of the other nodes of the cluster. One that does not answer is told of, and left
/// out.
fn ask_others(command: &str) -> Vec<Snapshot> {
    let asked: Vec<_> = members_addresses()
        .into_iter()
        .map(|(node, address)| {
            let command = command.replace("{id}", &node.to_string());
            let command = command.replace("{}", &address.to_string());
            (node, thread::spawn(move || ask(&command)))
        })
        .collect();
    let mut snapshots = Vec::new();
    for (node, answer) in asked {
        match answer.join().unwrap_or_else(|_| Err("the thread died".to_owned())) {
            Ok(snapshot) => snapshots.push(snapshot),
            Err(why) => eprintln!("dlm: node {node} is left out: {why}"),
        }
    }
    snapshots
}

/// Runs a command that writes a dump.
fn ask(command: &str) -> Result<Snapshot, String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run sh: {error}"))?;
    let text = read_within(&mut child, Instant::now() + PATIENCE);
    if text.is_none() {
        // What it started may keep the output open: nobody waits for that.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let text = text.ok_or_else(|| format!("`{command}` gave no answer in {PATIENCE:?}"))?;
    match Snapshot::parse(&text) {
        Ok(snapshot) => Ok(snapshot),
        Err(_) if !status.success() => Err(format!("`{command}`: {status}")),
        Err(error) => Err(format!("`{command}`: {error}")),
    }
}

/// All that a child writes, if it comes to an end in time.
fn read_within(child: &mut Child, deadline: Instant) -> Option<Vec<u8>> {
    let mut output = child.stdout.take()?;
    let (sender, text) = channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        if output.read_to_end(&mut text).is_ok() {
            // Nobody listens after the deadline.
            let _ = sender.send(text);
        }
    });
    let left = deadline.saturating_duration_since(Instant::now());
    text.recv_timeout(left).map_err(|_: RecvTimeoutError| ()).ok()
}
