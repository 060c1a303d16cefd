//! A program on a node that is told line by line what to do, and answers in lines.

use super::Cluster;
use crate::vm::{Command, Event};
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, PipeWriter, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For what takes a moment. Nothing that is waited for with it takes a second, but the machine may
/// be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lines shown when one is missing.
const SHOWN: usize = 500;

/// A line, and when it came.
#[derive(Debug, Clone)]
pub struct Line {
    /// Without its end.
    pub text: String,
    /// When it came here.
    pub at: Instant,
}

/// A running program. It ends when this is dropped, as its input does.
pub struct Peer {
    /// Where it runs.
    pub node: u8,
    input: PipeWriter,
    signal: Box<dyn Fn(i32) -> io::Result<()> + Send + Sync>,
    heard: Arc<Heard>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("node", &self.node).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What nobody has taken yet.
    lines: Vec<Line>,
    /// The last lines, taken or not, to show when something is missing.
    all: VecDeque<String>,
    ended: bool,
}

impl Peer {
    /// Starts the program on a node.
    ///
    /// # Errors
    ///
    /// When the node is off.
    pub fn start(cluster: &Cluster, node: u8, command: &Command) -> Result<Self> {
        let (job, input) = cluster.node(node)?.spawn_fed(command)?;
        let (signal, heard) = (Box::new(job.signals()), Arc::new(Heard::default()));
        let (until, hears) = (cluster.deadline(), Arc::clone(&heard));
        std::thread::Builder::new().name(format!("peer on node {node}")).spawn(move || {
            let mut begun = Vec::new();
            while let Ok(event) = job.next(until) {
                match event {
                    Event::Stdout(bytes) | Event::Stderr(bytes) => hears.take(&mut begun, &bytes),
                    Event::Exit(exit) => {
                        hears.take(&mut begun, format!("({exit})\n").as_bytes());
                        break;
                    }
                }
            }
            hears.end();
        })?;
        Ok(Self { node, input, signal, heard })
    }

    /// Tells it something.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn say(&self, line: &str) -> Result<()> {
        let told = (&self.input).write_all(format!("{line}\n").as_bytes());
        told.with_context(|| format!("node {}: cannot say {line}", self.node))
    }

    /// Waits for a line that begins so, and takes it, leaving those before it.
    ///
    /// # Errors
    ///
    /// When there is none in time; then with all that was heard.
    pub fn expect(&self, beginning: &str) -> Result<Line> {
        self.expect_within(beginning, PATIENCE)
    }

    /// As [`Peer::expect`], for what takes longer.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn expect_within(&self, beginning: &str, limit: Duration) -> Result<Line> {
        let find = |state: &State| state.lines.iter().position(|l| l.text.starts_with(beginning));
        let state = self.heard.state.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |state: &mut State| find(state).is_none() && !state.ended;
        let waited = self.heard.grown.wait_timeout_while(state, limit, missing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        match find(&state) {
            Some(place) => Ok(state.lines.remove(place)),
            None => {
                let how = if state.ended { "it has ended" } else { "time is up" };
                let all = Vec::from_iter(state.all.iter().map(String::as_str)).join("\n    ");
                bail!("node {}: no \"{beginning}\" ({how}); it said\n    {all}", self.node)
            }
        }
    }

    /// Says something and waits for the answer.
    ///
    /// # Errors
    ///
    /// As [`Peer::say`] and [`Peer::expect`].
    pub fn ask(&self, line: &str, beginning: &str) -> Result<Line> {
        self.say(line)?;
        self.expect(beginning)
    }

    /// Drops the lines that begin so and were not taken.
    pub fn forget(&self, beginning: &str) {
        let mut state = self.heard.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.retain(|line| !line.text.starts_with(beginning));
    }

    /// Whether it has said such a line that was not taken yet.
    #[must_use]
    pub fn has_said(&self, beginning: &str) -> bool {
        let state = self.heard.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.iter().any(|line| line.text.starts_with(beginning))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When its machine has ended.
    pub fn signal(&self, number: i32) -> Result<()> {
        Ok((self.signal)(number)?)
    }
}

impl Heard {
    fn take(&self, begun: &mut Vec<u8>, bytes: &[u8]) {
        begun.extend(bytes);
        let Some(end) = begun.iter().rposition(|byte| *byte == b'\n') else { return };
        let lines: Vec<u8> = begun.drain(..=end).collect();
        let at = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for line in String::from_utf8_lossy(&lines).lines() {
            if state.all.len() >= SHOWN {
                state.all.pop_front();
            }
            state.all.push_back(line.to_owned());
            state.lines.push(Line { text: line.to_owned(), at });
        }
        drop(state);
        self.grown.notify_all();
    }

    fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.grown.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_what_comes() {
        let heard = Heard::default();
        let mut begun = Vec::new();
        heard.take(&mut begun, b"one\ntw");
        heard.take(&mut begun, b"o");
        assert_eq!(heard.state.lock().unwrap().all, ["one"]);
        heard.take(&mut begun, b"\nthree\n");
        heard.end();
        let state = heard.state.lock().unwrap();
        assert_eq!(state.all, ["one", "two", "three"]);
        assert!(state.ended && begun.is_empty());
    }
}
