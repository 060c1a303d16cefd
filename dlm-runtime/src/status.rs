//! The status of a lockspace, as the kernel and the cluster's daemon tell it.

use std::fs;
use std::path::Path;

use dlm_proto::{LockspaceName, NodeId};

/// The place where the kernel shows its lockspaces.
pub(crate) const LOCKSPACES: &str = "/sys/kernel/dlm";
/// The place where the cluster's daemon describes the cluster to the kernel.
pub(crate) const CLUSTER: &str = "/sys/kernel/config/dlm/cluster";
/// The bit of `recover_status` that is set when this node has done its part of the last recovery,
/// and cleared when the lockspace is stopped. That all nodes have done theirs stands in 0x80, but
/// on the member with the lowest id only: the others are told, and keep it nowhere.
const DONE: u32 = 0x40;

/// Whether a lockspace grants locks.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::State;
///
/// if lockspace.status().state == State::Stopped {
///     println!("nothing is granted until the cluster has recovered");
/// }
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize))]
#[non_exhaustive]
pub enum State {
    /// It does.
    Running,
    /// It is stopped, or is recovering, because the members of the cluster have changed, the
    /// quorum is lost or a node is still to be fenced. Requests block in `write` until it runs.
    Stopped,
    /// The kernel has no such lockspace.
    Absent,
    /// The kernel's file cannot be read (in a container, say).
    Unknown,
}

/// The status of a lockspace, so that a program can tell why it waits.
///
/// Everything but [`Status::state`] comes from the configuration file system, and is empty where
/// that is not mounted or not readable.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// let status = lockspace.status();
/// println!("members: {:?}, waits for {:?}", status.members, status.waiting_for);
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// Whether it grants locks.
    pub state: State,
    /// The node whose answer a recovery is waiting for, if it is waiting.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde::report::node"))]
    pub waiting_for: Option<NodeId>,
    /// The nodes that are members of the lockspace, as the kernel was told, in ascending order.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde::report::nodes"))]
    pub members: Vec<NodeId>,
    /// This node.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde::report::node"))]
    pub local_node: Option<NodeId>,
    /// The name of the cluster.
    pub cluster_name: Option<String>,
}

impl Status {
    /// A lockspace of which nothing but its state is known. The other fields can be set.
    #[must_use]
    pub const fn new(state: State) -> Self {
        Self { state, waiting_for: None, members: Vec::new(), local_node: None, cluster_name: None }
    }

    pub(crate) fn read(name: &LockspaceName) -> Self {
        // A name is valid UTF-8 in practice; one that is not has no readable status.
        let name = String::from_utf8_lossy(name);
        let kernel = Path::new(LOCKSPACES).join(&*name);
        let cluster = Path::new(CLUSTER);
        // What stands there when no recovery is under way is left from the last one.
        let waiting_for =
            number(&kernel.join("recover_nodeid")).filter(|_| progress(&kernel) != Some(0));
        let state = state(&kernel);
        Self {
            state,
            waiting_for: waiting_for
                .filter(|&node| node > 0 && state == State::Stopped)
                .map(NodeId),
            members: ids(&cluster.join("spaces").join(&*name).join("nodes")),
            local_node: local_node(&cluster.join("comms")),
            cluster_name: text(&cluster.join("cluster_name")).filter(|name| !name.is_empty()),
        }
    }
}

/// The steps of the recovery that are done; none as long as the lockspace is stopped.
fn progress(folder: &Path) -> Option<u32> {
    let bits = text(&folder.join("recover_status"))?;
    u32::from_str_radix(bits.trim_start_matches("0x"), 16).ok()
}

fn state(folder: &Path) -> State {
    match progress(folder) {
        Some(bits) if bits & DONE != 0 => State::Running,
        Some(_) => State::Stopped,
        None if folder.exists() || !Path::new(LOCKSPACES).exists() => State::Unknown,
        None => State::Absent,
    }
}

pub(crate) fn local_node(comms: &Path) -> Option<NodeId> {
    ids(comms)
        .into_iter()
        .find(|node| number(&comms.join(node.to_string()).join("local")) == Some(1))
}

/// The folders that are named by a number.
pub(crate) fn ids(folder: &Path) -> Vec<NodeId> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut ids: Vec<_> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(NodeId)).collect();
    ids.sort_unstable();
    ids
}

fn number(file: &Path) -> Option<u32> {
    text(file)?.parse().ok()
}

fn text(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim_end_matches(['\n', '\0']).to_owned())
}
