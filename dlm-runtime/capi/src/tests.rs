//! The C face against lock managers that refuse, and nodes that do not answer: what a C program has
//! no means to bring about.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dlm_core::Rules;
use dlm_proto::{Command, LockFlags, LockspaceFlags};
use dlm_runtime::backend::{Faulty, RequestFault, on_requests};
use dlm_runtime::driver::{Driver, DriverOptions, KeepApart, Manager, Notify};
use dlm_runtime::engine::{Cluster, ClusterOptions, FaultGuard, Node};
use libc::{EAGAIN, EBUSY, EINVAL, ENOBUFS, ENOENT, ENOMEM, ETIMEDOUT};

use crate::Flavour;
use crate::border::guard_long_task;
use crate::errno::{Errno, Told};
use crate::face::Session;
use crate::lksb::{Ast, CallerLksb, EINPROG, Lksb};
use crate::lock::{self, LockCall};
use crate::session;
use crate::task::{OuterFrame, Progress};
use crate::unlock::{self, UnlockCall};

/// The longest time that anything may take. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// What waits for nobody, or has a short deadline, has ended by then also on a busy machine. The
/// library's own patience is twice as long.
const PROMPT: Duration = Duration::from_secs(5);

const EUNLOCK: c_int = 0x10002;
const ECANCEL: c_int = 0x10001;
const NONE: LockFlags = LockFlags::empty();
const EX: u32 = 5;
const PR: u32 = 3;

/// A status block that its AST counts, in place of a C program's variable.
struct Block {
    lksb: *mut Lksb,
    asts: &'static AtomicU32,
}

impl Block {
    /// Leaked: it is there as long as anybody may look at it.
    fn new() -> Self {
        let lksb = Lksb { sb_status: 7, sb_lkid: 0, sb_flags: 0, sb_lvbptr: null_mut() };
        Self { lksb: Box::into_raw(Box::new(lksb)), asts: Box::leak(Box::default()) }
    }

    fn caller(&self) -> CallerLksb {
        // SAFETY: the block is leaked, and used through its pointer only.
        unsafe { CallerLksb::new(self.lksb, false) }.unwrap()
    }

    fn ast(&self) -> Option<Ast> {
        let counter: *const AtomicU32 = self.asts;
        // SAFETY: `count` may be called anywhere with a counter that stays.
        unsafe { Ast::new(Some(count), counter.cast_mut().cast()) }
    }

    fn status(&self) -> c_int {
        let status: *const c_int = self.lksb.cast();
        // SAFETY: the first field of a block as for `caller`; the other threads of these tests
        // write it before they count.
        unsafe { status.read_volatile() }
    }

    fn id(&self) -> u32 {
        self.caller().id()
    }

    fn asts(&self) -> u32 {
        self.asts.load(Ordering::SeqCst)
    }

    fn call(&self, mode: u32, flags: LockFlags) -> LockCall<'static> {
        let (lksb, ast) = (self.caller(), self.ast());
        LockCall { mode, flags, name: b"r", lksb, ast, bast: None, xid: 0, deadline: None }
    }

    fn within(&self, mode: u32, flags: LockFlags, millis: u64) -> LockCall<'static> {
        let deadline = Instant::now().checked_add(Duration::from_millis(millis));
        LockCall { deadline, ..self.call(mode, flags) }
    }

    fn unlock(&self, flags: LockFlags) -> UnlockCall {
        UnlockCall { id: self.id(), flags, lksb: self.caller(), argument: None }
    }
}

unsafe extern "C-unwind" fn count(counter: *mut c_void) {
    // SAFETY: this is the AST of `Block::ast`, which gives the counter.
    let counter = unsafe { &*counter.cast::<AtomicU32>() };
    counter.fetch_add(1, Ordering::SeqCst);
}

/// Sees a call through, as its exported function does.
fn seen_through(begin: impl FnOnce() -> Result<Progress<c_int>, Errno>) -> Result<c_int, Errno> {
    match guard_long_task(|| begin()?.then(|status| Ok(Told::from(status)))) {
        -1 => Err(Errno(nix::errno::Errno::last_raw())),
        status => Ok(status),
    }
}

fn lock_wait(session: &Arc<Session>, call: &LockCall<'_>) -> Result<c_int, Errno> {
    seen_through(|| lock::wait(Arc::clone(session), call))
}

fn unlock_wait(session: &Arc<Session>, call: &UnlockCall) -> Result<c_int, Errno> {
    seen_through(|| unlock::wait(Arc::clone(session), call))
}

