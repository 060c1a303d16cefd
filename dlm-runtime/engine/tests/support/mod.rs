//! A lockspace of an engine, and sessions that tests write to and read from.

#![allow(dead_code, reason = "each test uses its part")]

use std::cell::RefCell;

use dlm_engine::{Config, Dump, Engine, Errno, Profile, SessionId};
use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockRequest, LockResult, LockStatus, LockspaceFlags,
    MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor, Mode, ModeCode, NodeId, RemoveFlags, Request,
    StatusFlags, UnlockRequest, ValueBlock,
};

pub(crate) const NODE: NodeId = NodeId(1);
pub(crate) const NONE: LockFlags = LockFlags::empty();

/// Words that tell requests apart.
pub(crate) fn cookies(n: u8) -> Cookies {
    let n = u64::from(n);
    Cookies {
        completion_addr: 0x1_0000_1000 + n,
        completion_param: 0x1_0000_2000 + n,
        blocking_addr: 0x1_0000_3000 + n,
        blocking_param: 0x1_0000_4000 + n,
        lksb: 0x1_0000_5000 + n,
    }
}

pub(crate) fn encode(request: &Request<'_>) -> Vec<u8> {
    let mut buffer = [0; MAX_REQUEST_LEN];
    request.encode(Abi::V6_64, &mut buffer).unwrap().to_vec()
}

pub(crate) struct World {
    pub(crate) engine: RefCell<Engine>,
    pub(crate) minor: Minor,
    pub(crate) profile: Profile,
}

impl World {
    pub(crate) fn new(profile: Profile) -> Self {
        let mut engine = Engine::new(Config::single(profile));
        let minor = create(&mut engine, b"test").unwrap();
        Self { engine: RefCell::new(engine), minor, profile }
    }

    /// Runs a test on each profile.
    pub(crate) fn each(test: impl Fn(&Self)) {
        for profile in Profile::ALL {
            test(&Self::new(profile));
        }
    }

    pub(crate) fn is_6_1(&self) -> bool {
        self.profile == Profile::Linux6_1
    }

    pub(crate) fn pick<T>(&self, old: T, new: T) -> T {
        if self.is_6_1() { old } else { new }
    }

    pub(crate) fn open(&self) -> Session<'_> {
        let id = self.engine.borrow_mut().open(NODE, self.minor).unwrap();
        Session { world: self, id }
    }

    pub(crate) fn dump(&self) -> Dump {
        self.engine.borrow().dump(NODE, self.minor).unwrap()
    }
}

pub(crate) fn create(engine: &mut Engine, name: &[u8]) -> Result<Minor, Errno> {
    let request = Request::CreateLockspace { name, flags: LockspaceFlags::empty() };
    let minor = engine.control(NODE, &encode(&request))?;
    Ok(Minor(u32::try_from(minor).unwrap()))
}

pub(crate) fn remove(engine: &mut Engine, minor: Minor, flags: RemoveFlags) -> Result<(), Errno> {
    let request = Request::RemoveLockspace { minor, flags };
    engine.control(NODE, &encode(&request)).map(|answer| assert_eq!(answer, 0))
}

#[derive(Clone, Copy)]
pub(crate) struct Session<'w> {
    pub(crate) world: &'w World,
    pub(crate) id: SessionId,
}

/// A result that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) addr: u64,
    pub(crate) param: u64,
    pub(crate) lksb: u64,
    pub(crate) status: LockStatus,
    pub(crate) lock: LockId,
    pub(crate) flags: StatusFlags,
    pub(crate) bast_mode: ModeCode,
    pub(crate) lvb: Option<ValueBlock>,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn completes(self, n: u8, status: LockStatus) -> Self {
        let words = cookies(n);
        let wanted = (words.completion_addr, words.completion_param, words.lksb, status);
        assert_eq!((self.addr, self.param, self.lksb, self.status), wanted, "{self:x?}");
        assert_eq!(self.bast_mode, ModeCode(0));
        self
    }

    #[track_caller]
    pub(crate) fn blocks(self, n: u8, mode: Mode) -> Self {
        let words = cookies(n);
        let wanted = (words.blocking_addr, words.blocking_param, words.lksb, mode.into());
        assert_eq!((self.addr, self.param, self.lksb, self.bast_mode), wanted, "{self:x?}");
        assert_eq!(self.lvb, None);
        self
    }
}

