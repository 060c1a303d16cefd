//! Random scripts.
//!
//! No script does a bit of everything: each has a few modes and a few flags that it uses often, so
//! that the rare things meet each other.

use dlm_proto::{LockFlags, Mode, ModeCode};
use dlm_sys::Errno;

use super::requests;
use super::spaces::OTHER;
use super::world::World;
use crate::scenario::{Ask, Device, Frame, LockRef, MAIN, Owner, Step, Wanted, What};
use dlm_random::Random;

/// The sessions of a script, and their lockspaces. The last one is not always there.
const SESSIONS: [(&str, &str); 4] = [("a", MAIN), ("b", MAIN), ("c", MAIN), ("d", OTHER)];

/// The resources of a script: one more often than several, so that locks meet.
const RESOURCES: &[&[&str]] = &[&["r"], &["r"], &["r", "s"], &["r", "s", ""]];

/// The modes of a script, some more often than others.
const MODES: &[&[Mode]] = &[
    &Mode::ALL,
    &Mode::ALL,
    &[Mode::Pr, Mode::Ex],
    &[Mode::Pr, Mode::Pr, Mode::Ex, Mode::Nl],
    &[Mode::Nl, Mode::Pw, Mode::Ex],
    &[Mode::Cr, Mode::Cw, Mode::Pr],
    &[Mode::Cr, Mode::Pw, Mode::Pr],
    &[Mode::Cw, Mode::Pr, Mode::Cw, Mode::Nl],
];

/// A script so far.
pub(super) struct Script {
    pub(super) rng: Random,
    steps: Vec<Step>,
    world: World,
    /// Sessions that are open.
    open: Vec<&'static str>,
    /// Locks that were requested.
    locks: usize,
    resources: &'static [&'static str],
    modes: &'static [Mode],
    /// Flags that are set often.
    pub(super) favourites: LockFlags,
    /// How often requests are written that must be refused, in percent.
    pub(super) nonsense: u64,
    /// How often results are read after a step, in percent.
    greed: u64,
}

/// The script that follows from a seed.
#[must_use]
pub fn generate(seed: u64) -> Vec<Step> {
    make(seed, true)
}

/// The script that follows from a seed, with what would harm a kernel.
#[cfg(test)]
pub(super) fn generate_carelessly(seed: u64) -> Vec<Step> {
    make(seed, false)
}

fn make(seed: u64, is_careful: bool) -> Vec<Step> {
    let mut rng = Random::new(seed);
    let Some(world) = World::new(is_careful) else { return Vec::new() };
    let most = if rng.percent(25) { SESSIONS.len() } else { SESSIONS.len() - 1 };
    let sessions = 1 + rng.index(most);
    let length = 8 + rng.index(45);
    let mut script = Script {
        resources: rng.pick::<&[&str]>(RESOURCES),
        modes: rng.pick::<&[Mode]>(MODES),
        favourites: requests::favourites(&mut rng),
        nonsense: *rng.pick(&[0, 2, 2, 10]),
        greed: *rng.pick(&[5, 20, 50, 90]),
        rng,
        steps: Vec::new(),
        world,
        open: Vec::new(),
        locks: 0,
    };
    for (session, space) in SESSIONS.into_iter().take(sessions) {
        script.open(session, space);
    }
    // Each try may come to nothing.
    for _ in 0..2 * length {
        if script.steps.len() < length {
            script.step();
        }
    }
    script.steps
}

impl Script {
    fn open(&mut self, session: &'static str, space: &str) {
        self.open.push(session);
        let sessions = vec![session.to_owned()];
        self.push(Step::Open { sessions, space: space.to_owned(), errno: None });
    }

    /// Adds a step, if it does no harm or harm does not matter.
    fn push(&mut self, step: Step) -> bool {
        let goes = self.world.go(&step);
        if goes {
            self.steps.push(step);
        }
        goes
    }

    pub(super) fn step(&mut self) {
        if self.open.is_empty() {
            return self.reopen();
        }
        let session = (*self.rng.pick(&self.open)).to_owned();
        match self.rng.index(100) {
            0..=33 => self.lock(&session),
            34..=58 => self.convert(&session),
            59..=69 => self.unlock(&session),
            70..=75 => self.cancel(&session),
            76..=78 => self.deadlock(&session),
            79..=81 => self.adopt(&session),
            82..=84 => self.purge(&session),
            85..=87 => self.close(&session),
            88..=90 => self.reopen(),
            91 => self.look(&session),
            92 => self.reads(session),
            _ => self.play(&session),
        }
        if let (true, false) = (self.rng.percent(self.greed), self.open.is_empty()) {
            let session = *self.rng.pick(&self.open);
            self.gets(session);
        }
    }

    /// Several steps that make sense together.
    fn play(&mut self, first: &str) {
        let space = self.world.space_of(first);
        let beside: Vec<&str> =
            self.open.iter().copied().filter(|it| self.world.space_of(it) == space).collect();
        let second = *self.rng.pick(&beside);
        match self.rng.index(5) {
            0 | 1 => self.clash(first, second),
            2 | 3 => self.block(first, second),
            _ => self.orphan(first, second),
        }
    }

