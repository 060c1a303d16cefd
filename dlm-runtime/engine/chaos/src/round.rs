//! One round: a cluster of three nodes, what is done on it and to it, and what must be true of that.

use crate::faults::{Fault, Trouble};
use crate::history::{History, Owner};
use crate::plan::RESOURCES;
use crate::program::{Heard, Program, ROUND_TRIP, Stage, WORKERS};
use crate::tally::Tally;
use anyhow::{Context, Result, bail, ensure};
use dlm_random::Random;
use dlm_runtime::backend::Backend;
use dlm_runtime::engine::{Cluster, ClusterOptions, FaultGuard, Node, Profile};
use dlm_runtime::{LockspaceName, LockspaceOptions, Mode, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What takes a millisecond in the machines, in microseconds: the network is ten times as fast here.
pub(crate) const MS: u64 = 100;
pub(crate) const NODES: usize = 3;
const SPACE: &[u8] = b"chaos";
/// Longest wait that no fault explains: locks are held for 4 milliseconds, or until somebody wants
/// them, and a dozen wait at most.
const LONGEST: u64 = 500_000;
/// More than this happens in no round that comes to an end.
const STEPS: u64 = 1_000_000;

/// What stands before a node, to try the checks on a lock manager that is not right.
pub(crate) type Front = fn(Node) -> Arc<dyn Backend>;

/// Nothing.
pub(crate) fn plain(node: Node) -> Arc<dyn Backend> {
    Arc::new(node)
}

/// What came of a round.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// What must not have happened, after all that happened before.
    pub(crate) report: Option<String>,
}

pub(crate) struct Round {
    pub(crate) cluster: Cluster,
    pub(crate) random: Random,
    pub(crate) tally: Tally,
    /// Numbers the locks.
    pub(crate) operations: u64,
    pub(crate) trouble: Trouble,
    history: History,
    name: LockspaceName,
    front: Front,
    /// By node.
    programs: [Option<Program>; NODES],
    /// Killed ones whose devices are still to be closed.
    dying: Vec<(usize, Program)>,
    runs: u64,
    sender: Sender<Heard>,
    heard: Receiver<Heard>,
    now: u64,
    timers: BTreeMap<(u64, u64), Timer>,
    timers_set: u64,
    /// Time without a fault, and up to when it was counted.
    quiet: u64,
    counted: u64,
    /// When, in time without faults, nothing is on its way any more of a program that was killed.
    doubt_ends: Option<u64>,
}

/// Something that is due at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timer {
    /// For a run of a program on a node.
    Work(u64, usize, Work),
    Trouble(crate::faults::Step),
}

/// What a worker is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Begin(usize),
    Cancel(usize, u64),
    Held(usize, u64),
}

impl Round {
    /// Does the round that follows from a seed.
    pub(crate) fn run(seed: u64, profile: Option<Profile>, front: Front) -> Result<Outcome> {
        let mut random = Random::new(seed);
        let profiles = [Profile::Linux6_1, Profile::Linux6_12];
        let drawn = *random.of(&profiles).context("no profiles")?;
        let nodes = u32::try_from(NODES)?;
        let options = ClusterOptions::new().nodes(nodes).seed(seed).manual_time();
        let cluster = options.profile(profile.unwrap_or(drawn)).start();
        let (sender, heard) = channel();
        let mut round = Self {
            cluster,
            trouble: Trouble::new(&mut random),
            random,
            tally: Tally::default(),
            operations: 0,
            history: History::in_told_time(),
            name: LockspaceName::new(SPACE)?,
            front,
            programs: Default::default(),
            dying: Vec::new(),
            runs: 0,
            sender,
            heard,
            now: 0,
            timers: BTreeMap::new(),
            timers_set: 0,
            quiet: 0,
            counted: 0,
            doubt_ends: None,
        };
        if let Err(error) = round.all() {
            round.history.violation(&format!("{error:#}"));
        }
        let (grants, invalid, violations) = round.history.counts();
        (round.tally.grants, round.tally.invalid) = (grants, invalid);
        round.tally.locks = round.operations;
        round.tally.excused = round.history.excused();
        let report = (violations > 0).then(|| round.history.report());
        Ok(Outcome { tally: round.tally, report })
    }

    fn all(&mut self) -> Result<()> {
        for node in 0..NODES {
            self.start(node)?;
        }
        self.plan_trouble();
        self.live()?;
        self.end()
    }

    /// Lets time pass until nothing is to happen any more.
    fn live(&mut self) -> Result<()> {
        for _ in 0..STEPS {
            if self.listen()? || self.resume()? {
                continue;
            }
            let event = self.cluster.next_event().map(micros);
            let timer = self.timers.keys().next().copied();
            match (event, timer) {
                (None, None) => return Ok(()),
                (Some(event), timer) if timer.is_none_or(|(at, _)| event <= at) => {
                    self.cluster.step();
                    self.passed();
                }
                (_, Some(key)) => {
                    self.cluster.advance(Duration::from_micros(key.0.saturating_sub(self.now)));
                    self.passed();
                    let timer = self.timers.remove(&key).context("no timer")?;
                    self.due(timer)?;
                }
                (Some(_), None) => {}
            }
            if self.history.counts().2 > 0 {
                bail!("the round ends here");
            }
        }
        bail!("it never comes to an end")
    }