fn dispatch(session: &Arc<Session>) {
    let session = Arc::clone(session);
    let turn =
        |outer: Rc<OuterFrame>| async move { Ok(session.dispatch_on(&*outer).await.map(|_| 0)?) };
    assert_eq!(seen_through(|| Ok(Progress::goes_on(turn))), Ok(0));
}

fn open(manager: &Manager, flavour: Flavour) -> Arc<Session> {
    let options = DriverOptions {
        background_writes: false,
        keep_apart: KeepApart::Never,
        rules: Rules::AsAsked,
        has_ids: true,
        has_threads: flavour == Flavour::Threaded,
    };
    Driver::create(manager, b"x", LockspaceFlags::empty(), 0o600, &options).unwrap()
}

fn on(node: &Node) -> Manager {
    Manager::Other(Arc::new(node.clone()))
}

/// Dispatches until an AST has run so often.
fn dispatch_until(session: &Arc<Session>, block: &Block, asts: u32) {
    let begin = Instant::now();
    while block.asts() < asts {
        assert!(begin.elapsed() < PATIENCE, "no AST");
        dispatch(session);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Two nodes of which the second one has the resource, and stands still while the last of these is
/// there.
fn with_frozen_master(
    flavour: Flavour,
    test: impl FnOnce(&Cluster, &Arc<Session>, &Arc<Session>, FaultGuard),
) {
    let cluster = ClusterOptions::new().nodes(2).start();
    let (one, two) = (cluster.node(1), cluster.node(2));
    let [here, there] = [&one, &two].map(|node| open(&on(node), flavour));
    let anchor = Block::new();
    assert_eq!(lock_wait(&there, &anchor.call(0, NONE)), Ok(0));
    let frozen = two.freeze();
    test(&cluster, &here, &there, frozen);
    assert!(session::close(&here) && session::close(&there));
}

/// Tries until a lock is granted.
fn is_free(session: &Arc<Session>) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let block = Block::new();
        match lock_wait(session, &block.call(EX, LockFlags::NOQUEUE)) {
            Ok(0) => {
                assert_eq!(unlock_wait(session, &block.unlock(NONE)), Ok(EUNLOCK));
                return true;
            }
            Ok(EAGAIN) => std::thread::sleep(Duration::from_millis(10)),
            other => panic!("{other:?}"),
        }
    }
    false
}

const BOTH: [Flavour; 2] = [Flavour::Threaded, Flavour::Light];

#[test]
fn a_call_returns_at_its_time_and_what_is_granted_late_is_unlocked() {
    for flavour in BOTH {
        with_frozen_master(flavour, |cluster, here, there, frozen| {
            let block = Block::new();
            let begin = Instant::now();
            let answer = lock_wait(here, &block.within(EX, NONE, 100));
            assert_eq!(answer, Ok(ETIMEDOUT));
            assert!(begin.elapsed() >= Duration::from_millis(100));
            assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
            assert_eq!((block.status(), block.id()), (ETIMEDOUT, 0));
            // The block is the caller's again.
            block.caller().set_status(77);
            drop(frozen);
            cluster.settle();
            if flavour == Flavour::Light {
                let other = Block::new();
                let answer = lock_wait(there, &other.call(EX, LockFlags::NOQUEUE));
                assert_eq!(answer, Ok(EAGAIN), "nobody may do it yet");
                // Any call does it.
                here.tidy_up();
                cluster.settle();
                here.tidy_up();
            }
            assert!(is_free(there));
            assert_eq!((block.status(), block.id(), block.asts()), (77, 0, 0));
        });
    }
}

#[test]
fn an_ast_is_called_at_its_time_and_what_is_granted_late_is_unlocked() {
    for flavour in BOTH {
        with_frozen_master(flavour, |cluster, here, there, frozen| {
            let block = Block::new();
            lock::start(here, &block.within(EX, NONE, 50)).unwrap();
            assert_eq!(block.status(), EINPROG);
            let begin = Instant::now();
            dispatch_until(here, &block, 1);
            assert!(begin.elapsed() < PROMPT);
            assert_eq!((block.status(), block.id()), (ETIMEDOUT, 0));
            block.caller().set_status(77);
            drop(frozen);
            cluster.settle();
            dispatch(here);
            cluster.settle();
            dispatch(here);
            assert!(is_free(there));
            assert_eq!((block.status(), block.asts()), (77, 1));
        });
    }
}

