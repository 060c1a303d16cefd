//! A program that keeps the rules, by what its writes have returned and its reads have told.

use std::collections::BTreeMap;

use dlm_engine::strict::{Session, Write};
use dlm_engine::{Config, Engine, Errno, Profile};
use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockRequest, LockResult, LockStatus, LvbTransfer,
    MAX_RESULT_LEN, Minor, Mode, PointerWidth, Request, StatusFlags, Token, UnlockRequest,
    ValueBlock,
};

use crate::support::{NODE, create, encode};
use dlm_random::Random;

/// An operation in flight.
#[derive(Debug, Clone, Copy)]
struct Operation {
    mode: Mode,
    flags: LockFlags,
    is_request: bool,
    is_cancelled: bool,
}

/// A lock, as its program knows it.
#[derive(Debug, Clone)]
struct Known {
    device: usize,
    token: Token,
    /// The LOCK has returned this.
    id: Option<LockId>,
    operation: Option<Operation>,
    /// The number of the write in progress that names it.
    written_by: Option<u32>,
    /// Its UNLOCK was written.
    is_given_up: bool,
    mode: Option<Mode>,
    /// It may be NL instead.
    is_uncertain: bool,
    /// A cancel was written since the last operation that was accepted.
    cancelled: bool,
    has_block: bool,
    block: ValueBlock,
}

/// What a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lock,
    Convert,
    Cancel,
    Unlock,
}

struct InProgress {
    number: u32,
    write: Write,
    device: usize,
    token: Token,
    kind: Kind,
}

pub(crate) struct Program {
    numbers: Random,
    engine: Engine,
    minor: Minor,
    pub(crate) devices: Vec<Session>,
    locks: Vec<Known>,
    in_progress: Vec<InProgress>,
    made: u32,
    written: u32,
    /// How often what happened.
    pub(crate) seen: BTreeMap<&'static str, u32>,
}

const NEW: [(LockFlags, u64); 6] = [
    (LockFlags::NOQUEUE, 25),
    (LockFlags::VALBLK, 50),
    (LockFlags::HEADQUE, 5),
    (LockFlags::NOORDER, 5),
    (LockFlags::ALTPR, 10),
    (LockFlags::ALTCW, 10),
];

const CONVERSION: [(LockFlags, u64); 6] = [
    (LockFlags::NOQUEUE, 20),
    (LockFlags::VALBLK, 50),
    (LockFlags::HEADQUE, 5),
    (LockFlags::NOORDER, 5),
    (LockFlags::NODLCKWT, 5),
    (LockFlags::CONVDEADLK, 10),
];

fn alternate(mode: Mode, flags: LockFlags) -> Mode {
    if flags.contains(LockFlags::ALTPR) && mode != Mode::Pr { Mode::Pr } else { Mode::Cw }
}

