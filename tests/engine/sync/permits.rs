//! Permits that are lost with their nodes.

use std::num::NonZeroU16;
use std::thread;

use dlm_runtime::sync::Semaphore;
use dlm_tests::{PATIENCE, WAYS, eventually};

use super::{on_three, waits};

#[test]
fn permits_of_a_crashed_node_come_back_and_so_does_its_place_at_the_gate() {
    for way in WAYS {
        on_three(|cluster, nodes| {
            let two = NonZeroU16::new(2).unwrap();
            let join = |it: usize| Semaphore::open(&nodes[it].space, "s", two).wait().unwrap();
            let [first, second, third] = [0, 1, 2].map(join);
            let own = way.of(first.acquire()).unwrap();
            let theirs = way.of(second.acquire()).unwrap();
            thread::scope(|scope| {
                // Node 2 is at the gate, too, when it dies, and node 3 behind it.
                let lost = scope.spawn(|| way.of(second.acquire()));
                eventually("node 2 is at the gate", || waits(cluster, &nodes[1], "s#0"));
                let next = scope.spawn(|| way.of(third.acquire().timeout(PATIENCE)).unwrap());
                eventually("node 3 waits", || waits(cluster, &nodes[2], "s#gate"));
                cluster.node(2).crash();
                assert!(lost.join().unwrap().unwrap_err().is_closed());
                let next = next.join().unwrap();
                assert_eq!((own.number(), next.number()), (0, theirs.number()));
                assert!(next.is_valid() && !theirs.is_valid());
            });
            drop(own);
            drop(way.of(first.acquire()).unwrap());
        });
    }
}