#[test]
fn a_conversion_that_gives_up_keeps_its_lock_usable() {
    let cluster = ClusterOptions::new().nodes(2).start();
    let (one, two) = (cluster.node(1), cluster.node(2));
    let [here, there] = [&one, &two].map(|node| open(&on(node), Flavour::Threaded));
    let (anchor, block) = (Block::new(), Block::new());
    assert_eq!(lock_wait(&there, &anchor.call(0, NONE)), Ok(0));
    assert_eq!(lock_wait(&here, &block.call(PR, NONE)), Ok(0));
    let id = block.id();
    let frozen = two.freeze();
    assert_eq!(lock_wait(&here, &block.within(EX, LockFlags::CONVERT, 50)), Ok(ETIMEDOUT));
    assert_eq!((block.status(), block.id()), (ETIMEDOUT, id));
    drop(frozen);
    cluster.settle();
    // Whichever came first, the grant or the cancel, the kernel knows of nothing in flight.
    assert_eq!(lock_wait(&here, &block.call(PR, LockFlags::CONVERT)), Ok(0));
    assert_eq!(unlock_wait(&here, &block.unlock(NONE)), Ok(EUNLOCK));
    assert!(is_free(&there));
}

#[test]
fn a_timeout_of_nothing_asks_once() {
    let manager = on(&Cluster::default().node(1));
    let (here, there) = (open(&manager, Flavour::Light), open(&manager, Flavour::Light));
    let (held, block) = (Block::new(), Block::new());
    assert_eq!(lock_wait(&here, &block.within(EX, NONE, 0)), Ok(0));
    assert_eq!(unlock_wait(&here, &block.unlock(NONE)), Ok(EUNLOCK));
    assert_eq!(lock_wait(&there, &held.call(PR, NONE)), Ok(0));
    assert_eq!(lock_wait(&here, &block.within(EX, NONE, 0)), Ok(ETIMEDOUT));
    lock::start(&here, &block.within(EX, NONE, 0)).unwrap();
    dispatch_until(&here, &block, 1);
    assert_eq!(block.status(), ETIMEDOUT);
    assert_eq!(lock_wait(&here, &block.call(PR, NONE)), Ok(0));
    assert_eq!(lock_wait(&here, &block.within(EX, LockFlags::CONVERT, 0)), Ok(ETIMEDOUT));
    assert_eq!(unlock_wait(&here, &block.unlock(NONE)), Ok(EUNLOCK));
    assert_eq!(unlock_wait(&there, &held.unlock(NONE)), Ok(EUNLOCK));
    assert!(here.state().core.is_empty() && there.state().core.is_empty());
}

/// A lockspace whose cancels and unlocks are refused as often as the counter says, and another one.
fn refusing(errno: dlm_sys::Errno) -> (Arc<Session>, Arc<Session>, Arc<AtomicU32>) {
    let node = Cluster::default().node(1);
    let refusals = Arc::new(AtomicU32::new(0));
    let left = Arc::clone(&refusals);
    let plan = on_requests(move |command, _| {
        let take = |left: u32| left.checked_sub(1);
        let is_refused = command == Command::Unlock
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
        is_refused.then_some(RequestFault::Fail(errno))
    });
    let faulty = Manager::Other(Arc::new(Faulty::new(node.clone(), plan)));
    let flavour = Flavour::Threaded;
    (open(&faulty, flavour), open(&on(&node), flavour), refusals)
}

#[test]
fn a_refused_cancel_is_told_and_an_unlock_after_it_goes_through() {
    for (errno, number, again) in [
        (dlm_sys::Errno::ENOMEM, ENOMEM, Ok(())),
        // The kernel has noted it: a second one would make it warn (#refused-with-a-warning).
        (dlm_sys::Errno::ENOBUFS, ENOBUFS, Err(Errno(EINVAL))),
    ] {
        let (here, there, refusals) = refusing(errno);
        let (held, block) = (Block::new(), Block::new());
        assert_eq!(lock_wait(&there, &held.call(EX, NONE)), Ok(0));
        lock::start(&here, &block.call(EX, NONE)).unwrap();
        refusals.store(1, Ordering::SeqCst);
        let cancel = block.unlock(LockFlags::CANCEL);
        assert_eq!(unlock::start(&here, &cancel), Err(Errno(number)));
        assert_eq!(block.status(), EINPROG);
        assert_eq!(unlock::start(&here, &cancel), again);
        let begin = Instant::now();
        if again.is_err() {
            unlock::start(&here, &block.unlock(NONE)).unwrap();
        }
        assert!(begin.elapsed() < PROMPT);
        dispatch_until(&here, &block, 1);
        assert_eq!(block.status(), if again.is_ok() { ECANCEL } else { EUNLOCK });
        assert!(here.state().core.is_empty());
    }
}

