//! The host's part in fencing: a node's agent asks, and the victim is switched off.

use super::{Shared, sh};
use crate::vm::{Event, Job};
use anyhow::Result;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A node was switched off because another one asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced {
    /// The one that was switched off.
    pub victim: u8,
    /// The one that asked.
    pub by: u8,
    /// When it was off.
    pub at: Instant,
}

/// What was fenced so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    list: Mutex<Vec<Fenced>>,
    grown: Condvar,
}

impl Record {
    pub(super) fn list(&self) -> Vec<Fenced> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, fenced: Fenced) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(fenced);
        self.grown.notify_all();
    }

    /// The last time that this node was fenced, waiting for it.
    pub(super) fn wait(&self, victim: u8, limit: Duration) -> Option<Fenced> {
        let find = |list: &[Fenced]| list.iter().rfind(|f| f.victim == victim).copied();
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |list: &mut Vec<Fenced>| find(list).is_none();
        let waited = self.grown.wait_timeout_while(list, limit, missing);
        find(&waited.unwrap_or_else(PoisonError::into_inner).0)
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
                shared.switch_off(victim);
                shared.fenced.add(Fenced { victim, by, at: Instant::now() });
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
    fn the_last_fencing_of_a_node_is_found() {
        let record = Record::default();
        assert_eq!(record.wait(2, Duration::ZERO), None);
        let first = Fenced { victim: 2, by: 1, at: Instant::now() };
        let second = Fenced { by: 3, ..first };
        record.add(first);
        record.add(second);
        record.add(Fenced { victim: 1, ..first });
        assert_eq!(record.wait(2, Duration::from_secs(9)), Some(second));
        assert_eq!(record.list().len(), 3);
    }
}
