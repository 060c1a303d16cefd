//! Data under a lock whose holder dies, stands still, or is cut off.

use std::thread;
use std::time::Duration;

use dlm_runtime::sync::{Mutex, RwLock};
use dlm_tests::{PATIENCE, WAYS, eventually};

use super::{on_three, waits};

/// What is not granted, however long it waits.
const LATE: Duration = Duration::from_millis(1);

#[test]
fn a_mutex_of_a_crashed_node_is_granted_after_it_was_fenced() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let [_, two, three] = [0, 1, 2].map(|it: usize| Mutex::new(&nodes[it].space, "m", it));
            let held = way.of(two.lock()).unwrap();
            let fencing = cluster.hold_recovery();
            thread::scope(|scope| {
                let next = scope.spawn(|| *way.of(three.lock().timeout(PATIENCE)).unwrap());
                eventually("node 3 waits", || waits(cluster, &nodes[2], "m"));
                cluster.node(2).crash();
                assert!(!held.is_valid());
                assert!(!next.is_finished());
                drop(fencing);
                assert_eq!(next.join().unwrap(), 2);
            });
            drop(held);
        });
    }
}

#[test]
fn a_mutex_of_a_node_that_stands_still_waits_for_it() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let [_, two, three] = [0, 1, 2].map(|it: usize| Mutex::new(&nodes[it].space, "m", ()));
            let held = way.of(two.lock()).unwrap();
            let frozen = cluster.node(2).freeze();
            // It still has it, for all that the others know.
            let late = way.of(three.lock().timeout(LATE)).unwrap_err();
            assert!(late.is_timed_out(), "{late}");
            drop(frozen);
            assert!(held.is_valid());
            drop(held);
            drop(way.of(three.lock().timeout(PATIENCE)).unwrap());
        });
    }
}

#[test]
fn a_mutex_on_the_other_side_of_the_network_is_granted_when_it_is_one_again() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let [one, _, three] = [0, 1, 2].map(|it: usize| Mutex::new(&nodes[it].space, "m", ()));
            let held = way.of(one.lock()).unwrap();
            let divided = cluster.partition(&[&[1, 2], &[3]]);
            let late = way.of(three.lock().timeout(LATE)).unwrap_err();
            assert!(late.is_timed_out(), "{late}");
            drop(held);
            drop(divided);
            drop(way.of(three.lock().timeout(PATIENCE)).unwrap());
            // What was given up is not granted behind everybody's back.
            drop(way.of(one.lock().timeout(PATIENCE)).unwrap());
        });
    }
}

#[test]
fn a_reader_becomes_a_writer_when_another_reader_dies() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let [one, two, _] = [0, 1, 2].map(|it: usize| RwLock::new(&nodes[it].space, "r", ()));
            let (first, second) = (way.of(one.read()).unwrap(), way.of(two.read()).unwrap());
            thread::scope(|scope| {
                let upgraded = scope.spawn(|| way.of(first.upgrade()).map(drop));
                eventually("node 1 waits", || waits(cluster, &nodes[0], "r"));
                cluster.node(2).crash();
                upgraded.join().unwrap().unwrap();
            });
            assert!(way.of(second.upgrade()).unwrap_err().error.is_closed());
        });
    }
}
