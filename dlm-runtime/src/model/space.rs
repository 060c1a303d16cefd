//! The kernel's side of a schedule: two nodes of an [engine](dlm_engine), with each open device
//! behind a monitor.
//!
//! The program is on the first node. The master of a resource is there, or on the second one, by
//! chance; then requests and answers are messages, which arrive when the scheduler says so. A `write`
//! has two steps: others may read its results, and write, before it returns.

use std::fmt;
use std::sync::Arc;

use dlm_engine::strict::{Session, Violation};
use dlm_engine::{Config, Engine, Profile, SessionId};
use dlm_proto::{
    Abi, Command, Cookies, LockFlags, LockId, LockRequest, LockspaceFlags, MAX_REQUEST_LEN,
    MAX_RESULT_LEN, Minor, Mode, NodeId, RemoveFlags, Request, Token,
};
use dlm_sys::{Accepted, Call, Errno, Error};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Condvar, Mutex, MutexGuard};

use super::clock::World;
use super::signal::{AsFd, Signal, wait_any};
use crate::threads::atomic::{AtomicBool, Ordering};
use crate::threads::lock;

/// The layout of all requests and results.
pub(super) const ABI: Abi = Abi::V6_64;

/// The node of the program, and the other one.
const HERE: NodeId = NodeId(1);
const THERE: NodeId = NodeId(2);

/// One open device.
#[derive(Debug)]
pub(super) struct Open {
    id: SessionId,
    /// While results are queued for it.
    pub(super) readable: Signal,
    /// That signal is set: kernels say so once.
    is_shown: AtomicBool,
    pub(super) node_changed: Signal,
}

/// A lockspace of two nodes.
pub struct Space {
    state: Mutex<State>,
    /// The lockspace goes on.
    goes_on: Condvar,
    /// Messages are on their way.
    traffic: Signal,
    /// No more will come.
    last: Signal,
    /// What keeps its open devices apart.
    pub(super) node_is_locked: AtomicBool,
}

struct State {
    engine: Engine,
    minor: Minor,
    opens: Vec<(Arc<Open>, Session)>,
    /// What keeps masters on the other node.
    keeper: Option<SessionId>,
    /// The resources that had a request.
    names: Vec<Vec<u8>>,
    refusals: Vec<Refusal>,
    watches_first_requests: bool,
    allows_overlap: bool,
    is_removed: bool,
}

/// What a kernel refuses for a while.
struct Refusal {
    count: usize,
    errno: Errno,
    concerns: fn(&Request<'_>) -> bool,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").finish_non_exhaustive()
    }
}

impl Space {
    /// The lockspace of this schedule.
    pub(super) fn current() -> Arc<Self> {
        World::current().space.get().map(Arc::clone).expect("made when the schedule began")
    }

    pub(super) fn new() -> Arc<Self> {
        let signal = || Signal::new().expect("nothing to fail");
        Arc::new(Self {
            state: Mutex::new(State::new()),
            goes_on: Condvar::new(),
            traffic: signal(),
            last: signal(),
            node_is_locked: AtomicBool::new(false),
        })
    }

    pub(super) fn open(&self) -> Arc<Open> {
        let signal = || Signal::new().expect("nothing to fail");
        let mut state = lock(&self.state);
        let minor = state.minor;
        let mut session = Session::open(&mut state.engine, HERE, minor).expect("it exists");
        if state.watches_first_requests {
            session = session.first_requests_apart();
        }
        if state.allows_overlap {
            session = session.overlaps_allowed();
        }
        let id = session.id();
        let is_shown = AtomicBool::new(false);
        let open = Arc::new(Open { id, readable: signal(), is_shown, node_changed: signal() });
        state.opens.push((Arc::clone(&open), session));
        open
    }

    pub(super) fn close(&self, open: &Arc<Open>) {
        let mut state = self.await_running(lock(&self.state), open.id);
        let place = state.opens.iter().position(|(other, _)| Arc::ptr_eq(other, open));
        let (_, mut session) = state.opens.swap_remove(place.expect("it is closed once"));
        allowed(session.close(&mut state.engine));
        if state.is_removed && state.opens.is_empty() {
            let flags = RemoveFlags::FORCEFREE;
            let remove = Request::RemoveLockspace { minor: state.minor, flags };
            state.control(HERE, &remove);
        }
        state.went_on(self);
    }

