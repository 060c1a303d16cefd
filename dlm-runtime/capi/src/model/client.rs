//! An open lockspace with its calls, as C programs make them.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use dlm_proto::LockFlags;
use dlm_runtime::model::{Dispatcher, Exclusive, Stage, while_time_passes};
use libc::EBUSY;

use super::block::{Block, FORMER};
use super::outer::{run, see_through, see_through_unless, see_turn_through};
use super::routine::Routine;
use crate::Flavour;
use crate::errno::Errno;
use crate::face::Session;
use crate::lock::{self, LockCall};
use crate::session;
use crate::task::{OuterFrame, Task};
use crate::unlock::{self, UnlockCall};

pub(super) const EUNLOCK: c_int = 0x10002;
pub(super) const ECANCEL: c_int = 0x10001;
pub(super) const NONE: LockFlags = LockFlags::empty();
pub(super) const NL: u32 = 0;
pub(super) const PR: u32 = 3;
pub(super) const EX: u32 = 5;

/// An open lockspace, and the status blocks that it is used with.
pub(super) struct Client {
    pub(super) session: Arc<Session>,
    /// No schedule turns on this mutex.
    blocks: Mutex<Vec<Arc<Block>>>,
}

/// The arguments of a lock call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    name: &'a str,
    mode: u32,
    flags: LockFlags,
    ast: Option<&'a Routine>,
    bast: Option<&'a Routine>,
    deadline: Option<Instant>,
}

impl<'a> Ask<'a> {
    pub(super) const fn new(name: &'a str, mode: u32) -> Self {
        Self { name, mode, flags: NONE, ast: None, bast: None, deadline: None }
    }

    /// A conversion to this mode.
    pub(super) const fn convert(mode: u32) -> Self {
        Self { flags: LockFlags::CONVERT, ..Self::new("", mode) }
    }

    pub(super) const fn flags(self, flags: LockFlags) -> Self {
        Self { flags: self.flags.union(flags), ..self }
    }

    pub(super) const fn ast(self, ast: &'a Routine) -> Self {
        Self { ast: Some(ast), ..self }
    }

    pub(super) const fn bast(self, bast: &'a Routine) -> Self {
        Self { bast: Some(bast), ..self }
    }

    pub(super) const fn until(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    fn call(&self, block: &Block) -> LockCall<'a> {
        LockCall {
            mode: self.mode,
            flags: self.flags,
            name: self.name.as_bytes(),
            lksb: block.lend(self.flags.contains(LockFlags::VALBLK)),
            ast: self.ast.and_then(Routine::ast),
            bast: self.bast.and_then(Routine::ast),
            xid: 0,
            deadline: self.deadline,
        }
    }
}

impl Client {
    pub(super) fn open(flavour: Flavour) -> Arc<Self> {
        let session = session::open(flavour, b"model").unwrap();
        Arc::new(Self { session, blocks: Mutex::default() })
    }

