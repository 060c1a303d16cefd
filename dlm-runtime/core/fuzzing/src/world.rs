//! The lock manager, and the other programs that use it.

use dlm_engine::{Config, Engine, Errno, SessionId};
use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockRequest, LockspaceFlags, MAX_REQUEST_LEN, MAX_RESULT_LEN,
    Minor, Mode, NodeId, RemoveFlags, Request, Token, UnlockRequest,
};

use crate::action::Setup;

const ABI: Abi = Abi::V6_64;
const SPACE: &[u8] = b"fuzz";
const HERE: NodeId = NodeId(1);
/// The node on which the other program is, if there are two.
const THERE: NodeId = NodeId(2);
/// As many locks as the other program has at a time.
const MOST: usize = 6;

/// An engine, our session, and another program's.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) engine: Engine,
    nodes: u32,
    minor: Minor,
    session: SessionId,
    other: SessionId,
    others: Vec<LockId>,
}

fn encode(request: &Request<'_>) -> Vec<u8> {
    let mut buffer = [0; MAX_REQUEST_LEN];
    request.encode(ABI, &mut buffer).expect("it fits").to_vec()
}

/// Words of another program: what it asks for is nothing of ours.
fn foreign() -> Cookies {
    Cookies {
        completion_addr: 0x7f00_0001,
        completion_param: 0x7f00_0002,
        blocking_addr: 0x7f00_0003,
        blocking_param: 0x7f00_0004,
        lksb: 0x7f00_0005,
    }
}

fn join(engine: &mut Engine, node: NodeId) -> Minor {
    let create = Request::CreateLockspace { name: SPACE, flags: LockspaceFlags::empty() };
    let minor = engine.control(node, &encode(&create)).expect("it can be created");
    Minor(u32::try_from(minor).expect("a minor number"))
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let Setup { profile, nodes, seed, .. } = *setup;
        let mut engine = Engine::new(Config { profile, abi: ABI, seed, nodes });
        let minor = join(&mut engine, HERE);
        let session = engine.open(HERE, minor).expect("it exists");
        let there = if nodes > 1 { THERE } else { HERE };
        let minor_there = if nodes > 1 { join(&mut engine, THERE) } else { minor };
        let other = engine.open(there, minor_there).expect("it exists");
        Self { engine, nodes, minor, session, other, others: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<i64, Errno> {
        self.engine.write(self.session, bytes)
    }

    pub(crate) fn read(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let len = self.engine.read(self.session, &mut buffer).ok()?;
        buffer.get(..len).map(<[u8]>::to_vec)
    }

    /// The locks that are in a queue of our node.
    pub(crate) fn dump(&self) -> dlm_engine::Dump {
        self.engine.dump_of(self.session).expect("it is open")
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.nodes > 1
    }

    /// Another program requests a lock. Returns the id on our node that it took, if it did.
    pub(crate) fn other_locks(
        &mut self,
        name: &str,
        mode: Mode,
        flags: LockFlags,
    ) -> Option<LockId> {
        if self.others.len() >= MOST {
            return None;
        }
        let request = Request::Lock(LockRequest::new(name.as_bytes(), mode, foreign()).with(flags));
        let id = self.engine.write(self.other, &encode(&request)).ok()?;
        let id = LockId(u32::try_from(id).ok()?);
        self.others.push(id);
        (!self.is_cluster()).then_some(id)
    }

    /// Another program unlocks one of its locks, or takes back its request. It knows which ids are its
    /// own no more.
    pub(crate) fn other_unlocks(&mut self, which: u8, is_ours: impl Fn(LockId) -> bool) {
        if self.others.is_empty() {
            return;
        }
        let at = usize::from(which) % self.others.len();
        let id = self.others[at];
        let unlock = UnlockRequest::new(id, foreign()).with(LockFlags::FORCEUNLOCK);
        if !self.is_cluster() && is_ours(id)
            || self.engine.write(self.other, &encode(&Request::Unlock(unlock))).is_ok()
        {
            self.others.swap_remove(at);
        }
        self.other_reads();
    }

    pub(crate) fn other_reads(&mut self) {
        let mut buffer = [0; MAX_RESULT_LEN];
        while self.engine.read(self.other, &mut buffer).is_ok() {}
    }

    /// Another program ends and leaves a persistent lock behind. Returns the id that it had.
    pub(crate) fn leave_orphan(&mut self, name: &str, mode: Mode) -> Option<LockId> {
        let session = self.engine.open(HERE, self.minor).ok()?;
        let flags = LockFlags::PERSISTENT | LockFlags::NOQUEUE;
        let request = Request::Lock(LockRequest::new(name.as_bytes(), mode, foreign()).with(flags));
        let id = self.engine.write(session, &encode(&request));
        if self.is_cluster() {
            self.engine.settle();
        }
        self.engine.close(session);
        Some(LockId(u32::try_from(id.ok()?).ok()?))
    }

    /// Another program unlocks a lock of ours, with words of its own.
    pub(crate) fn steal(&mut self, id: LockId) {
        let unlock = UnlockRequest::new(id, foreign()).with(LockFlags::FORCEUNLOCK);
        let session = self.engine.open(HERE, self.minor).expect("it exists");
        let _ = self.engine.write(session, &encode(&Request::Unlock(unlock)));
        self.engine.close(session);
    }

    pub(crate) fn freeze(&mut self) {
        if self.is_cluster() {
            self.engine.freeze(THERE);
        }
    }

    pub(crate) fn thaw(&mut self) {
        if self.is_cluster() {
            self.engine.thaw(THERE);
        }
    }

    /// The other node crashes, and comes back with another program.
    pub(crate) fn crash(&mut self) {
        if self.is_cluster() {
            self.engine.crash(THERE);
            self.engine.restart(THERE);
            let minor = join(&mut self.engine, THERE);
            self.other = self.engine.open(THERE, minor).expect("it exists");
            self.others.clear();
        }
    }

    /// Lets everything happen that is on its way.
    pub(crate) fn settle(&mut self) {
        self.engine.settle();
    }

    /// The other program ends, and what it left behind is purged. Returns what is left beside the
    /// lockspaces.
    pub(crate) fn clear(&mut self) -> usize {
        let purge = encode(&Request::Purge { node: NodeId(0), pid: 0 });
        let _ = self.engine.write(self.session, &purge);
        self.engine.close(self.other);
        self.engine.settle();
        while self.read().is_some() {}
        self.engine.size() - usize::try_from(self.nodes).expect("a few")
    }

    /// Our session is closed, and the lockspace removed: nothing at all may be left.
    pub(crate) fn close(&mut self) {
        self.engine.close(self.session);
        self.engine.settle();
        let flags = RemoveFlags::FORCEFREE;
        let remove = encode(&Request::RemoveLockspace { minor: self.minor, flags });
        assert_eq!(self.engine.control(HERE, &remove), Ok(0));
    }
}

/// The result of a lock that has this token.
pub(crate) fn token_of(param: u64) -> Option<Token> {
    Token::from_word(param, ABI.width)
}
