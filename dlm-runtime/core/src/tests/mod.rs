//! The core, call by call. What it writes and what it makes of results is compared with what the
//! kernel needs; dlm-core-fuzzing holds it against an engine.

mod busy;
mod convert;
mod deadline;
mod follow;
mod kept;
mod plain;
mod receive;
mod rely;
mod shared;
mod submit;
mod table;
mod unlock;

use std::vec::Vec;

use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockResult, LockStatus, MAX_RESULT_LEN, Mode, ModeCode,
    Request, ResourceName, StatusFlags, Token, ValueBlock, Version,
};

use crate::{
    CancelKind, CancelStep, Conversion, Core, Follow, NewLock, Options, Queueing, Received,
    Refusal, Refused, Rejected, Released, Report, Rules, Submission, Time, Unlocking,
};
use kept::{Face, Owner, inside};

const NONE: LockFlags = LockFlags::empty();
const PROCESS: u32 = 77;

/// A core, and the driver around it.
struct Rig {
    core: Core<Owner, Face>,
    out: Submission,
    now: Time,
    /// The last owner and face that was made.
    made: u32,
}

/// The parts of an unlock or cancel.
#[derive(Debug, PartialEq, Eq)]
struct Unlock {
    id: u32,
    flags: LockFlags,
    lvb: ValueBlock,
}

impl Rig {
    fn new(rules: Rules) -> Self {
        let abi = Abi::V6_64;
        let core =
            Core::new(Options { abi, owner: PROCESS, rules, has_ids: true, has_names: true });
        Self { core, out: Submission::new(), now: Time::ZERO, made: 0 }
    }

