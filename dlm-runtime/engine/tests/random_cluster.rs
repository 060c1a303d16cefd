//! Random calls on the nodes of a cluster, with crashes: all stays consistent, and in the end no
//! lock is held twice and none waits for nobody.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod support;

use dlm_engine::{Config, Dump, Engine, Errno, LockDump, Profile, ResourceDump, SessionId};
use dlm_proto::{
    Abi, LockFlags, LockId, LockRequest, LockspaceFlags, MAX_RESULT_LEN, Minor, Mode, NodeId,
    Request, UnlockRequest, ValueBlock,
};
use dlm_random::Random;
use support::{cookies, encode};

const NODES: u32 = 3;

struct Run {
    engine: Engine,
    minor: Minor,
    sessions: Vec<SessionId>,
    numbers: Random,
}

impl Run {
    fn new(profile: Profile, seed: u64) -> Self {
        let engine = Engine::new(Config { profile, abi: Abi::V6_64, seed, nodes: NODES });
        let mut run = Self {
            engine,
            minor: Minor(0),
            sessions: Vec::new(),
            numbers: Random::new(seed << 20),
        };
        (1..=NODES).for_each(|node| run.join(node));
        run
    }

    fn join(&mut self, node: u32) {
        let create = Request::CreateLockspace { name: b"test", flags: LockspaceFlags::empty() };
        let minor = self.engine.control(NodeId(node), &encode(&create)).unwrap();
        self.minor = Minor(u32::try_from(minor).unwrap());
        for _ in 0..2 {
            self.sessions.push(self.engine.open(NodeId(node), self.minor).unwrap());
        }
    }

    fn step(&mut self) {
        let numbers = &mut self.numbers;
        let session = *numbers.pick(&self.sessions);
        let mode = *numbers.pick(&Mode::ALL);
        let usual = [
            LockFlags::empty(),
            LockFlags::empty(),
            LockFlags::VALBLK,
            LockFlags::NOQUEUE,
            LockFlags::PERSISTENT,
            LockFlags::NOORDER,
            LockFlags::HEADQUE,
            LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST,
        ];
        let flags = *numbers.pick(&usual) | *numbers.pick(&usual);
        let id = LockId(numbers.below(10) as u32);
        let name = *numbers.pick(&["a", "b"]);
        let words = cookies(numbers.below(200) as u8);
        let lvb = &ValueBlock([numbers.below(256) as u8; 32]);
        let request = match numbers.below(16) {
            0..5 => LockRequest::new(name.as_bytes(), mode, words).with(flags),
            5 => LockRequest::new(name.as_bytes(), mode, words).with(LockFlags::ALTPR),
            6..9 => {
                let more = *numbers.pick(&[LockFlags::CONVDEADLK, LockFlags::NODLCKWT, flags]);
                LockRequest { lvb, ..LockRequest::convert(id, mode, words).with(more) }
            }
            9..12 => {
                let none = LockFlags::empty();
                let how = [none, none, LockFlags::CANCEL, LockFlags::FORCEUNLOCK];
                let unlock = UnlockRequest::new(id, words).with(*numbers.pick(&how));
                return self.write(session, &Request::Unlock(UnlockRequest { lvb, ..unlock }));
            }
            12 => return while self.read(session) {},
            13 => return self.wait(),
            14 if numbers.below(3) == 0 => return self.replace(session),
            _ => {
                for session in self.sessions.clone() {
                    while self.read(session) {}
                }
                return;
            }
        };
        self.write(session, &Request::Lock(request));
    }

    fn wait(&mut self) {
        let to = self.engine.now() + self.numbers.below(600);
        self.engine.advance(to);
    }

    fn write(&mut self, session: SessionId, request: &Request<'_>) {
        let answer = self.engine.write(session, &encode(request));
        let stopped = self.engine.stopped(session);
        assert!(answer != Err(Errno::STOPPED) || stopped);
        assert_ne!(answer, Err(Errno::EBADF));
    }

    fn read(&mut self, session: SessionId) -> bool {
        let mut buffer = [0; MAX_RESULT_LEN];
        self.engine.read(session, &mut buffer).is_ok()
    }

    /// Closes a session and opens another one, or crashes its node.
    fn replace(&mut self, session: SessionId) {
        let at = self.sessions.iter().position(|&it| it == session).unwrap();
        let node = (at / 2) as u32 + 1;
        if self.numbers.below(3) > 0 {
            self.engine.close(session);
            self.sessions[at] = self.engine.open(NodeId(node), self.minor).unwrap();
            return;
        }
        self.engine.crash(NodeId(node));
        let others: Vec<_> = self.sessions.clone();
        self.engine.restart(NodeId(node));
        self.sessions.clear();
        self.join(node);
        let new = std::mem::replace(&mut self.sessions, others);
        self.sessions[at / 2 * 2..][..2].copy_from_slice(&new);
    }

    fn check(&self) {
        assert_eq!(self.engine.check(), Ok(()));
    }

    /// What each node has in the end, and its master's copies beside it.
    fn end(&mut self) {
        self.engine.settle();
        self.check();
        let dumps: Vec<Dump> =
            (1..=NODES).map(|node| self.engine.dump(NodeId(node), self.minor).unwrap()).collect();
        for (one, mine) in dumps.iter().enumerate() {
            for two in &dumps[..one] {
                for (a, b) in mine.resources.iter().flat_map(|a| {
                    two.resources.iter().filter(|b| b.name == a.name).map(move |b| (a, b))
                }) {
                    // One of each two is a copy of the other's, or both are of a third one's.
                    for held in modes(a) {
                        for other in modes(b) {
                            let same = held == other;
                            assert!(same || held.is_compatible_with(other), "{a:?} {b:?}");
                        }
                    }
                }
            }
        }
        for session in self.sessions.clone() {
            while self.read(session) {}
            self.engine.close(session);
        }
        self.engine.settle();
        self.check();
    }
}

/// The modes that are held. A holder need not know of the demotion of a conversion that it then
/// cancels.
fn modes(resource: &ResourceDump) -> impl Iterator<Item = Mode> {
    let known = |it: &&LockDump| !it.flags.contains(LockFlags::CONVDEADLK);
    resource.granted.iter().filter(known).filter_map(|it| it.granted)
}

#[test]
fn random_calls_and_crashes() {
    let rounds = std::env::var("DLM_ENGINE_ROUNDS").ok().and_then(|it| it.parse().ok());
    for seed in 0..rounds.unwrap_or(150) {
        for profile in Profile::ALL {
            println!("seed {seed} {profile:?}");
            let mut run = Run::new(profile, seed);
            for _ in 0..120 {
                run.step();
                run.check();
            }
            run.end();
        }
    }
}
