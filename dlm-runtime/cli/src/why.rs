//! `dlm why`: one paragraph on a resource. Who holds it, who waits in which order, whether the
//! lockspace runs, and what to do.

mod advice;

use std::fmt::Write as _;

use dlm_runtime::inspect::{
    Condition, Lock, Place, Resource, Snapshot, Space, State, Status as Progress, meaning,
};
use dlm_runtime::inspect::{Grouping, deadlock, merge};
use serde::Serialize;

use crate::args::{Common, WhyArgs};
use crate::json;
use crate::name;
use crate::output::{print, print_json, time};
use crate::scene::{Depth, Scene, check_lockspace};
use crate::status::{Failure, Status};

/// What is known about one resource.
pub(crate) struct Case<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) progress: &'a Progress,
    /// What the lockspace awaits before it may recover.
    pub(crate) condition: Option<&'a Condition>,
    /// Deadlocks that one of its locks is in.
    pub(crate) deadlocks: Vec<&'a deadlock::Deadlock>,
}

/// The output with `--json`.
#[derive(Debug, Serialize)]
struct Answer {
    /// The resource.
    #[serde(flatten)]
    resource: json::Resource,
    /// Whether its lockspace runs.
    state: &'static str,
    /// The node whose answer a recovery waits for.
    waiting_for: Option<u32>,
    /// What the lockspace awaits before it may recover.
    awaits: Option<String>,
    /// Deadlocks that one of its locks is in.
    deadlocks: Vec<json::Deadlock>,
    /// What to do, in sentences.
    advice: Vec<String>,
}

pub(crate) fn run(args: &WhyArgs, scene: &Scene, common: &Common) -> Result<Status, Failure> {
    let wanted = name::bytes(&args.resource).map_err(|why| Failure::new(Status::Usage, why))?;
    let snapshots = scene.snapshots(Depth::All)?;
    if let Some(name) = &args.lockspace {
        check_lockspace(&snapshots, name)?;
    }
    let resources = merge(&snapshots);
    let deadlocks = deadlock::find(&resources, Grouping::Thread);
    let cases: Vec<Case<'_>> = resources
        .iter()
        .filter(|resource| *resource.name == *wanted)
        .filter(|resource| args.lockspace.as_ref().is_none_or(|name| *name == resource.lockspace))
        .filter_map(|resource| Case::new(resource, &snapshots, &deadlocks))
        .collect();
    if common.json {
        print_json(&cases.iter().map(Case::answer).collect::<Vec<_>>())?;
    } else if cases.is_empty() {
        print(&nothing(args, &snapshots))?;
    } else {
        let texts: Vec<String> = cases.iter().map(Case::text).collect();
        print(&texts.join("\n"))?;
    }
    Ok(if cases.is_empty() { Status::Not } else { Status::Good })
}

/// What is said about a resource that no node at hand knows.
fn nothing(args: &WhyArgs, snapshots: &[Snapshot]) -> String {
    let place = args.lockspace.as_ref().map_or(String::new(), |name| format!(" in {name}"));
    let mut text = format!("{}: nobody here holds or wants a lock on it{place}.", args.resource);
    let members = |snapshot: &Snapshot| {
        let spaces = snapshot.lockspaces.iter();
        spaces.map(|space| space.status.members.len()).max().unwrap_or(0)
    };
    let most = snapshots.iter().map(members).max().unwrap_or(0);
    if most > snapshots.len() {
        text.push_str(" Other nodes may: ask them with --ask 'ssh {} dlm dump'.");
    }
    text.push('\n');
    text
}

impl<'a> Case<'a> {
    fn new(
        resource: &'a Resource,
        snapshots: &'a [Snapshot],
        deadlocks: &'a [deadlock::Deadlock],
    ) -> Option<Self> {
        let spaces: Vec<&Space> =
            snapshots.iter().filter_map(|it| it.lockspace(&resource.lockspace)).collect();
        // A node that is stopped says more than one that runs, and most if it knows why.
        let space = *spaces.iter().max_by_key(|space| {
            (space.condition.is_some(), space.status.state == State::Stopped)
        })?;
        let is_of = |party: &deadlock::Party| {
            party.lockspace == resource.lockspace && party.resource == resource.name
        };
        let deadlocks = deadlocks.iter().filter(|it| it.parties.iter().any(is_of)).collect();
        let (progress, condition) = (&space.status, space.condition.as_ref());
        Some(Self { resource, progress, condition, deadlocks })
    }

