//! The history of the locks, and its check.
//!
//! This process drives all work, so it knows without any clock what was true at the same time: a
//! lock is held at least from the moment when its grant was heard until the moment before its
//! unlock is said, or its node or process is killed.

use dlm_proto::Mode;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Events shown with a violation.
const KEPT: usize = 600;

/// Who holds a lock: the node, and which run of a program on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The node.
    pub node: u8,
    /// The number of the program's run.
    pub run: u64,
}

/// All events and all that follows from them.
#[derive(Debug)]
pub struct History {
    clock: Clock,
    state: Mutex<State>,
}

/// What tells the time of events.
#[derive(Debug)]
enum Clock {
    Since(Instant),
    /// Somebody says it.
    Told(AtomicU64),
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<String>,
    violations: Vec<String>,
    resources: HashMap<String, Resource>,
    /// Runs that were ended on purpose.
    ended: Vec<u64>,
    grants: u64,
    invalid: u64,
    excused: u64,
}

#[derive(Debug, Default)]
struct Resource {
    holders: Vec<(Owner, u64, Mode)>,
    /// The highest value whose write was completed, and the highest that anybody tried to write.
    committed: u64,
    tried: u64,
    /// All values whose writes were completed.
    values: HashSet<u64>,
    doubt: Doubt,
}

/// Whether a block that is said to be valid may be an old one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    #[default]
    None,
    /// Something is going on in which the lock managers are known to lose values, and not to tell.
    Lasts,
    /// It is over, and the next value above this one will be right.
    UntilWriteAbove(u64),
}