impl Program {
    pub(crate) fn new(profile: Profile, seed: u64) -> Self {
        let mut engine = Engine::new(Config::single(profile));
        let minor = create(&mut engine, b"test").unwrap();
        let devices = (0..2).map(|_| Session::open(&mut engine, NODE, minor).unwrap()).collect();
        Self {
            numbers: Random::new(seed << 32),
            engine,
            minor,
            devices,
            locks: Vec::new(),
            in_progress: Vec::new(),
            made: 0,
            written: 0,
            seen: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn some(&mut self, of: &[(LockFlags, u64)]) -> LockFlags {
        of.iter().filter(|(_, share)| self.numbers.percent(*share)).map(|(flag, _)| *flag).collect()
    }

    fn known(&mut self, token: Token) -> Option<&mut Known> {
        self.locks.iter_mut().find(|lock| lock.token == token)
    }

    pub(crate) fn step(&mut self) {
        match self.numbers.below(100) {
            0..=19 if self.locks.len() < 8 => self.lock(),
            0..=54 => self.go_on(),
            55..=79 => self.read(),
            80..=96 => self.finish(),
            _ => self.close(),
        }
    }

    /// A write begins; some are refused at once.
    fn begin(&mut self, device: usize, token: Token, kind: Kind, request: &Request<'_>) {
        let bytes = encode(request);
        if self.numbers.percent(4) {
            let errno = if kind == Kind::Cancel {
                Errno(12)
            } else {
                *self.numbers.pick(&[Errno(12), Errno::ENOBUFS])
            };
            // A FORCEUNLOCK that met no buffer could not be repeated.
            let errno = if kind == Kind::Unlock { Errno(12) } else { errno };
            self.devices[device].refuse(&bytes, errno).unwrap();
            self.count("refused");
            self.ended(None, token, kind, Err(errno));
            return;
        }
        let write = self.devices[device].begin_write(&mut self.engine, &bytes);
        let write = write.unwrap_or_else(|violation| panic!("{request:?}: {violation}"));
        self.written += 1;
        let number = self.written;
        self.in_progress.push(InProgress { number, write, device, token, kind });
        if kind != Kind::Lock {
            self.known(token).unwrap().written_by = Some(number);
        }
    }

    fn cookies(&self, token: Token) -> Cookies {
        Cookies::for_token(token, 1).with_blocking(false)
    }

    fn lock(&mut self) {
        self.made += 1;
        self.count("locks");
        let token = Token::new(self.made, 1);
        let (device, mode) = (self.numbers.index(2), *self.numbers.pick(&Mode::ALL));
        let flags = self.some(&NEW);
        let operation = Operation { mode, flags, is_request: true, is_cancelled: false };
        self.locks.push(Known {
            device,
            token,
            id: None,
            operation: Some(operation),
            written_by: None,
            is_given_up: false,
            mode: None,
            is_uncertain: false,
            cancelled: false,
            has_block: flags.contains(LockFlags::VALBLK),
            block: ValueBlock::ZERO,
        });
        let name: &[u8] = *self.numbers.pick(&[b"r", b"s", b"t"]);
        let request = LockRequest::new(name, mode, self.cookies(token)).with(flags);
        self.begin(device, token, Kind::Lock, &Request::Lock(request));
    }

    /// Does something with a lock whose LOCK has returned and that no write names.
    fn go_on(&mut self) {
        let usable =
            |lock: &&Known| lock.id.is_some() && lock.written_by.is_none() && !lock.is_given_up;
        let usable: Vec<Token> = self.locks.iter().filter(usable).map(|it| it.token).collect();
        if usable.is_empty() {
            return;
        }
        let token = *self.numbers.pick(&usable);
        let Some(lock) = self.known(token).cloned() else { return };
        let id = lock.id.unwrap();
        match lock.operation {
            None if self.numbers.percent(60) => self.convert(&lock, id),
            None => self.unlock(&lock, id, lock.cancelled),
            Some(operation)
                if operation.is_request && operation.flags.contains(LockFlags::NOQUEUE) => {}
            Some(operation) if operation.is_cancelled => {
                // A request may be gone, a conversion is not.
                if !operation.is_request {
                    self.unlock(&lock, id, true);
                }
            }
            Some(_) if self.numbers.percent(50) => {
                self.count("cancels");
                let request = Request::Unlock(UnlockRequest::cancel(id, self.cookies(token)));
                let known = self.known(token).unwrap();
                known.cancelled = true;
                known.operation.as_mut().unwrap().is_cancelled = true;
                self.begin(lock.device, token, Kind::Cancel, &request);
            }
            Some(operation) if !operation.flags.contains(LockFlags::VALBLK) => {
                self.unlock(&lock, id, true);
            }
            Some(_) => {}
        }
    }

    fn convert(&mut self, lock: &Known, id: LockId) {
        self.count("conversions");
        let (mode, from) = (*self.numbers.pick(&Mode::ALL), lock.mode.unwrap());
        let mut flags = self.some(&CONVERSION);
        if flags.contains(LockFlags::CONVDEADLK) {
            flags.remove(LockFlags::NOQUEUE);
        }
        let is_up = from.allows_quecvt(mode) && !lock.is_uncertain;
        if is_up && self.numbers.percent(20) {
            flags |= LockFlags::QUECVT;
        }
        let writes = from.lvb_transfer(mode) == LvbTransfer::Write;
        let mut block = lock.block;
        if writes && flags.contains(LockFlags::VALBLK) && !lock.is_uncertain {
            block = ValueBlock([self.numbers.byte(); 32]);
            self.count("blocks");
        }
        let request = LockRequest::convert(id, mode, self.cookies(lock.token)).with(flags);
        let known = self.known(lock.token).unwrap();
        known.operation = Some(Operation { mode, flags, is_request: false, is_cancelled: false });
        known.cancelled = false;
        known.has_block |= flags.contains(LockFlags::VALBLK);
        known.block = block;
        let request = Request::Lock(LockRequest { lvb: &block, ..request });
        self.begin(lock.device, lock.token, Kind::Convert, &request);
    }

    fn unlock(&mut self, lock: &Known, id: LockId, by_force: bool) {
        let mut flags = LockFlags::empty();
        if by_force {
            self.count("forced");
            flags |= LockFlags::FORCEUNLOCK;
        }
        let mut block = lock.block;
        if lock.has_block && lock.mode >= Some(Mode::Pw) && self.numbers.percent(30) {
            flags |= *self.numbers.pick(&[LockFlags::VALBLK, LockFlags::IVVALBLK]);
            block = ValueBlock([255; 32]);
        }
        self.count("unlocks");
        let request = UnlockRequest::new(id, self.cookies(lock.token)).with(flags);
        let request = Request::Unlock(UnlockRequest { lvb: &block, ..request });
        self.known(lock.token).unwrap().is_given_up = true;
        self.begin(lock.device, lock.token, Kind::Unlock, &request);
    }

    /// One of the threads returns from its write.
    fn finish(&mut self) {
        if self.in_progress.is_empty() {
            return;
        }
        let which = self.numbers.index(self.in_progress.len());
        let InProgress { number, write, device, token, kind } = self.in_progress.swap_remove(which);
        let answer = self.devices[device].end_write(write);
        self.ended(Some(number), token, kind, answer);
    }

    fn ended(&mut self, number: Option<u32>, token: Token, kind: Kind, answer: Result<i64, Errno>) {
        let Some(known) = self.known(token) else { return };
        if known.written_by == number {
            known.written_by = None;
        }
        match (kind, answer) {
            (Kind::Lock, Ok(id)) => known.id = Some(LockId(u32::try_from(id).unwrap())),
            (Kind::Lock, Err(_)) => self.locks.retain(|it| it.token != token),
            (Kind::Convert, Err(_)) => {
                known.operation = None;
                // A cancel before it may be unanswered still.
                known.cancelled = true;
            }
            (Kind::Unlock, Err(_)) => known.is_given_up = false,
            (Kind::Cancel, Err(_)) => {
                known.cancelled = false;
                if let Some(operation) = &mut known.operation {
                    operation.is_cancelled = false;
                }
            }
            _ => {}
        }
        // Of a request that has failed nothing but the return was awaited.
        let is_gone = |it: &Known| it.id.is_some() && it.operation.is_none() && it.mode.is_none();
        self.locks.retain(|it| it.token != token || !is_gone(it));
    }

    fn read(&mut self) {
        let device = self.numbers.index(2);
        let mut buffer = [0; MAX_RESULT_LEN];
        let answer = self.devices[device].read(&mut self.engine, &mut buffer).unwrap();
        let Ok(len) = answer else { return };
        let result = LockResult::decode(Abi::V6_64, &buffer[..len]).unwrap();
        let token = Token::from_word(result.param, PointerWidth::W64).unwrap();
        let Some(known) = self.locks.iter_mut().find(|lock| lock.token == token) else { return };
        let of_lock = |it: &&InProgress| it.token == token;
        let mut writes = self.in_progress.iter().filter(of_lock);
        let named = writes.clone().find(|it| Some(it.number) == known.written_by);
        let is_early = writes.any(|it| it.kind != Kind::Cancel);
        if named.is_some_and(|it| it.kind == Kind::Convert) {
            // It has come to its end: another request may be written.
            known.written_by = None;
        }
        if is_early {
            *self.seen.entry("early").or_default() += 1;
        }
        if result.status == LockStatus::Unlocked {
            self.locks.retain(|it| it.token != token);
            return;
        }
        let Some(operation) = known.operation.take() else { return };
        if result.status == LockStatus::Granted {
            let is_alternate = result.flags.contains(StatusFlags::ALTMODE);
            let other = alternate(operation.mode, operation.flags);
            known.mode = Some(if is_alternate { other } else { operation.mode });
            known.is_uncertain = false;
            known.block = result.lvb.copied().unwrap_or(known.block);
        } else if operation.is_request {
            // Gone, as soon as its LOCK has returned.
            if known.id.is_some() && known.written_by.is_none() {
                self.locks.retain(|it| it.token != token);
            }
        } else {
            known.is_uncertain |= operation.flags.contains(LockFlags::CONVDEADLK);
        }
    }

    /// Closes a device that no thread writes to, and opens it again.
    fn close(&mut self) {
        let device = self.numbers.index(2);
        if self.in_progress.iter().any(|it| it.device == device) {
            return;
        }
        self.devices[device].close(&mut self.engine).unwrap();
        assert_eq!(self.devices[device].strict().reported(), []);
        self.devices[device] = Session::open(&mut self.engine, NODE, self.minor).unwrap();
        self.locks.retain(|it| it.device != device);
        self.count("closed");
    }
}
