//! A cluster of three in this process, with something to look at: a holder and waiters, a deadlock
//! over two resources, and the locks of a volume group.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::thread;

use dlm_runtime::engine::{Cluster, ClusterOptions, Node};
use dlm_runtime::inspect::{Program, Snapshot};
use dlm_runtime::{Lock, Lockspace, Mode, NodeId, ValueBlock};

use crate::status::{Failure, Status};

/// A program of the sample: node, number, name, and what it asks for, one after the other.
type Role = (u32, u32, &'static str, &'static [(&'static str, &'static str, Mode)]);

const ROLES: [Role; 6] = [
    (1, 4711, "backup", &[("demo", "disk0", Mode::Ex), ("demo", "disk1", Mode::Pr)]),
    (2, 815, "web", &[("demo", "disk0", Mode::Pr)]),
    (3, 1234, "report", &[("demo", "disk0", Mode::Ex)]),
    (2, 2001, "left", &[("demo", "debit", Mode::Ex)]),
    (3, 2002, "right", &[("demo", "credit", Mode::Ex), ("demo", "debit", Mode::Ex)]),
    (1, 902, "lvmlockd", &[("lvm_vg0", "VGLK", Mode::Pr), ("lvm_global", "GLLK", Mode::Nl)]),
];

/// What closes the circle, once all hold what they hold.
const LAST: (usize, &str, &str, Mode) = (3, "demo", "credit", Mode::Ex);

/// The sample, for as long as it lives.
pub(super) struct Sample {
    cluster: Cluster,
    /// The programs that threads of this process play.
    programs: BTreeMap<u32, Program>,
    _kept: Vec<(Vec<Lock>, Vec<Lockspace>)>,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sample").field("programs", &self.programs).finish_non_exhaustive()
    }
}

impl Sample {
    pub(super) fn new() -> Result<Self, Failure> {
        let cluster = ClusterOptions::new().nodes(3).start();
        // Each program is a thread, which lives until all have asked: the number of one that has
        // ended could go to the next.
        let (mut programs, mut kept, mut threads) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (node, pid, name, asks) in ROLES {
            let (go_on, told) = channel::<Option<(&str, &str, Mode)>>();
            let (sender, played) = channel();
            let node = cluster.node(node);
            threads.push((
                go_on,
                thread::spawn(move || {
                    let begun = play(&node, asks);
                    let task = nix::unistd::gettid().as_raw();
                    let is_begun = begun.is_ok();
                    // The one who made this thread is waiting.
                    let _ = sender.send((task, begun));
                    if let (true, Ok(Some(last))) = (is_begun, told.recv()) {
                        return play(&node, &[last]);
                    }
                    Ok((Vec::new(), Vec::new()))
                }),
            ));
            let failed = || Failure::new(Status::System, "the sample of --engine cannot be made");
            let (task, begun) = played.recv().map_err(|_| failed())?;
            kept.push(begun?);
            let program = Program::named(pid, name);
            programs.insert(u32::try_from(task).unwrap_or(0), program);
        }
        let (who, lockspace, resource, mode) = LAST;
        for (at, (go_on, thread)) in threads.into_iter().enumerate() {
            let last = Some((lockspace, resource, mode)).filter(|_| at == who);
            // A thread that has ended says so below.
            let _ = go_on.send(last);
            let ended = thread.join();
            kept.push(
                ended.map_err(|_| Failure::new(Status::System, "a thread of --engine died"))??,
            );
        }
        Ok(Self { cluster, programs, _kept: kept })
    }

    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        let mut snapshots = self.cluster.snapshots();
        for snapshot in &mut snapshots {
            for (task, program) in &mut snapshot.programs {
                if let Some(played) = self.programs.get(task) {
                    *program = played.clone();
                }
            }
        }
        snapshots
    }

    pub(super) fn node(&self, node: NodeId) -> Node {
        self.cluster.node(node.0)
    }

    pub(super) fn here(&self) -> Node {
        self.cluster.node(1)
    }
}

/// Asks for locks, each of which is granted or waits.
fn play(node: &Node, asks: &[(&str, &str, Mode)]) -> Result<(Vec<Lock>, Vec<Lockspace>), Failure> {
    let failure = |error| Failure::of(&error, Status::System);
    let (mut locks, mut spaces) = (Vec::new(), Vec::new());
    for &(name, resource, mode) in asks {
        let space = dlm_runtime::LockspaceOptions::new().backend(node.clone());
        let space = space.open_or_create(name).map_err(failure)?;
        let lock = space.lock(resource, mode).with_lvb().start(|_| {}).map_err(failure)?;
        space.dispatch().map_err(failure)?;
        if lock.mode() == Some(Mode::Ex) && resource == "disk0" {
            let block = ValueBlock::from_prefix(b"generation 7").unwrap_or(ValueBlock::ZERO);
            lock.convert(mode).write_lvb(block).start(|_| {}).map_err(failure)?;
            space.dispatch().map_err(failure)?;
        }
        locks.push(lock);
        spaces.push(space);
    }
    Ok((locks, spaces))
}
