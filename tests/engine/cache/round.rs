//! One round: a cluster from its beginning to its end.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dlm_random::Random;
use dlm_runtime::engine::{ClusterOptions, Profile};

use super::disk::Disk;
use super::node::Node;
use super::pacer::Pace;

/// A round. All in it follows from the seed, but the order in which threads run.
#[derive(Debug)]
pub(super) struct Round {
    seed: u64,
    profile: Profile,
    nodes: usize,
    threads: usize,
    times: u32,
    faults: u32,
}

/// What happened in some rounds. The time is that of the cluster.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    waits: u64,
    total: Duration,
    longest: Duration,
    faults: usize,
    fenced: usize,
}

impl Tally {
    pub(super) fn note(&mut self, wait: Option<Duration>) {
        if let Some(wait) = wait {
            self.add(Self { waits: 1, total: wait, longest: wait, ..Self::default() });
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.waits += other.waits;
        self.faults += other.faults;
        self.fenced += other.fenced;
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }
}

impl Round {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let profile = if random.below(2) == 0 { Profile::Linux6_1 } else { Profile::Linux6_12 };
        // From 2 to 16, mostly few.
        let most = 2 + random.below(15);
        let nodes = usize::try_from(2 + random.below(most - 1)).unwrap();
        let threads = usize::try_from(1 + random.below(2)).unwrap();
        let times = u32::try_from(5 + random.below(15)).unwrap();
        let faults = u32::try_from(random.below(4)).unwrap();
        Self { seed, profile, nodes, threads, times, faults }
    }

    /// The longest wait that there may be, with so many faults.
    fn bound(&self, faults: usize) -> Duration {
        // Each user may come before, and the lock is handed on by three messages of half a millisecond
        // each. After each fault the lockspace recovers, and the master may be another one.
        let users = u32::try_from(self.nodes * self.threads).unwrap();
        let faults = u32::try_from(faults).unwrap();
        (users + 4) * (1 + faults) * Duration::from_millis(2) + faults * Duration::from_millis(100)
    }

    pub(super) fn run(&self, is_bounded: bool) -> Tally {
        let options = ClusterOptions::new().profile(self.profile).seed(self.seed).manual_time();
        let cluster = options.nodes(u32::try_from(self.nodes).unwrap()).start();
        let disk = Arc::new(Disk::new(self.nodes, self.threads));
        let pace = &Pace::new(cluster.clone());
        let (mut random, mut tally) = (Random::new(!self.seed), Tally::default());
        let nodes = pace.while_time_passes(|| {
            let all = 0..self.nodes;
            all.map(|number| Node::new(&cluster, &disk, number)).collect::<Vec<_>>()
        });
        thread::scope(|scope| {
            let nodes = &nodes;
            let _stop = pace.stop();
            let paths: Vec<_> = nodes.iter().map(|node| node.path.clone()).collect();
            let mut of_faults = Random::new(random.number());
            scope.spawn(move || pace.run(&paths, self.faults, &mut of_faults));
            let slots = (0..self.nodes * self.threads).map(|slot| (slot, slot / self.threads));
            let each: Vec<_> = slots
                .clone()
                .map(|(slot, node)| {
                    let mut random = Random::new(random.number());
                    let node = &nodes[node];
                    scope.spawn(move || node.work(pace, slot, self.times, &mut random))
                })
                .collect();
            for thread in each {
                tally.add(thread.join().unwrap());
            }
            nodes.iter().for_each(Node::close);
            slots.for_each(|(slot, node)| nodes[node].check(slot));
        });
        pace.while_time_passes(|| drop(nodes));
        assert_eq!(cluster.check(), Ok(()), "{self:?}");
        [tally.faults, tally.fenced] = pace.faults();
        let bound = self.bound(tally.faults);
        assert!(!is_bounded || tally.longest <= bound, "{self:?}: {tally:?}, over {bound:?}");
        tally
    }
}
