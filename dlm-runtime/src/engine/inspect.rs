//! Looks at the lockspaces of nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dlm_proto::LockspaceName;

use super::{Cluster, Node};
use crate::backend::Backend;
use crate::inspect::{Condition, Opener, Program, Snapshot, Space, parse_queues};

impl Node {
    /// What [`Snapshot::of_kernel`] takes of a node with a kernel.
    ///
    /// The engine keeps no times: the ages of locks are not known. While
    /// [recoveries are held](Cluster::hold_recovery) the fencing of lost nodes is what a lockspace waits for.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let spaces: Vec<_> = {
            let state = self.hub.lock();
            let names = state.engine.lockspaces(self.id);
            let known = names.filter_map(|(minor, name)| {
                let name = LockspaceName::new(name).ok()?;
                let open = state.opens.iter().filter(|(_, open)| open.place == (self.id, minor));
                let count = open.count();
                let dump = state.engine.dump(self.id, minor)?;
                let lost: Vec<_> = state.engine.awaits_fencing_of(self.id, minor).collect();
                let condition = (!lost.is_empty()).then_some(Condition::Fencing(lost));
                Some((minor, name, count, dump.to_string(), condition))
            });
            known.collect()
        };
        let here = Program::of_process(std::process::id());
        let lockspaces: Vec<Space> = spaces
            .into_iter()
            .map(|(minor, name, count, queues, condition)| {
                let text = String::from_utf8_lossy(&name).into_owned();
                let opener = here.clone().map(|program| Opener { program, count });
                Space {
                    id: None,
                    minor: Some(minor),
                    status: self.status(&name),
                    condition,
                    resources: parse_queues(&text, queues.as_bytes()).ok(),
                    openers: Some(opener.into_iter().filter(|opener| opener.count > 0).collect()),
                    name: text,
                }
            })
            .collect();
        let tasks: BTreeSet<u32> = lockspaces
            .iter()
            .flat_map(|space| space.resources.iter().flatten())
            .flat_map(|resource| {
                let is_master = resource.is_master();
                resource.locks.iter().filter(move |lock| lock.foreign_node(is_master).is_none())
            })
            .map(|lock| lock.task)
            .collect();
        // All are of this process, those whose thread has ended, too.
        let programs: BTreeMap<_, _> =
            tasks.into_iter().filter_map(|task| Some((task, here.clone()?))).collect();
        Snapshot {
            node: Some(self.id),
            host: format!("node{}", self.id),
            cluster: "engine".to_owned(),
            kernel: format!("engine, {:?}", self.hub.config.profile),
            taken: Duration::ZERO,
            lockspaces,
            programs,
        }
    }
}

impl Cluster {
    /// A snapshot of each node that is up, for [`merge`](crate::inspect::merge()).
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.nodes().filter(Node::is_up).map(|node| node.snapshot()).collect()
    }
}
