//! Ready-made coordination on three nodes, of which some crash, stand still, or are cut off.

mod data;
mod leader;
mod permits;
mod told;

use dlm_runtime::engine::{Cluster, ClusterOptions, Profile};
use dlm_runtime::{DeliveryThread, Lockspace, LockspaceName};

/// A node: its lockspace, and who reads its results.
struct Node {
    space: Lockspace,
    number: u32,
    _delivery: DeliveryThread,
}

impl Node {
    fn new(cluster: &Cluster, number: u32) -> Self {
        let space = Lockspace::create_on(cluster.node(number), "sync").unwrap();
        let _delivery = space.start_delivery().unwrap();
        Self { space, number, _delivery }
    }
}

/// Runs a test on three nodes, of each kind and with some seeds.
fn on_three(test: impl Fn(&Cluster, &[Node; 3])) {
    for profile in [Profile::Linux6_1, Profile::Linux6_12] {
        for seed in 0..4 {
            let cluster = ClusterOptions::new().profile(profile).nodes(3).seed(seed).start();
            let nodes = [1, 2, 3].map(|number| Node::new(&cluster, number));
            test(&cluster, &nodes);
            assert_eq!(cluster.check(), Ok(()));
        }
    }
}

/// Whether a lock of this node waits on this resource.
fn waits(cluster: &Cluster, node: &Node, resource: &str) -> bool {
    let queues = cluster.node(node.number).queues(&LockspaceName::new(b"sync").unwrap());
    queues.iter().any(|queue| {
        queue.name.as_ref() == resource.as_bytes()
            && !(queue.waiting.is_empty() && queue.converting.is_empty())
    })
}
