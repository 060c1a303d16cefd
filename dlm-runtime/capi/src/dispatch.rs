//! Reading results, and running the ASTs that they lead to.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dlm_proto::{Event, LockResult, LockStatus, MAX_RESULT_LEN, StatusFlags, Token, ValueBlock};

use crate::errno::Errno;
use crate::lksb::{Ast, CallerLksb, Report};
use crate::record::Ended;
use crate::session::{Open, Session};
use crate::sync::{Signal, lock};

/// Results read in one turn. A flood of them leaves the caller time for other things.
const TURN: usize = 256;

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
    /// Runs what is due and reads what is there, up to a bound. The ASTs run in this thread.
    pub(crate) fn dispatch(&self) -> Result<(), Errno> {
        let open = self.open()?;
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
            match self.pump(&open)? {
                Pumped::Due(due) => self.run(&due),
                Pumped::Handled => {}
                Pumped::Empty => break,
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

    /// Reads one result, if there is one, and sees to whom it belongs.
    pub(crate) fn pump(&self, open: &Open) -> Result<Pumped, Errno> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let _gate = lock(&self.gate);
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
        let Some(ended) = record.complete(status, flags, lvb) else { return Pumped::Handled };
        let Ended { op, report, ast, is_gone } = ended;
        let has_bast = record.bast.is_some();
        if is_gone {
            table.remove(token);
            if has_bast {
                self.expect_no_more(true);
            }
        } else if is_new {
            table.name(token, id);
        }
        self.expect_no_more(op.is_async());
        // What an unlock was written over ends with it, without an AST of its own.
        if let Some(under) = &op.under {
            self.expect_no_more(under.is_async());
            if let (Some(waiter), Some(lksb)) = (&under.waiter, under.lksb) {
                lksb.finish(&report);
                waiter.finish(report.status);
                self.seats.tell(waiter);
            }
        }
        // Who waits is still in his call while this is locked, and his status block with him.
        let mut left = [None, None];
        let [of_op, of_canceller] = &mut left;
        match (&op.waiter, op.lksb) {
            (Some(waiter), Some(lksb)) => {
                lksb.finish(&report);
                waiter.finish(report.status);
                self.seats.tell(waiter);
            }
            (None, lksb) => *of_op = lksb,
            (Some(_), None) => {}
        }
        match op.canceller {
            Some((lksb, Some(waiter))) => {
                lksb.finish(&report);
                waiter.finish(report.status);
                self.seats.tell(&waiter);
            }
            Some((lksb, None)) => *of_canceller = Some(lksb),
            None => {}
        }
        match (ast, left) {
            (None, [None, None]) => Pumped::Handled,
            (ast, lksbs) => Pumped::Due(Due::Completion { ast, lksbs, report }),
        }
    }
}