    /// Time has passed.
    fn passed(&mut self) {
        self.now = micros(self.cluster.now());
        if self.trouble.is_over_for_now() {
            self.quiet += self.now - self.counted;
        }
        self.counted = self.now;
        if self.dying.is_empty() && self.doubt_ends.is_some_and(|end| self.quiet > end) {
            self.doubt_ends = None;
            self.history.doubt_ends();
        }
        self.history.set_time(Duration::from_micros(self.now));
    }

    fn due(&mut self, timer: Timer) -> Result<()> {
        let (run, node, work) = match timer {
            Timer::Trouble(step) => return self.go_on(step),
            Timer::Work(run, node, work) => (run, node, work),
        };
        let program = self.programs.get(node).and_then(Option::as_ref);
        if program.is_none_or(|program| program.owner.run != run) {
            return Ok(());
        }
        match work {
            Work::Begin(worker) => self.begin(node, worker),
            Work::Cancel(worker, serial) => {
                self.call(node, crate::program::Call::Cancel(worker, serial))
            }
            Work::Held(worker, serial) => self.held(node, worker, serial),
        }
    }

    /// Runs the callbacks that are due. A program on a frozen node runs none.
    fn listen(&mut self) -> Result<bool> {
        for (number, program) in (1..).zip(&self.programs) {
            let Some(program) = program else { continue };
            let node = self.cluster.node(number);
            if !node.is_frozen() && node.has_results(&self.name) {
                program.space.dispatch()?;
            }
        }
        let mut any = false;
        while let Ok(heard) = self.heard.try_recv() {
            any = true;
            let is_own = |it: &Option<Program>| {
                it.as_ref().is_some_and(|program| program.owner.run == heard.run)
            };
            if let Some(node) = self.programs.iter().position(is_own) {
                self.hear(node, &heard)?;
            }
        }
        Ok(any)
    }

    /// Makes the calls that were held up and are so no more, in any order.
    fn resume(&mut self) -> Result<bool> {
        let mut any = false;
        for node in 0..NODES {
            let waits = self.programs.get(node).and_then(Option::as_ref);
            let mut left = waits.map_or(0, |program| program.held_up.len());
            let is_first = waits.is_some_and(|program| program.is_first && !program.works());
            while left > 0 && !self.is_held_up(node) {
                left -= 1;
                any = true;
                let chosen = match is_first {
                    true => 0,
                    false => usize::try_from(self.random.below(1 + left as u64))?,
                };
                let call = self.program(node)?.held_up.remove(chosen);
                self.call(node, call)?;
            }
        }
        let dying = std::mem::take(&mut self.dying);
        for (node, program) in dying {
            if self.is_held_up(node) {
                self.dying.push((node, program));
            } else {
                any = true;
                program.space.close()?;
            }
        }
        Ok(any)
    }

    /// Whether a call would not return.
    pub(crate) fn is_held_up(&self, node: usize) -> bool {
        self.node(node).status(&self.name).state == State::Stopped
    }

    pub(crate) fn node(&self, node: usize) -> Node {
        self.cluster.node(u32::try_from(node + 1).unwrap_or(0))
    }

    /// Starts the program on a node.
    pub(crate) fn start(&mut self, node: usize) -> Result<()> {
        self.runs += 1;
        let owner = Owner { node: u8::try_from(node + 1)?, run: self.runs };
        let options = LockspaceOptions::new().backend((self.front)(self.node(node)));
        let space = match options.open(SPACE) {
            Err(error) if error.is_no_lockspace() => options.create(SPACE)?,
            space => space?,
        };
        self.note(node, "starts its program");
        let program = Program::new(owner, space, self.sender.clone());
        *self.programs.get_mut(node).context("no such node")? = Some(program);
        Ok(())
    }

    /// The program on a node ends by itself or with the node, from this moment on.
    pub(crate) fn stop(&mut self, node: usize, why: &str) -> Option<Program> {
        let program = self.programs.get_mut(node)?.take()?;
        self.history.ends(program.owner, why);
        let lost = program.workers.iter().filter(|it| it.operation.is_some()).count();
        self.tally.lost += lost as u64;
        Some(program)
    }

    /// A kernel that closes the device for a program remembers that a request which is on its way is
    /// to be unlocked. But it does not remember to mark the block invalid then: a lock that was
    /// granted meanwhile leaves zeros.
    fn doubt_what_is_on_its_way(&mut self, program: &Program) {
        for operation in program.workers.iter().filter_map(|it| it.operation.as_ref()) {
            if operation.may_be_on_its_way(self.quiet) {
                self.history.doubt(operation.resource, "a request is on its way");
                self.doubt_ends = Some(self.quiet + 2 * ROUND_TRIP);
            }
        }
    }

