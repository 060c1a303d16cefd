//! `dlm watch`: what happens, as lines.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dlm_runtime::inspect::{Change, ChangeKind, Snapshot, changes, deadlock, merge};
use serde::Serialize;

use crate::args::{Common, WatchArgs};
use crate::json;
use crate::output::{print, print_json};
use crate::scene::{Depth, Scene};
use crate::status::{Failure, Status};

/// A line of the output with `--json`.
#[derive(Debug, Serialize)]
struct Event<'a> {
    /// `created`, `removed`, `stopped`, `awaits`, `waits_for`, `runs`, `joined`, `left`, `deadlock`,
    /// `deadlock_ended`.
    event: &'static str,
    /// The lockspace; of a deadlock that of its victim.
    lockspace: &'a str,
    /// The node that has joined or left, or that is waited for; of a deadlock that of its victim.
    node: Option<u32>,
    /// What a lockspace awaits before it may recover.
    #[serde(skip_serializing_if = "Option::is_none")]
    awaits: Option<String>,
    /// Milliseconds since 1970.
    time_ms: u64,
    /// The deadlock.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadlock: Option<json::Deadlock>,
}

pub(crate) fn run(args: &WatchArgs, scene: &Scene, common: &Common) -> Result<Status, Failure> {
    let until = args.duration.and_then(|duration| Instant::now().checked_add(duration));
    let with_queues = args.deadlocks || args.end_deadlocks;
    let mut before: Vec<Snapshot> = Vec::new();
    let (mut watch, mut looks) = (deadlock::watch(), 0);
    loop {
        let mut now =
            if with_queues { scene.snapshots(Depth::All)? } else { scene.without_queues()? };
        for snapshot in &mut now {
            let wanted = |name: &str| args.lockspace.as_ref().is_none_or(|wanted| wanted == name);
            snapshot.lockspaces.retain(|space| wanted(&space.name));
        }
        for snapshot in &now {
            let nothing = Snapshot::default();
            let old = before.iter().find(|old| old.node == snapshot.node).unwrap_or(&nothing);
            for change in changes(old, snapshot) {
                tell(&change, common)?;
            }
        }
        if with_queues {
            for deadlock in watch.look(&merge(&now)) {
                found(&deadlock, args, scene, common)?;
            }
        }
        before = now;
        looks += 1;
        if args.count.is_some_and(|count| looks >= count) {
            return Ok(Status::Good);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(Status::Good);
        }
        // The kernel tells nobody when a lockspace stops, or a lock begins to wait.
        thread::sleep(args.interval.max(Duration::from_millis(10)));
    }
}

fn tell(change: &Change, common: &Common) -> Result<(), Failure> {
    if !common.json {
        return print(&format!("{} {change}\n", clock()));
    }
    let (event, node) = match &change.kind {
        ChangeKind::Awaits(condition) => {
            let awaits = Some(condition.to_string());
            let lockspace = change.lockspace.as_str();
            let (time_ms, event) = (millis(), "awaits");
            return print_json(&Event {
                time_ms,
                event,
                lockspace,
                node: None,
                awaits,
                deadlock: None,
            });
        }
        ChangeKind::Created => ("created", None),
        ChangeKind::Removed => ("removed", None),
        ChangeKind::Stopped => ("stopped", None),
        ChangeKind::WaitsFor(node) => ("waits_for", Some(node.0)),
        ChangeKind::Runs => ("runs", None),
        ChangeKind::Joined(node) => ("joined", Some(node.0)),
        ChangeKind::Left(node) => ("left", Some(node.0)),
        // Of a later version of the library.
        _ => return Ok(()),
    };
    let lockspace = change.lockspace.as_str();
    print_json(&Event { time_ms: millis(), event, lockspace, node, awaits: None, deadlock: None })
}

/// Tells of a deadlock, and ends it, if that was asked for and its victim is at hand.
fn found(
    deadlock: &deadlock::Deadlock,
    args: &WatchArgs,
    scene: &Scene,
    common: &Common,
) -> Result<(), Failure> {
    let victim = deadlock.victim();
    let say = |event: &'static str, text: String| {
        if !common.json {
            return print(&format!("{} {text}\n", clock()));
        }
        let node = victim.node.map(|node| node.0);
        let deadlock = (event == "deadlock").then(|| json::Deadlock::from(deadlock));
        let lockspace = victim.lockspace.as_str();
        print_json(&Event { time_ms: millis(), event, lockspace, node, awaits: None, deadlock })
    };
    say("deadlock", deadlock.to_string())?;
    if !args.end_deadlocks {
        return Ok(());
    }
    let Some(backend) = scene.backend_of(victim.node) else {
        // The watch on that node chooses the same victim.
        return Ok(());
    };
    // As late as possible: its id is free for others as soon as the wait ends by itself.
    if !victim.still_waits(&merge(&scene.snapshots(Depth::Lockspace(&victim.lockspace))?)) {
        return Ok(());
    }
    match deadlock::cancel(&*backend, victim) {
        Ok(()) => {
            say("deadlock_ended", format!("cancelled lock {:x} of {}", victim.id.0, victim.name))
        }
        // It has ended by itself, or somebody else was faster.
        Err(error) if error.errno() == Some(dlm_sys::Errno::ENOENT) => Ok(()),
        Err(error) => Err(Failure::new(Status::System, error)),
    }
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time of day, in UTC.
fn clock() -> String {
    let millis = millis();
    let (seconds, millis) = (millis / 1000 % 86_400, millis % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}")
}