    /// Somebody removes the lockspace by force: its node is gone, and the rest is done when the last
    /// device is closed.
    pub fn remove(&self) {
        let mut state = lock(&self.state);
        state.is_removed = true;
        state.opens.iter().for_each(|(open, _)| open.node_changed.set());
    }

    pub(super) fn is_removed(&self) -> bool {
        lock(&self.state).is_removed
    }

    /// The master of a resource that had no request yet is on the other node.
    pub fn keep_elsewhere(&self, name: &str) {
        lock(&self.state).keep(name.as_bytes());
    }

    /// The other node stands still, or goes on.
    pub fn freeze(&self, is_frozen: bool) {
        let mut state = lock(&self.state);
        if is_frozen {
            state.engine.freeze(THERE);
        } else {
            state.engine.thaw(THERE);
        }
        state.went_on(self);
    }

    /// The lockspace of the program is stopped, or goes on.
    pub fn stop(&self, is_stopped: bool) {
        let mut state = lock(&self.state);
        let minor = state.minor;
        if is_stopped {
            state.engine.stop(HERE, minor);
        } else {
            state.engine.start(HERE, minor);
        }
        state.went_on(self);
        self.goes_on.notify_all();
    }

    /// The next requests of a kind are refused with this, as many as that.
    pub fn refuse(&self, count: usize, errno: Errno, concerns: fn(&Request<'_>) -> bool) {
        lock(&self.state).refusals.push(Refusal { count, errno, concerns });
    }

    /// Requests are still to be refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        lock(&self.state).refusals.iter().any(|refusal| refusal.count > 0)
    }

    /// What is opened from now on may not have first requests at the same time.
    pub(super) fn watch_first_requests(&self) {
        lock(&self.state).watches_first_requests = true;
    }

    /// What is opened from now on may unlock over what is in flight, as C programs do.
    pub fn allow_overlap(&self) {
        lock(&self.state).allows_overlap = true;
    }

    pub(super) fn submit(
        &self,
        open: &Open,
        command: Command,
        bytes: &[u8],
    ) -> Result<Accepted, Error> {
        let fail = |errno| Error::os(Call::Submit(command), errno);
        let mut state = lock(&self.state);
        let request = Request::decode(ABI, bytes).expect("a request that a kernel understands");
        if let Some(errno) = state.refusal(&request) {
            let (_, session) = state.split(open);
            let ticket = allowed(session.strict().begin_write(bytes));
            drop(state);
            let mut state = lock(&self.state);
            let (_, session) = state.split(open);
            session.strict().end_write(ticket, Err(dlm_engine::Errno(errno.raw())));
            return Err(fail(errno));
        }
        state.choose_master(&request);
        let (engine, session) = state.split(open);
        let mut write = allowed(session.begin_write(engine, bytes));
        while write.is_held_up() {
            state = self.await_running(state, open.id);
            let (engine, session) = state.split(open);
            session.go_on(engine, &mut write);
        }
        if thread_rng().r#gen() {
            state.engine.settle();
        }
        state.went_on(self);
        drop(state);
        // Here others read the results, and write.
        let mut state = lock(&self.state);
        let (_, session) = state.split(open);
        match session.end_write(write) {
            Ok(0) => Ok(Accepted::Done),
            Ok(id) => Ok(Accepted::Lock(LockId(u32::try_from(id).expect("an id")))),
            Err(errno) => Err(fail(Errno::from_raw(errno.0))),
        }
    }

    fn await_running<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        id: SessionId,
    ) -> MutexGuard<'a, State> {
        while state.engine.stopped(id) {
            state = self.goes_on.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state
    }

    /// The next result that is to be read.
    pub(super) fn read(&self, open: &Open, buffer: &mut [u8; MAX_RESULT_LEN]) -> Option<usize> {
        let reading = {
            let mut state = lock(&self.state);
            let (engine, session) = state.split(open);
            allowed(session.begin_read(engine, buffer.len()))
        };
        let mut state = lock(&self.state);
        let (engine, session) = state.split(open);
        let len = session.end_read(engine, reading, buffer).ok();
        if !engine.is_readable(open.id) && open.is_shown.swap(false, Ordering::SeqCst) {
            open.readable.clear();
        }
        len
    }

    /// Delivers messages, each time that the scheduler lets this thread run, until there is none left
    /// and no more will come.
    pub(super) fn run(&self) {
        loop {
            let sources = [self.traffic.as_fd(), self.last.as_fd()];
            let [some, last, ..] = wait_any(&sources, None).expect("no failure");
            if some {
                let mut state = lock(&self.state);
                state.engine.step();
                state.went_on(self);
            } else if last {
                return;
            }
        }
    }

    /// Ends [`Space::run`].
    pub(super) fn finish(&self) {
        self.last.set();
    }

    /// Delivers all messages now. Tells whether nothing is held, waits, or is unread.
    pub(super) fn settle(&self) -> bool {
        let mut state = lock(&self.state);
        if let Some(keeper) = state.keeper.take() {
            state.engine.close(keeper);
        }
        state.engine.settle();
        state.went_on(self);
        let State { engine, opens, is_removed, .. } = &*state;
        let is_read = opens.iter().all(|(open, _)| !engine.is_readable(open.id));
        let lockspaces = if *is_removed && opens.is_empty() { 1 } else { 2 };
        is_read && engine.size() == lockspaces
    }
}

