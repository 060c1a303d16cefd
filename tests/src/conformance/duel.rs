//! One script on engine and kernel, side by side.

use super::census::Census;
use super::compare::{comparable, resources, tell};
use super::hazard::{self, Owners, note_owner, space_of};
use super::kept;
use super::spaces::{OTHER, SPACES, renew, with_spaces};
use crate::kernel::Kernel;
use crate::scenario::{
    Ask, Backend, Body, Device, EngineDevices, Frame, LockRef, Observed, Owner, Player, Queue,
    Step, Wanted, What,
};
use dlm_proto::LockFlags;

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
pub struct Duel<K: Backend> {
    kernel: Player<K>,
    generation: Kernel,
    scripts: u64,
    /// Whether the script has had sessions in each of the lockspaces.
    used: [bool; 2],
    /// Steps that were done.
    pub steps: u64,
    /// Steps that were left out: hazards, and what had lost its sense.
    pub skipped: u64,
    /// Scripts after which the kernel kept locks as it is known to, and the engine the same.
    pub kept: u64,
    /// What came of the steps.
    pub census: Census,
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

impl<K: Backend> Duel<K> {
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
            kept: 0,
            census: Census::default(),
        })
    }

    /// Does a script on both.
    ///
    /// # Errors
    ///
    /// What keeps the kernel from going on.
    pub fn run(&mut self, script: &[Step]) -> Result<Option<Difference>, String> {
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
        engine: &mut Player<EngineDevices>,
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
        self.census.count(&self.kernel, step, &theirs);
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
        engine: &mut Player<EngineDevices>,
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
        engine: &mut Player<EngineDevices>,
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
                if mine == left && kept::is_known(&left) {
                    self.kept += 1;
                } else if same.is_ok() {
                    same = Err(End::Differs(format!(
                        "locks are kept in {space}:\nengine {mine:x?}\nkernel {left:x?}"
                    )));
                }
            }
        }
        same
    }

    fn both_quietly(&mut self, engine: &mut Player<EngineDevices>, step: &Step) -> Result<(), End> {
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
mod tests {
    use super::*;
    use crate::conformance::{generate, shrink};
    use crate::scenario::{self, Scenario};

    #[test]
    fn engines_of_one_kernel_do_not_differ() {
        for kernel in [Kernel::V6_1, Kernel::V6_12] {
            let mut duel = Duel::new(EngineDevices::new(kernel)).unwrap();
            for seed in 0..600 {
                assert_eq!(duel.run(&generate(seed)).unwrap(), None, "seed {seed}");
            }
            assert!(duel.steps > 3000, "{} steps", duel.steps);
            assert!(duel.skipped < duel.steps / 2, "{} of {}", duel.skipped, duel.steps);
            let seen = duel.census.to_string();
            for wanted in [
                "EINVAL",
                "EBUSY",
                "ENOENT",
                "EAGAIN",
                "EBADE",
                "granted",
                "again",
                "deadlock",
                "cancelled",
                "unlocked",
                "blocking",
                "demoted",
                "altmode",
                "valnotvalid",
                "lvb",
            ] {
                assert!(seen.contains(wanted), "{wanted} has not come: {seen}");
            }
            duel.finish().unwrap();
        }
    }

    fn steps(scenario: Scenario) -> Vec<Step> {
        scenario.steps.into_iter().map(|placed| placed.step).collect()
    }

    #[test]
    fn locks_that_are_known_to_stay_do_not_end_a_run() {
        let defect = scenario::scenario("an_alternate_mode_that_is_held_already_is_granted_twice");
        let defect = steps(defect);
        for kernel in [Kernel::V6_1, Kernel::V6_12] {
            let mut duel = Duel::new(EngineDevices::new(kernel)).unwrap();
            assert_eq!(duel.run(&defect), Ok(None));
            assert_eq!(duel.run(&generate(508_751_963_233)), Ok(None));
            assert_eq!(duel.kept, 2);
            // It goes on with the same ids as any engine.
            for seed in 0..20 {
                assert_eq!(duel.run(&generate(seed)), Ok(None));
            }
            assert_eq!(duel.kept, 2);
            duel.finish().unwrap();
        }
    }

    #[test]
    fn a_lock_that_stays_for_another_reason_is_a_difference_even_if_it_does_on_both() {
        let mut duel = Duel::new(EngineDevices::new(Kernel::V6_12)).unwrap();
        let text = "open a\na lock A \"r\" EX forceunlock\n";
        let script = steps(Scenario::parse("it", text).unwrap());
        let found = duel.run(&script).unwrap().unwrap();
        assert!(found.text.starts_with("locks are kept in main"), "{}", found.text);
        assert_eq!(duel.kept, 0);
        assert_eq!(duel.run(&generate(1)), Ok(None));
        duel.finish().unwrap();
    }

    #[test]
    fn engines_of_two_kernels_differ_and_a_few_steps_show_it() {
        let backend = EngineDevices::new(Kernel::V6_12);
        let mut duel = Duel::between(backend, Kernel::V6_1).unwrap();
        let mut found = 0;
        for seed in 0..100 {
            let script = generate(seed);
            if let Some(difference) = duel.run(&script).unwrap() {
                let (shortest, difference) = shrink(&mut duel, &script, difference).unwrap();
                assert!(shortest.len() <= 12, "seed {seed}:\n{}", difference.scenario);
                let scenario = Scenario::parse("it", &difference.scenario).unwrap();
                // What the 6.12 did is what the scenario wants.
                let again = scenario::run(EngineDevices::new(Kernel::V6_12), &scenario);
                assert_eq!(again, Ok(()), "seed {seed}:\n{}", difference.scenario);
                found += 1;
            }
        }
        assert!(found > 20, "only {found}");
        duel.finish().unwrap();
    }
}