    /// The program on a node is killed. Its device is closed as soon as that is possible.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(program) = self.stop(node, "it is killed") {
            self.doubt_what_is_on_its_way(&program);
            self.dying.push((node, program));
        }
    }

    /// The node loses its power.
    pub(crate) fn crash(&mut self, node: usize, why: &str) {
        let stopped = self.stop(node, why);
        self.node(node).crash();
        self.dying.retain(|(other, _)| *other != node);
        drop(stopped);
    }

    /// The node gives up the lockspace.
    pub(crate) fn leave(&mut self, node: usize) -> Result<()> {
        match self.stop(node, "it leaves") {
            Some(program) => {
                self.doubt_what_is_on_its_way(&program);
                Ok(program.space.force_release()?)
            }
            None => Ok(()),
        }
    }

    /// Whether the program on a node does what it is for.
    pub(crate) fn works(&self, node: usize) -> bool {
        self.programs.get(node).and_then(Option::as_ref).is_some_and(Program::works)
    }

    pub(crate) fn stop_lockspace(&self, node: usize) -> Result<FaultGuard> {
        Ok(self.node(node).stop(&self.name)?)
    }

    pub(crate) fn note(&self, node: usize, event: &str) {
        self.history.note(&format!("node {} {event}", node + 1));
    }

    pub(crate) fn began(&mut self, fault: Fault, node: usize) {
        self.tally.fault(fault);
        self.history.note(&format!("{fault}: node {}", node + 1));
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn program(&mut self, node: usize) -> Result<&mut Program> {
        self.programs.get_mut(node).and_then(Option::as_mut).context("no program")
    }

    pub(crate) fn program_and_history(&mut self, node: usize) -> Result<(&mut Program, &History)> {
        let program = self.programs.get_mut(node).and_then(Option::as_mut);
        Ok((program.context("no program")?, &self.history))
    }

    /// Sets a timer of a program.
    pub(crate) fn later(&mut self, node: usize, after: u64, work: Work) -> Result<()> {
        let run = self.program(node)?.owner.run;
        self.after(after, Timer::Work(run, node, work));
        Ok(())
    }

    pub(crate) fn after(&mut self, after: u64, timer: Timer) {
        self.timers.insert((self.now + after, self.timers_set), timer);
        self.timers_set += 1;
    }

    /// The time without faults so far.
    pub(crate) fn quiet_time(&self) -> u64 {
        self.quiet
    }

    /// An operation has ended after this much time without faults.
    pub(crate) fn waited(&mut self, time: u64, node: usize, stage: Stage) {
        self.tally.longest = self.tally.longest.max(time);
        if time > LONGEST {
            let what = format!("node {}: {stage:?} took {time} us without a fault", node + 1);
            self.history.violation(&what);
        }
    }

    /// Looks at what is left when nothing is to happen any more.
    fn end(&mut self) -> Result<()> {
        ensure!(self.dying.is_empty(), "a killed program cannot be closed");
        for (number, program) in (1..).zip(&self.programs) {
            let program = program.as_ref().with_context(|| format!("node {number} is lost"))?;
            if !program.works() || !Self::is_idle(program) {
                self.tell_what_waits(number, program);
            }
            let dropped = program.space.dropped_results();
            ensure!(dropped == 0, "node {number}: {dropped} results for nobody");
        }
        ensure!(self.history.counts().2 == 0, "operations never ended");
        self.cluster.check().map_err(anyhow::Error::msg)?;
        // Only null locks are left.
        for (number, resource) in RESOURCES.iter().enumerate() {
            let program = self.programs.get(number % NODES).and_then(Option::as_ref);
            let space = &program.context("no program")?.space;
            let last = space.lock(resource, Mode::Ex).no_queue().start(|_| {})?;
            self.cluster.settle();
            space.dispatch()?;
            ensure!(last.mode().is_some(), "{resource} is still held");
            drop(last);
            self.cluster.settle();
        }
        for program in self.programs.iter_mut().filter_map(Option::take) {
            program.space.close()?;
        }
        self.cluster.settle();
        self.cluster.check().map_err(anyhow::Error::msg)?;
        for node in self.cluster.nodes() {
            let left = node.queues(&self.name);
            ensure!(left.is_empty(), "left on node {}: {left:?}", node.id());
        }
        Ok(())
    }

    fn tell_what_waits(&self, number: u32, program: &Program) {
        let Program { kept, held_up, workers, .. } = program;
        if *kept < RESOURCES.len() || !held_up.is_empty() {
            let what = format!("node {number}: {kept} null locks granted, {held_up:?} held up");
            self.history.violation(&what);
        }
        for operation in workers.iter().take(WORKERS).filter_map(|it| it.operation.as_ref()) {
            let (what, stage) = (operation.number, operation.stage);
            if stage.waits() {
                let what = format!("node {number}: lock {what} never ended: {stage:?}");
                self.history.violation(&what);
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
