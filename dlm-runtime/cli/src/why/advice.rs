//! What to do about a resource.

use dlm_runtime::inspect::{Lock, Obstacle, State};

use super::Case;

/// What can be done, in sentences, the most urgent first.
pub(super) fn of(case: &Case<'_>) -> Vec<String> {
    let resource = case.resource;
    let (lockspace, name) = (&resource.lockspace, &resource.name);
    let mut advice = Vec::new();
    if case.progress.state == State::Stopped {
        advice.push(
            "It goes on by itself once the cluster has its quorum and failed nodes are fenced; `dlm \
             doctor` tells what is missing for that."
                .to_owned(),
        );
    }
    if resource.is_doubled {
        advice.push(format!(
            "A node has two resources of this name, and both may be granted EX: stop the programs \
             that use {lockspace}/{name}, and start them one after the other."
        ));
    }
    for deadlock in &case.deadlocks {
        advice.push(format!(
            "{deadlock}. `dlm graph` draws it, `dlm watch --end-deadlocks` ends it."
        ));
    }
    if !resource.is_contended() {
        return advice;
    }
    for holder in in_the_way(case) {
        advice.push(about(holder, lockspace, name));
    }
    if !resource.is_complete {
        let node = resource.master.map_or(String::new(), |node| format!(" {node}"));
        advice.push(format!(
            "For all holders and waiters run it on the master, node{node}, or let this node ask the \
             others: dlm why --ask 'ssh {{}} dlm dump' ..."
        ));
    }
    advice
}

/// The holders that the first who waits waits for.
fn in_the_way<'a>(case: &Case<'a>) -> Vec<&'a Lock> {
    let locks = &case.resource.locks;
    let Some(first) = locks.iter().position(Lock::is_waiting) else { return Vec::new() };
    let blockers = case.resource.blockers(first).into_iter();
    let holders = blockers.filter(|blocker| blocker.obstacle == Obstacle::Holds);
    holders.filter_map(|blocker| locks.get(blocker.lock)).take(3).collect()
}

fn about(holder: &Lock, lockspace: &str, name: &dlm_runtime::ResourceName) -> String {
    let owner = holder.owner();
    match holder.is_orphan {
        Some(true) => format!(
            "{owner} holds it, and no program can unlock that: `dlm adopt -l {lockspace} {name}` takes \
             it over, `dlm purge {lockspace}` removes all orphans of its node."
        ),
        None if holder.flags.contains(dlm_runtime::LockFlags::PERSISTENT) => format!(
            "The lock of {owner} outlives its program, which may be gone: then `dlm adopt -l \
             {lockspace} {name}` takes it over, `dlm purge {lockspace}` removes all orphans of its node."
        ),
        _ => match &holder.program {
            Some(program) => format!(
                "{owner} must unlock it, or convert it down; should it hang, its end (kill {}) \
                 releases it.",
                program.pid
            ),
            None => format!("{owner} must unlock it, or convert it down."),
        },
    }
}
