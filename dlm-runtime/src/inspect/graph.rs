//! The graph of who waits for whom.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;

use dlm_proto::NodeId;

use super::merge::{Lock, Obstacle, Resource};
use super::program::Program;

/// The locks that are taken for those of one party, which cannot go on as long as one of them
/// waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// Those of a transaction, if the program gave its requests one
    /// ([`LockRequest::transaction`](crate::LockRequest::transaction)), else those of a thread. A
    /// circle of these stands still for certain, if threads wait in blocking calls.
    #[default]
    Thread,
    /// Those of a transaction, else those of a process. A process of several threads, or one that
    /// waits for several things at a time, may still come out of a circle by itself.
    Process,
}

/// A party that holds locks and waits for them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Agent {
    /// A transaction of programs of a node.
    Transaction(Option<NodeId>, u64),
    /// A thread of a node.
    Thread(Option<NodeId>, u32),
    /// A process of a node.
    Process(Option<NodeId>, Program),
}

impl Agent {
    pub(super) fn of(lock: &Lock, grouping: Grouping) -> Self {
        match (grouping, &lock.program) {
            _ if lock.transaction != 0 => Self::Transaction(lock.node, lock.transaction),
            (Grouping::Process, Some(program)) => Self::Process(lock.node, program.clone()),
            _ => Self::Thread(lock.node, lock.task),
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = match self {
            Self::Transaction(node, number) => {
                write!(f, "transaction {number}")?;
                node
            }
            Self::Thread(node, task) => {
                write!(f, "thread {task}")?;
                node
            }
            Self::Process(node, program) => {
                write!(f, "{program}")?;
                node
            }
        };
        node.map_or(Ok(()), |node| write!(f, " on node {node}"))
    }
}

/// A wait of one party for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Who waits: a place in [`WaitGraph::agents`].
    pub waiter: usize,
    /// Whom for: a place in [`WaitGraph::agents`].
    pub blocker: usize,
    /// The resource: a place in the list that the graph was made of.
    pub resource: usize,
    /// The lock that waits: a place in the resource's locks.
    pub waiting_lock: usize,
    /// The lock that it waits for: a place in the resource's locks.
    pub blocking_lock: usize,
    /// The reason.
    pub obstacle: Obstacle,
}

/// Waits that lead from a party back to itself: none of them ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// The waits, each for the party that the next one belongs to.
    pub waits: Vec<Wait>,
}

/// The graph of all waits.
#[derive(Debug, Clone, Default)]
pub struct WaitGraph {
    /// The parties that wait or are waited for.
    pub agents: Vec<Agent>,
    /// A name for each of them, as [`Lock::owner`] gives it.
    pub names: Vec<String>,
    /// The waits, by resource and place in its queue.
    pub waits: Vec<Wait>,
}

impl WaitGraph {
    /// The graph of the waits on these resources.
    #[must_use]
    pub fn new(resources: &[Resource], grouping: Grouping) -> Self {
        let mut graph = Self::default();
        let mut known: BTreeMap<Agent, usize> = BTreeMap::new();
        for (at, resource) in resources.iter().enumerate().filter(|(_, it)| it.is_contended()) {
            for (waiting_lock, lock) in resource.locks.iter().enumerate() {
                for blocker in resource.blockers(waiting_lock) {
                    let Some(other) = resource.locks.get(blocker.lock) else { continue };
                    let mut place = |lock: &Lock| {
                        let agent = Agent::of(lock, grouping);
                        *known.entry(agent.clone()).or_insert_with(|| {
                            graph.agents.push(agent);
                            graph.names.push(lock.owner().to_string());
                            graph.agents.len() - 1
                        })
                    };
                    let (waiter, blocking) = (place(lock), place(other));
                    graph.waits.push(Wait {
                        waiter,
                        blocker: blocking,
                        resource: at,
                        waiting_lock,
                        blocking_lock: blocker.lock,
                        obstacle: blocker.obstacle,
                    });
                }
            }
        }
        graph
    }

