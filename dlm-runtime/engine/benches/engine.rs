//! The speed of the engine through the whole byte path: requests are encoded, written, and each
//! result is read and decoded. One thread, no kernel.
//!
//! `engine` lists its rows; `engine ROW LOCKS SECONDS` keeps LOCKS other locks, makes lock and
//! unlock pairs for so long, and prints pairs a second. `engine all [SECONDS]` does so for each row
//! with 10, 1,000 and 100,000 locks.

#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dlm_engine::{Config, Engine, Errno, Profile, SessionId};
use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockRequest, LockResult, LockStatus, LockspaceFlags,
    MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor, Mode, NodeId, Request, Token, UnlockRequest,
};

struct World {
    engine: Engine,
    session: SessionId,
    request: [u8; MAX_REQUEST_LEN],
}

impl World {
    fn new(profile: Profile) -> Self {
        let mut engine = Engine::new(Config::single(profile));
        let mut request = [0; MAX_REQUEST_LEN];
        let create = Request::CreateLockspace { name: b"bench", flags: LockspaceFlags::empty() };
        let bytes = create.encode(Abi::V6_64, &mut request).unwrap();
        let minor = engine.control(NodeId(1), bytes).unwrap();
        let session = engine.open(NodeId(1), Minor(u32::try_from(minor).unwrap())).unwrap();
        Self { engine, session, request }
    }

    #[inline]
    fn lock(&mut self, name: &[u8], mode: Mode, flags: LockFlags) -> LockId {
        let cookies = Cookies::for_token(Token::new(1, 1), 1);
        let request = LockRequest::new(name, mode, cookies).with(flags);
        let bytes = Request::Lock(request).encode(Abi::V6_64, &mut self.request).unwrap();
        LockId(u32::try_from(self.engine.write(self.session, bytes).unwrap()).unwrap())
    }

    #[inline]
    fn unlock(&mut self, lock: LockId) {
        let request = UnlockRequest::new(lock, Cookies::for_token(Token::new(1, 1), 1));
        let bytes = Request::Unlock(request).encode(Abi::V6_64, &mut self.request).unwrap();
        assert_eq!(self.engine.write(self.session, bytes), Ok(0));
    }

    #[inline]
    fn next(&mut self) -> Option<LockStatus> {
        let mut buffer = [0; MAX_RESULT_LEN];
        match self.engine.read(self.session, &mut buffer) {
            Ok(len) => {
                let result = LockResult::decode(Abi::V6_64, buffer.get(..len).unwrap()).unwrap();
                Some(black_box(result.status))
            }
            Err(Errno::EAGAIN) => None,
            Err(errno) => unreachable!("{errno}"),
        }
    }

    fn drain(&mut self) {
        while self.next().is_some() {}
        self.engine.take_readable().for_each(drop);
    }
}