impl History {
    /// An empty history, whose time is that of this process.
    #[expect(clippy::new_without_default, reason = "there are two kinds")]
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Clock::Since(Instant::now()), state: Mutex::default() }
    }

    /// One whose time is what [`History::set_time`] says.
    pub fn in_told_time() -> Self {
        Self { clock: Clock::Told(AtomicU64::new(0)), state: Mutex::default() }
    }

    /// The time of what follows, in a history of told time.
    pub fn set_time(&self, time: Duration) {
        if let Clock::Told(micros) = &self.clock {
            micros.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Adds an event.
    pub fn note(&self, event: &str) {
        let mut state = self.lock();
        self.push(&mut state, event);
    }

    /// Adds an event that may not happen.
    pub fn violation(&self, what: &str) {
        let mut state = self.lock();
        self.violate(&mut state, what);
    }

    /// A run is over because this process ends it, from this moment on.
    pub fn ends(&self, owner: Owner, why: &str) {
        let mut state = self.lock();
        self.push(&mut state, &format!("node {} run {} ends: {why}", owner.node, owner.run));
        state.ended.push(owner.run);
        for resource in state.resources.values_mut() {
            resource.holders.retain(|(holder, ..)| *holder != owner);
        }
    }

    /// Whether a run was ended on purpose.
    pub fn has_ended(&self, run: u64) -> bool {
        self.lock().ended.contains(&run)
    }

    /// What must be in the value block of a lock that is asked for from now on, at least.
    pub fn committed(&self, resource: &str) -> u64 {
        self.lock().resources.get(resource).map_or(0, |resource| resource.committed)
    }

    /// A grant was heard. `dead` tells of a run whether its machine is off; it is asked while the
    /// history is locked.
    pub fn granted(
        &self,
        name: &str,
        owner: Owner,
        lock: u64,
        mode: Mode,
        dead: impl Fn(Owner) -> bool,
    ) {
        let mut state = self.lock();
        self.push(&mut state, &format!("node {} holds {name} {mode} ({lock})", owner.node));
        if state.ended.contains(&owner.run) {
            return;
        }
        state.grants += 1;
        let resource = state.resources.entry(name.to_owned()).or_default();
        resource.holders.retain(|(holder, ..)| !dead(*holder));
        let beside = resource.holders.iter().find(|(.., held)| !held.is_compatible_with(mode));
        let what = beside.map(|(holder, other, held)| {
            format!(
                "{name}: node {} got {mode} ({lock}) while node {} held {held} ({other})",
                owner.node, holder.node
            )
        });
        resource.holders.push((owner, lock, mode));
        if let Some(what) = what {
            self.violate(&mut state, &what);
        }
    }

    /// The lock is about to be given up.
    pub fn gives_up(&self, name: &str, lock: u64) {
        let mut state = self.lock();
        if let Some(resource) = state.resources.get_mut(name) {
            resource.holders.retain(|(_, held, _)| *held != lock);
        }
    }

    /// What a lock's value block had, and what had to be in it at least.
    pub fn read(&self, name: &str, value: u64, valid: bool, at_least: u64) {
        let mut state = self.lock();
        let word = if valid { "valid" } else { "invalid" };
        self.push(&mut state, &format!("{name} reads {value} {word}, committed {at_least}"));
        state.invalid += u64::from(!valid);
        let resource = state.resources.get(name);
        let (tried, doubt) = resource.map_or((0, Doubt::None), |it| (it.tried, it.doubt));
        let is_doubtful = doubt != Doubt::None;
        if valid && value < at_least && is_doubtful {
            state.excused += 1;
            self.push(&mut state, &format!("{name} was lost, as expected"));
        } else if valid && value < at_least {
            self.violate(&mut state, &format!("{name}: {at_least} was lost, {value} is valid"));
        }
        if value > tried {
            self.violate(&mut state, &format!("{name}: nobody wrote {value}"));
        }
    }

    /// Something happens in which the lock managers are known to lose values, and not to tell: a
    /// valid block may be an old one.
    pub fn doubt(&self, name: &str, why: &str) {
        let mut state = self.lock();
        self.push(&mut state, &format!("{name} may be lost: {why}"));
        state.resources.entry(name.to_owned()).or_default().doubt = Doubt::Lasts;
    }

    /// That is over everywhere.
    pub fn doubt_ends(&self) {
        let mut state = self.lock();
        for resource in state.resources.values_mut().filter(|it| it.doubt == Doubt::Lasts) {
            resource.doubt = Doubt::UntilWriteAbove(resource.tried);
        }
    }

    /// Values that were lost when that was to be expected.
    pub fn excused(&self) -> u64 {
        self.lock().excused
    }

    /// The value that a writer is to write after it has read this one.
    pub fn next_value(&self, name: &str, read: u64, valid: bool) -> u64 {
        let mut state = self.lock();
        let resource = state.resources.entry(name.to_owned()).or_default();
        // An invalid block is rebuilt from what this process knows, which is its journal.
        let is_known = valid && resource.doubt == Doubt::None;
        let value = if is_known { read } else { resource.tried }.saturating_add(1);
        resource.tried = resource.tried.max(value);
        value
    }

    /// A write was completed. Two of the same value had read the same one before.
    pub fn wrote(&self, name: &str, value: u64) {
        let mut state = self.lock();
        self.push(&mut state, &format!("{name} has {value}"));
        let resource = state.resources.entry(name.to_owned()).or_default();
        // Completions are heard in any order.
        resource.committed = resource.committed.max(value);
        if matches!(resource.doubt, Doubt::UntilWriteAbove(tried) if value > tried) {
            resource.doubt = Doubt::None;
        }
        if !resource.values.insert(value) {
            self.violate(&mut state, &format!("{name}: {value} was written twice"));
        }
    }

    /// Grants, invalid blocks and violations so far.
    pub fn counts(&self) -> (u64, u64, usize) {
        let state = self.lock();
        (state.grants, state.invalid, state.violations.len())
    }

    /// The violations, after the events before them.
    pub fn report(&self) -> String {
        let state = self.lock();
        let mut text = String::new();
        for line in state.events.iter().chain(&state.violations) {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn push(&self, state: &mut State, event: &str) {
        if state.events.len() >= KEPT {
            state.events.pop_front();
        }
        state.events.push_back(match &self.clock {
            Clock::Since(start) => format!("{:9.3} {event}", start.elapsed().as_secs_f64()),
            Clock::Told(micros) => format!("{:8} us {event}", micros.load(Ordering::Relaxed)),
        });
    }

    fn violate(&self, state: &mut State, what: &str) {
        self.push(state, &format!("VIOLATION {what}"));
        state.violations.push(format!("VIOLATION {what}"));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Owner = Owner { node: 1, run: 1 };
    const TWO: Owner = Owner { node: 2, run: 2 };

    fn violations(history: &History) -> usize {
        history.counts().2
    }

    #[test]
    fn two_holders_are_seen_unless_one_of_them_is_dead() {
        let alive = |_| false;
        let history = History::new();
        history.granted("r", ONE, 1, Mode::Pr, alive);
        history.granted("r", TWO, 2, Mode::Pr, alive);
        history.granted("other", TWO, 3, Mode::Ex, alive);
        assert_eq!(violations(&history), 0);
        history.gives_up("r", 2);
        history.granted("r", TWO, 4, Mode::Ex, |owner| owner == ONE);
        assert_eq!(violations(&history), 0);
        history.granted("r", ONE, 5, Mode::Cr, alive);
        assert_eq!(violations(&history), 1);
        assert!(history.report().contains("node 1 got CR (5) while node 2 held EX (4)"));
        history.ends(TWO, "killed");
        history.gives_up("r", 5);
        history.granted("r", ONE, 6, Mode::Ex, alive);
        assert_eq!(violations(&history), 1);
        assert!(history.has_ended(2));
    }

    #[test]
    fn a_loss_that_is_expected_is_excused_until_a_write_that_follows() {
        let history = History::in_told_time();
        let first = history.next_value("r", 0, true);
        history.wrote("r", first);
        let on_its_way = history.next_value("r", first, true);
        history.doubt("r", "a test");
        history.read("r", 0, true, first);
        history.doubt_ends();
        history.wrote("r", on_its_way);
        history.read("r", 0, true, on_its_way);
        assert_eq!((violations(&history), history.excused()), (0, 2));
        let value = history.next_value("r", 0, true);
        assert_eq!(value, 3);
        history.wrote("r", value);
        history.read("r", 0, true, value);
        assert_eq!((violations(&history), history.excused()), (1, 2));
    }

    #[test]
    fn lost_and_repeated_values_are_seen() {
        let history = History::new();
        history.read("r", 0, true, 0);
        assert_eq!(history.next_value("r", 0, true), 1);
        history.wrote("r", 1);
        assert_eq!(history.committed("r"), 1);
        // Old bytes are no violation if they are not said to be valid.
        history.read("r", 0, false, 1);
        assert_eq!(history.next_value("r", 0, false), 2);
        assert_eq!(violations(&history), 0);
        history.read("r", 0, true, 1);
        assert_eq!(violations(&history), 1);
        history.wrote("r", 1);
        assert_eq!(violations(&history), 2);
        history.read("r", 9, true, 1);
        assert_eq!(violations(&history), 3);
    }
}
