//! Leaders and batches of numbers that are lost with their nodes.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;

use dlm_runtime::engine::Cluster;
use dlm_runtime::sync::{Election, Record, Sequence};
use dlm_tests::{Kept, PATIENCE, WAYS, eventually};

use super::{on_three, waits};

/// A record whose user dies when this number is recorded, or never.
struct Fatal {
    record: Arc<Kept>,
    cluster: Cluster,
    node: u32,
    number: u64,
}

impl Record for Fatal {
    fn last(&self) -> io::Result<u64> {
        self.record.last()
    }

    fn record(&self, number: u64) -> io::Result<()> {
        self.record.record(number)?;
        if number == self.number {
            self.cluster.node(self.node).crash();
        }
        Ok(())
    }
}

/// `fatal`: the term at the beginning of which node 2 dies.
fn record(cluster: &Cluster, record: &Arc<Kept>, fatal: u64) -> Fatal {
    Fatal { record: Arc::clone(record), cluster: cluster.clone(), node: 2, number: fatal }
}

#[test]
fn a_leader_that_dies_in_office_is_followed_by_a_greater_term() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let kept = Arc::new(Kept::default());
            let join = |it: usize| {
                Election::open(&nodes[it].space, "e", Arc::clone(&kept)).wait().unwrap()
            };
            let [one, two, three] = [0, 1, 2].map(join);
            assert_eq!(way.of(one.campaign()).unwrap().term(), 1);
            let leadership = way.of(two.campaign()).unwrap();
            assert_eq!(leadership.term(), 2);
            thread::scope(|scope| {
                let next = scope.spawn(|| way.of(three.campaign().timeout(PATIENCE)).unwrap());
                way.of(leadership.challenged().timeout(PATIENCE)).unwrap();
                cluster.node(2).crash();
                assert!(!leadership.is_leader());
                assert!(way.of(leadership.challenged()).unwrap_err().is_closed());
                let next = next.join().unwrap();
                assert!(next.is_leader());
                assert_eq!(next.term(), 3);
            });
        });
    }
}

#[test]
fn no_term_comes_again_whose_leader_died_before_it_was_stored() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let kept = Arc::new(Kept::default());
            let join = |it: usize| {
                Election::open(&nodes[it].space, "e", record(cluster, &kept, 2)).wait().unwrap()
            };
            let [one, two, three] = [0, 1, 2].map(join);
            assert_eq!(way.of(one.campaign()).unwrap().term(), 1);
            assert!(way.of(two.campaign()).unwrap_err().is_closed());
            // The block may say 1, and may be valid.
            assert_eq!(way.of(three.campaign().timeout(PATIENCE)).unwrap().term(), 3);
            assert_eq!(way.of(one.campaign().timeout(PATIENCE)).unwrap().term(), 4);
        });
    }
}

#[test]
fn a_leader_that_stands_still_does_not_see_its_successor_and_has_a_smaller_term() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let kept = Arc::new(Kept::default());
            let join = |it: usize| {
                Election::open(&nodes[it].space, "e", Arc::clone(&kept)).wait().unwrap()
            };
            let [one, two, _] = [0, 1, 2].map(join);
            let old = way.of(two.campaign()).unwrap();
            let frozen = cluster.node(2).freeze();
            thread::scope(|scope| {
                let next = scope.spawn(|| way.of(one.campaign().timeout(PATIENCE)).unwrap());
                eventually("node 1 waits", || waits(cluster, &nodes[0], "e"));
                // The others fence it.
                cluster.node(2).crash();
                let next = next.join().unwrap();
                assert!(old.term() < next.term());
                assert!(next.is_leader());
            });
            drop(frozen);
            assert!(!old.is_leader());
        });
    }
}

#[test]
fn numbers_come_once_although_nodes_die_with_their_batches() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let kept = Arc::new(Kept::default());
            let batch = NonZeroU64::new(3).unwrap();
            // Node 2 dies while it takes its second batch.
            let join = |it: usize| {
                let record = record(cluster, &kept, 12);
                Sequence::open(&nodes[it].space, "s", batch, record).wait().unwrap()
            };
            let [one, two, three] = [0, 1, 2].map(join);
            let mut numbers = Vec::new();
            for sequence in [&one, &two, &three] {
                numbers.push(way.of(sequence.next()).unwrap());
            }
            let rest = std::iter::repeat_with(|| way.of(two.next()));
            numbers.extend(rest.take(9).map_while(Result::ok));
            assert_eq!(numbers, [1, 4, 7, 5, 6]);
            for _ in 0..6 {
                numbers.extend([&one, &three].map(|it| way.of(it.next()).unwrap()));
            }
            let different: BTreeSet<u64> = numbers.iter().copied().collect();
            assert_eq!(different.len(), numbers.len(), "{numbers:?}");
            assert!(!different.contains(&10));
        });
    }
}
