//! `dlm ls`: the lockspaces.

use dlm_runtime::inspect::{Condition, Snapshot, Space, State, Status as Progress};

use crate::args::Common;
use crate::json;
use crate::output::{Table, is_coloured, print, print_json};
use crate::scene::Scene;
use crate::status::{Failure, Status};

pub(crate) fn run(scene: &Scene, common: &Common) -> Result<Status, Failure> {
    let snapshots = scene.lockspaces()?;
    if common.json {
        let all: Vec<_> = snapshots.iter().flat_map(json::Lockspace::all).collect();
        print_json(&all)?;
        return Ok(Status::Good);
    }
    print(&text(&snapshots, is_coloured()))?;
    Ok(Status::Good)
}

fn text(snapshots: &[Snapshot], coloured: bool) -> String {
    let mut table = Table::with_heads(&[
        "NODE",
        "LOCKSPACE",
        "STATE",
        "MEMBERS",
        "RESOURCES",
        "LOCKS",
        "WAITED FOR",
        "USED BY",
    ]);
    let mut count = 0;
    for snapshot in snapshots {
        let all = json::Lockspace::all(snapshot).zip(&snapshot.lockspaces);
        for (shown, space) in all {
            let known = |number: Option<usize>| number.map_or("?".to_owned(), |n| n.to_string());
            let members = shown.members.iter().map(ToString::to_string).collect::<Vec<_>>();
            table.add(vec![
                shown.node.map_or("-".to_owned(), |node| node.to_string()),
                shown.name,
                state(space),
                if members.is_empty() { "-".to_owned() } else { members.join(" ") },
                known(shown.resources),
                known(shown.locks),
                known(shown.contended),
                users(space),
            ]);
            count += 1;
        }
    }
    if count == 0 { "no lockspaces\n".to_owned() } else { table.text(coloured) }
}

fn state(space: &Space) -> String {
    state_of(&space.status, space.condition.as_ref())
}

/// The state of a lockspace in a few words.
pub(crate) fn state_of(status: &Progress, condition: Option<&Condition>) -> String {
    match (status.state, status.waiting_for, condition) {
        (State::Stopped, _, Some(condition)) => format!("stopped, awaits {condition}"),
        (State::Stopped, Some(node), None) => format!("recovering, waits for node {node}"),
        (State::Stopped, None, None) => "stopped".to_owned(),
        (state, ..) => json::state(state).to_owned(),
    }
}

fn users(space: &Space) -> String {
    match (&space.openers, space.minor) {
        (_, None) => "the kernel".to_owned(),
        (None, _) => "? (root sees it)".to_owned(),
        (Some(users), _) if users.is_empty() => {
            format!("nobody: dlm leave --all-references {}", space.name)
        }
        (Some(users), _) => {
            users.iter().map(|user| user.program.to_string()).collect::<Vec<_>>().join(" ")
        }
    }
}
