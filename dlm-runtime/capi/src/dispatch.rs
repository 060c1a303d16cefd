//! Reading results, and running the ASTs that they lead to.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dlm_proto::{Event, LockResult, LockStatus, MAX_RESULT_LEN, StatusFlags, Token, ValueBlock};
use libc::EBADF;

use crate::errno::Errno;
use crate::lksb::{Ast, CallerLksb, Report};
use crate::record::Ended;
use crate::session::Session;
use crate::sync::{Mutex, Signal, lock};
use crate::wait::Waiter;

/// Results read in one turn. A flood of them leaves the caller time for other things.
pub(crate) const TURN: usize = 256;

/// Something for whoever runs ASTs.
#[derive(Debug)]
pub(crate) enum Due {
    /// Fill in the status blocks of who asked for the operation, and of who cancelled it.
    Completion { ast: Option<Ast>, lksbs: [Option<CallerLksb>; 2], report: Report },
    /// A blocking AST, unless its lock is gone by then.
    Blocking(Token),
}

/// What is due but was read by a thread that must not run it. Its descriptor is readable while
/// there is any.
#[derive(Debug)]
pub(crate) struct DueQueue {
    queue: Mutex<VecDeque<Due>>,
    /// Saves the look into an empty queue.
    len: AtomicUsize,
    ready: Signal,
}

impl DueQueue {
    pub(crate) fn new() -> nix::Result<Self> {
        Ok(Self { queue: Mutex::default(), len: AtomicUsize::new(0), ready: Signal::new()? })
    }

    pub(crate) fn push(&self, due: Due) {
        let mut queue = lock(&self.queue);
        // First: who is woken must not find nothing to do.
        self.len.store(queue.len() + 1, Ordering::Release);
        if queue.is_empty() {
            self.ready.set();
        }
        queue.push_back(due);
    }

    pub(crate) fn pop(&self) -> Option<Due> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut queue = lock(&self.queue);
        let due = queue.pop_front()?;
        self.len.store(queue.len(), Ordering::Release);
        if queue.is_empty() {
            self.ready.clear();
        }
        Some(due)
    }

    pub(crate) fn source(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// What reading one result led to.
#[derive(Debug)]
pub(crate) enum Pumped {
    /// Nothing to read now.
    Empty,
    /// Something that needs no AST.
    Handled,
    Due(Due),
}

impl Session {
    /// Runs what is due and reads what is there, up to a bound. The ASTs run in this thread, and
    /// one of them may close the lockspace.
    pub(crate) fn dispatch(&self) -> Result<(), Errno> {
        self.enforce_deadlines()?;
        for turn in 0..TURN {
            if let Some(due) = self.due.pop() {
                self.run(&due);
                continue;
            }
            // Saves the read that would only say that nothing is left.
            if turn > 0 && self.expected.load(Ordering::Acquire) == 0 {
                break;
            }
            match self.pump() {
                Ok(Pumped::Due(due)) => self.run(&due),
                Ok(Pumped::Handled) => {}
                Ok(Pumped::Empty) => break,
                Err(Errno(EBADF)) if turn > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Runs an AST. Nothing is locked meanwhile.
    pub(crate) fn run(&self, due: &Due) {
        match *due {
            Due::Completion { ast, lksbs, report } => {
                for lksb in lksbs.into_iter().flatten() {
                    lksb.finish(&report);
                }
                if let Some(ast) = ast {
                    ast.call();
                }
            }
            Due::Blocking(token) => {
                let bast = lock(&self.table).get(token).and_then(|record| record.bast);
                if let Some(bast) = bast {
                    bast.call();
                }
            }
        }
    }

    /// Reads one result, if there is one, and sees to whom it belongs. EBADF: closed.
    pub(crate) fn pump(&self) -> Result<Pumped, Errno> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let gate = lock(&self.gate);
        let open = gate.as_ref().ok_or(Errno(EBADF))?;
        let Some(bytes) = open.device.read(&mut buffer)? else { return Ok(Pumped::Empty) };
        let abi = open.device.abi();
        // What is not ours, or not understood, is dropped: a process that shares the device since
        // a fork has read it instead of its owner, or somebody has used our locks by their ids.
        let Ok(result) = LockResult::decode(abi, bytes) else { return Ok(Pumped::Handled) };
        let owner = result.lksb;
        Ok(match result.event(abi.width) {
            Ok(Event::Completion { token, status, lock: id, flags, lvb }) => {
                self.complete(token, owner, id.0, status, flags, lvb)
            }
            Ok(Event::Blocking { token, .. }) => {
                let mut table = lock(&self.table);
                match table.get(token) {
                    Some(record) if record.bast.is_some() => Pumped::Due(Due::Blocking(token)),
                    _ => Pumped::Handled,
                }
            }
            Err(_) => Pumped::Handled,
        })
    }

    fn complete(
        &self,
        token: Token,
        owner: u64,
        id: u32,
        status: LockStatus,
        flags: StatusFlags,
        lvb: Option<&ValueBlock>,
    ) -> Pumped {
        let mut table = lock(&self.table);
        let record = table.get(token).filter(|record| u64::from(record.owner) == owner);
        let Some(record) = record else { return Pumped::Handled };
        let is_new = record.id == 0;
        if is_new {
            record.id = id;
        }
        let mut left = [None, None];
        let ended = record.complete(status, flags, lvb, |op, report| {
            self.expect_no_more(op.is_async());
            // What an unlock was written over ends with it, without an AST of its own.
            if let Some(under) = &op.under {
                self.expect_no_more(under.is_async());
                self.tell(under.lksb, under.waiter.as_ref(), report);
            }
            left = [
                self.tell(op.lksb, op.waiter.as_ref(), report),
                op.canceller.as_ref().and_then(|canceller| {
                    self.tell(Some(canceller.0), canceller.1.as_ref(), report)
                }),
            ];
            if let Some(onlooker) = &op.onlooker {
                onlooker.finish(report.status);
                self.seats.tell(onlooker);
            }
        });
        let Some(Ended { report, ast, is_gone }) = ended else { return Pumped::Handled };
        if is_gone {
            if record.bast.is_some() {
                self.expect_no_more(true);
            }
            table.remove(token);
        } else if is_new {
            table.name(token, id);
        }
        match (ast, left) {
            (None, [None, None]) => Pumped::Handled,
            (ast, lksbs) => Pumped::Due(Due::Completion { ast, lksbs, report }),
        }
    }

    /// Fills in the status block of a thread that waits, and wakes it. If nobody waits, the block
    /// is returned: it is filled in when the AST is run.
    #[inline]
    fn tell(
        &self,
        lksb: Option<CallerLksb>,
        waiter: Option<&Arc<Waiter>>,
        report: &Report,
    ) -> Option<CallerLksb> {
        let Some(waiter) = waiter else { return lksb };
        // Who waits is still in his call while the table is locked, and his status block with him.
        // One who has given up has left none.
        if let Some(lksb) = lksb {
            lksb.finish(report);
            waiter.finish(report.status);
            self.seats.tell(waiter);
        }
        None
    }
}
