//! One script on engine and kernel, side by side.

use std::time::{Duration, Instant};

use super::compare::{comparable, resources, tell};
use super::coverage::Coverage;
use super::hazard::{self, Owners, note_owner, space_of};
use super::leaked;
use super::spaces::{OTHER, SPACES, renew, with_spaces};
use crate::kernel::Kernel;
use crate::scenario::{
    Ask, Backend, Body, Device, EngineDevices, Executor, Frame, LockRef, Observed, Owner, Queue,
    Step, Wanted, What,
};
use dlm_proto::LockFlags;

/// The longest time of a script that counts. The kernel keeps a resource without locks, and with it
/// the mark of an invalid value block, for 10 seconds, of which an engine that is not told the time
/// knows nothing. A script takes milliseconds, unless the whole machine stands still.
const PACE: Duration = Duration::from_secs(5);

/// How often a script is done at most.
const TRIES: usize = 4;

/// A place where engine and kernel differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How.
    pub text: String,
    /// The script up to there, as a scenario that wants what the kernel did.
    pub scenario: String,
    /// How many of the steps were done.
    pub steps: usize,
}

/// A kernel with lockspaces for many scripts.
///
/// Each script is done on resources of its own, by an engine of its own. At its end all its
/// sessions are closed and its orphans purged. A lockspace in which locks are left all the same is
/// replaced.
#[derive(Debug)]
pub struct Differential<K: Backend> {
    kernel: Executor<K>,
    generation: Kernel,
    scripts: u64,
    /// Whether the script has had sessions in each of the lockspaces.
    used: [bool; 2],
    /// Steps that were done.
    pub steps: u64,
    /// Steps that were left out: hazards, and what had lost its sense.
    pub skipped: u64,
    /// Scripts after which the kernel kept locks as it is known to, and the engine the same.
    pub leaked: u64,
    /// Times that a script was done again.
    pub repeated: u64,
    /// What came of the steps.
    pub coverage: Coverage,
    /// A script that takes longer is done again if it differs.
    pace: Duration,
}

/// What ends a script early.
enum End {
    /// Engine and kernel differ.
    Differs(String),
    /// A lockspace of the kernel cannot be used any more.
    Broken(String),
}

impl From<String> for End {
    fn from(text: String) -> Self {
        Self::Broken(text)
    }
}