impl State {
    fn new() -> Self {
        let profile = Profile::ALL[thread_rng().gen_range(0..Profile::ALL.len())];
        let config = Config { profile, abi: ABI, seed: thread_rng().r#gen(), nodes: 2 };
        let mut state = Self {
            engine: Engine::new(config),
            minor: Minor(0),
            opens: Vec::new(),
            keeper: None,
            names: Vec::new(),
            refusals: Vec::new(),
            watches_first_requests: false,
            allows_overlap: false,
            is_removed: false,
        };
        let create = Request::CreateLockspace { name: b"model", flags: LockspaceFlags::empty() };
        let [minor, there] = [HERE, THERE].map(|node| state.control(node, &create));
        state.minor = Minor(minor);
        state.keeper = Some(state.engine.open(THERE, Minor(there)).expect("it exists"));
        state
    }

    fn control(&mut self, node: NodeId, request: &Request<'_>) -> u32 {
        let mut bytes = [0; MAX_REQUEST_LEN];
        let bytes = request.encode(ABI, &mut bytes).expect("it fits");
        let answer = self.engine.control(node, bytes).expect("nothing to refuse");
        u32::try_from(answer).expect("a minor number")
    }

    /// The engine and the session of an open device.
    fn split(&mut self, open: &Open) -> (&mut Engine, &mut Session) {
        let session = self.opens.iter_mut().find(|(other, _)| other.id == open.id);
        (&mut self.engine, &mut session.expect("it is open").1)
    }

    /// Decides where the master of a resource is, before the first request for it.
    fn choose_master(&mut self, request: &Request<'_>) {
        let Request::Lock(asked) = request else { return };
        if asked.flags.contains(LockFlags::CONVERT) || self.names.iter().any(|it| it == asked.name)
        {
            return;
        }
        if thread_rng().r#gen() {
            self.keep(asked.name);
        } else {
            self.names.push(asked.name.to_vec());
        }
    }

    fn keep(&mut self, name: &[u8]) {
        let Some(keeper) = self.keeper else { return };
        let cookies = Cookies::for_token(Token::new(0, 0), 1);
        let request = Request::Lock(LockRequest::new(name, Mode::Nl, cookies));
        let mut bytes = [0; MAX_REQUEST_LEN];
        let bytes = request.encode(ABI, &mut bytes).expect("it fits");
        self.engine.write(keeper, bytes).expect("it is granted at once");
        self.names.push(name.to_vec());
    }

    fn refusal(&mut self, request: &Request<'_>) -> Option<Errno> {
        let meant = |refusal: &&mut Refusal| refusal.count > 0 && (refusal.concerns)(request);
        let refusal = self.refusals.iter_mut().find(meant)?;
        refusal.count -= 1;
        Some(refusal.errno)
    }

    /// After something has happened: makes readable what has something to read.
    fn went_on(&mut self, space: &Space) {
        if self.engine.next_event().is_some() {
            space.traffic.set();
        } else {
            space.traffic.clear();
        }
        for (open, session) in &mut self.opens {
            allowed(session.check(&self.engine));
            let is_readable = self.engine.is_readable(open.id);
            if is_readable && !open.is_shown.swap(true, Ordering::SeqCst) {
                open.readable.set();
            }
        }
    }
}

/// What the monitor says, which must be nothing.
#[track_caller]
fn allowed<T>(answer: Result<T, Violation>) -> T {
    answer.unwrap_or_else(|violation| World::violation(&violation.to_string()))
}
