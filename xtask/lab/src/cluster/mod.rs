//! Clusters of virtual machines: corosync, dlm_controld and the kernel's DLM on each, and a
//! network that never leaves this process.

mod config;
mod disk;
mod evidence;
mod fence;
mod hub;
pub mod image;
mod packages;
mod peer;
mod run;
mod saved;
pub mod shell;
mod start;

use crate::vm::{Command, Vm, VmOptions};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use disk::SHARED_DISK;
pub use fence::Fenced;
pub use peer::{Line, Peer};
use start::Recipe;

/// What kind of cluster to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Kernel of all nodes, as named in [`crate::vm::kernels::KERNELS`].
    pub kernel: String,
    /// How many nodes, 1 to [`MOST_NODES`].
    pub nodes: u8,
    /// Every machine is killed after this time.
    pub time_limit: Duration,
    /// Whether a lost node is switched off before others get its locks.
    pub fencing: bool,
    /// Whether to start from a snapshot and to save one.
    pub snapshot: bool,
}

/// More would starve each other on a machine of two processors.
pub const MOST_NODES: u8 = 7;

impl Default for Options {
    fn default() -> Self {
        Self {
            kernel: VmOptions::default().kernel,
            nodes: 3,
            time_limit: Duration::from_secs(900),
            fencing: true,
            snapshot: true,
        }
    }
}

/// A running cluster. Its nodes count from 1. Dropping it ends all machines.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    recipe: Recipe,
    hub: hub::Hub,
    /// The machine of each node; none while it is off.
    nodes: Mutex<Vec<Option<Arc<Vm>>>>,
    fenced: fence::Record,
    /// What every machine of a node gets, from where and as what.
    programs: Mutex<Vec<(PathBuf, PathBuf)>>,
    disk: disk::Disk,
    deadline: Instant,
}

impl Cluster {
    /// Starts a cluster whose nodes are all members, from a snapshot if there is one.
    ///
    /// # Errors
    ///
    /// When something cannot be had, or a node does not come up; then with the logs of all nodes.
    pub fn start(options: &Options) -> Result<Self> {
        if options.nodes == 0 || options.nodes > MOST_NODES {
            bail!("a cluster here has 1 to {MOST_NODES} nodes");
        }
        start::start(options)
    }

    /// When its time is over.
    pub(crate) fn deadline(&self) -> Instant {
        self.shared.deadline
    }

    /// How many nodes there are, switched on or not.
    #[must_use]
    pub fn size(&self) -> u8 {
        self.shared.recipe.nodes
    }

    /// The numbers of the nodes.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.size()
    }

    /// The machine of a node. After a reboot it is another one.
    ///
    /// # Errors
    ///
    /// When there is no such node, or it is switched off.
    pub fn node(&self, number: u8) -> Result<Arc<Vm>> {
        self.shared.node(number)
    }

    /// The network, of which links can be cut.
    #[must_use]
    pub fn network(&self) -> &hub::Hub {
        &self.shared.hub
    }

    /// Switches a node off, as a power failure does.
    pub fn kill(&self, number: u8) {
        self.shared.switch_off(number);
    }

    /// Stops a node in its tracks: its machine gets no processor any more.
    ///
    /// # Errors
    ///
    /// When it is switched off.
    pub fn freeze(&self, number: u8) -> Result<()> {
        self.node(number)?.freeze();
        Ok(())
    }

    /// Lets a frozen node go on.
    ///
    /// # Errors
    ///
    /// When it is switched off.
    pub fn thaw(&self, number: u8) -> Result<()> {
        self.node(number)?.thaw();
        Ok(())
    }

    /// Switches a node on that is off, and waits until it is a member again with all others that
    /// are on.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn reboot(&self, number: u8) -> Result<()> {
        self.shared.reboot(number)
    }

    /// Kills dlm_controld on a node. The kernel stops its lockspaces, and nothing but a reboot of
    /// the node starts them again. The node may be fenced before this returns.
    ///
    /// # Errors
    ///
    /// When it is switched off.
    pub fn kill_controller(&self, number: u8) -> Result<()> {
        self.node(number)?.spawn(&sh("killall -9 dlm_controld")).map(drop)
    }

    /// Ends dlm_controld on a node that has no lockspaces, and starts it again.
    ///
    /// # Errors
    ///
    /// When it does not end, or does not find the other nodes.
    pub fn restart_controller(&self, number: u8) -> Result<()> {
        self.shared.restart_controller(number)
    }

    /// The nodes that were fenced so far, in order.
    #[must_use]
    pub fn fenced(&self) -> Vec<Fenced> {
        self.shared.fenced.list()
    }

    /// Lets fence agents wait, as if the power switch did not answer, until this is called again.
    pub fn hold_fencing(&self, held: bool) {
        self.shared.fenced.hold(held);
    }

    /// Waits until somebody wants a node fenced.
    ///
    /// # Errors
    ///
    /// When that does not happen in time.
    pub fn await_fencing(&self, number: u8, limit: Duration) -> Result<Fenced> {
        let asked = self.shared.fenced.wait(number, |_| true, limit);
        asked.with_context(|| format!("nobody wants node {number} fenced"))
    }

    /// Waits until a node has been fenced, which leaves it switched off.
    ///
    /// # Errors
    ///
    /// When that does not happen in time.
    pub fn await_fenced(&self, number: u8, limit: Duration) -> Result<Fenced> {
        let fenced = self.shared.fenced.wait(number, |fenced| fenced.off.is_some(), limit);
        fenced.with_context(|| format!("node {number} was not fenced"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // An agent that waits has the machines in use.
        self.shared.fenced.hold(false);
    }
}

impl Shared {
    fn node(&self, number: u8) -> Result<Arc<Vm>> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let node = nodes.get(usize::from(number).wrapping_sub(1));
        let node = node.with_context(|| format!("no node {number}"))?;
        node.clone().with_context(|| format!("node {number} is switched off"))
    }

    fn set(&self, number: u8, vm: Option<Arc<Vm>>) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get_mut(usize::from(number).wrapping_sub(1)) {
            *node = vm;
        }
    }

    /// Kills the machine, also when somebody still uses its handle.
    fn switch_off(&self, number: u8) {
        if let Ok(vm) = self.node(number) {
            vm.kill();
            self.set(number, None);
        }
    }
}

/// Warnings that kernels give at recoveries and that mean nothing: 6.1 copies a message into a
/// record whose declared size is smaller than what was allocated.
const KNOWN_WARNINGS: [&str; 1] = ["at fs/dlm/requestqueue.c"];

/// Whether a line of a kernel's log is such a warning.
#[must_use]
pub fn is_known_warning(line: &str) -> bool {
    KNOWN_WARNINGS.iter().any(|known| line.contains(known))
}

/// A shell script as a command.
#[must_use]
pub fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}
