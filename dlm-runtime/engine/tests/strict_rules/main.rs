//! The rules of the monitor, each by itself: what is reported, and what is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod blocks;
mod bytes;
mod flags;
mod ids;
#[path = "../support/mod.rs"]
mod support;

use dlm_engine::Errno;
use dlm_engine::strict::{Strict, Ticket, Violation, check_control};
use dlm_proto::{
    Abi, Cookies, DecodeError, LockFlags, LockId, LockRequest, LockResult, LockStatus,
    LockspaceFlags, MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor, Mode, ModeCode, NodeId, RemoveFlags,
    Request, StatusFlags, Token, UnlockRequest, ValueBlock, Version,
};
use support::{NONE, cookies, encode};

const A: ValueBlock = ValueBlock([7; 32]);
const B: ValueBlock = ValueBlock([9; 32]);
const FORCE: LockFlags = LockFlags::FORCEUNLOCK;
const VALBLK: LockFlags = LockFlags::VALBLK;

/// A program that writes and reads as it is told. Its locks are numbered, and so are their words.
struct Program(Strict);

impl Program {
    fn new() -> Self {
        Self(Strict::new(Abi::V6_64).on_node(NodeId(3)))
    }

    fn begin(&mut self, request: &Request<'_>) -> Result<Ticket, Violation> {
        self.0.begin_write_as(Some(42), &encode(request))
    }

    fn whole(
        &mut self,
        request: &Request<'_>,
        answer: Result<i64, Errno>,
    ) -> Result<(), Violation> {
        let ticket = self.begin(request)?;
        self.0.end_write(ticket, answer);
        Ok(())
    }

    /// The completion of lock `n` is read.
    fn read(&mut self, n: u8, status: LockStatus) {
        self.read_with(n, status, StatusFlags::empty(), None);
    }

    fn read_with(
        &mut self,
        n: u8,
        status: LockStatus,
        flags: StatusFlags,
        lvb: Option<&ValueBlock>,
    ) {
        let Cookies { completion_addr: addr, completion_param: param, lksb, .. } = cookies(n);
        let (version, lock, bast_mode) = (Version::V6, id(n), ModeCode(0));
        let result = LockResult { version, addr, param, lksb, status, lock, flags, bast_mode, lvb };
        let mut buffer = [0; MAX_RESULT_LEN];
        self.0.read(result.encode(Abi::V6_64, &mut buffer).unwrap());
    }

    /// Requests lock `n`, which stays in flight.
    fn request(&mut self, n: u8, mode: Mode, flags: LockFlags) {
        self.whole(&lock(n, mode, flags), Ok(i64::from(n))).unwrap();
    }

    fn granted(&mut self, n: u8, mode: Mode, flags: LockFlags) {
        self.request(n, mode, flags);
        let block = flags.contains(VALBLK).then_some(&A);
        self.read_with(n, LockStatus::Granted, StatusFlags::empty(), block);
    }

    fn convert(&mut self, n: u8, mode: Mode, flags: LockFlags) -> Result<(), Violation> {
        self.whole(&convert(n, mode, flags), Ok(0))
    }

    fn unlock(&mut self, n: u8, flags: LockFlags) -> Result<(), Violation> {
        self.whole(&unlock(n, flags), Ok(0))
    }

    fn cancel(&mut self, n: u8) -> Result<(), Violation> {
        self.unlock(n, LockFlags::CANCEL)
    }

    /// The last call was refused so, and nothing before it.
    #[track_caller]
    fn reported(&self, violation: Violation, rule: &str) {
        assert_eq!(self.0.reported(), [violation]);
        assert_eq!(violation.rule(), rule);
        assert!(violation.to_string().starts_with(&format!("{rule}: ")), "{violation}");
    }

    #[track_caller]
    fn clean(&self) {
        assert_eq!(self.0.reported(), []);
    }
}

fn id(n: u8) -> LockId {
    LockId(u32::from(n))
}

fn lock(n: u8, mode: Mode, flags: LockFlags) -> Request<'static> {
    Request::Lock(LockRequest::new(b"r", mode, cookies(n)).with(flags))
}

fn convert(n: u8, mode: Mode, flags: LockFlags) -> Request<'static> {
    Request::Lock(LockRequest::convert(id(n), mode, cookies(n)).with(flags))
}

fn unlock(n: u8, flags: LockFlags) -> Request<'static> {
    Request::Unlock(UnlockRequest::new(id(n), cookies(n)).with(flags))
}

#[test]
fn a_life_by_the_rules_is_not_reported() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Ex, LockFlags::QUECVT).unwrap();
    it.cancel(1).unwrap();
    it.read(1, LockStatus::Cancelled);
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.cancel(1).unwrap();
    it.read(1, LockStatus::Granted);
    it.unlock(1, FORCE).unwrap();
    it.read(1, LockStatus::Unlocked);
    // The id again, for another lock.
    it.request(1, Mode::Ex, NONE);
    it.unlock(1, FORCE).unwrap();
    it.read(1, LockStatus::Unlocked);
    it.0.close().unwrap();
    it.clean();
}

#[test]
fn each_layout_is_understood() {
    for abi in Abi::ALL {
        let words = Cookies::for_token_in(Token::new(1, 1), 1, abi.width).unwrap();
        let mut it = Strict::new(abi);
        let mut buffer = [0; MAX_REQUEST_LEN];
        let request = Request::Lock(LockRequest::new(b"r", Mode::Ex, words));
        let locking = it.begin_write(request.encode(abi, &mut buffer).unwrap()).unwrap();
        let result = LockResult {
            version: abi.version.request_version(),
            addr: words.completion_addr,
            param: words.completion_param,
            lksb: words.lksb,
            status: LockStatus::Granted,
            lock: id(1),
            flags: StatusFlags::empty(),
            bast_mode: ModeCode(0),
            lvb: None,
        };
        let mut bytes = [0; MAX_RESULT_LEN];
        it.read(result.encode(abi, &mut bytes).unwrap());
        let request = Request::Unlock(UnlockRequest::new(id(1), words));
        let unlock = request.encode(abi, &mut buffer).unwrap();
        assert_eq!(it.begin_write(unlock), Err(Violation::LockUnreturned(id(1))));
        it.end_write(locking, Ok(1));
        // Without its completion it would be in flight.
        let unlocking = it.begin_write(unlock).unwrap();
        it.end_write(unlocking, Ok(0));
    }
}
