//! Two engines that are asked the same.

use alloc::vec::Vec;

use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockRequest, LockResult, LockspaceFlags, MAX_REQUEST_LEN,
    MAX_RESULT_LEN, Minor, NodeId, RemoveFlags, Request, UnlockRequest, ValueBlock,
};

use super::calls::{Call, Kind};
use super::ledger::{Asked, Ledger};
use crate::grant::alternate;
use crate::{Config, Engine, Errno, Profile, SessionId};

const NODE: NodeId = NodeId(1);
/// Marks of words; the rest of a word is the number of its call.
const COMPLETION: u64 = 1;
const BLOCKING: u64 = 2;

#[derive(Debug)]
pub(super) struct Differential {
    counting: Engine,
    walking: Engine,
    minor: Minor,
    sessions: [Option<SessionId>; 4],
    calls: u64,
    /// Only for 6.12, whose results keep the words of their moment.
    ledger: Option<Ledger>,
}

fn encode<'b>(request: &Request<'_>, buffer: &'b mut [u8; MAX_REQUEST_LEN]) -> &'b [u8] {
    request.encode(Abi::V6_64, buffer).unwrap_or_default()
}

impl Differential {
    pub(super) fn new(new_kernel: bool) -> Self {
        let profile = if new_kernel { Profile::Linux6_12 } else { Profile::Linux6_1 };
        let [mut counting, mut walking] = [(); 2].map(|()| Engine::new(Config::single(profile)));
        let create = Request::CreateLockspace { name: b"fuzz", flags: LockspaceFlags::empty() };
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = encode(&create, &mut buffer);
        let [minor, other] = [&mut counting, &mut walking].map(|it| it.control(NODE, bytes));
        assert_eq!(minor, other);
        for device in walking.spaces.iter_mut().flatten() {
            device.space.walks = true;
        }
        let minor = minor.ok().and_then(|minor| u32::try_from(minor).ok()).unwrap_or_default();
        let ledger = new_kernel.then(Ledger::default);
        let mut differential =
            Self { counting, walking, minor: Minor(minor), sessions: [None; 4], calls: 0, ledger };
        (0..4).for_each(|session| differential.open(session));
        differential
    }

    /// Asks both, and holds their answers against each other.
    fn both<T: PartialEq + core::fmt::Debug>(&mut self, call: impl Fn(&mut Engine) -> T) -> T {
        let answer = call(&mut self.counting);
        assert_eq!(answer, call(&mut self.walking));
        answer
    }

    fn open(&mut self, session: u8) {
        let minor = self.minor;
        let opened = self.both(|engine| engine.open(NODE, minor)).ok();
        if let Some(slot) = self.sessions.get_mut(usize::from(session)) {
            *slot = opened;
        }
    }

    fn session(&self, session: u8) -> Option<SessionId> {
        *self.sessions.get(usize::from(session))?
    }

    fn write(
        &mut self,
        session: SessionId,
        task: u32,
        request: &Request<'_>,
    ) -> Result<i64, Errno> {
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = encode(request, &mut buffer);
        self.both(|engine| {
            engine.set_task(session, task);
            engine.write(session, bytes)
        })
    }

    pub(super) fn make(&mut self, call: Call) {
        self.calls += 1;
        match (call.kind, self.session(call.session)) {
            (Kind::Open, None) => self.open(call.session),
            (Kind::Open, Some(_)) | (_, None) => {}
            (Kind::Close, Some(session)) => {
                self.both(|engine| engine.close(session));
                self.silence(call.session);
                if let Some(slot) = self.sessions.get_mut(usize::from(call.session)) {
                    *slot = None;
                }
            }
            (Kind::Read, Some(session)) => {
                self.read(session);
            }
            (_, Some(session)) => self.operate(call, session),
        }
        self.check();
    }

    fn operate(&mut self, call: Call, session: SessionId) {
        let Call { kind, lock, mode, flags, name, task, .. } = call;
        let word = self.calls;
        let cookies = Cookies {
            completion_addr: COMPLETION,
            completion_param: word,
            blocking_addr: if word.is_multiple_of(5) { 0 } else { BLOCKING },
            blocking_param: word,
            lksb: 1,
        };
        let lock = LockId(lock);
        let word_byte = word.to_le_bytes().first().copied().unwrap_or_default();
        let lvb = &ValueBlock([word_byte; 32]);
        let new = LockRequest { name, mode, flags, lock, xid: 0, timeout: 0, cookies, lvb };
        let request = match kind {
            Kind::Request => Request::Lock(new),
            Kind::Convert => Request::Lock(new.with(LockFlags::CONVERT)),
            Kind::Adopt => Request::Lock(new.with(LockFlags::ORPHAN)),
            Kind::Unlock => Request::Unlock(UnlockRequest { lock, flags, cookies, lvb }),
            Kind::Cancel => Request::Unlock(UnlockRequest::cancel(lock, cookies)),
            Kind::Deadlock => Request::Deadlock { lock, flags },
            // The thread of the session in one of three cases.
            _ => Request::Purge { node: NodeId(0), pid: task - 1 },
        };
        let purges_own = kind == Kind::Purge && word.is_multiple_of(3);
        let as_task = if purges_own { task - 1 } else { task };
        let answer = self.write(session, as_task.max(1), &request);
        self.book(call, word, answer);
        if purges_own && task > 1 {
            self.silence(call.session);
        }
    }

