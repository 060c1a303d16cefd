//! Rings, barriers and members on nodes that die or stand still.

use std::num::{NonZeroU16, NonZeroU32};
use std::thread;
use std::time::Duration;

use dlm_runtime::sync::{Barrier, Change, Doorbell, Presence};
use dlm_tests::{PATIENCE, WAYS, eventually};

use super::{on_three, waits};

const LATE: Duration = Duration::from_millis(1);

#[test]
fn a_ring_waits_for_a_listener_that_stands_still_until_it_is_fenced() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let open = |it: usize| Doorbell::open(&nodes[it].space, "b").wait().unwrap();
            let [one, two, three] = [0, 1, 2].map(open);
            let (mut second, mut third) =
                (way.of(two.listen()).unwrap(), way.of(three.listen()).unwrap());
            thread::scope(|scope| {
                let lost = scope.spawn(move || way.of(second.hear()));
                let heard = scope.spawn(move || way.of(third.hear().timeout(PATIENCE)).unwrap());
                let listens = |node: usize| {
                    nodes[node]
                        .space
                        .locks()
                        .iter()
                        .any(|it| it.mode == Some(dlm_runtime::Mode::Pr))
                };
                eventually("both listen", || listens(1) && listens(2));
                let frozen = cluster.node(2).freeze();
                let rung = scope.spawn(|| way.of(one.ring().timeout(PATIENCE)).unwrap());
                eventually("the ringer waits", || waits(cluster, &nodes[0], "b"));
                cluster.node(2).crash();
                assert_eq!(rung.join().unwrap(), 1);
                assert_eq!(heard.join().unwrap().number(), Some(1));
                drop(frozen);
                assert!(lost.join().unwrap().unwrap_err().is_closed());
            });
        });
    }
}

#[test]
fn a_ring_reaches_the_other_side_when_the_network_is_one_again() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let open = |it: usize| Doorbell::open(&nodes[it].space, "b").wait().unwrap();
            let [one, two, three] = [0, 1, 2].map(open);
            let mut far = way.of(three.listen()).unwrap();
            let divided = cluster.partition(&[&[1, 2], &[3]]);
            assert_eq!(way.of(one.ring()).unwrap(), 1);
            assert_eq!(way.of(two.ring()).unwrap(), 2);
            let silent = way.of(far.hear().timeout(LATE)).unwrap_err();
            assert!(silent.is_timed_out(), "{silent}");
            drop(divided);
            assert_eq!(way.of(far.hear().timeout(PATIENCE)).unwrap().number(), Some(2));
        });
    }
}

#[test]
fn a_barrier_is_not_passed_without_a_node_that_died_before() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let three = NonZeroU32::new(3).unwrap();
            let open = |it: usize| Barrier::open(&nodes[it].space, "b", three).wait().unwrap();
            let [one, _two, three] = [0, 1, 2].map(open);
            let late = way.of(one.arrive().timeout(LATE)).unwrap_err();
            assert!(late.is_timed_out(), "{late}");
            cluster.node(2).crash();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| way.of(three.arrive().timeout(PATIENCE)));
                let is_there = || {
                    nodes[2].space.locks().iter().any(|it| it.mode == Some(dlm_runtime::Mode::Pr))
                };
                eventually("node 3 has arrived", || is_there() || waiting.is_finished());
                let late = way.of(one.arrive().timeout(LATE)).unwrap_err();
                if waiting.is_finished() {
                    // The count was on node 2, and nobody had a copy.
                    assert!(waiting.join().unwrap().is_err());
                    return;
                }
                assert!(late.is_timed_out(), "{late}");
                // The node is back, and arrives.
                cluster.node(2).restart();
                let node = super::Node::new(cluster, 2);
                let again = NonZeroU32::new(3).unwrap();
                let again = Barrier::open(&node.space, "b", again).wait().unwrap();
                let second = scope
                    .spawn(move || way.of(again.arrive().timeout(PATIENCE)).map(|it| (it, node)));
                let first = way.of(one.arrive().timeout(PATIENCE)).unwrap();
                let third = waiting.join().unwrap().unwrap();
                let second = second.join().unwrap().unwrap().0;
                let generations = [first, second, third].map(|passed| passed.generation());
                assert_eq!(generations, [1; 3]);
            });
        });
    }
}

#[test]
fn a_member_on_a_node_that_crashed_has_died_and_not_left() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let places = NonZeroU16::new(6).unwrap();
            let open = |it: usize| Presence::open(&nodes[it].space, "p", places).wait().unwrap();
            let [one, two, three] = [0, 1, 2].map(open);
            let own = way.of(one.join("one")).unwrap();
            let left = way.of(two.join("left")).unwrap();
            let died = way.of(two.join("died")).unwrap();
            let mut watches = [&one, &three].map(|presence| way.of(presence.watch()).unwrap());
            let mut all = Vec::new();
            for watch in &mut watches {
                for _ in 0..3 {
                    all.push(way.of(watch.next_change().timeout(PATIENCE)).unwrap());
                }
            }
            let joined = [&own, &left, &died].map(|it| Change::Joined(it.member().clone()));
            assert_eq!(all, [joined.clone(), joined].concat());
            let (gone, dead) = (left.member().clone(), died.member().clone());
            way.of(left.leave()).unwrap();
            let fencing = cluster.hold_recovery();
            cluster.node(2).crash();
            drop(fencing);
            for watch in &mut watches {
                let mut changes =
                    [0, 1].map(|_| way.of(watch.next_change().timeout(PATIENCE)).unwrap());
                changes.sort_by_key(|change| matches!(change, Change::Died(_)));
                assert_eq!(changes, [Change::Left(gone.clone()), Change::Died(dead.clone())]);
            }
            assert!(!died.is_valid() && own.is_valid());
            assert_eq!(way.of(three.members()).unwrap(), [own.member().clone()]);
        });
    }
}

#[test]
fn a_member_on_a_node_that_stands_still_is_there_until_it_is_fenced() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let places = NonZeroU16::new(4).unwrap();
            let open = |it: usize| Presence::open(&nodes[it].space, "p", places).wait().unwrap();
            // Node 1 keeps what is asked for.
            let [one, two, three] = [0, 1, 2].map(open);
            let first = way.of(one.join("one")).unwrap();
            let second = way.of(two.join("two")).unwrap();
            let mut watch = way.of(three.watch()).unwrap();
            for _ in 0..2 {
                way.of(watch.next_change().timeout(PATIENCE)).unwrap();
            }
            let frozen = cluster.node(2).freeze();
            let silent = way.of(watch.next_change().timeout(LATE)).unwrap_err();
            assert!(silent.is_timed_out(), "{silent}");
            let dead = second.member().clone();
            cluster.node(2).crash();
            drop(frozen);
            let change = way.of(watch.next_change().timeout(PATIENCE)).unwrap();
            assert_eq!(change, Change::Died(dead));
            drop(first);
        });
    }
}