    fn reopen(&mut self) {
        let closed: Vec<_> =
            SESSIONS.into_iter().filter(|(session, _)| !self.open.contains(session)).collect();
        if !closed.is_empty() {
            let (session, space) = *self.rng.pick(&closed);
            self.open(session, space);
        }
    }

    pub(super) fn close(&mut self, session: &str) {
        if self.push(Step::Close { sessions: vec![session.to_owned()] }) {
            self.open.retain(|open| *open != session);
        }
    }

    fn look(&mut self, session: &str) {
        let space = SESSIONS.iter().find(|(name, _)| *name == session);
        let space = space.map_or(MAIN, |(_, space)| space).to_owned();
        let resource = self.resource();
        self.push(Step::Queues { space, resource, wanted: None });
    }

    fn reads(&mut self, session: String) {
        let step = match self.rng.index(3) {
            0 => Step::Version { session },
            1 => Step::Reads { session, size: 51, errno: Errno::EINVAL },
            _ => Step::Gets { session, size: 103, wanted: Wanted::Anything },
        };
        self.push(step);
    }

    fn gets(&mut self, session: &str) {
        for _ in 0..1 + self.rng.index(3) {
            let session = session.to_owned();
            let size = dlm_proto::MAX_RESULT_LEN;
            self.push(Step::Gets { session, size, wanted: Wanted::Anything });
        }
    }

    pub(super) fn resource(&mut self) -> Vec<u8> {
        self.rng.pick(self.resources).as_bytes().to_vec()
    }

    pub(super) fn mode(&mut self) -> Mode {
        *self.rng.pick(self.modes)
    }

    /// A lock that lives, or rarely one that did, or a number.
    fn some_lock(&mut self, session: &str) -> LockRef {
        if self.locks == 0 || self.rng.percent(1) {
            return LockRef::Id(*self.rng.pick(&[0, 1, 2, 3, 0x1234, 0x7fff_ffff]));
        }
        let space = self.world.space_of(session);
        let live = self.world.live(&space);
        if live.is_empty() || self.rng.percent(6) {
            return LockRef::Named(format!("L{}", 1 + self.rng.index(self.locks)));
        }
        LockRef::Named(self.rng.pick(&live).0.clone())
    }

    pub(super) fn ask(&mut self, session: &str, what: What) {
        let is_lock = matches!(what, What::Lock { .. });
        let frame = requests::frame(self, is_lock);
        let by = self.rng.percent(5).then(|| "t".to_owned());
        let device = Device::Session(session.to_owned());
        self.push(Step::Ask { device, by, ask: Ask { what, frame }, errno: None });
    }

    pub(super) fn next_lock(&mut self) -> String {
        self.locks += 1;
        format!("L{}", self.locks)
    }

    fn lock(&mut self, session: &str) {
        let resource = self.resource();
        let body = requests::lock(self);
        let lock = self.next_lock();
        self.ask(session, What::Lock { lock, resource, body });
    }

    pub(super) fn adopt(&mut self, session: &str) {
        let mut resource = self.resource();
        let mut body = requests::adoption(self);
        let space = self.world.space_of(session);
        let orphans = self.world.orphans(&space);
        if !orphans.is_empty() && self.rng.percent(80) {
            let (name, mode) = self.rng.pick(&orphans).clone();
            resource = name;
            if self.rng.percent(60) {
                body.mode = ModeCode::from(mode).0;
            }
        }
        let lock = self.next_lock();
        self.ask(session, What::Adopt { lock, resource, body });
    }

    pub(super) fn convert(&mut self, session: &str) {
        let lock = self.some_lock(session);
        let body = requests::conversion(self);
        self.ask(session, What::Convert { lock, body });
    }

    fn unlock(&mut self, session: &str) {
        let lock = self.some_lock(session);
        let body = requests::unlock(self);
        self.ask(session, What::Unlock { lock, body });
    }

    fn cancel(&mut self, session: &str) {
        let lock = self.some_lock(session);
        let body = requests::cancel(self);
        self.ask(session, What::Unlock { lock, body });
    }

    fn deadlock(&mut self, session: &str) {
        let lock = self.some_lock(session);
        let flags = match self.rng.index(20) {
            0 => LockFlags::NOQUEUE,
            1..=3 => LockFlags::empty(),
            4 => LockFlags::CANCEL | LockFlags::VALBLK,
            _ => LockFlags::CANCEL,
        };
        self.ask(session, What::Deadlock { lock, flags });
    }

    fn purge(&mut self, session: &str) {
        let owner = match self.rng.index(10) {
            0 => Owner::Caller,
            1 => Owner::Main,
            2 | 3 => Owner::Thread("t".to_owned()),
            4 => Owner::Number(1),
            _ => Owner::Number(0),
        };
        let node = u32::from(self.rng.percent(10));
        self.ask(session, What::Purge { node, owner });
    }
}

/// A request as it is usually written.
pub(super) const USUAL: Frame =
    Frame { narrow: false, size: None, version: None, command: None, namelen: None };