    fn book(&mut self, call: Call, word: u64, answer: Result<i64, Errno>) {
        let lock = LockId(call.lock);
        let holds_alternate = call.kind == Kind::Convert && self.holds_alternate(call);
        let Some(ledger) = &mut self.ledger else { return };
        let id = answer.ok().and_then(|id| u32::try_from(id).ok()).map(LockId);
        if matches!(call.kind, Kind::Convert | Kind::Unlock | Kind::Cancel) {
            ledger.named(lock, word);
        }
        match (call.kind, id) {
            (Kind::Request, Some(id)) => ledger.requested(id, call.session, word),
            (Kind::Adopt, Some(id)) => ledger.adopted(id, call.session, word),
            (Kind::Convert, Some(_)) => ledger.converted(lock, Asked { holds_alternate }),
            (Kind::Unlock, Some(_)) => ledger.unlocked(lock),
            _ => {}
        }
    }

    /// Whether a conversion waits whose alternate mode the lock holds.
    fn holds_alternate(&self, call: Call) -> bool {
        let Some(alternate) = alternate(call.flags, call.mode.known()) else { return false };
        let dump = self.counting.dump(NODE, self.minor);
        let mut converting =
            dump.iter().flat_map(|dump| &dump.resources).flat_map(|it| &it.converting);
        converting.any(|it| it.id == LockId(call.lock) && it.granted == Some(alternate))
    }

    fn silence(&mut self, session: u8) {
        if let Some(ledger) = &mut self.ledger {
            ledger.silence(session);
        }
    }

    /// Reads one result. `false` if there is none.
    fn read(&mut self, session: SessionId) -> bool {
        let readable = self.both(|engine| engine.is_readable(session));
        let read = self.both(|engine| {
            let mut buffer = [0; MAX_RESULT_LEN];
            engine.read(session, &mut buffer).map(|len| (len, buffer))
        });
        let Ok((len, buffer)) = read else {
            assert_eq!(read.err(), Some(Errno::EAGAIN));
            // Only notices of 6.1 can turn out not to be worth reading.
            assert!(!readable || self.ledger.is_none());
            return false;
        };
        assert!(readable);
        let bytes = buffer.get(..len).unwrap_or_default();
        let Ok(result) = LockResult::decode(Abi::V6_64, bytes) else { return true };
        assert!(result.param != 0 && result.lksb == 1);
        match &mut self.ledger {
            Some(ledger) if result.addr == COMPLETION => {
                ledger.completed(result.param, result.status, result.flags);
            }
            Some(_) => assert_eq!(result.addr, BLOCKING),
            // A notice of 6.1 has the address of the moment, even if no notices are wanted any more.
            None => assert!([COMPLETION, BLOCKING, 0].contains(&result.addr)),
        }
        true
    }

    fn check(&mut self) {
        for engine in [&self.counting, &self.walking] {
            assert_eq!(engine.check(), Ok(()));
        }
    }

    /// Reads all, closes all, removes all.
    pub(super) fn end(&mut self) {
        let sessions: Vec<_> = self.sessions.iter().flatten().copied().collect();
        for &session in &sessions {
            while self.read(session) {}
            assert!(!self.both(|engine| engine.is_readable(session)));
        }
        let minor = self.minor;
        let dump = self.both(|engine| engine.dump(NODE, minor));
        let pending: Vec<LockId> = dump
            .into_iter()
            .flat_map(|dump| dump.resources)
            .flat_map(|it| it.converting.into_iter().chain(it.waiting))
            .map(|lock| lock.id)
            .collect();
        if let Some(ledger) = &self.ledger {
            for debtor in ledger.debtors() {
                assert!(pending.contains(&debtor), "lock {debtor} neither completed nor waits");
            }
        }
        for session in sessions {
            self.both(|engine| engine.close(session));
        }
        let flags = RemoveFlags::FORCEFREE;
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = encode(&Request::RemoveLockspace { minor, flags }, &mut buffer);
        assert_eq!(self.both(|engine| engine.control(NODE, bytes)), Ok(0));
        assert_eq!(self.both(|engine| engine.size()), 0);
    }
}