impl Session<'_> {
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<i64, Errno> {
        let mut engine = self.world.engine.borrow_mut();
        let answer = engine.write(self.id, bytes);
        assert_eq!(engine.check(), Ok(()));
        answer
    }

    pub(crate) fn send(&self, request: &Request<'_>) -> Result<i64, Errno> {
        self.write(&encode(request))
    }

    pub(crate) fn try_lock(
        &self,
        name: &str,
        mode: Mode,
        flags: LockFlags,
        n: u8,
    ) -> Result<LockId, Errno> {
        let request = LockRequest::new(name.as_bytes(), mode, cookies(n)).with(flags);
        self.send(&Request::Lock(request)).map(|id| LockId(u32::try_from(id).unwrap()))
    }

    #[track_caller]
    pub(crate) fn lock(&self, name: &str, mode: Mode, flags: LockFlags, n: u8) -> LockId {
        self.try_lock(name, mode, flags, n).unwrap()
    }

    #[track_caller]
    pub(crate) fn granted(&self, name: &str, mode: Mode, flags: LockFlags, n: u8) -> LockId {
        let lock = self.lock(name, mode, flags, n);
        assert_eq!(self.next().completes(n, LockStatus::Granted).lock, lock);
        lock
    }

    #[track_caller]
    pub(crate) fn waiting(&self, name: &str, mode: Mode, flags: LockFlags, n: u8) -> LockId {
        let lock = self.lock(name, mode, flags, n);
        self.none();
        lock
    }

    pub(crate) fn try_convert(
        &self,
        lock: LockId,
        mode: Mode,
        flags: LockFlags,
        n: u8,
    ) -> Result<(), Errno> {
        let request = LockRequest::convert(lock, mode, cookies(n)).with(flags);
        self.send(&Request::Lock(request)).map(|answer| assert_eq!(answer, 0))
    }

    #[track_caller]
    pub(crate) fn convert(&self, lock: LockId, mode: Mode, flags: LockFlags, n: u8) {
        self.try_convert(lock, mode, flags, n).unwrap();
    }

    #[track_caller]
    pub(crate) fn converted(&self, lock: LockId, mode: Mode, flags: LockFlags, n: u8) -> Outcome {
        self.convert(lock, mode, flags, n);
        self.next().completes(n, LockStatus::Granted)
    }

    /// A conversion with VALBLK and this block.
    #[track_caller]
    pub(crate) fn convert_block(
        &self,
        lock: LockId,
        mode: Mode,
        n: u8,
        lvb: &ValueBlock,
    ) -> Outcome {
        let request = LockRequest::convert(lock, mode, cookies(n)).with_lvb(lvb);
        assert_eq!(self.send(&Request::Lock(request)), Ok(0));
        self.next().completes(n, LockStatus::Granted)
    }

    pub(crate) fn try_unlock(&self, lock: LockId, flags: LockFlags, n: u8) -> Result<(), Errno> {
        let request = UnlockRequest::new(lock, cookies(n)).with(flags);
        self.send(&Request::Unlock(request)).map(|answer| assert_eq!(answer, 0))
    }

    #[track_caller]
    pub(crate) fn unlock(&self, lock: LockId, n: u8) {
        self.try_unlock(lock, NONE, n).unwrap();
    }

    #[track_caller]
    pub(crate) fn unlocked(&self, lock: LockId, n: u8) -> Outcome {
        self.unlock(lock, n);
        self.next().completes(n, LockStatus::Unlocked)
    }

    pub(crate) fn try_cancel(&self, lock: LockId, n: u8) -> Result<(), Errno> {
        self.try_unlock(lock, LockFlags::CANCEL, n)
    }

    pub(crate) fn deadlock(&self, lock: LockId, flags: LockFlags) -> Result<(), Errno> {
        self.send(&Request::Deadlock { lock, flags }).map(|_| ())
    }

    pub(crate) fn adopt(
        &self,
        name: &str,
        mode: Mode,
        flags: LockFlags,
        n: u8,
    ) -> Result<LockId, Errno> {
        self.try_lock(name, mode, flags | LockFlags::ORPHAN, n)
    }

    pub(crate) fn purge(&self, node: u32, pid: u32) -> Result<i64, Errno> {
        self.send(&Request::Purge { node: NodeId(node), pid })
    }

    pub(crate) fn set_task(&self, task: u32) {
        self.world.engine.borrow_mut().set_task(self.id, task);
    }

    pub(crate) fn now(&self) -> Option<Outcome> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let mut engine = self.world.engine.borrow_mut();
        let answer = engine.read(self.id, &mut buffer);
        assert_eq!(engine.check(), Ok(()));
        let len = match answer {
            Err(Errno::EAGAIN) => return None,
            len => len.unwrap(),
        };
        let result = LockResult::decode(Abi::V6_64, &buffer[..len]).unwrap();
        Some(Outcome {
            addr: result.addr,
            param: result.param,
            lksb: result.lksb,
            status: result.status,
            lock: result.lock,
            flags: result.flags,
            bast_mode: result.bast_mode,
            lvb: result.lvb.copied(),
        })
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Outcome {
        self.now().expect("no result")
    }

    #[track_caller]
    pub(crate) fn none(&self) {
        assert_eq!(self.now(), None);
    }

    pub(crate) fn all(&self) -> Vec<Outcome> {
        std::iter::from_fn(|| self.now()).collect()
    }

    pub(crate) fn close(&self) {
        let mut engine = self.world.engine.borrow_mut();
        engine.close(self.id);
        assert_eq!(engine.check(), Ok(()));
    }
}