    /// The circles in which parties wait for each other: a shortest one for each set of parties
    /// that cannot go on because of each other. A party that waits for a lock of its own is a circle
    /// of one.
    #[must_use]
    pub fn cycles(&self) -> Vec<Cycle> {
        let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); self.agents.len()];
        for (at, wait) in self.waits.iter().enumerate() {
            if let Some(list) = leaving.get_mut(wait.waiter) {
                list.push(at);
            }
        }
        let component = components(&self.waits, &leaving);
        let mut found: BTreeMap<usize, Cycle> = BTreeMap::new();
        for start in 0..self.agents.len() {
            let Some(&own) = component.get(start) else { continue };
            if let Some(cycle) = self.shortest(start, &leaving, &component) {
                let best = found.get(&own).map_or(usize::MAX, |cycle| cycle.waits.len());
                if cycle.waits.len() < best {
                    found.insert(own, cycle);
                }
            }
        }
        found.into_values().collect()
    }

    /// The shortest way from a party back to itself, breadth first.
    fn shortest(&self, start: usize, leaving: &[Vec<usize>], component: &[usize]) -> Option<Cycle> {
        let own = component.get(start)?;
        // The wait by which a party was reached.
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(agent) = queue.pop_front() {
            for &at in leaving.get(agent)? {
                let wait = self.waits.get(at)?;
                if component.get(wait.blocker) != Some(own) {
                    continue;
                }
                if wait.blocker == start {
                    let mut waits = vec![*wait];
                    let mut agent = wait.waiter;
                    while agent != start {
                        let wait = self.waits.get(*reached.get(&agent)?)?;
                        waits.push(*wait);
                        agent = wait.waiter;
                    }
                    waits.reverse();
                    return Some(Cycle { waits });
                }
                if let Entry::Vacant(place) = reached.entry(wait.blocker) {
                    place.insert(at);
                    queue.push_back(wait.blocker);
                }
            }
        }
        None
    }
}

/// The number of the strongly connected component of each party (Tarjan's algorithm, without
/// recursion).
fn components(waits: &[Wait], leaving: &[Vec<usize>]) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let len = leaving.len();
    let (mut index, mut low, mut component) = (vec![NONE; len], vec![0; len], vec![NONE; len]);
    let (mut stack, mut next, mut count) = (Vec::new(), 0, 0);
    for root in 0..len {
        if index.get(root) != Some(&NONE) {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((agent, edge)) = work.pop() {
            if edge == 0 {
                set(&mut index, agent, next);
                set(&mut low, agent, next);
                next += 1;
                stack.push(agent);
            }
            let target = leaving.get(agent).and_then(|list| list.get(edge));
            let target = target.and_then(|&at| waits.get(at)).map(|wait| wait.blocker);
            if let Some(target) = target {
                if get(&index, target) == NONE {
                    // The same edge again, once what it leads to is done.
                    work.push((agent, edge + 1));
                    work.push((target, 0));
                    continue;
                }
                if get(&component, target) == NONE {
                    let lower = get(&low, agent).min(get(&index, target));
                    set(&mut low, agent, lower);
                }
                work.push((agent, edge + 1));
                continue;
            }
            if get(&low, agent) == get(&index, agent) {
                while let Some(member) = stack.pop() {
                    set(&mut component, member, count);
                    if member == agent {
                        break;
                    }
                }
                count += 1;
            }
            if let Some(&(parent, _)) = work.last() {
                let lower = get(&low, parent).min(get(&low, agent));
                set(&mut low, parent, lower);
            }
        }
    }
    component
}

fn get(list: &[usize], at: usize) -> usize {
    list.get(at).copied().unwrap_or(usize::MAX)
}

fn set(list: &mut [usize], at: usize, value: usize) {
    if let Some(place) = list.get_mut(at) {
        *place = value;
    }
}