    fn answer(&self) -> Answer {
        Answer {
            resource: self.resource.into(),
            state: json::state(self.progress.state),
            waiting_for: self.progress.waiting_for.map(|node| node.0),
            awaits: self.condition.map(ToString::to_string),
            deadlocks: self.deadlocks.iter().map(|it| json::Deadlock::from(*it)).collect(),
            advice: advice::of(self),
        }
    }

    fn text(&self) -> String {
        let Resource { lockspace, name, master, locks, .. } = self.resource;
        let mut text = format!("{lockspace}/{name}");
        if let Some(meaning) = meaning(lockspace, name) {
            let _ = write!(text, " ({meaning})");
        }
        text.push_str(": ");
        text.push_str(&holders(locks));
        text.push_str(&waiters(locks));
        match (master, self.resource.is_complete) {
            (Some(node), false) => {
                let _ = write!(
                    text,
                    " Node {node} is its master, and knows all its locks; these are \
                                      the ones known here."
                );
            }
            (Some(node), true) => _ = write!(text, " Its master is node {node}."),
            (None, _) => {}
        }
        match (self.progress.state, self.progress.waiting_for) {
            (State::Stopped, _) if self.condition.is_some() => {
                let condition = self.condition.map_or(String::new(), ToString::to_string);
                let _ = write!(
                    text,
                    " The lockspace is stopped: {condition} is awaited, and nothing is granted until \
                     then."
                );
            }
            (State::Stopped, Some(node)) => {
                let _ = write!(
                    text,
                    " The lockspace is recovering, and waits for node {node}: nothing is granted \
                     until that is done."
                );
            }
            (State::Stopped, None) => {
                text.push_str(" The lockspace is stopped: nothing is granted until it runs again.");
            }
            (State::Running, _) => text.push_str(" The lockspace runs."),
            _ => {}
        }
        text.push('\n');
        for line in advice::of(self) {
            let _ = writeln!(text, "* {line}");
        }
        text
    }
}

/// Who holds what, as a sentence.
fn holders(locks: &[Lock]) -> String {
    let held = locks.iter().filter(|lock| lock.granted.is_some());
    let held: Vec<String> = held.map(|lock| owned(lock, lock.granted)).collect();
    match held.len() {
        0 => "Nobody known here holds it.".to_owned(),
        _ => format!("Held: {}.", list(&held)),
    }
}

/// Who waits, in order, as a sentence.
fn waiters(locks: &[Lock]) -> String {
    let waiting: Vec<&Lock> = locks.iter().filter(|lock| lock.is_waiting()).collect();
    if waiting.is_empty() {
        return " Nobody waits.".to_owned();
    }
    let words = waiting.iter().enumerate().map(|(at, lock)| {
        let converts = match (lock.place, lock.granted) {
            (Place::Converting, Some(mode)) => format!(", which holds {mode} meanwhile"),
            (Place::Unqueued, _) => ", on its way to the master".to_owned(),
            _ => String::new(),
        };
        format!("{}. {}{converts}", at + 1, owned(lock, lock.requested))
    });
    format!(" Waiting, in this order: {}.", words.collect::<Vec<_>>().join("; "))
}

/// `EX by backup[4711] on node 1, for 35 s`.
fn owned(lock: &Lock, mode: Option<dlm_runtime::Mode>) -> String {
    let mode = mode.map_or("-", dlm_runtime::Mode::name);
    let age = lock.age.map_or(String::new(), |age| format!(", for {}", time(age)));
    format!("{mode} by {}{age}", lock.owner())
}

fn list(words: &[String]) -> String {
    /// More holders than this are counted.
    const MOST: usize = 12;
    let shown = words.iter().take(MOST).cloned().collect::<Vec<_>>().join("; ");
    match words.len().checked_sub(MOST) {
        Some(more) if more > 0 => format!("{shown}; and {more} more"),
        _ => shown,
    }
}
