//! The work on one lock, from its request to its end.

use super::driver::{BOUND, Scene};
use anyhow::{Result, bail};
use dlm_chaos::history::Owner;
use dlm_chaos::plan::{KINDS, Kind, MODES, RESOURCES};
use dlm_lab::cluster::{Line, Peer};
use dlm_proto::Mode;
use dlm_random::Random;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Numbers all locks, so that each has a name of its own.
static LOCKS: AtomicU64 = AtomicU64::new(1);

/// Once in so many times the cache is used.
const CACHED: u64 = 2;

/// How long a holder waits for somebody who wants its lock.
const LENT: Duration = Duration::from_millis(300);

/// Uses a program on a node.
pub(super) struct Worker {
    pub(super) scene: Arc<Scene>,
    pub(super) peer: Arc<Peer>,
    pub(super) owner: Owner,
}

/// A lock or a guard that was asked for.
pub(super) struct Asked {
    pub(super) number: u64,
    /// Its name in the conversation with the program.
    pub(super) name: String,
    pub(super) resource: &'static str,
    /// What its value block must have at least.
    pub(super) at_least: u64,
}

impl Worker {
    /// One lock, or one guard of the cache.
    pub(super) fn operation(&self, random: &mut Random) -> Result<()> {
        let number = LOCKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("L{number}");
        let done = match random.below(CACHED) {
            0 => self.cached(random, number, &name),
            _ => self.lock(random, number, &name),
        };
        self.peer.forget(&format!("{name} "));
        done
    }

    fn lock(&self, random: &mut Random, number: u64, name: &str) -> Result<()> {
        let history = &self.scene.history;
        let Some(resource) = random.of(&RESOURCES) else { return Ok(()) };
        let kind = *random.of(&KINDS).unwrap_or(&Kind::Plain);
        let mode = match kind {
            Kind::Converts => Mode::Pr,
            _ => *random.of(&MODES).unwrap_or(&Mode::Ex),
        };
        let options = match kind {
            Kind::NoQueue => " noqueue",
            Kind::Deadline => " ms=100",
            _ => "",
        };
        let at_least = history.committed(resource);
        let lock = Asked { number, name: name.to_owned(), resource, at_least };
        let asked = Instant::now();
        self.peer.say(&format!("lock {name} {resource} {mode} lvb{options}"))?;
        if kind == Kind::Cancel {
            std::thread::sleep(Duration::from_millis(random.below(60)));
            // Whatever comes of it, the request ends.
            self.peer.say(&format!("cancel {name}"))?;
        }
        let endings = ["granted ", "again ", "timedout ", "cancelled "];
        let ended = self.answer(name, &endings, asked)?;
        if !ended.text.contains(" granted ") {
            return Ok(());
        }
        let value = self.granted(&lock, mode, &ended)?;
        match kind {
            Kind::UntilBlocked => self.until_blocked(name),
            _ => std::thread::sleep(Duration::from_millis(random.below(40))),
        }
        let written = match kind {
            Kind::Converts => self.convert(&lock).map(|()| None)?,
            _ => (mode != Mode::Pr).then(|| history.next_value(resource, value.0, value.1)),
        };
        let write = written.map(|value| format!(" write={value}")).unwrap_or_default();
        history.gives_up(resource, number);
        self.ask(name, &format!("unlock {name}{write}"), &["unlocked"])?;
        if let Some(value) = written {
            history.wrote(resource, value);
        }
        Ok(())
    }

    /// From PR to EX, if nobody else is on the same way, and back with a new value.
    fn convert(&self, lock: &Asked) -> Result<()> {
        let Asked { number, ref name, resource, .. } = *lock;
        let history = &self.scene.history;
        let lock = Asked { at_least: history.committed(resource), name: name.clone(), ..*lock };
        let endings = ["converted ", "deadlock "];
        let line = self.ask(name, &format!("convert {name} EX read"), &endings)?;
        if !line.text.contains(" converted ") {
            return Ok(());
        }
        history.gives_up(resource, number);
        let (value, valid) = self.granted(&lock, Mode::Ex, &line)?;
        let value = history.next_value(resource, value, valid);
        // No more than what it converts to from here on.
        history.gives_up(resource, number);
        let is_off = |owner| self.scene.is_off(owner);
        history.granted(resource, self.owner, number, Mode::Pr, is_off);
        self.ask(name, &format!("convert {name} PR write={value}"), &["converted "])?;
        history.wrote(resource, value);
        Ok(())
    }

    /// Notes a grant. Returns the value block, and whether it is valid.
    pub(super) fn granted(&self, lock: &Asked, mode: Mode, line: &Line) -> Result<(u64, bool)> {
        let history = &self.scene.history;
        let is_off = |owner| self.scene.is_off(owner);
        history.granted(lock.resource, self.owner, lock.number, mode, is_off);
        let (value, valid) = block(&line.text)?;
        history.read(lock.resource, value, valid, lock.at_least);
        Ok((value, valid))
    }

    /// Keeps a lock until somebody wants it, or for a while if nobody does.
    fn until_blocked(&self, name: &str) {
        // If the program has ended, the next request tells.
        let _ = self.peer.expect_within(&format!("{name} blocks "), LENT);
    }

    /// Says something, and takes the line with which it ends.
    pub(super) fn ask(&self, name: &str, words: &str, endings: &[&str]) -> Result<Line> {
        let asked = Instant::now();
        self.peer.say(words)?;
        self.answer(name, endings, asked)
    }

    /// The line with which something ends. Blocking notices and words about the cancel come before.
    fn answer(&self, name: &str, endings: &[&str], asked: Instant) -> Result<Line> {
        let until = asked + BOUND;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.peer.expect_within(&format!("{name} "), left)?;
            let what = line.text.get(name.len() + 1..).unwrap_or_default();
            if endings.iter().any(|ending| what.starts_with(ending)) {
                if self.scene.waits.is_too_long(asked, line.at) {
                    let seconds = line.at.saturating_duration_since(asked).as_secs();
                    let what = format!("node {}: {} took {seconds} s", self.owner.node, line.text);
                    self.scene.history.violation(&what);
                }
                return Ok(line);
            }
            if !["blocks ", "cancelling", "cannot cancel"].iter().any(|word| what.starts_with(word))
            {
                bail!("node {}: {}", self.owner.node, line.text);
            }
        }
    }

    /// Fine if the program or its node were to end.
    pub(super) fn give_up(&self, error: &anyhow::Error) {
        let history = &self.scene.history;
        if !history.has_ended(self.owner.run) && !self.scene.is_off(self.owner) {
            history.violation(&format!("{error:#}"));
        }
    }
}

/// `L5 granted EX [17] valid`
fn block(line: &str) -> Result<(u64, bool)> {
    let inner = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let Some((text, valid)) = inner else { bail!("no value block in \"{line}\"") };
    let value = if text.is_empty() { 0 } else { text.parse()? };
    Ok((value, valid.trim() == "valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_from_answers() {
        assert_eq!(block("L5 granted EX [17] valid").unwrap(), (17, true));
        assert_eq!(block("L5 granted PR [] invalid").unwrap(), (0, false));
        assert!(block("L5 granted PR").is_err());
        assert!(block("L5 granted PR [x] valid").is_err());
    }
}
