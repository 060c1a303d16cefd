//! A snapshot of this node, out of what its kernel shows.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use dlm_proto::{LockFlags, LockspaceName, Minor, NodeId};
use nix::time::{ClockId, clock_gettime};

use super::error::InspectError;
use super::program::{self, Program};
use super::queues::{LocalResource, parse_queues};
use super::snapshot::{Snapshot, Space};
use crate::status::{CLUSTER, LOCKSPACES, Status};

/// The folder with the queues of all lockspaces, which root may read.
pub const DEBUGFS: &str = "/sys/kernel/debug/dlm";

impl Snapshot {
    /// A snapshot of this node, with all queues.
    ///
    /// Needs root, for debugfs and for the descriptors of others.
    ///
    /// # Errors
    ///
    /// [`InspectError`]: the queues cannot be read, or not be understood.
    pub fn of_kernel() -> Result<Self, InspectError> {
        let mut snapshot = Self::without_queues()?;
        for space in &mut snapshot.lockspaces {
            space.resources = queues(&space.name)?;
        }
        snapshot.taken = monotonic();
        snapshot.find_programs();
        Ok(snapshot)
    }

    /// A snapshot of this node with the queues of one lockspace only.
    ///
    /// # Errors
    ///
    /// As [`of_kernel`](Self::of_kernel).
    pub fn of_kernel_with(lockspace: &str) -> Result<Self, InspectError> {
        let mut snapshot = Self::without_queues()?;
        for space in snapshot.lockspaces.iter_mut().filter(|space| space.name == lockspace) {
            space.resources = queues(&space.name)?;
        }
        snapshot.taken = monotonic();
        snapshot.find_programs();
        Ok(snapshot)
    }

    /// A snapshot of this node's lockspaces without their queues, which everybody may take. Who has
    /// them open is there for root only.
    ///
    /// # Errors
    ///
    /// [`InspectError::File`].
    pub fn without_queues() -> Result<Self, InspectError> {
        let mut lockspaces = Vec::new();
        let misc = fs::read("/proc/misc").unwrap_or_default();
        let mut openers = program::openers();
        for name in lockspace_names()? {
            let status = LockspaceName::new(name.as_bytes())
                .map_or_else(|_| Status::new(crate::State::Unknown), |name| Status::read(&name));
            let id = fs::read_to_string(Path::new(LOCKSPACES).join(&name).join("id"));
            let minor = dlm_sys::misc::minor_of_lockspace(&misc, name.as_bytes()).map(Minor);
            let openers = openers.as_mut().map(|all| all.remove(&name).unwrap_or_default());
            let id = id.ok().and_then(|id| id.trim().parse().ok());
            lockspaces.push(Space {
                id,
                minor,
                status,
                condition: None,
                resources: None,
                openers,
                name,
            });
        }
        let comms = Path::new(CLUSTER).join("comms");
        Ok(Self {
            node: crate::status::local_node(&comms),
            host: text("/proc/sys/kernel/hostname"),
            cluster: text(Path::new(CLUSTER).join("cluster_name")),
            kernel: text("/proc/sys/kernel/osrelease"),
            taken: monotonic(),
            lockspaces,
            programs: BTreeMap::new(),
        })
    }

    /// Looks up the programs of the locks of this node's own processes.
    fn find_programs(&mut self) {
        for space in &self.lockspaces {
            let own = space.resources.iter().flatten().flat_map(|resource| {
                let is_master = resource.is_master();
                resource.locks.iter().filter(move |lock| lock.foreign_node(is_master).is_none())
            });
            // Whether a lock of the thread is one that ends with its program.
            let mut tasks: BTreeMap<u32, bool> = BTreeMap::new();
            for lock in own {
                let ends = !lock.flags.contains(LockFlags::PERSISTENT);
                *tasks.entry(lock.task).or_default() |= ends;
            }
            for (task, ends) in tasks {
                if let Some(program) = program_of(task, ends, space) {
                    self.programs.insert(task, program);
                }
            }
        }
    }
}

/// The program that a thread is, or was, of; `ends`: it has a lock that would be gone without it.
fn program_of(task: u32, ends: bool, space: &Space) -> Option<Program> {
    let found = Program::of_task(task);
    let Some(openers) = space.openers.as_ref().filter(|_| space.minor.is_some()) else {
        // A lockspace of the kernel's own.
        return found;
    };
    // The thread's number may have gone to another process, which has not the device open.
    let is_opener =
        |program: &Program| openers.iter().any(|opener| opener.program.pid == program.pid);
    found.filter(is_opener).or_else(|| match openers.as_slice() {
        // The thread has ended, and there is one process only that can have the lock.
        [only] if ends => Some(only.program.clone()),
        _ => None,
    })
}

/// The names of the lockspaces of this node, in their order.
fn lockspace_names() -> Result<Vec<String>, InspectError> {
    let folder = Path::new(LOCKSPACES);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // The folder is made with the module.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(InspectError::NoModule);
        }
        Err(error) => return Err(InspectError::file(folder, error)),
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// The queues of a lockspace; `None` if it went meanwhile.
fn queues(name: &str) -> Result<Option<Vec<LocalResource>>, InspectError> {
    let folder = Path::new(DEBUGFS);
    let file = folder.join(format!("{name}_all"));
    match fs::read(&file) {
        Ok(text) => parse_queues(name, &text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::metadata(folder) {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(InspectError::NoDebugfs),
            Err(error) => Err(InspectError::file(folder, error)),
        },
        Err(error) => Err(InspectError::file(&file, error)),
    }
}

fn text(file: impl AsRef<Path>) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.trim_end_matches(['\n', '\0']).to_owned()
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// The addresses of the cluster's other nodes, as its daemon told the kernel.
#[must_use]
pub fn members_addresses() -> Vec<(NodeId, IpAddr)> {
    let comms = Path::new(CLUSTER).join("comms");
    let here = crate::status::local_node(&comms);
    let nodes = crate::status::ids(&comms).into_iter().filter(|node| Some(*node) != here);
    let address = |node: NodeId| {
        let list = fs::read_to_string(comms.join(node.to_string()).join("addr_list")).ok()?;
        // A family, a tab, an address, on a line for each.
        list.lines().find_map(|line| line.split_whitespace().nth(1)?.parse().ok())
    };
    nodes.filter_map(|node| Some((node, address(node)?))).collect()
}
