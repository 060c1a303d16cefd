//! The lockspaces of this node, and what is in their queues.

use dlm_runtime::inspect::{
    Condition, Grouping, InspectError, Lock, Resource, Snapshot, Space, State, deadlock, merge,
};

use super::Finding;
use crate::output::time;

/// A resource with a waiter of this age is told of.
const LONG: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) fn look() -> Vec<Finding> {
    let mut snapshot = match Snapshot::of_kernel() {
        Ok(snapshot) => snapshot,
        // That it is not mounted is said elsewhere.
        Err(InspectError::NoDebugfs) => match Snapshot::without_queues() {
            Ok(snapshot) => snapshot,
            Err(error) => return vec![Finding::unknown("lockspaces", error.to_string())],
        },
        Err(error) => return vec![Finding::unknown("lockspaces", error.to_string())],
    };
    snapshot.ask_controller();
    let mut found: Vec<Finding> = snapshot.lockspaces.iter().flat_map(of_lockspace).collect();
    if found.is_empty() {
        let count = snapshot.lockspaces.len();
        found.push(Finding::ok("lockspaces", format!("{count}, all of which run and are in use")));
    }
    let resources = merge(&[snapshot]);
    found.extend(of_queues(&resources));
    found
}

fn of_lockspace(space: &Space) -> Vec<Finding> {
    let name = &space.name;
    let mut found = Vec::new();
    match (space.status.state, space.status.waiting_for) {
        (State::Stopped, _) if space.condition.is_some() => {
            let condition = space.condition.as_ref().map_or(String::new(), ToString::to_string);
            found.push(Finding::bad(
                "recovery",
                format!("{name} is stopped: {condition} is awaited"),
                match &space.condition {
                    Some(Condition::Fencing(_)) => {
                        "if the node is off for certain, and no agent can fence it: dlm_tool fence_ack \
                         NODE"
                    }
                    _ => "bring nodes back: corosync-quorumtool -s lists them",
                },
            ));
        }
        (State::Stopped, Some(node)) => found.push(Finding::bad(
            "recovery",
            format!("{name} is recovering, and waits for node {node}"),
            format!("if it stays so: look at node {node}, by dlm doctor there, or reboot it"),
        )),
        (State::Stopped, None) => found.push(Finding::bad(
            "recovery",
            format!("{name} is stopped: every request waits"),
            "it goes on when the cluster has its quorum and failed nodes are fenced: dlm_tool ls -n",
        )),
        _ => {}
    }
    if space.is_left_behind() == Some(true) {
        found.push(Finding::note(
            "references",
            format!("{name} is there, and nobody has it open: it was left behind, or is kept"),
            format!("dlm leave --all-references {name}"),
        ));
    }
    found
}

fn of_queues(resources: &[Resource]) -> Vec<Finding> {
    let mut found = Vec::new();
    for resource in resources.iter().filter(|resource| resource.is_doubled) {
        found.push(Finding::bad(
            "double resources",
            format!(
                "{}/{} is there twice: EX may be held twice",
                resource.lockspace, resource.name
            ),
            "stop the programs that use it, and start them one after the other",
        ));
    }
    for deadlock in deadlock::find(resources, Grouping::Thread) {
        found.push(Finding::bad("deadlock", deadlock.to_string(), "dlm watch --end-deadlocks"));
    }
    let orphans = resources.iter().filter(|resource| {
        resource.is_contended() && resource.locks.iter().any(|lock| lock.is_orphan == Some(true))
    });
    for resource in orphans {
        let (space, name) = (&resource.lockspace, &resource.name);
        found.push(Finding::bad(
            "orphans",
            format!("somebody waits for {space}/{name}, which an orphan holds"),
            format!("dlm adopt -l {space} {name}, or for all orphans: dlm purge {space}"),
        ));
    }
    let oldest = |resource: &Resource| {
        let waiting = resource.locks.iter().filter(|lock| lock.is_waiting());
        waiting.filter_map(|lock: &Lock| lock.age).max()
    };
    let long = resources.iter().filter_map(|it| Some((oldest(it)?, it)));
    if let Some((age, resource)) = long.max_by_key(|(age, _)| *age).filter(|(age, _)| *age >= LONG)
    {
        let (space, name) = (&resource.lockspace, &resource.name);
        found.push(Finding::note(
            "waits",
            format!("somebody has waited for {space}/{name} for {}", time(age)),
            format!("dlm why -l {space} {name}"),
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok("queues", "no deadlock, and no orphan that somebody waits for"));
    }
    found
}