#[test]
fn a_refused_cancel_of_a_deadline_is_written_again() {
    let (here, there, refusals) = refusing(dlm_sys::Errno::ENOMEM);
    let (held, block) = (Block::new(), Block::new());
    assert_eq!(lock_wait(&there, &held.call(EX, NONE)), Ok(0));
    refusals.store(3, Ordering::SeqCst);
    assert_eq!(lock_wait(&here, &block.within(EX, NONE, 20)), Ok(ETIMEDOUT));
    assert_eq!(unlock_wait(&there, &held.unlock(NONE)), Ok(EUNLOCK));
    assert!(is_free(&there));
    assert_eq!(refusals.load(Ordering::SeqCst), 0);
}

#[test]
fn a_refused_unlock_leaves_everything_as_it_was() {
    let (here, there, refusals) = refusing(dlm_sys::Errno::ENOMEM);
    let block = Block::new();
    lock::start(&here, &block.call(EX, NONE)).unwrap();
    dispatch_until(&here, &block, 1);
    for _ in 0..2 {
        refusals.store(1, Ordering::SeqCst);
        assert_eq!(unlock::start(&here, &block.unlock(NONE)), Err(Errno(ENOMEM)));
        refusals.store(1, Ordering::SeqCst);
        assert_eq!(unlock_wait(&here, &block.unlock(NONE)), Err(Errno(ENOMEM)));
        assert_eq!((block.status(), block.asts()), (0, 1));
    }
    unlock::start(&here, &block.unlock(NONE)).unwrap();
    dispatch_until(&here, &block, 2);
    assert_eq!(block.status(), EUNLOCK);
    assert!(is_free(&there));
}

#[test]
fn an_unlock_waits_for_a_request_that_ends_by_itself_without_its_caller() {
    for is_held in [false, true] {
        with_frozen_master(Flavour::Light, |cluster, here, there, frozen| {
            let held = Block::new();
            if is_held {
                drop(frozen);
                assert_eq!(lock_wait(there, &held.call(EX, NONE)), Ok(0));
                let frozen = cluster.node(2).freeze();
                unlock_of_noqueue(here, cluster, frozen, ENOENT);
            } else {
                unlock_of_noqueue(here, cluster, frozen, EUNLOCK);
                assert!(is_free(there));
            }
        });
    }
}

fn unlock_of_noqueue(here: &Arc<Session>, cluster: &Cluster, frozen: FaultGuard, status: c_int) {
    let block = Block::new();
    lock::start(here, &block.call(EX, LockFlags::NOQUEUE)).unwrap();
    let begin = Instant::now();
    unlock::start(here, &block.unlock(NONE)).unwrap();
    assert!(begin.elapsed() < PROMPT);
    assert_eq!(unlock::start(here, &block.unlock(NONE)), Err(Errno(EBUSY)));
    drop(frozen);
    cluster.settle();
    dispatch_until(here, &block, 1);
    cluster.settle();
    dispatch_until(here, &block, 2);
    assert_eq!(block.status(), status);
    assert!(here.state().core.is_empty());
}

#[test]
fn nothing_of_a_waiting_caller_is_kept() {
    let manager = on(&Cluster::default().node(1));
    let session = open(&manager, Flavour::Threaded);
    let (held, block) = (Block::new(), Block::new());
    assert_eq!(lock_wait(&session, &held.call(EX, NONE)), Ok(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let block = Block::new();
            assert_eq!(lock_wait(&session, &block.within(EX, NONE, 50)), Ok(ETIMEDOUT));
        });
        std::thread::sleep(Duration::from_millis(10));
        let mut kept = 0;
        session.state().core.for_each_user(|user| {
            kept += u32::from(matches!(user, Notify::Callback(_)));
        });
        assert_eq!(kept, 0);
    });
    lock::start(&session, &block.call(EX, NONE)).unwrap();
    assert!(session::close(&session));
    // What it gave up ends without a word.
    assert_eq!((block.status(), block.asts()), (EINPROG, 0));
}
