//! Snapshots as text, to be carried from node to node.
//!
//! A word and its value on each line; the queues as debugfs has them. `lockspace` begins a new one,
//! `end` is the last line, so that a text that was cut is noticed. Unknown words are skipped: a later
//! version may have more of them.

use std::fmt;
use std::time::Duration;

use dlm_proto::{Minor, NodeId};

use super::condition::Condition;
use super::error::InspectError;
use super::program::{Opener, Program};
use super::queues::QueueReader;
use super::snapshot::{Snapshot, Space};
use crate::status::{State, Status};

/// The first line.
const FIRST: &str = "dlm-dump 1";

const STATES: [(State, &str); 4] = [
    (State::Running, "running"),
    (State::Stopped, "stopped"),
    (State::Absent, "absent"),
    (State::Unknown, "unknown"),
];

/// Text on a line of its own.
struct Line<'a>(&'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST}")?;
        if let Some(node) = self.node {
            writeln!(f, "node {node}")?;
        }
        let words = [("host", &self.host), ("cluster", &self.cluster), ("kernel", &self.kernel)];
        for (word, value) in words.into_iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(f, "{word} {}", Line(value))?;
        }
        writeln!(f, "taken {}", self.taken.as_nanos())?;
        for (task, program) in &self.programs {
            writeln!(f, "program {task} {} {}", program.pid, Line(&program.name))?;
        }
        self.lockspaces.iter().try_for_each(|space| space.fmt(f))?;
        writeln!(f, "end")
    }
}

impl Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lockspace {}", Line(&self.name))?;
        if let Some(id) = self.id {
            writeln!(f, "id {id}")?;
        }
        if let Some(minor) = self.minor {
            writeln!(f, "minor {minor}")?;
        }
        let state = STATES.iter().find(|(state, _)| *state == self.status.state);
        writeln!(f, "state {}", state.map_or("unknown", |(_, word)| word))?;
        if let Some(node) = self.status.waiting_for {
            writeln!(f, "waiting-for {node}")?;
        }
        if let Some(condition) = &self.condition {
            writeln!(f, "condition {}", Line(&condition.to_string()))?;
        }
        if !self.status.members.is_empty() {
            f.write_str("members")?;
            self.status.members.iter().try_for_each(|node| write!(f, " {node}"))?;
            writeln!(f)?;
        }
        if let Some(openers) = &self.openers {
            writeln!(f, "openers {}", openers.len())?;
            for Opener { program, count } in openers {
                writeln!(f, "opener {count} {} {}", program.pid, Line(&program.name))?;
            }
        }
        let Some(resources) = &self.resources else { return Ok(()) };
        writeln!(f, "queues {}", resources.len())?;
        for resource in resources {
            writeln!(f, "{}", resource.record)?;
            if let Some(block) = &resource.block {
                writeln!(f, "{block}")?;
            }
            resource.locks.iter().try_for_each(|lock| writeln!(f, "{lock}"))?;
        }
        Ok(())
    }
}

impl Snapshot {
    /// The snapshot in a text that a [`Snapshot`] was written as.
    ///
    /// # Errors
    ///
    /// [`InspectError::Dump`], [`InspectError::Queues`]: a line is not as it should be, or the end is
    /// missing.
    pub fn parse(text: &[u8]) -> Result<Self, InspectError> {
        let mut reader = Reader::default();
        let mut lines = text.split(|&byte| byte == b'\n').enumerate();
        let fault = |line: usize, fault| InspectError::Dump { line, fault };
        if lines.next().is_none_or(|(_, first)| first != FIRST.as_bytes()) {
            return Err(fault(1, "it is not \"dlm-dump 1\": this is no output of dlm dump"));
        }
        let mut last = 1;
        for (at, line) in lines {
            last = at + 1;
            if line == b"end" {
                reader.finish_queues();
                let Reader { mut snapshot, .. } = reader;
                // The kernel tells it once, for the node.
                for space in &mut snapshot.lockspaces {
                    space.status.local_node = snapshot.node;
                    space.status.cluster_name =
                        Some(snapshot.cluster.clone()).filter(|name| !name.is_empty());
                }
                return Ok(snapshot);
            }
            reader.take(line, last)?;
        }
        Err(fault(last, "the text ends without the line \"end\": it was cut"))
    }
}