    /// A status block that is looked at at the end.
    pub(super) fn block(&self) -> Arc<Block> {
        let block = Arc::new(Block::new());
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&block));
        block
    }

    /// A status block for calls on another one's lock.
    pub(super) fn block_for(&self, id: u32) -> Arc<Block> {
        let block = self.block();
        block.set_id(id);
        block
    }

    /// The session of a call.
    fn enter(&self) -> Arc<Session> {
        self.session.tidy_up();
        Arc::clone(&self.session)
    }

    /// A lock call that waits. Returns the status.
    pub(super) fn lock_wait(&self, block: &Block, ask: &Ask<'_>) -> Result<c_int, Errno> {
        let session = self.enter();
        has_waited(block, lock::wait(session, &ask.call(block)).and_then(see_through))
    }

    /// The same in a thread that may be left meanwhile: `None`. The block is the program's then.
    pub(super) fn lock_wait_unless(
        &self,
        block: &Block,
        ask: &Ask<'_>,
        leaves: impl FnMut() -> bool,
    ) -> Option<Result<c_int, Errno>> {
        let session = self.enter();
        let answer = match lock::wait(session, &ask.call(block)) {
            Ok(progress) => see_through_unless(progress, leaves),
            Err(errno) => Some(Err(errno)),
        };
        match answer {
            Some(answer) => Some(has_waited(block, answer)),
            None => {
                block.take_back();
                None
            }
        }
    }

    /// A lock call that ends in an AST. The block is lent until then.
    pub(super) fn lock(&self, block: &Block, ask: &Ask<'_>) -> Result<(), Errno> {
        let session = self.enter();
        has_started(block, lock::start(&session, &ask.call(block)))
    }

    /// An unlock or cancel of the block's lock that waits. Returns the status.
    pub(super) fn unlock_wait(&self, block: &Block, flags: LockFlags) -> Result<c_int, Errno> {
        let session = self.enter();
        has_waited(block, unlock::wait(session, &unlock_call(block, flags)).and_then(see_through))
    }

    /// An unlock or cancel of the block's lock that does not wait. The block is lent until it has
    /// ended.
    pub(super) fn unlock(&self, block: &Block, flags: LockFlags) -> Result<(), Errno> {
        let session = self.enter();
        has_started(block, unlock::start(&session, &unlock_call(block, flags)))
    }

    /// Locks, does something exclusive, and unlocks.
    pub(super) fn pass(&self, name: &str, exclusive: &Exclusive) {
        let block = self.block();
        assert_eq!(self.lock_wait(&block, &Ask::new(name, EX)), Ok(0));
        exclusive.work();
        assert_eq!(self.unlock_wait(&block, NONE), Ok(EUNLOCK));
    }

    /// The lock on `a`, held.
    pub(super) fn held(&self, mode: u32) -> Arc<Block> {
        let block = self.block();
        assert_eq!(self.lock_wait(&block, &Ask::new("a", mode)), Ok(0));
        block
    }

    /// Converts a lock, of which a cancel that came too late may still be under way: the library tries
    /// again for a while.
    pub(super) fn convert_late(&self, block: &Block, mode: u32) {
        while_time_passes(|| {
            while let Err(errno) = self.lock_wait(block, &Ask::convert(mode)) {
                assert_eq!(errno, Errno(EBUSY));
                shuttle::thread::yield_now();
            }
        });
    }

    /// A thread that polls and dispatches.
    pub(super) fn dispatcher(&self) -> Dispatcher<Errno> {
        let session = Arc::clone(&self.session);
        Dispatcher::start_on(self.enter(), move |_| dispatch(&session).map(drop))
    }

    /// Starts the thread that runs ASTs.
    pub(super) fn start_delivery(&self) {
        let duty = self.session.prepare_delivery().unwrap();
        shuttle::thread::spawn(|| {
            let deliver = |outer: std::rc::Rc<OuterFrame>| async move {
                duty.deliver_on(&*outer).await;
                Ok(())
            };
            run(Task::new(deliver), || false).expect("nobody leaves").unwrap();
        });
    }

    /// Dispatches, in a thread that may be left by an AST: `None`.
    pub(super) fn dispatch_unless(
        &self,
        leaves: impl FnMut() -> bool,
    ) -> Option<Result<usize, Errno>> {
        see_turn_through(self.enter(), leaves)
    }

    /// Dispatches what is there.
    pub(super) fn dispatch_all(&self) {
        while dispatch(&self.enter()).unwrap() > 0 {}
    }

    /// Dispatches until a routine has run so often.
    pub(super) fn dispatch_until(&self, routine: &Routine, runs: usize) {
        while routine.runs() < runs {
            dispatch(&self.enter()).unwrap();
            shuttle::thread::yield_now();
        }
    }

    /// Nobody has touched what is the program's.
    pub(super) fn assert_untouched(&self) {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().for_each(|block| block.assert_untouched());
    }
}

fn dispatch(session: &Arc<Session>) -> Result<usize, Errno> {
    see_turn_through(Arc::clone(session), || false).expect("nobody leaves")
}

fn unlock_call(block: &Block, flags: LockFlags) -> UnlockCall {
    let (id, valblk) = (block.id(), flags.contains(LockFlags::VALBLK));
    UnlockCall { id, flags, lksb: block.lend(valblk), argument: None }
}

/// A call that waited has returned: the block is the caller's.
#[track_caller]
fn has_waited(block: &Block, answer: Result<c_int, Errno>) -> Result<c_int, Errno> {
    let expected = *answer.as_ref().unwrap_or(&FORMER);
    assert_eq!(block.take(), expected, "the status block tells of something else");
    answer
}

/// A call that does not wait has returned. The block is the caller's if it has failed.
#[track_caller]
fn has_started(block: &Block, answer: Result<(), Errno>) -> Result<(), Errno> {
    if answer.is_err() {
        assert_eq!(block.take(), FORMER, "the status block tells of something else");
    }
    answer
}

/// Lets everything end that has begun, and checks that nothing is left, and that nobody has touched
/// what is the program's.
pub(super) fn finish(stage: Stage, clients: &[&Client]) {
    let sessions: Vec<_> = clients.iter().map(|client| &client.session).collect();
    stage.finish_on(&sessions, |session| {
        session.tidy_up();
        let _ = dispatch(session);
    });
    clients.iter().for_each(|client| client.assert_untouched());
}
