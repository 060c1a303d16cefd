//! Brings the nodes up: from a snapshot of all of them when there is one, else by booting.

use super::disk::Disk;
use super::saved::Shelf;
use super::{Cluster, Options, Shared, config, fence, hub::Hub, image, sh};
use crate::vm::kernels::Kernel;
use crate::vm::progress::slow;
use crate::vm::qemu::Hardware;
use crate::vm::start::{Launcher, wake};
use crate::vm::store::{Key, Store};
use crate::vm::{Vm, apt, provision};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For corosync and dlm_controld of all nodes to find each other. Six seconds are usual, and
/// seventeen were seen; a busy machine may need many times that.
const JOIN_LIMIT: Duration = Duration::from_secs(300);

/// How often a node is switched on that is fenced before it is a member.
const REBOOTS: u32 = 4;

/// What a node is started from, the first time and again.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) kernel: Kernel,
    store: Store,
    initramfs: PathBuf,
    pub(super) nodes: u8,
    pub(super) fencing: bool,
}

impl Recipe {
    /// Arguments for the machine of a node, without what differs from run to run.
    pub(super) fn arguments(&self, node: u8) -> Vec<OsString> {
        let hardware = Hardware {
            vmlinux: &self.kernel.vmlinux(),
            initramfs: &self.initramfs,
            cpus: 1,
            memory_mib: 224,
            controller: false,
            icount: false,
            node: Some(node),
        };
        hardware.arguments()
    }

    /// Files of the nodes that depend on the options.
    fn files(&self) -> [(&'static str, String); 3] {
        [
            ("/etc/corosync/corosync.conf", config::corosync(self.nodes)),
            ("/etc/dlm/dlm.conf", config::dlm(self.fencing)),
            ("/etc/hosts", config::hosts(self.nodes)),
        ]
    }
}

pub(super) fn start(options: &Options) -> Result<Cluster> {
    // Its lock is held until the machines are up.
    let parts = image::prepare(&options.kernel)?;
    let recipe = Recipe {
        kernel: parts.guest.kernel.clone(),
        store: parts.guest.store.clone(),
        initramfs: parts.image.path.clone(),
        nodes: options.nodes,
        fencing: options.fencing,
    };
    let qemu = apt::find_program(provision::QEMU).context("QEMU vanished")?;
    let mut key = Key::default();
    key.add(&parts.image.key).add_stamp(&recipe.kernel.vmlinux()).add_stamp(&qemu);
    key.add(recipe.files()).add(recipe.arguments(1)).add(recipe.nodes);
    let shelf = Shelf::new(&recipe.store, recipe.kernel.name, &key.finish());
    let shared = Arc::new(Shared {
        hub: Hub::new(options.nodes),
        nodes: Mutex::new(vec![None; options.nodes.into()]),
        fenced: fence::Record::default(),
        programs: Mutex::default(),
        disk: Disk::new(&recipe.store)?,
        deadline: Instant::now() + options.time_limit,
        recipe,
    });
    let cluster = Cluster { shared };

    if options.snapshot && shelf.is_there() {
        match cluster.restore(&shelf) {
            Ok(()) => return Ok(cluster),
            Err(error) => {
                let line = error.to_string();
                let line = line.lines().next().unwrap_or_default();
                eprintln!("xtask: a snapshot is unusable and will be made anew ({line})");
                shelf.remove();
            }
        }
    }
    let _slow = slow(format!("booting {} nodes with kernel {}", options.nodes, options.kernel));
    cluster.boot().map_err(|error| cluster.explain(&error))?;
    if options.snapshot {
        if let Err(error) = cluster.save(&shelf) {
            eprintln!("xtask: no snapshot of the cluster: {error:#}");
            shelf.remove();
        }
    }
    cluster.watch_fences()?;
    Ok(cluster)
}

impl Shared {
    /// Calls the function for every node at the same time; the first error wins.
    pub(super) fn each(&self, work: impl Fn(u8) -> Result<()> + Sync) -> Result<()> {
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (1..=self.recipe.nodes).map(|node| scope.spawn(move || work(node))).collect();
            let results: Vec<_> = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
                .collect();
            results.into_iter().collect()
        })
    }

    /// Does something with the starter of a node's machine.
    pub(super) fn launch(
        &self,
        node: u8,
        start: impl FnOnce(&Launcher<'_>) -> Result<Vm>,
    ) -> Result<()> {
        let connect = || self.hub.connect(node);
        let launcher = Launcher {
            kernel: self.recipe.kernel.name,
            store: &self.recipe.store,
            deadline: self.deadline,
            network: Some(&connect),
            disk: Some(self.disk.path()),
        };
        let vm = start(&launcher)?;
        self.set(node, Some(Arc::new(vm)));
        Ok(())
    }

    pub(super) fn boot(&self, node: u8) -> Result<()> {
        let arguments = self.recipe.arguments(node);
        self.launch(node, |launcher| {
            let vm = launcher.boot(&arguments)?;
            wake(&vm)?;
            Ok(vm)
        })
    }

    /// Starts the cluster's programs on a node and waits until this many nodes are members.
    fn join(&self, node: u8, members: usize) -> Result<()> {
        let vm = self.node(node)?;
        for (path, text) in self.recipe.files() {
            vm.put_file(path, 0o644, text.as_bytes())?;
        }
        self.up(node, members, "")
    }

    fn up(&self, node: u8, members: usize, how: &str) -> Result<()> {
        let command = sh(&format!("node-up {node} {members} {how}")).limit(JOIN_LIMIT);
        let output = self.node(node)?.capture(&command)?;
        if !output.exit.success() {
            bail!("node {node} does not join: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// How many nodes are on.
    fn on(&self) -> usize {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().flatten().count()
    }

    pub(super) fn restart_controller(&self, node: u8) -> Result<()> {
        self.up(node, self.on(), "again")
    }

    /// Switches a node on again. Its programs join the others.
    ///
    /// Those may have it fenced once more: the members that lost it still want that done, and wait
    /// for its dlm_controld no longer than post_join_delay. Then it comes up again, as any fenced
    /// machine does.
    pub(super) fn reboot(self: &Arc<Self>, node: u8) -> Result<()> {
        let mut tries = 1;
        loop {
            let fenced = self.fenced.count(node);
            match self.switch_on(node) {
                Err(_) if self.fenced.count(node) > fenced && tries < REBOOTS => tries += 1,
                other => return other,
            }
        }
    }

    fn switch_on(self: &Arc<Self>, node: u8) -> Result<()> {
        self.switch_off(node);
        self.boot(node)?;
        let vm = self.node(node)?;
        let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        programs.iter().try_for_each(|(from, to)| vm.add_program(from, to))?;
        fence::watch(self, node)?;
        self.join(node, self.on())
    }
}

impl Cluster {
    fn boot(&self) -> Result<()> {
        self.shared.each(|node| self.shared.boot(node))?;
        self.shared.each(|node| self.shared.join(node, self.size().into()))
    }

    pub(super) fn watch_fences(&self) -> Result<()> {
        self.numbers().try_for_each(|node| fence::watch(&self.shared, node))
    }
}