    /// Runs a test under both sets of rules.
    fn each(test: impl Fn(Self)) {
        for rules in [Rules::Checked, Rules::AsAsked] {
            test(Self::new(rules));
        }
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut Core<Owner, Face>, &mut Submission) -> T) -> T {
        inside(|| call(&mut self.core, &mut self.out))
    }

    /// The next owner.
    fn owner(&mut self) -> Option<Owner> {
        self.made += 1;
        Some(Owner(self.made))
    }

    fn try_lock(&mut self, new: &NewLock<'_>) -> Result<Token, Rejected> {
        let mut owner = self.owner();
        let mut face = Face(Some(self.made));
        let made = self.call(|core, out| core.lock(new, &mut owner, &mut face, out));
        assert_eq!(owner.is_some(), made.is_err());
        assert_eq!(face.0.is_some(), made.is_err());
        made
    }

    /// A request that is being written.
    fn lock_with(&mut self, mode: Mode, flags: LockFlags) -> Token {
        let name = &name("disk0");
        self.try_lock(&NewLock { name, mode, flags, xid: 0, notices: true }).unwrap()
    }

    fn lock(&mut self) -> Token {
        self.lock_with(Mode::Ex, NONE)
    }

    /// A request that waits in the kernel, under this id.
    fn waiting(&mut self, id: u32) -> Token {
        let token = self.lock();
        assert!(!self.accept(Some(id)));
        token
    }

    /// A lock that is granted, under this id.
    fn held_as(&mut self, id: u32, mode: Mode, flags: LockFlags) -> Token {
        let token = self.lock_with(mode, flags);
        assert!(!self.accept(Some(id)));
        let report = self.ended(token, LockStatus::Granted);
        assert_eq!(report.ended.mode, Some(mode));
        token
    }

    fn held(&mut self, id: u32) -> Token {
        self.held_as(id, Mode::Ex, NONE)
    }

    fn convert_with(
        &mut self,
        token: Token,
        conversion: &Conversion,
    ) -> Result<Queueing, Rejected> {
        let mut owner = self.owner();
        let answer = self.call(|core, out| core.convert(token, conversion, &mut owner, out));
        assert_eq!(owner.is_some(), answer.is_err());
        answer
    }

    fn convert(&mut self, token: Token, mode: Mode) -> Result<Queueing, Rejected> {
        self.convert_with(token, &conversion(mode, NONE))
    }

    /// A conversion that the kernel has accepted.
    fn converting(&mut self, token: Token, mode: Mode) {
        assert_eq!(self.convert(token, mode), Ok(Queueing::Write));
        assert!(!self.accept(None));
    }

    fn unlock_with(&mut self, token: Token, unlock: &Unlocking) -> Result<Queueing, Rejected> {
        let mut owner = self.owner();
        let answer = self.call(|core, out| core.unlock(token, unlock, &mut owner, out));
        assert_eq!(owner.is_some(), answer.is_err());
        answer
    }

    fn unlock(&mut self, token: Token) -> Result<Queueing, Rejected> {
        self.unlock_with(token, &Unlocking::default())
    }

    fn cancel(&mut self, token: Token, internal: bool) -> CancelStep {
        self.call(|core, out| core.cancel(token, None, CancelKind::Plain, internal, out))
    }

    /// The kernel has accepted what was filled in last.
    fn accept(&mut self, id: Option<u32>) -> bool {
        self.call(|core, out| core.accepted(&out.ticket(), id.map(LockId)).follow)
    }

    /// The kernel has refused what was filled in last.
    fn refuse(&mut self, errno: i32) -> Refused<Owner> {
        let now = self.now;
        self.call(|core, out| core.refused(&out.ticket(), Refusal::from_errno(errno), now))
    }

    fn follow(&mut self, token: Token) -> Follow<Owner, Face> {
        self.call(|core, out| core.follow(token, out))
    }

    #[track_caller]
    fn follow_writes(&mut self, token: Token) {
        let follow = self.follow(token);
        assert!(matches!(follow, Follow::Write), "{follow:?}");
    }

    #[track_caller]
    fn follow_does_nothing(&mut self, token: Token) {
        let follow = self.follow(token);
        assert!(matches!(follow, Follow::Nothing), "{follow:?}");
    }

    /// Asks what follows, which is that the lock is gone.
    #[track_caller]
    fn follow_removes(&mut self, token: Token) -> Face {
        let Follow::Gone(face) = self.follow(token) else { panic!("it is not gone") };
        assert!(self.core.view(token).is_none());
        face
    }

    /// Lets go of a lock that is gone: it was given up before.
    #[track_caller]
    fn release_removes(&mut self, token: Token) -> Face {
        self.follow_does_nothing(token);
        assert!(self.settle(token).is_none(), "it stays for its owner");
        let released = self.release(token);
        assert_eq!(numbers(&released.users), [None; 3]);
        assert!(matches!(released.follow, Follow::Gone(_)));
        assert!(self.core.view(token).is_none());
        released.face
    }

    fn release(&mut self, token: Token) -> Released<Owner, Face> {
        self.call(|core, out| core.release(token, out))
    }

    fn give_up(&mut self, token: Token, serial: u64) -> Option<u32> {
        let owner = self.call(|core, _| core.give_up(token, serial));
        number(&owner)
    }

    fn serial(&self, token: Token) -> u64 {
        self.core.view(token).unwrap().serial
    }

    fn receive(&mut self, result: &LockResult<'_>) -> Received<Owner> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let bytes = result.encode(Abi::V6_64, &mut buffer).unwrap();
        self.call(|core, _| core.receive(bytes))
    }

    /// The completion that the kernel would queue.
    fn completion(&self, token: Token, status: LockStatus) -> LockResult<'static> {
        let lock = LockId(self.core.id(token).0.max(1));
        LockResult { lock, ..completion(token, status) }
    }

    fn complete(&mut self, token: Token, status: LockStatus) -> Received<Owner> {
        self.receive(&self.completion(token, status))
    }

    /// Takes in a completion that ends an operation.
    #[track_caller]
    fn ended(&mut self, token: Token, status: LockStatus) -> Report<Owner> {
        match self.complete(token, status) {
            Received::Ended(report) => report,
            other => panic!("{other:?}"),
        }
    }

    fn block(&mut self, token: Token, mode: Mode) -> Received<Owner> {
        let words = Cookies::for_token(token, PROCESS);
        self.receive(&LockResult {
            addr: words.blocking_addr,
            bast_mode: mode.into(),
            ..self.completion(token, LockStatus::Granted)
        })
    }

    fn settle(&mut self, token: Token) -> Option<Face> {
        self.call(|core, _| core.settle(token))
    }

    /// The unlock or cancel that was filled in last.
    fn written(&self) -> Unlock {
        match Request::decode(Abi::V6_64, self.out.bytes()).unwrap() {
            Request::Unlock(unlock) => {
                Unlock { id: unlock.lock.0, flags: unlock.flags, lvb: *unlock.lvb }
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn assert_writes(&self, id: u32, flags: LockFlags) {
        assert_eq!(self.written(), Unlock { id, flags, lvb: ValueBlock::ZERO });
    }

    /// The deadlines and retries that are overdue now.
    fn expired(&mut self) -> Vec<crate::Expired> {
        let now = self.now;
        std::iter::from_fn(|| self.call(|core, _| core.expired(now))).collect()
    }

    /// Nothing is left, and the counters know it.
    #[track_caller]
    fn assert_empty(&self) {
        assert_eq!((self.core.len(), self.core.expected(), self.core.left_over()), (0, 0, 0));
        assert!(!self.core.knows_resource(b"disk0"));
    }
}

fn name(text: &str) -> ResourceName {
    ResourceName::new(text.as_bytes()).unwrap()
}

fn number(owner: &Option<Owner>) -> Option<u32> {
    owner.as_ref().map(|owner| owner.0)
}

fn numbers<const N: usize>(owners: &[Option<Owner>; N]) -> [Option<u32>; N] {
    owners.each_ref().map(number)
}

fn conversion(mode: Mode, flags: LockFlags) -> Conversion {
    Conversion { mode, flags, write: None, persistent: false, xid: None, notices: None }
}

fn completion(token: Token, status: LockStatus) -> LockResult<'static> {
    let words = Cookies::for_token(token, PROCESS);
    LockResult {
        version: Version::V6,
        addr: words.completion_addr,
        param: words.completion_param,
        lksb: words.lksb,
        status,
        lock: LockId(1),
        flags: StatusFlags::empty(),
        bast_mode: ModeCode(0),
        lvb: None,
    }
}

const ENOENT: i32 = 2;
const EBADF: i32 = 9;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ENOBUFS: i32 = 105;
