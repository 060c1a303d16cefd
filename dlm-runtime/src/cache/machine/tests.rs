//! All that can happen to one resource's lock, in every order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::*;
use crate::cache::word::{Users, Word};

const HOLD: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// As many guards and waiters as may be there at one time.
const MOST_USERS: u64 = 2;
const MOST_WAITERS: usize = 2;

/// One resource with its users, hooks and lock manager.
#[derive(Clone)]
struct World {
    start: Instant,
    now: Instant,
    machine: Machine<u8>,
    word: Word,
    /// What was given out to be done, and has not ended.
    under_way: Option<Action>,
    is_cancelled: bool,
    /// Those who wait, in the order in which they came, and whether something has changed since.
    waiting: Vec<(u8, Wish, bool)>,
    next_grant: u64,
    /// What others want of the present grant.
    wanted: Option<Level>,
    /// What the hooks have loaded is there.
    is_loaded: bool,
    /// Nobody has come in since the last grant.
    is_fresh: bool,
    is_closed: bool,
    is_lost: bool,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Event {
    Enter(Level),
    Ask(Wish),
    Leave(Level),
    Downgrade,
    Upgrade,
    Withdraw(usize),
    Ends(Ending),
    Notice(Level),
    Early(Level),
    Late(Level),
    Time,
    Age,
    GiveBack,
    Close,
    Lose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ending {
    Well,
    Badly,
    Again,
    Deadlock,
    Cancelled,
}

impl World {
    fn new(start: Instant, has_hooks: bool) -> Self {
        let mut machine = Machine::new();
        machine.has_hooks = has_hooks;
        Self {
            start,
            now: start,
            machine,
            word: Word::new(),
            under_way: None,
            is_cancelled: false,
            waiting: Vec::new(),
            next_grant: 0,
            wanted: None,
            is_loaded: !has_hooks,
            is_fresh: false,
            is_closed: false,
            is_lost: false,
        }
    }

    fn now(&self) -> Now {
        Now { time: self.now, minimum_hold: HOLD, pause: PAUSE }
    }

    fn users(&self) -> Users {
        self.word.users()
    }

    /// What can happen now.
    fn events(&self) -> Vec<Event> {
        use Level::{Exclusive, Null, Shared};
        let mut events = vec![Event::Time, Event::Age, Event::GiveBack];
        let users = self.users();
        let count = users.readers + u64::from(users.writer);
        if count < MOST_USERS {
            events.extend([Event::Enter(Shared), Event::Enter(Exclusive)]);
        }
        if self.waiting.len() < MOST_WAITERS && count < MOST_USERS {
            for level in [Shared, Exclusive] {
                for no_queue in [false, true] {
                    events.push(Event::Ask(Wish { level, no_queue, seen: None }));
                }
            }
        }
        if users.readers > 0 {
            events.push(Event::Leave(Shared));
            if self.waiting.len() < MOST_WAITERS {
                events.push(Event::Upgrade);
            }
        }
        if users.writer {
            events.extend([Event::Leave(Exclusive), Event::Downgrade]);
        }
        events.extend((0..self.waiting.len()).map(Event::Withdraw));
        if let Some(action) = self.under_way {
            let endings: &[Ending] = match action {
                Action::Raise { .. } => &[
                    Ending::Well,
                    Ending::Badly,
                    Ending::Again,
                    Ending::Deadlock,
                    Ending::Cancelled,
                ],
                _ => &[Ending::Well, Ending::Badly],
            };
            events.extend(endings.iter().map(|ending| Event::Ends(*ending)));
            if matches!(action, Action::Raise { .. } | Action::Lower { .. }) && !self.is_lost {
                events.extend([Event::Early(Shared), Event::Early(Null)]);
            }
        }
        if self.machine.held != Level::None && !self.is_lost {
            events.extend([Event::Notice(Shared), Event::Notice(Null)]);
            events.extend([Event::Late(Shared), Event::Late(Null)]);
        }
        if !self.is_closed && !self.is_lost {
            events.push(Event::Close);
        }
        if !self.is_lost {
            events.push(Event::Lose);
        }
        events
    }

    /// Lets something happen. `None`: it could not.
    fn happen(&mut self, event: Event) -> Option<()> {
        let now = self.now();
        let mut turn = Turn::default();
        let (word, machine) = (&self.word, &mut self.machine);
        match event {
            Event::Enter(level) => {
                let enters = if level == Level::Exclusive {
                    word.enter_exclusive()
                } else {
                    word.enter_shared()
                };
                if !enters {
                    return None;
                }
                self.check_entry(level);
                // Nobody waits, so nobody has seen anything.
                assert!(self.waiting.is_empty(), "somebody comes in before those who wait");
            }
            Event::Ask(wish) => {
                let id = self.free_id();
                self.waiting.push((id, wish, false));
                self.machine.ask(word, now, id, wish, &mut turn);
            }
            Event::Leave(level) => {
                let must_look = if level == Level::Exclusive {
                    word.leave_exclusive()
                } else {
                    word.leave_shared()
                };
                if must_look {
                    machine.left(word, now, &mut turn);
                }
            }
            Event::Downgrade => {
                if word.downgrade() {
                    machine.left(word, now, &mut turn);
                }
            }
            Event::Upgrade => {
                word.bar();
                let wish = Wish {
                    level: Level::Exclusive,
                    no_queue: false,
                    seen: Some(machine.version()),
                };
                word.leave_shared();
                let id = self.free_id();
                self.waiting.insert(0, (id, wish, self.is_lost));
                self.machine.ask(word, now, id, wish, &mut turn);
            }
            Event::Withdraw(at) => {
                let (id, ..) = self.waiting.remove(at);
                assert!(machine.withdraw(word, now, |other| *other == id, &mut turn));
            }
            Event::Ends(ending) => {
                let action = self.under_way.take()?;
                if ending == Ending::Cancelled && !self.is_cancelled {
                    return None;
                }
                self.is_cancelled = false;
                self.end(action, ending, &mut turn)?;
            }
            Event::Notice(left) => {
                let is_meant = left < machine.held;
                let is_current = machine.noticed(word, now, (machine.grant, left), &mut turn);
                assert_eq!(is_current, is_meant);
                if is_meant {
                    self.wanted = Some(self.wanted.map_or(left, |other| other.min(left)));
                }
            }
            Event::Early(left) => {
                assert!(machine.noticed(word, now, (self.next_grant, left), &mut turn));
            }
            Event::Late(left) => {
                let grant = machine.grant.checked_sub(1)?;
                assert!(!machine.noticed(word, now, (grant, left), &mut turn));
            }
            Event::Time => {
                self.now += HOLD;
                self.is_fresh &= !matches!(machine.step, Step::Paused { .. });
                let now = Now { time: self.now, ..now };
                machine.look(word, now, &mut turn);
            }
            Event::Age => _ = machine.age(word, now, &mut turn),
            Event::GiveBack => _ = machine.give_back(word, now, Cause::Shrink, &mut turn),
            Event::Close => {
                self.is_closed = true;
                machine.close(word, now, &mut turn);
            }
            Event::Lose => {
                self.is_lost = true;
                self.waiting.iter_mut().for_each(|(.., is_changed)| *is_changed = true);
                machine.lose(word, now, &mut turn);
                if !matches!(self.under_way, Some(Action::Load { .. } | Action::Flush { .. })) {
                    self.under_way = None;
                }
            }
        }
        self.take(turn);
        self.is_fresh &= !self.waiting.is_empty() || self.machine.step != Step::Rest;
        Some(())
    }

    fn free_id(&self) -> u8 {
        (0..).find(|id| self.waiting.iter().all(|(other, ..)| other != id)).unwrap()
    }

    fn note_change(&mut self) {
        self.waiting.iter_mut().for_each(|(.., is_changed)| *is_changed = true);
    }

    fn end(&mut self, action: Action, ending: Ending, turn: &mut Turn<u8>) -> Option<()> {
        let (now, word) = (self.now(), &self.word);
        let is_well = ending == Ending::Well;
        match action {
            Action::Raise { from, no_queue, .. } => {
                let grant = self.next_grant;
                let raised = match ending {
                    Ending::Well => Raised::Granted(grant),
                    Ending::Badly => Raised::Failed,
                    Ending::Again if no_queue => Raised::Again,
                    Ending::Deadlock if from == Level::Shared => Raised::Deadlock,
                    Ending::Cancelled => Raised::Cancelled,
                    _ => return None,
                };
                if is_well {
                    self.is_fresh = true;
                    self.next_grant += 1;
                    self.wanted = None;
                    if from <= Level::Null {
                        self.is_loaded = !self.machine.has_hooks;
                    }
                }
                self.machine.raised(word, now, raised, turn);
                if is_well {
                    self.wanted = self.machine.demand;
                }
            }
            Action::Lower { to, .. } => {
                let grant = self.next_grant;
                if is_well {
                    self.next_grant += 1;
                    self.wanted = None;
                    if to <= Level::Null {
                        self.note_change();
                    }
                }
                self.machine.lowered(&self.word, now, is_well.then_some(grant), turn);
                if is_well {
                    self.wanted = self.machine.demand;
                }
            }
            Action::Load { .. } => {
                self.is_loaded |= is_well;
                self.machine.loaded(word, now, is_well, turn);
            }
            Action::Flush { to, cause, .. } => {
                assert!(cause != Cause::Lost || self.is_lost);
                if is_well && to <= Level::Null {
                    self.is_loaded = false;
                }
                self.machine.flushed(word, now, is_well, turn);
            }
            Action::Cancel => unreachable!(),
        }
        Some(())
    }

    /// Somebody comes in: may it?
    fn check_entry(&self, level: Level) {
        let users = self.users();
        assert!(!users.writer || users.readers == 0 && level == Level::Exclusive);
        assert!(self.machine.held >= level, "the lock is too weak");
        assert!(self.is_loaded, "nothing is loaded");
        assert!(!self.is_lost && !self.is_closed);
        if let Some(Action::Flush { .. } | Action::Load { .. } | Action::Lower { .. }) =
            self.under_way
        {
            panic!("while {:?}", self.under_way);
        }
    }

    /// What comes out of an event.
    fn take(&mut self, turn: Turn<u8>) {
        for (id, outcome) in turn.settled {
            let at = self.waiting.iter().position(|(other, ..)| *other == id);
            let (_, wish, is_changed) = self.waiting.remove(at.expect("told twice"));
            match outcome {
                Ok(admission) => {
                    self.is_fresh = false;
                    self.check_entry(wish.level);
                    let before = self.waiting.get(..at.unwrap()).unwrap();
                    assert!(before.is_empty(), "out of turn: {before:?}");
                    if admission.is_kept {
                        assert!(wish.seen.is_some() && !is_changed, "what was read is old");
                    }
                    if wish.level == Level::Exclusive {
                        self.note_change();
                    }
                }
                Err(Refusal::WouldBlock) => assert!(wish.no_queue),
                Err(Refusal::Ended) => assert!(self.is_closed || self.is_lost),
                Err(Refusal::Crowded) => panic!("{wish:?}"),
                Err(Refusal::Failed | Refusal::NotLoaded) => self.is_fresh = false,
            }
        }
        match turn.action {
            None => {}
            Some(Action::Cancel) => {
                assert!(matches!(self.under_way, Some(Action::Raise { .. })), "nothing to cancel");
                assert!(!self.is_cancelled, "cancelled twice");
                self.is_cancelled = true;
            }
            Some(action) => {
                assert_eq!(self.under_way, None, "two at a time: {action:?}");
                self.check_action(action);
                self.under_way = Some(action);
            }
        }
    }

    fn check_action(&self, action: Action) {
        let users = self.users();
        let begins = match action {
            Action::Lower { cause: Cause::Wanted(_), .. } => !self.machine.has_hooks,
            Action::Flush { cause: Cause::Wanted(_), attempt, .. } => attempt == 0,
            _ => false,
        };
        if begins && self.is_fresh {
            let is_next = |(_, wish, _): &(u8, Wish, bool)| wish.level <= self.machine.held;
            assert!(!self.waiting.first().is_some_and(is_next), "who asked for it is passed over");
        }
        match action {
            Action::Raise { from, to, .. } => {
                assert!(from == self.machine.held && to > from);
                assert!(!self.is_lost && !self.is_closed);
                assert!(!self.waiting.is_empty(), "nobody wants it");
            }
            Action::Lower { from, to, .. } => {
                assert!(from == self.machine.held && to < from && !self.is_lost);
                assert!(if to == Level::Shared { !users.writer } else { users.is_none() });
                if self.machine.has_hooks && from >= Level::Shared && to <= Level::Null {
                    assert!(!self.is_loaded, "what was loaded was not dropped");
                }
            }
            Action::Flush { to, cause, .. } => {
                assert!(if to == Level::Shared { !users.writer } else { users.is_none() });
                assert_eq!(cause == Cause::Lost, self.is_lost, "{cause:?}");
            }
            Action::Load { .. } => assert!(users.is_none() || self.is_loaded),
            Action::Cancel => {}
        }
    }

    /// What must hold between two events.
    fn check(&self) {
        let users = self.users();
        assert!(!users.writer || users.readers == 0, "{users:?}");
        assert_eq!(self.machine.rare.queue.len(), self.waiting.len());
        let is_resting = self.machine.step == Step::Rest;
        let is_paused = matches!(self.machine.step, Step::Paused { .. });
        assert_eq!(self.under_way.is_none(), is_resting || is_paused, "{:?}", self.machine.step);
        if self.waiting.iter().any(|(_, wish, _)| wish.no_queue) {
            let step = self.machine.step;
            assert!(matches!(step, Step::Raise { .. } | Step::Load { .. }), "a try waits");
        }
        if !is_resting || self.machine.rare.not_before.is_some() {
            return;
        }
        // Nothing is under way, so whoever waits, waits for guards to go, or for time to pass.
        let is_held = self.machine.since.is_some_and(|since| since + HOLD > self.now);
        if !self.waiting.is_empty() {
            assert!(!users.is_none(), "those who wait are forgotten");
        }
        if let Some(left) = self.wanted.filter(|left| *left < self.machine.held) {
            let is_used = if left == Level::Shared { users.writer } else { !users.is_none() };
            let is_next = self.is_fresh && !self.waiting.is_empty();
            assert!(
                is_held || is_used || is_next || self.is_lost,
                "who waits elsewhere is forgotten"
            );
        }
        if self.is_closed && !self.is_lost && users.is_none() {
            assert_eq!(self.machine.held, Level::None, "a closed cache keeps a lock");
        }
        if self.is_lost && users.is_none() {
            assert_eq!(self.machine.held, Level::None, "a lost lock is kept");
        }
    }

    /// The same state with small numbers, so that it can be told from others.
    fn canonical(mut self) -> (Self, [u64; 2]) {
        let past = self.start;
        let (now, machine) = (self.now, &mut self.machine);
        let is_held = machine.since.map(|since| since + HOLD > now);
        let is_pausing = machine.rare.not_before.map(|at| at > now);
        self.now = past + HOLD;
        machine.since = is_held.map(|is_held| if is_held { self.now } else { past });
        machine.rare.not_before =
            is_pausing.map(|is_pausing| if is_pausing { self.now + PAUSE } else { self.now });
        machine.rare.wanted_since = machine.rare.wanted_since.map(|_| past);
        machine.attempt = machine.attempt.min(1);
        let shift = self.next_grant;
        self.next_grant = 3;
        let has_grant = machine.grant + 1 == shift;
        machine.grant = if has_grant || shift == 0 { 2 } else { 1 };
        machine.rare.early = machine.rare.early.and_then(|(of, left)| {
            let left = (of >= shift).then_some(left)?;
            Some((3, left))
        });
        let version = machine.version;
        machine.version = 1;
        let seen_as = |seen: u32| u32::from(seen == version);
        for queued in &mut machine.rare.queue {
            queued.wish.seen = queued.wish.seen.map(seen_as);
        }
        for (_, wish, _) in &mut self.waiting {
            wish.seen = wish.seen.map(seen_as);
        }
        self.word = self.word.without_hits();
        let Self { machine, under_way, is_cancelled, waiting, wanted, .. } = &self;
        let Self { is_loaded, is_fresh, is_closed, is_lost, word, .. } = &self;
        let state = (machine, under_way, is_cancelled, waiting, wanted);
        let state = (state, is_loaded, is_fresh, is_closed, is_lost, format!("{word:?}"));
        let key = [1, 2].map(|seed| FixedState::with_seed(seed).hash_one(&state));
        (self, key)
    }
}

/// Goes through all states that can be reached. Returns how many there are.
fn explore(has_hooks: bool) -> usize {
    let start = World::new(Instant::now(), has_hooks);
    let (start, key) = start.canonical();
    let mut known = HashSet::from([key]);
    let mut open = VecDeque::from([(start, Vec::new())]);
    while let Some((world, path)) = open.pop_front() {
        for event in world.events() {
            let mut next = world.clone();
            let mut path: Vec<Event> = path.clone();
            path.push(event);
            let happens = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let happens = next.happen(event);
                if happens.is_some() {
                    next.check();
                }
                happens
            }));
            let Ok(happens) = happens else { panic!("after {path:?}") };
            if happens.is_none() {
                continue;
            }
            let (next, key) = next.canonical();
            if known.insert(key) {
                open.push_back((next, path));
            }
        }
    }
    known.len()
}

#[test]
fn nothing_goes_wrong_in_any_order_without_hooks() {
    let count = explore(false);
    println!("{count} states");
    assert!(count > 1000, "{count}");
}

#[test]
fn nothing_goes_wrong_in_any_order_with_hooks() {
    let count = explore(true);
    println!("{count} states");
    assert!(count > 1000, "{count}");
}
