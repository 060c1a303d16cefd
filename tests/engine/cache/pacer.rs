//! The time of the cluster, and its faults.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use dlm_random::Random;
use dlm_runtime::LockspaceName;
use dlm_runtime::engine::{Cluster, FaultGuard};
use dlm_tests::PATIENCE;

use super::disk::Path;

/// As often somebody who has results is waited for. It may be that it waits itself for time to pass.
const LOOKS: u32 = 200;

/// After as many looks in vain nothing goes on but by the end of a fault.
const IDLE: u32 = 20;

/// The time of a cluster passes while nobody uses the value, and nobody has something to read: what is
/// waited for takes as long as the messages, and not as this machine.
pub(super) struct Pace {
    pub(super) cluster: Cluster,
    /// Those who use the value.
    users: AtomicUsize,
    is_over: AtomicBool,
    faults: AtomicUsize,
    fenced: AtomicUsize,
}

/// A fault that lasts.
struct Lasting {
    guard: FaultGuard,
    /// So many things happen before it ends.
    steps: u64,
    /// The nodes that are fenced then.
    doomed: Vec<usize>,
}

/// Lets time stop at the end.
pub(super) struct Stop<'a>(&'a Pace);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

impl Pace {
    pub(super) fn new(cluster: Cluster) -> Self {
        let [users, faults, fenced] = [0; 3].map(AtomicUsize::new);
        Self { cluster, users, is_over: AtomicBool::new(false), faults, fenced }
    }

    /// Time stands still meanwhile.
    pub(super) fn uses(&self, work: impl FnOnce()) {
        self.users.fetch_add(1, Ordering::SeqCst);
        work();
        self.users.fetch_sub(1, Ordering::SeqCst);
    }

    /// Does something that others on their nodes must answer.
    pub(super) fn while_time_passes<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let work = scope.spawn(work);
            while !work.is_finished() {
                self.cluster.step();
                thread::yield_now();
            }
            work.join().unwrap()
        })
    }

    /// The faults that there were, and the nodes that were lost by them.
    pub(super) fn faults(&self) -> [usize; 2] {
        [&self.faults, &self.fenced].map(|count| count.load(Ordering::SeqCst))
    }

    pub(super) fn stop(&self) -> Stop<'_> {
        Stop(self)
    }

    /// Lets time pass, and makes so many faults.
    pub(super) fn run(&self, paths: &[Path], mut faults: u32, random: &mut Random) {
        let name = LockspaceName::new(b"test").unwrap();
        let (mut lasting, mut until_next) = (None::<Lasting>, 10 + random.below(60));
        let (mut looks, mut idle, mut last) = (0, 0, Instant::now());
        while !self.is_over.load(Ordering::SeqCst) {
            assert!(last.elapsed() < PATIENCE, "nothing goes on");
            let is_used = self.users.load(Ordering::SeqCst) > 0;
            let reads = || self.cluster.nodes().any(|node| node.has_results(&name));
            if is_used || looks < LOOKS && reads() {
                looks += 1;
                thread::yield_now();
                continue;
            }
            looks = 0;
            if self.cluster.step() {
                (idle, last) = (0, Instant::now());
                until_next = until_next.saturating_sub(1);
                if let Some(fault) = &mut lasting {
                    fault.steps = fault.steps.saturating_sub(1);
                }
            } else {
                idle += 1;
                thread::yield_now();
            }
            // What waits for its end may be all that is left.
            let is_over = |fault: &mut Lasting| fault.steps == 0 || idle > IDLE;
            if let Some(fault) = lasting.take_if(is_over) {
                self.end(fault, paths);
                until_next = 10 + random.below(60);
            }
            if until_next == 0 && lasting.is_none() && faults > 0 {
                faults -= 1;
                lasting = self.begin(paths, random);
            }
        }
    }

    fn begin(&self, paths: &[Path], random: &mut Random) -> Option<Lasting> {
        let is_up = |node: &usize| !paths[*node].disk.is_fenced(*node);
        let mut up: Vec<usize> = (0..paths.len()).filter(is_up).collect();
        // Fewer than half of them.
        let most = (up.len() - 1) / 2;
        let count = usize::try_from(random.below(most as u64)).unwrap() + 1;
        if most == 0 {
            return None;
        }
        let mut part = Vec::new();
        for _ in 0..count {
            let at = usize::try_from(random.below(up.len() as u64)).unwrap();
            part.push(up.swap_remove(at));
        }
        let id = |node: &usize| u32::try_from(node + 1).unwrap();
        let (steps, is_fenced) = (random.below(100), random.below(2) == 0);
        let guard = if random.below(2) == 0 {
            part.truncate(1);
            self.cluster.node(id(&part[0])).freeze()
        } else {
            let ids: Vec<u32> = part.iter().map(id).collect();
            self.cluster.partition(&[&ids])
        };
        self.faults.fetch_add(1, Ordering::SeqCst);
        let doomed = if is_fenced { part } else { Vec::new() };
        Some(Lasting { guard, steps, doomed })
    }

    /// Fences, as a cluster manager does after a while, or all is well again.
    fn end(&self, fault: Lasting, paths: &[Path]) {
        for node in fault.doomed {
            self.fenced.fetch_add(1, Ordering::SeqCst);
            paths[node].fence();
            self.cluster.node(u32::try_from(node + 1).unwrap()).crash();
        }
        drop(fault.guard);
    }
}