impl<K: Backend> Differential<K> {
    /// Creates the lockspaces.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn new(backend: K) -> Result<Self, String> {
        let generation = backend.kernel();
        Self::between(backend, generation)
    }

    /// The same with an engine that behaves like another kernel.
    fn between(backend: K, generation: Kernel) -> Result<Self, String> {
        let kernel = with_spaces(backend)?;
        Ok(Self {
            kernel,
            generation,
            scripts: 0,
            used: [false; 2],
            steps: 0,
            skipped: 0,
            leaked: 0,
            repeated: 0,
            coverage: Coverage::default(),
            pace: PACE,
        })
    }

    /// Does a script on both, and again if it differs after a time that could be the reason.
    ///
    /// # Errors
    ///
    /// What keeps the kernel from going on.
    pub fn run(&mut self, script: &[Step]) -> Result<Option<Difference>, String> {
        for _ in 1..TRIES {
            let start = Instant::now();
            let outcome = self.once(script)?;
            if outcome.is_none() || start.elapsed() < self.pace {
                return Ok(outcome);
            }
            self.repeated += 1;
        }
        self.once(script)
    }

    fn once(&mut self, script: &[Step]) -> Result<Option<Difference>, String> {
        self.scripts += 1;
        let mut engine = with_spaces(EngineDevices::new(self.generation))?;
        // Nothing of an earlier script is on these.
        let prefix = format!("{:x}.", self.scripts);
        engine.begin(prefix.as_bytes());
        self.kernel.begin(prefix.as_bytes());
        let mut text = String::new();
        let mut owners = Owners::new();
        let mut done = 0;
        let mut outcome = Ok(());
        for step in script {
            outcome = self.both(&mut engine, step, &mut owners, &mut text);
            done += 1;
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_ok() {
            outcome = self.drain(&mut engine, &mut owners, &mut text);
        }
        if text.contains(" in two") {
            text.insert_str(0, "control create two\n");
        }
        for session in self.kernel.sessions() {
            // What is unread is of no interest.
            text.push_str(&format!("close {session}\n"));
        }
        let cleaned = self.clean(&mut engine, &mut owners);
        match (outcome, cleaned) {
            (Err(End::Broken(error)), _) => Err(format!("{error}\n{text}")),
            (Err(End::Differs(how)), cleaned) => {
                // After a difference, only the kernel must be clean.
                if let Err(End::Broken(error)) = cleaned {
                    return Err(error);
                }
                Ok(Some(Difference { text: how, scenario: text, steps: done }))
            }
            (Ok(()), Err(End::Broken(error))) => Err(format!("{error}\n{text}")),
            (Ok(()), Err(End::Differs(how))) => {
                Ok(Some(Difference { text: how, scenario: text, steps: done }))
            }
            (Ok(()), Ok(())) => Ok(None),
        }
    }

    /// Removes the lockspaces.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn finish(mut self) -> Result<(), String> {
        self.kernel.finish()
    }

    /// Does a step on both, if it does no harm.
    fn both(
        &mut self,
        engine: &mut Executor<EngineDevices>,
        step: &Step,
        owners: &mut Owners,
        text: &mut String,
    ) -> Result<(), End> {
        // A name without meaning is that of a lock that was refused or of a closed session, or of
        // one that shrinking has removed.
        let Ok(None) = hazard::reason(step, engine, owners) else {
            self.skipped += 1;
            return Ok(());
        };
        let space = space_of(step, engine);
        let (Ok(mine), Ok(theirs)) = (engine.play(step), self.kernel.play(step)) else {
            self.skipped += 1;
            return Ok(());
        };
        self.steps += 1;
        if let Step::Open { space, .. } = step {
            self.used[usize::from(space == OTHER)] = true;
        }
        self.coverage.count(&self.kernel, step, &theirs);
        note_owner(step, &theirs, space, owners);
        let recorded = self.kernel.record(step, &theirs);
        text.push_str(&format!("{recorded}\n"));
        let mine = comparable(engine, mine);
        let theirs = comparable(&mut self.kernel, theirs);
        if mine != theirs {
            return Err(End::Differs(tell(&mine, &theirs)));
        }
        let (mine, theirs) = (engine.unread(), self.kernel.unread());
        if mine != theirs {
            for session in self.kernel.sessions() {
                let is = if theirs.contains(session) { "readable" } else { "unreadable" };
                text.push_str(&format!("{session} {is}\n"));
            }
            return Err(End::Differs(format!(
                "readable in the engine: {mine:?}, in the kernel: {theirs:?}"
            )));
        }
        Ok(())
    }

    /// Looks at all queues, and reads all results.
    fn drain(
        &mut self,
        engine: &mut Executor<EngineDevices>,
        owners: &mut Owners,
        text: &mut String,
    ) -> Result<(), End> {
        for space in SPACES {
            if !self.used[usize::from(space == OTHER)] {
                continue;
            }
            let mine = resources(engine, space)?;
            let theirs = resources(&mut self.kernel, space)?;
            if mine != theirs {
                for resource in &theirs {
                    let queues = self.kernel.queues(resource);
                    let name = resource.name.escape_ascii();
                    text.push_str(&format!("# queues of {name} in {space}:{queues}\n"));
                }
                let how = format!("queues in {space}:\nengine {mine:x?}\nkernel {theirs:x?}");
                return Err(End::Differs(how));
            }
        }
        let sessions: Vec<_> = engine.sessions().cloned().collect();
        for session in sessions {
            loop {
                let size = dlm_proto::MAX_RESULT_LEN;
                let (session, wanted) = (session.clone(), Wanted::Anything);
                let step = Step::Gets { session, size, wanted };
                let before = text.len();
                self.both(engine, &step, owners, text)?;
                if text.get(before..).is_some_and(|line| line.contains("gets nothing")) {
                    text.truncate(before);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Closes all sessions, and has no orphans left.
    fn clean(
        &mut self,
        engine: &mut Executor<EngineDevices>,
        owners: &mut Owners,
    ) -> Result<(), End> {
        let mut same = Ok(());
        for space in SPACES {
            if !std::mem::take(&mut self.used[usize::from(space == OTHER)]) {
                continue;
            }
            let last = "z".to_owned();
            let sessions = vec![last.clone()];
            let open = Step::Open { sessions, space: space.to_owned(), errno: None };
            self.both_quietly(engine, &open)?;
            // The kernel's state counts here: the engine's may be wrong.
            let resources_left = self.kernel.resources(space)?;
            for lock in resources_left.iter().flat_map(|resource| &resource.locks) {
                let persistent = lock.flags & LockFlags::PERSISTENT.bits() != 0;
                if lock.queue == Queue::Waiting && persistent {
                    let body = Body { flags: LockFlags::CANCEL, ..Body::new(0) };
                    let what = What::Unlock { lock: LockRef::Id(lock.id), body };
                    self.both_quietly(engine, &ask(&last, what))?;
                }
            }
            let sessions: Vec<_> = self.kernel.sessions().cloned().collect();
            for session in sessions {
                let is_here = self.kernel.space_of(&session).is_ok_and(|its| its == space);
                if is_here && session != last {
                    let step = Step::Close { sessions: vec![session] };
                    self.both_quietly(engine, &step)?;
                    note_owner(&step, &Observed::Done, None, owners);
                }
            }
            let mine = resources(engine, space)?;
            let theirs = resources(&mut self.kernel, space)?;
            if mine != theirs && same.is_ok() {
                same = Err(End::Differs(format!(
                    "after all sessions were closed, in {space}:\nengine {mine:x?}\n\
                     kernel {theirs:x?}"
                )));
            }
            let purge = What::Purge { node: 0, owner: Owner::Number(0) };
            self.both_quietly(engine, &ask(&last, purge))?;
            self.both_quietly(engine, &Step::Close { sessions: vec![last] })?;
            if !theirs.is_empty() {
                let (mine, left) = (resources(engine, space)?, resources(&mut self.kernel, space)?);
                if left.is_empty() {
                    continue;
                }
                // The locks have ids, which the engine of the next script has free.
                renew(&mut self.kernel, space)?;
                if mine == left && leaked::is_known(&left) {
                    self.leaked += 1;
                } else if same.is_ok() {
                    same = Err(End::Differs(format!(
                        "locks are kept in {space}:\nengine {mine:x?}\nkernel {left:x?}"
                    )));
                }
            }
        }
        same
    }

    fn both_quietly(
        &mut self,
        engine: &mut Executor<EngineDevices>,
        step: &Step,
    ) -> Result<(), End> {
        engine.play(step)?;
        self.kernel.play(step)?;
        Ok(())
    }
}

fn ask(session: &str, what: What) -> Step {
    let ask = Ask { what, frame: Frame::default() };
    Step::Ask { device: Device::Session(session.to_owned()), by: None, ask, errno: None }
}

#[cfg(test)]
mod tests;
