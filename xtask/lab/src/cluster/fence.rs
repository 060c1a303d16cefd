//! The host's part in fencing: a node's agent asks, and the victim is switched off.

use super::{Shared, sh};
use crate::vm::{Event, Job};
use anyhow::Result;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A node was to be switched off because another one asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced {
    /// The one to switch off.
    pub victim: u8,
    /// The one that asked.
    pub by: u8,
    /// When it asked.
    pub asked: Instant,
    /// When the victim was off.
    pub off: Option<Instant>,
}

/// What was fenced so far, and whether fencing is held up.
#[derive(Debug, Default)]
pub(super) struct Record {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    list: Vec<Fenced>,
    held: bool,
}

impl Record {
    pub(super) fn list(&self) -> Vec<Fenced> {
        self.lock().list.clone()
    }

    /// How often a node was to be fenced.
    pub(super) fn count(&self, victim: u8) -> usize {
        self.lock().list.iter().filter(|fenced| fenced.victim == victim).count()
    }

    /// Keeps all victims on and their fencers waiting, or lets them go on.
    pub(super) fn hold(&self, held: bool) {
        self.lock().held = held;
        self.changed.notify_all();
    }

    /// The last request to fence this node, waiting for one that is as wanted.
    pub(super) fn wait(
        &self,
        victim: u8,
        wanted: impl Fn(&Fenced) -> bool,
        limit: Duration,
    ) -> Option<Fenced> {
        let find = |state: &State| {
            let fenced = |f: &&Fenced| f.victim == victim && wanted(f);
            state.list.iter().rfind(fenced).copied()
        };
        let missing = |state: &mut State| find(state).is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), limit, missing);
        find(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Notes a request, and waits while fencing is held up.
    fn ask(&self, victim: u8, by: u8) {
        let mut state = self.lock();
        state.list.push(Fenced { victim, by, asked: Instant::now(), off: None });
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| state.held));
    }

    /// Notes that a node is off.
    fn off(&self, victim: u8) {
        let now = Instant::now();
        let mut state = self.lock();
        let open = |f: &&mut Fenced| f.victim == victim && f.off.is_none();
        state.list.iter_mut().filter(open).for_each(|fenced| fenced.off = Some(now));
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to the agent of a node for as long as its machine runs.
pub(super) fn watch(shared: &Arc<Shared>, node: u8) -> Result<()> {
    // Opened for writing as well, a pipe has no end.
    let listen = "test -p /run/cluster/ask || { mkdir -p /run/cluster; mkfifo /run/cluster/ask; }; \
                  exec cat <> /run/cluster/ask";
    let job = shared.node(node)?.spawn(&sh(listen))?;
    let weak = Arc::downgrade(shared);
    let until = shared.deadline;
    std::thread::Builder::new().name(format!("fences of node {node}")).spawn(move || {
        serve(&weak, node, &job, until);
    })?;
    Ok(())
}

fn serve(shared: &Weak<Shared>, by: u8, job: &Job, until: Instant) {
    let mut text = Vec::new();
    // Ends with the machine.
    while let Ok(event) = job.next(until) {
        let Event::Stdout(bytes) = event else { continue };
        text.extend(bytes);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let Some(shared) = shared.upgrade() else { return };
            if let Some((victim, answer)) = parse(&line) {
                shared.fenced.ask(victim, by);
                shared.switch_off(victim);
                shared.fenced.off(victim);
                // If the asking node has ended meanwhile, nobody waits for the answer.
                let say = sh("echo off > \"$ANSWER\"").env("ANSWER", answer);
                let _ = shared.node(by).and_then(|vm| vm.spawn(&say));
            }
        }
    }
}

/// `3 /run/cluster/answer.77`
fn parse(line: &[u8]) -> Option<(u8, &str)> {
    let (victim, answer) = std::str::from_utf8(line).ok()?.trim().split_once(' ')?;
    Some((victim.parse().ok()?, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_victim_and_where_to_answer_are_asked_for() {
        assert_eq!(parse(b"3 /run/cluster/answer.77\n"), Some((3, "/run/cluster/answer.77")));
        assert_eq!(parse(b"x y\n"), None);
        assert_eq!(parse(b"3\n"), None);
    }

    #[test]
    fn a_held_fencing_is_seen_before_it_is_done() {
        let record = Arc::new(Record::default());
        let any = |_: &Fenced| true;
        assert_eq!(record.wait(2, any, Duration::ZERO), None);
        record.hold(true);
        let asking = Arc::clone(&record);
        let agent = std::thread::spawn(move || {
            asking.ask(2, 1);
            asking.off(2);
        });
        let asked = record.wait(2, any, Duration::from_secs(9)).unwrap();
        assert_eq!((asked.by, asked.off), (1, None));
        record.hold(false);
        let fenced = record.wait(2, |f| f.off.is_some(), Duration::from_secs(9)).unwrap();
        assert_eq!(fenced.asked, asked.asked);
        agent.join().unwrap();
        assert_eq!(record.list(), [fenced]);
        assert_eq!((record.count(2), record.count(1)), (1, 0));
    }
}
