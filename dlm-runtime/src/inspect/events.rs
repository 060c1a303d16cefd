//! What has changed between two looks at the lockspaces.

use std::fmt;

use dlm_proto::NodeId;

use super::condition::Condition;
use super::snapshot::{Snapshot, Space};
use crate::status::State;

/// Something that has changed in a lockspace of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The lockspace.
    pub lockspace: String,
    /// What it is.
    pub kind: ChangeKind,
}

/// The kind of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The lockspace is there.
    Created,
    /// It is gone from this node.
    Removed,
    /// It is stopped, or recovers and waits for no node: requests wait.
    Stopped,
    /// It is stopped, and may recover only when this has come.
    Awaits(Condition),
    /// It is recovering, and waits for the answer of this node.
    WaitsFor(NodeId),
    /// It runs: requests are granted.
    Runs,
    /// A node has become its member.
    Joined(NodeId),
    /// A node is its member no more.
    Left(NodeId),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.lockspace;
        match &self.kind {
            ChangeKind::Created => write!(f, "{name} is there"),
            ChangeKind::Removed => write!(f, "{name} is gone from this node"),
            ChangeKind::Stopped => write!(f, "{name} is stopped"),
            ChangeKind::Awaits(condition) => write!(f, "{name} is stopped: {condition} is awaited"),
            ChangeKind::WaitsFor(node) => {
                write!(f, "{name} is recovering, and waits for node {node}")
            }
            ChangeKind::Runs => write!(f, "{name} runs"),
            ChangeKind::Joined(node) => write!(f, "node {node} has joined {name}"),
            ChangeKind::Left(node) => write!(f, "node {node} has left {name}"),
        }
    }
}

/// The changes between two snapshots of a node, with queues or without
/// ([`Snapshot::without_queues`]): a stream of events, for who looks again and again. The kernel tells
/// nobody when a lockspace stops.
#[must_use]
pub fn changes(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let mut found = Vec::new();
    for space in &after.lockspaces {
        let mut add = |kind| found.push(Change { lockspace: space.name.clone(), kind });
        match before.lockspace(&space.name).filter(|old| is_same(old, space)) {
            None => {
                add(ChangeKind::Created);
                status(None, space, &mut add);
            }
            Some(old) => status(Some(old), space, &mut add),
        }
    }
    for old in &before.lockspaces {
        if after.lockspace(&old.name).is_none_or(|space| !is_same(old, space)) {
            let lockspace = old.name.clone();
            found.insert(0, Change { lockspace, kind: ChangeKind::Removed });
        }
    }
    found
}

/// Whether it was not removed and made anew in between, as far as that can be told.
fn is_same(old: &Space, new: &Space) -> bool {
    old.minor == new.minor
}

fn status(old: Option<&Space>, new: &Space, add: &mut impl FnMut(ChangeKind)) {
    let members =
        |space: Option<&Space>| space.map(|it| it.status.members.clone()).unwrap_or_default();
    let (before, after) = (members(old), members(Some(new)));
    after
        .iter()
        .filter(|node| !before.contains(node))
        .for_each(|&node| add(ChangeKind::Joined(node)));
    before
        .iter()
        .filter(|node| !after.contains(node))
        .for_each(|&node| add(ChangeKind::Left(node)));
    let progress = |space: &Space| {
        let Space { status, condition, .. } = space;
        (status.state, status.waiting_for, condition.clone())
    };
    let (was, is) = (old.map(progress), progress(new));
    if was.as_ref() == Some(&is) {
        return;
    }
    match is {
        (State::Stopped, _, Some(condition)) => add(ChangeKind::Awaits(condition)),
        (State::Stopped, Some(node), None) => add(ChangeKind::WaitsFor(node)),
        (State::Stopped, None, None) => add(ChangeKind::Stopped),
        (State::Running, ..) if was.is_none_or(|(state, ..)| state != State::Running) => {
            add(ChangeKind::Runs);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;
    use dlm_proto::Minor;

    /// A name, a minor number, and what the status has.
    type Given<'a> = (&'a str, u32, State, Option<u32>, &'a [u32]);

    fn snapshot(spaces: &[Given<'_>]) -> Snapshot {
        let space = |&(name, minor, state, waits, members): &Given<'_>| {
            let mut status = Status::new(state);
            status.waiting_for = waits.map(NodeId);
            status.members = members.iter().copied().map(NodeId).collect();
            Space {
                name: name.into(),
                id: None,
                minor: Some(Minor(minor)),
                status,
                condition: None,
                resources: None,
                openers: None,
            }
        };
        Snapshot { lockspaces: spaces.iter().map(space).collect(), ..Snapshot::default() }
    }

    fn kinds(before: &Snapshot, after: &Snapshot) -> Vec<ChangeKind> {
        changes(before, after).into_iter().map(|change| change.kind).collect()
    }

    #[test]
    fn what_changes_is_told_once_and_in_order() {
        let none = snapshot(&[]);
        let runs = snapshot(&[("a", 1, State::Running, None, &[1, 2])]);
        let stopped = snapshot(&[("a", 1, State::Stopped, None, &[1, 2])]);
        let waits = snapshot(&[("a", 1, State::Stopped, Some(2), &[1])]);
        let anew = snapshot(&[("a", 2, State::Running, None, &[1])]);
        let (one, two) = (NodeId(1), NodeId(2));
        use ChangeKind::{Awaits, Created, Joined, Left, Removed, Runs, Stopped, WaitsFor};
        assert_eq!(kinds(&none, &runs), [Created, Joined(one), Joined(two), Runs]);
        assert_eq!(kinds(&runs, &runs), []);
        assert_eq!(kinds(&runs, &stopped), [Stopped]);
        assert_eq!(kinds(&stopped, &waits), [Left(two), WaitsFor(two)]);
        assert_eq!(kinds(&waits, &runs), [Joined(two), Runs]);
        let mut fencing = stopped.clone();
        let condition = Condition::Fencing(vec![two]);
        fencing.lockspaces[0].condition = Some(condition.clone());
        assert_eq!(kinds(&stopped, &fencing), [Awaits(condition)]);
        assert_eq!(kinds(&fencing, &waits), [Left(two), WaitsFor(two)]);
        assert_eq!(kinds(&runs, &none), [Removed]);
        assert_eq!(kinds(&runs, &anew), [Removed, Created, Joined(one), Runs]);
    }
}
