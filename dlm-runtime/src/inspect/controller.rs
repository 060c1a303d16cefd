//! The conditions that dlm_controld waits for before a lockspace may recover.
//!
//! The kernel knows that a lockspace is stopped; that a node is still to be fenced, or that the quorum
//! is lost, its controller knows, and `dlm_tool ls -n` tells.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use dlm_proto::NodeId;

use super::condition::Condition;
use super::snapshot::{Snapshot, Space};
use crate::status::State;

/// How long dlm_controld is given to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lockspaces in the output of `dlm_tool ls -n` that wait for something, and what for.
#[must_use]
pub fn parse_conditions(text: &str) -> Vec<(String, Condition)> {
    let mut found: Vec<(String, Option<Condition>)> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), found.last_mut()) {
            // The rest of the line: a name may have blanks in it.
            (["name", ..], _) => {
                let name = line.trim_start().strip_prefix("name").unwrap_or_default().trim();
                found.push((name.to_owned(), None));
            }
            (["new", "status", "wait", "messages", ..], _) => {}
            (["new", "status", "wait", what @ ..], Some((_, condition))) => {
                *condition = Some(match what {
                    ["fencing"] => Condition::Fencing(Vec::new()),
                    ["quorum"] => Condition::Quorum,
                    _ => Condition::Other(what.join(" ")),
                });
            }
            (["nodeid", node, .., "check", "fence", _], Some((_, condition))) => {
                if let (Some(Condition::Fencing(nodes)), Ok(node)) = (condition, node.parse()) {
                    nodes.push(NodeId(node));
                }
            }
            _ => {}
        }
    }
    found.into_iter().filter_map(|(name, condition)| Some((name, condition?))).collect()
}

impl Snapshot {
    /// Asks dlm_controld, by running `dlm_tool ls -n`, what the lockspaces that are stopped wait
    /// for: [`Space::condition`]. Nobody is asked if all run, and nothing
    /// is known if there is no answer within two seconds.
    pub fn ask_controller(&mut self) {
        let is_stopped = |space: &Space| space.status.state == State::Stopped;
        if !self.lockspaces.iter().any(is_stopped) {
            return;
        }
        let Some(text) = answer() else { return };
        for (name, condition) in parse_conditions(&text) {
            let space = self.lockspaces.iter_mut().find(|space| space.name == name);
            if let Some(space) = space.filter(|space| is_stopped(space)) {
                space.condition = Some(condition);
            }
        }
    }
}

/// What `dlm_tool` says, if it runs and comes to an end.
fn answer() -> Option<String> {
    let mut child = Command::new("dlm_tool")
        .args(["ls", "-n"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut output = child.stdout.take()?;
    let (sender, text) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        if output.read_to_string(&mut text).is_ok() {
            // Nobody listens when the time is over.
            let _ = sender.send(text);
        }
    });
    let text = text.recv_timeout(PATIENCE);
    if text.is_err() {
        // It has ended in between, or is made to.
        let _ = child.kill();
    }
    let _ = child.wait();
    text.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As dlm_controld 4.2 said it while a node was to be fenced.
    const FENCING: &str = "\
dlm lockspaces
name          tests
id            0x736d52f3
flags         0x00000014 need_plock,kern_stop
change        member 3 joined 1 remove 0 failed 0 seq 2,2
members       1 2 3 
new change    member 2 joined 0 remove 1 failed 1 seq 3,3
new status    wait fencing
new members   1 2 
all nodes
nodeid 1 member 1 failed 0 start 0 seq_add 1 seq_rem 0 check none
nodeid 2 member 1 failed 0 start 0 seq_add 1 seq_rem 0 check none
nodeid 3 member 0 failed 3 start 0 seq_add 2 seq_rem 3 check fence 199

name          a b
members       1 
";

    #[test]
    fn conditions_are_told_by_lockspace() {
        let fencing = Condition::Fencing(vec![NodeId(3)]);
        assert_eq!(parse_conditions(FENCING), [("tests".to_owned(), fencing.clone())]);
        assert_eq!(fencing.to_string(), "fencing of node 3");
        let both = format!("{FENCING}new status wait quorum\n");
        assert_eq!(parse_conditions(&both)[1], ("a b".to_owned(), Condition::Quorum));
        let other = FENCING.replace("wait fencing", "wait fs");
        assert_eq!(parse_conditions(&other)[0].1, Condition::Other("fs".to_owned()));
        let messages = FENCING.replace("wait fencing", "wait messages 1");
        assert_eq!(parse_conditions(&messages), []);
        assert_eq!(parse_conditions(""), []);
        for condition in [
            fencing,
            Condition::Fencing(vec![]),
            Condition::Fencing(vec![NodeId(1), NodeId(2)]),
            Condition::Quorum,
            Condition::Other("fs".into()),
        ] {
            assert_eq!(Condition::parse(&condition.to_string()), condition);
        }
    }
}