#[derive(Default)]
struct Reader {
    snapshot: Snapshot,
    queues: Option<QueueReader>,
}

impl Reader {
    fn take(&mut self, line: &[u8], number: usize) -> Result<(), InspectError> {
        let is_queue = [&b"rsb "[..], b"lvb ", b"lkb "].iter().any(|word| line.starts_with(word));
        if let Some(queues) = self.queues.as_mut().filter(|_| is_queue) {
            return queues.add(line).map_err(|error| InspectError::Queues {
                lockspace: self.snapshot.lockspaces.last().map_or("", |it| &it.name).to_owned(),
                line: number,
                error,
            });
        }
        let text = str::from_utf8(line).unwrap_or_default();
        let (word, value) = text.split_once(' ').unwrap_or((text, ""));
        self.word(word, value).ok_or(InspectError::Dump {
            line: number,
            fault: "its value has another form, or it is in a wrong place",
        })
    }

    fn word(&mut self, word: &str, value: &str) -> Option<()> {
        let snapshot = &mut self.snapshot;
        match word {
            "node" => snapshot.node = Some(NodeId(value.parse().ok()?)),
            "host" => value.clone_into(&mut snapshot.host),
            "cluster" => value.clone_into(&mut snapshot.cluster),
            "kernel" => value.clone_into(&mut snapshot.kernel),
            "taken" => snapshot.taken = Duration::from_nanos(value.parse().ok()?),
            "program" => {
                let (task, program) = value.split_once(' ')?;
                snapshot.programs.insert(task.parse().ok()?, program_of(program)?);
            }
            "lockspace" => {
                self.finish_queues();
                self.snapshot.lockspaces.push(Space {
                    name: value.to_owned(),
                    id: None,
                    minor: None,
                    status: Status::new(State::Unknown),
                    condition: None,
                    resources: None,
                    openers: None,
                });
            }
            "queues" => {
                snapshot.lockspaces.last()?;
                self.finish_queues();
                self.queues = Some(QueueReader::default());
            }
            _ => return self.of_space(word, value),
        }
        Some(())
    }

    /// A word about the last lockspace.
    fn of_space(&mut self, word: &str, value: &str) -> Option<()> {
        let space = self.snapshot.lockspaces.last_mut();
        match word {
            "id" => space?.id = Some(value.parse().ok()?),
            "minor" => space?.minor = Some(Minor(value.parse().ok()?)),
            "state" => {
                let known = STATES.iter().find(|(_, word)| *word == value);
                space?.status.state = known.map_or(State::Unknown, |(state, _)| *state);
            }
            "waiting-for" => space?.status.waiting_for = Some(NodeId(value.parse().ok()?)),
            "members" => {
                let nodes = value.split(' ').map(|node| node.parse().map(NodeId));
                space?.status.members = nodes.collect::<Result<_, _>>().ok()?;
            }
            "condition" => space?.condition = Some(Condition::parse(value)),
            "openers" => space?.openers = Some(Vec::new()),
            "opener" => {
                let (count, program) = value.split_once(' ')?;
                let count = count.parse().ok()?;
                let opener = Opener { program: program_of(program)?, count };
                space?.openers.as_mut()?.push(opener);
            }
            // Of a later version.
            _ => {}
        }
        Some(())
    }

    fn finish_queues(&mut self) {
        let (Some(queues), Some(space)) = (self.queues.take(), self.snapshot.lockspaces.last_mut())
        else {
            return;
        };
        space.resources = Some(queues.resources);
    }
}

fn program_of(text: &str) -> Option<Program> {
    let (pid, name) = text.split_once(' ')?;
    Some(Program { pid: pid.parse().ok()?, name: name.to_owned() })
}
