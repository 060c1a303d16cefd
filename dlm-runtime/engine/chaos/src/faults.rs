//! The faults of the nodes.

use crate::round::{MS, NODES, Round, Timer};
use anyhow::{Context, Result};
use dlm_random::Random;
use dlm_runtime::engine::FaultGuard;
use std::fmt;

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It loses its power.
    Kill,
    /// It stands still, until it is fenced.
    Freeze,
    /// It loses its network, until it is fenced.
    Cut,
    /// Its lockspace is stopped for good, until it is fenced.
    KillController,
    /// It stands still for a moment.
    FreezeBriefly,
    /// It loses its network for a moment.
    CutBriefly,
    /// Its lockspace is stopped for a moment.
    StopBriefly,
    /// The program that locks is killed.
    KillProgram,
    /// It gives up the lockspace and joins it again.
    Leave,
}

pub(crate) const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::Freeze,
    Fault::Cut,
    Fault::KillController,
    Fault::FreezeBriefly,
    Fault::CutBriefly,
    Fault::StopBriefly,
    Fault::KillProgram,
    Fault::Leave,
];

impl Fault {
    /// Whether it ends the program.
    fn ends_program(self) -> bool {
        !matches!(self, Self::FreezeBriefly | Self::CutBriefly | Self::StopBriefly)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kill => "node killed",
            Self::Freeze => "node frozen and fenced",
            Self::Cut => "node cut off and fenced",
            Self::KillController => "lockspace stopped and node fenced",
            Self::FreezeBriefly => "node frozen and thawed",
            Self::CutBriefly => "node cut off and healed",
            Self::StopBriefly => "lockspace stopped and started",
            Self::KillProgram => "program killed",
            Self::Leave => "lockspace left and joined",
        })
    }
}

/// What is to happen next in a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another fault begins.
    Begin,
    /// What lasted for a moment is over.
    End(usize),
    /// The node is switched off.
    Fence(usize),
    /// The node is switched on, and its program is started.
    Start(usize),
    /// What was held recovers.
    Recover,
    /// Everybody finishes what is begun.
    Finish,
}

/// The faults of a round.
pub(crate) struct Trouble {
    /// How many are still to begin.
    left: u64,
    /// By node: the fault, and what keeps it from working.
    active: [Option<(Fault, Option<FaultGuard>)>; NODES],
    held: Vec<FaultGuard>,
    is_finishing: bool,
}

impl Trouble {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            left: 1 + random.below(4),
            active: Default::default(),
            held: Vec::new(),
            is_finishing: false,
        }
    }

    /// Whether all works.
    pub(crate) fn is_over_for_now(&self) -> bool {
        self.held.is_empty() && self.active.iter().all(Option::is_none)
    }

    fn of(&self, node: usize) -> Option<Fault> {
        self.active.get(node)?.as_ref().map(|(fault, _)| *fault)
    }

    fn set(&mut self, node: usize, fault: Option<(Fault, Option<FaultGuard>)>) {
        if let Some(slot) = self.active.get_mut(node) {
            *slot = fault;
        }
    }

    /// Ends what keeps a node from working. The fault need not be over.
    fn end(&mut self, node: usize) {
        if let Some((_, guard)) = self.active.get_mut(node).and_then(Option::as_mut) {
            drop(guard.take());
        }
    }
}

impl Round {
    pub(crate) fn plan_trouble(&mut self) {
        let after = self.random.below(300 * MS);
        self.after(after, Timer::Trouble(Step::Begin));
    }

    /// Whether nothing new is begun.
    pub(crate) fn is_ending(&self) -> bool {
        self.trouble.is_finishing
    }

    /// A program works again, and with it its node.
    pub(crate) fn settled(&mut self, node: usize) {
        if self.trouble.of(node).is_some_and(Fault::ends_program) {
            self.ends(node);
        }
    }

    fn ends(&mut self, node: usize) {
        self.trouble.set(node, None);
        self.note(node, "is well again");
        if self.trouble.left == 0 && self.trouble.is_over_for_now() {
            let after = (20 + self.random.below(200)) * MS;
            self.after(after, Timer::Trouble(Step::Finish));
        }
    }

    pub(crate) fn go_on(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Begin => self.begin_fault(),
            Step::End(node) => {
                self.trouble.end(node);
                self.ends(node);
                Ok(())
            }
            Step::Fence(node) => {
                self.fence(node);
                Ok(())
            }
            Step::Start(node) => {
                self.node(node).restart();
                self.start(node)
            }
            Step::Recover => {
                self.trouble.held.clear();
                self.history().note("lockspaces may recover");
                Ok(())
            }
            Step::Finish => {
                self.trouble.is_finishing = true;
                self.history().note("nothing new is begun");
                Ok(())
            }
        }
    }

    fn begin_fault(&mut self) -> Result<()> {
        let fault = *self.random.of(&FAULTS).context("no faults")?;
        let node = usize::try_from(self.random.below(NODES as u64))?;
        // Somebody must keep the value blocks.
        let survives = |other: usize| {
            let stays = self.trouble.of(other).is_none_or(|fault| !fault.ends_program());
            other != node && stays && self.works(other)
        };
        let is_well = self.trouble.of(node).is_none() && self.works(node);
        let can_be = !fault.ends_program()
            || ((0..NODES).any(survives) && !(fault == Fault::Leave && self.is_held_up(node)));
        if !is_well || !can_be {
            self.after(20 * MS, Timer::Trouble(Step::Begin));
            return Ok(());
        }
        self.trouble.left -= 1;
        self.began(fault, node);
        let soon = (10 + self.random.below(400)) * MS;
        let later = (300 + self.random.below(700)) * MS;
        let (guard, step, after) = match fault {
            Fault::Kill => {
                self.hold_recovery();
                self.crash(node, "its node is killed");
                (None, Step::Start(node), later)
            }
            Fault::Freeze => (Some(self.node(node).freeze()), Step::Fence(node), later),
            Fault::Cut => (Some(self.cut(node)), Step::Fence(node), later),
            Fault::KillController => (Some(self.stop_lockspace(node)?), Step::Fence(node), later),
            Fault::FreezeBriefly => (Some(self.node(node).freeze()), Step::End(node), soon),
            Fault::CutBriefly => (Some(self.cut(node)), Step::End(node), soon),
            Fault::StopBriefly => (Some(self.stop_lockspace(node)?), Step::End(node), soon),
            Fault::KillProgram => {
                self.kill(node);
                (None, Step::Start(node), soon)
            }
            Fault::Leave => {
                self.leave(node)?;
                (None, Step::Start(node), soon)
            }
        };
        self.trouble.set(node, Some((fault, guard)));
        self.after(after, Timer::Trouble(step));
        if self.trouble.left > 0 {
            let next = self.random.below(800 * MS);
            self.after(next, Timer::Trouble(Step::Begin));
        }
        Ok(())
    }

    fn fence(&mut self, node: usize) {
        self.hold_recovery();
        self.crash(node, "its node is fenced");
        self.trouble.end(node);
        let after = (10 + self.random.below(1000)) * MS;
        self.after(after, Timer::Trouble(Step::Start(node)));
    }

    /// Sometimes it takes a while until it is known that a node is off.
    fn hold_recovery(&mut self) {
        if self.random.below(3) == 0 {
            self.trouble.held.push(self.cluster.hold_recovery());
            let after = self.random.below(1000) * MS;
            self.after(after, Timer::Trouble(Step::Recover));
        }
    }

    fn cut(&self, node: usize) -> FaultGuard {
        let number = u32::try_from(node + 1).unwrap_or(0);
        self.cluster.partition(&[&[number]])
    }
}