/// A row: what other locks there are, and what a pair is.
type Row = (&'static str, fn(&mut World, usize), fn(&mut World, usize));

const ROWS: [Row; 5] = [
    // Each other lock on a resource of its own.
    ("spread", spread, pair_alone),
    // All other locks granted on the resource that the pair is on.
    ("shared", shared, pair_shared),
    // All other locks wait for the lock of the pair: each unlock grants the next one, which goes
    // to the end of the queue.
    ("queue", queue, pair_in_queue),
    // All other locks hold CR, and one waits for EX: each pair is a request that does not queue.
    ("noqueue", blocked, pair_refused),
    // A null lock is converted up and down beside the others.
    ("convert", shared, pair_converted),
];

fn spread(world: &mut World, locks: usize) {
    for n in 0..locks {
        world.lock(format!("other resource {n}").as_bytes(), Mode::Ex, LockFlags::empty());
    }
}

fn pair_alone(world: &mut World, _: usize) {
    let lock = world.lock(b"a-resource-of-32-bytes-or-so....", Mode::Ex, LockFlags::empty());
    assert_eq!(world.next(), Some(LockStatus::Granted));
    world.unlock(lock);
    assert_eq!(world.next(), Some(LockStatus::Unlocked));
}

fn shared(world: &mut World, locks: usize) {
    for _ in 0..locks {
        world.lock(b"resource", Mode::Cr, LockFlags::empty());
    }
}

fn pair_shared(world: &mut World, _: usize) {
    let lock = world.lock(b"resource", Mode::Pr, LockFlags::empty());
    assert_eq!(world.next(), Some(LockStatus::Granted));
    world.unlock(lock);
    assert_eq!(world.next(), Some(LockStatus::Unlocked));
}

fn queue(world: &mut World, locks: usize) {
    for _ in 0..locks {
        world.lock(b"resource", Mode::Ex, LockFlags::empty());
    }
}

/// The holder of the queue is the lock with the lowest id, as ids are handed out in turn.
fn pair_in_queue(world: &mut World, locks: usize) {
    let Some(turn) = HOLDER.with(|holder| {
        let turn = holder.get();
        holder.set(turn % u32::try_from(locks).ok()? + 1);
        Some(turn)
    }) else {
        return;
    };
    world.unlock(LockId(turn));
    while world.next().is_some() {}
    assert_eq!(world.lock(b"resource", Mode::Ex, LockFlags::empty()), LockId(turn));
}

std::thread_local! {
    static HOLDER: std::cell::Cell<u32> = const { std::cell::Cell::new(1) };
}

fn blocked(world: &mut World, locks: usize) {
    shared(world, locks);
    world.lock(b"resource", Mode::Ex, LockFlags::empty());
}

fn pair_refused(world: &mut World, _: usize) {
    world.lock(b"resource", Mode::Ex, LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST);
    assert_eq!(world.next(), Some(LockStatus::Again));
}

fn pair_converted(world: &mut World, _: usize) {
    for mode in [Mode::Pw, Mode::Cr] {
        let cookies = Cookies::for_token(Token::new(1, 1), 1);
        let request = Request::Lock(LockRequest::convert(LockId(1), mode, cookies));
        let bytes = request.encode(Abi::V6_64, &mut world.request).unwrap();
        assert_eq!(world.engine.write(world.session, bytes), Ok(0));
        assert_eq!(world.next(), Some(LockStatus::Granted));
    }
}

/// Pairs a second.
fn measure(row: &Row, profile: Profile, locks: usize, time: Duration) -> f64 {
    let mut world = World::new(profile);
    (row.1)(&mut world, locks);
    world.drain();
    HOLDER.with(|holder| holder.set(1));
    let (start, mut pairs) = (Instant::now(), 0_u32);
    loop {
        for _ in 0..64 {
            (row.2)(&mut world, locks);
        }
        pairs += 64;
        let passed = start.elapsed();
        if passed >= time {
            return f64::from(pairs) / passed.as_secs_f64();
        }
    }
}

fn all(time: Duration) {
    println!("{:<10} {:>8} {:>14} {:>14}", "row", "locks", "6.1 pairs/s", "6.12 pairs/s");
    for row in &ROWS {
        for locks in [10, 1_000, 100_000] {
            let [old, new] =
                [Profile::Linux6_1, Profile::Linux6_12].map(|it| measure(row, it, locks, time));
            println!("{:<10} {locks:>8} {old:>14.0} {new:>14.0}", row.0);
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let seconds = |word: &str| word.parse().ok().map(Duration::from_secs_f64);
    match words[..] {
        [] => ROWS.iter().for_each(|row| println!("{}", row.0)),
        ["all"] => all(Duration::from_secs(1)),
        ["all", time] if seconds(time).is_some() => all(seconds(time).unwrap_or_default()),
        [name, locks, time] => {
            let row = ROWS.iter().find(|row| row.0 == name);
            let (Some(row), Ok(locks), Some(time)) = (row, locks.parse(), seconds(time)) else {
                eprintln!("engine [ROW LOCKS SECONDS | all [SECONDS]]");
                return ExitCode::FAILURE;
            };
            println!("{:.0}", measure(row, Profile::Linux6_12, locks, time));
        }
        _ => {
            eprintln!("engine [ROW LOCKS SECONDS | all [SECONDS]]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
