//! Requests, conversions, unlocks and cancels: what is written, and what is kept of it.
//!
//! The kernel is the judge of what may be done when. Refused here is only what would harm it: see
//! the table of compatibility choices in README.md.

use std::sync::Arc;
use std::time::Instant;

use dlm_proto::{
    LockFlags, LockId, LockRequest, Mode, ModeCode, Request, Token, UnlockRequest, ValueBlock,
};
use dlm_runtime::ErrorKind;
use dlm_sys::Accepted;
use libc::{EBUSY, EINVAL, EIO, ENOENT, ENOMEM};

use crate::errno::Errno;
use crate::lksb::{Ast, CallerLksb};
use crate::process;
use crate::record::{Kind, Op, Record};
use crate::session::{Open, Session};
use crate::sync::lock;
use crate::wait::Waiter;

/// Flags of a lock call that are not for the kernel: ours, and one that it takes and should not.
const NOT_SENT: LockFlags = LockFlags::WAIT.union(LockFlags::TIMEOUT).union(LockFlags::FORCEUNLOCK);

/// Flags of an unlock that the kernel knows.
const OF_UNLOCK: LockFlags = LockFlags::CANCEL
    .union(LockFlags::VALBLK)
    .union(LockFlags::IVVALBLK)
    .union(LockFlags::FORCEUNLOCK);

/// A lock call.
#[derive(Debug)]
pub(crate) struct LockCall<'a> {
    pub(crate) mode: u32,
    pub(crate) flags: LockFlags,
    pub(crate) name: &'a [u8],
    pub(crate) lksb: CallerLksb,
    pub(crate) ast: Option<Ast>,
    pub(crate) bast: Option<Ast>,
    pub(crate) xid: u64,
    pub(crate) deadline: Option<Instant>,
}

/// An operation that the kernel has accepted.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) token: Token,
    pub(crate) serial: u64,
    /// Of a new lock.
    id: Option<u32>,
}

impl Begun {
    /// One that somebody else has begun.
    pub(crate) fn again(token: Token, serial: u64) -> Self {
        Self { token, serial, id: None }
    }
}

/// What an unlock call came to.
#[derive(Debug)]
pub(crate) enum Unlocking {
    /// A completion will come.
    Begun(Begun),
    /// Nothing was in flight that could be cancelled.
    Nothing,
    /// A request is in flight that ends by itself: not begun, as the id may be another's by then.
    Ending,
}

impl Session {
    /// Whether this lock was taken here.
    pub(crate) fn has(&self, id: u32) -> bool {
        lock(&self.table).named(id).is_some()
    }

    /// A lock call that ends in an AST.
    pub(crate) fn lock(&self, call: &LockCall<'_>) -> Result<(), Errno> {
        let Some(begun) = self.begin_lock(call, None)? else { return Ok(()) };
        self.learn(&begun);
        if let Some(at) = call.deadline {
            self.set_deadline(at, begun.token, begun.serial)?;
        }
        Ok(())
    }

    /// Begins a lock call. `None`: it has ended already, as the adoption of an orphan does.
    pub(crate) fn begin_lock(
        &self,
        call: &LockCall<'_>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<Begun>, Errno> {
        let mode = u8::try_from(call.mode).ok().and_then(|mode| ModeCode(mode).known());
        let mode = mode.ok_or(Errno(EINVAL))?;
        if call.flags.contains(LockFlags::VALBLK) && !call.lksb.has_value_block() {
            return Err(Errno(EINVAL));
        }
        let flags = call.flags - NOT_SENT;
        if flags.contains(LockFlags::CONVERT) {
            self.begin_convert(call, mode, flags, waiter).map(Some)
        } else if flags.contains(LockFlags::ORPHAN) {
            self.adopt(call, mode, flags, waiter.is_some()).map(|()| None)
        } else {
            self.begin_request(call, mode, flags, waiter).map(Some)
        }
    }

    fn begin_request(
        &self,
        call: &LockCall<'_>,
        mode: Mode,
        flags: LockFlags,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Begun, Errno> {
        let open = self.open()?;
        let op = Op::new(Kind::Request, mode, flags, call.lksb, waiter.cloned());
        let owner = process::id();
        let (bast, is_async) = (call.bast, op.is_async());
        let ast = call.ast.filter(|_| is_async);
        let record = Record { owner, op: Some(op), ast, bast, sticky: flags, ..Record::default() };
        // A result may be read by another thread before the write returns: the record is first.
        let token = lock(&self.table).insert(record).ok_or(Errno(ENOMEM))?;
        if bast.is_some() {
            self.expect(true);
        }
        self.expect(is_async);
        let former = call.lksb.begin();
        let written = self.cookies(&open, token, owner, bast.is_some()).and_then(|cookies| {
            let request = LockRequest::new(call.name, mode, cookies).with(flags);
            let request = LockRequest { xid: call.xid, ..request };
            match open.device.submit(&Request::Lock(request))? {
                Accepted::Lock(id) => Ok(id.0),
                Accepted::Done => Err(Errno(EIO)),
            }
        });
        match written {
            Ok(id) => Ok(Begun { token, serial: 0, id: Some(id) }),
            Err(errno) => {
                if lock(&self.table).remove(token) {
                    call.lksb.set_status(former);
                    self.expect_no_more(is_async);
                    if bast.is_some() {
                        self.expect_no_more(true);
                    }
                }
                Err(errno)
            }
        }
    }

    /// Takes over an orphan. That is done when the kernel answers; no completion follows.
    fn adopt(
        &self,
        call: &LockCall<'_>,
        mode: Mode,
        flags: LockFlags,
        waits: bool,
    ) -> Result<(), Errno> {
        let open = self.open()?;
        let owner = process::id();
        let ast = call.ast.filter(|_| !waits);
        let record = Record {
            owner,
            granted: Some(mode),
            ast,
            bast: call.bast,
            sticky: flags,
            ..Record::default()
        };
        let token = lock(&self.table).insert(record).ok_or(Errno(ENOMEM))?;
        let adopted = self.cookies(&open, token, owner, call.bast.is_some()).and_then(|cookies| {
            let request = LockRequest::adopt(call.name, mode, cookies).with(flags);
            match open.device.submit(&Request::Lock(request))? {
                Accepted::Lock(id) => Ok(id.0),
                Accepted::Done => Err(Errno(EIO)),
            }
        });
        let mut table = lock(&self.table);
        match adopted {
            Ok(id) => {
                if let Some(record) = table.get(token) {
                    record.id = id;
                }
                table.name(token, id);
                drop(table);
                if call.bast.is_some() {
                    self.expect(true);
                }
                call.lksb.set_id(id);
                call.lksb.set_status(0);
                Ok(())
            }
            Err(errno) => {
                table.remove(token);
                Err(errno)
            }
        }
    }

    fn begin_convert(
        &self,
        call: &LockCall<'_>,
        mode: Mode,
        flags: LockFlags,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Begun, Errno> {
        let open = self.open()?;
        let (id, owner) = (call.lksb.id(), process::id());
        let is_async = waiter.is_none();
        let written = call.lksb.read_lvb().filter(|_| flags.contains(LockFlags::VALBLK));
        let (token, serial, former, block) = {
            let mut table = lock(&self.table);
            let mut token = table.named(id).ok_or(Errno(ENOENT))?;
            if table.get(token).is_some_and(|record| record.op.is_some()) {
                drop(table);
                self.catch_up(id, self.leaves_asts_of(waiter))?;
                table = lock(&self.table);
                token = table.named(id).ok_or(Errno(ENOENT))?;
            }
            let record = table.get(token).ok_or(Errno(ENOENT))?;
            // The kernel takes this for the lock's own copy of the block, which is all that is left
            // of it should the resource's master die while the conversion waits.
            let block = written.or(record.known).unwrap_or_default();
            let (None, Some(from)) = (&record.op, record.granted) else {
                return Err(Errno(EBUSY));
            };
            if flags.contains(LockFlags::QUECVT) && !from.allows_quecvt(mode) {
                return Err(Errno(EINVAL));
            }
            let mut op = Op::new(Kind::Convert, mode, flags, call.lksb, waiter.cloned());
            op.written = written;
            record.op = Some(op);
            record.serial += 1;
            let former = Former {
                ast: std::mem::replace(&mut record.ast, call.ast.filter(|_| is_async)),
                bast: std::mem::replace(&mut record.bast, call.bast),
                sticky: std::mem::replace(&mut record.sticky, flags),
                owner: std::mem::replace(&mut record.owner, owner),
                status: call.lksb.begin(),
            };
            (token, record.serial, former, block)
        };
        self.expect(is_async);
        self.change_bast(former.bast.is_some(), call.bast.is_some());
        let converted =
            self.cookies(&open, token, owner, call.bast.is_some()).and_then(|cookies| {
                let request = LockRequest::convert(LockId(id), mode, cookies);
                let request = LockRequest { flags, xid: call.xid, lvb: &block, ..request };
                open.device.submit(&Request::Lock(request)).map_err(Errno::from)
            });
        match converted {
            Ok(_) => Ok(Begun { token, serial, id: None }),
            Err(errno) => {
                self.expect_no_more(is_async);
                self.change_bast(call.bast.is_some(), former.bast.is_some());
                let mut table = lock(&self.table);
                if let Some(record) = table.get(token).filter(|record| record.serial == serial) {
                    call.lksb.set_status(former.status);
                    record.op = None;
                    record.ast = former.ast;
                    record.bast = former.bast;
                    record.sticky = former.sticky;
                    record.owner = former.owner;
                }
                if errno == Errno(ENOENT) {
                    // Somebody else has unlocked it: what has this id next is another lock.
                    table.unname(token, id);
                }
                Err(errno)
            }
        }
    }

    /// Whether a call leaves ASTs to others. One that does not wait runs none before it returns; one
    /// that waits runs those of other locks, too, if nobody else does.
    fn leaves_asts_of(&self, waiter: Option<&Arc<Waiter>>) -> bool {
        waiter.is_none() || self.leaves_asts()
    }

    fn change_bast(&self, before: bool, after: bool) {
        match (before, after) {
            (false, true) => self.expect(true),
            (true, false) => self.expect_no_more(true),
            _ => {}
        }
    }

    /// The kernel has accepted an operation that may still be in flight: tells a new lock's id.
    pub(crate) fn learn(&self, begun: &Begun) {
        let Begun { token, id: Some(id), .. } = *begun else { return };
        let mut table = lock(&self.table);
        let Some(record) = table.get(token).filter(|record| record.id == 0) else { return };
        record.id = id;
        // Its caller may not yet be told that it has ended, so the block is still ours.
        if let Some(lksb) = record.op.as_ref().and_then(|op| op.lksb) {
            lksb.set_id(id);
        }
        table.name(token, id);
    }

    /// Begins an unlock or cancel. `argument` replaces that of the lock's AST.
    pub(crate) fn begin_unlock(
        &self,
        id: u32,
        flags: LockFlags,
        lksb: CallerLksb,
        argument: Option<std::ptr::NonNull<std::ffi::c_void>>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Unlocking, Errno> {
        let flags = flags - LockFlags::WAIT;
        if id == 0 || !OF_UNLOCK.contains(flags) {
            return Err(Errno(EINVAL));
        }
        if flags.contains(LockFlags::CANCEL) {
            if flags.contains(LockFlags::FORCEUNLOCK) {
                return Err(Errno(EINVAL));
            }
            return self.begin_cancel(id, lksb, argument, waiter);
        }
        let begin = || self.begin_plain_unlock(id, flags, lksb, argument, waiter);
        match begin()? {
            Unlocking::Ending => {
                self.await_end(id, self.leaves_asts_of(waiter))?;
                match begin()? {
                    Unlocking::Ending => Err(Errno(EBUSY)),
                    begun => Ok(begun),
                }
            }
            begun => Ok(begun),
        }
    }

    fn begin_plain_unlock(
        &self,
        id: u32,
        flags: LockFlags,
        lksb: CallerLksb,
        argument: Option<std::ptr::NonNull<std::ffi::c_void>>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Unlocking, Errno> {
        let open = self.open()?;
        let (owner, is_async) = (process::id(), waiter.is_none());
        let given = lksb.read_lvb();
        let (token, serial, ast, status, flags, block) = {
            let mut table = lock(&self.table);
            let token = table.named(id).ok_or(Errno(ENOENT))?;
            let record = table.get(token).ok_or(Errno(ENOENT))?;
            if record.op.as_ref().is_some_and(Op::ends_by_itself) {
                return Ok(Unlocking::Ending);
            }
            let (flags, block) = record.unlock_block(flags, given);
            let mode = record.granted.unwrap_or(Mode::Nl);
            let mut op = Op::new(Kind::Unlock, mode, flags, lksb, waiter.cloned());
            op.under = record.op.take().map(Box::new);
            record.op = Some(op);
            record.serial += 1;
            record.owner = owner;
            let (serial, ast) = (record.serial, record.ast);
            if let (Some(ast), Some(argument)) = (ast, argument) {
                record.ast = Some(ast.with_argument(argument));
            }
            // As soon as this is written the id may be that of another lock.
            table.unname(token, id);
            (token, serial, ast, lksb.begin(), flags, block)
        };
        self.expect(is_async);
        match self.write_unlock(&open, token, id, flags, &block) {
            Ok(()) => Ok(Unlocking::Begun(Begun { token, serial, id: None })),
            Err(errno) => {
                self.expect_no_more(is_async);
                let mut table = lock(&self.table);
                if let Some(record) = table.get(token).filter(|record| record.serial == serial) {
                    lksb.set_status(status);
                    record.ast = ast;
                    record.op = record.op.take().and_then(|op| op.under).map(|op| *op);
                    // Somebody else has unlocked it if there is none of this id.
                    if errno != Errno(ENOENT) && table.named(id).is_none() {
                        table.name(token, id);
                    }
                }
                Err(errno)
            }
        }
    }

    fn begin_cancel(
        &self,
        id: u32,
        lksb: CallerLksb,
        argument: Option<std::ptr::NonNull<std::ffi::c_void>>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Unlocking, Errno> {
        let open = self.open()?;
        let (token, serial, ast, status, is_needed) = {
            let mut table = lock(&self.table);
            let token = table.named(id).ok_or(Errno(ENOENT))?;
            let record = table.get(token).ok_or(Errno(ENOENT))?;
            let (serial, ast) = (record.serial, record.ast);
            let Some(op) = &mut record.op else { return Ok(Unlocking::Nothing) };
            if op.is_cancelled {
                // The kernel would refuse it, with a warning.
                return Err(Errno(EINVAL));
            }
            let is_needed = !op.ends_by_itself();
            op.is_cancelled = true;
            record.owner = process::id();
            op.canceller = Some(Box::new((lksb, waiter.cloned())));
            if let (Some(ast), Some(argument)) = (ast, argument) {
                record.ast = Some(ast.with_argument(argument));
            }
            (token, serial, ast, lksb.begin(), is_needed)
        };
        let written = if is_needed {
            self.write_unlock(&open, token, id, LockFlags::CANCEL, &ValueBlock::ZERO)
        } else {
            Ok(())
        };
        if let Err(errno) = written {
            let mut table = lock(&self.table);
            let record = table.get(token).filter(|record| record.serial == serial);
            // If it has ended meanwhile, the canceller was told so.
            if let Some((record, op)) = record.and_then(|record| {
                let op = record.op.take()?;
                Some((record, op))
            }) {
                lksb.set_status(status);
                record.ast = ast;
                record.op = Some(Op { canceller: None, ..op });
                return Err(errno);
            }
        }
        Ok(Unlocking::Begun(Begun { token, serial, id: None }))
    }

    /// Time is up for an operation.
    pub(crate) fn time_out(&self, token: Token, serial: u64) {
        let Ok(open) = self.open() else { return };
        let id = {
            let mut table = lock(&self.table);
            let Some(record) = table.get(token).filter(|record| record.serial == serial) else {
                return;
            };
            let id = record.id;
            let Some(op) = &mut record.op else { return };
            if op.kind == Kind::Unlock || op.is_cancelled || op.ends_by_itself() {
                return;
            }
            op.timed_out = true;
            op.is_cancelled = true;
            record.owner = process::id();
            id
        };
        // It ended in the meantime, or the lockspace is gone, which the next read tells.
        let _ = self.write_unlock(&open, token, id, LockFlags::CANCEL, &ValueBlock::ZERO);
    }

    fn write_unlock(
        &self,
        open: &Open,
        token: Token,
        id: u32,
        flags: LockFlags,
        block: &ValueBlock,
    ) -> Result<(), Errno> {
        let cookies = self.cookies(open, token, process::id(), true)?;
        let unlock = UnlockRequest { flags, lvb: block, ..UnlockRequest::new(LockId(id), cookies) };
        open.device.submit(&Request::Unlock(unlock))?;
        Ok(())
    }

    /// Ends what a lock waits for, with EDEADLK. Also locks of other processes: that is what it is
    /// for, and the kernel tells their owners.
    pub(crate) fn deadlock_cancel(&self, id: u32, flags: LockFlags) -> Result<(), Errno> {
        if id == 0 {
            return Err(Errno(EINVAL));
        }
        let open = self.open()?;
        {
            let mut table = lock(&self.table);
            let ours = table.named(id).and_then(|token| table.get(token));
            match ours.map(|record| record.op.as_mut()) {
                Some(None) => return Ok(()),
                Some(Some(op)) if op.is_cancelled => return Err(Errno(EINVAL)),
                Some(Some(op)) => op.is_cancelled = true,
                None => {}
            }
        }
        // Without CANCEL a granted lock would keep a mark that spoils its next cancel.
        let request = Request::Deadlock { lock: LockId(id), flags: flags | LockFlags::CANCEL };
        open.device.submit(&request).map(|_| ()).map_err(|kind: ErrorKind| Errno::from(kind))
    }

    /// Removes orphans.
    pub(crate) fn purge(&self, node: u32, pid: u32) -> Result<(), Errno> {
        let open = self.open()?;
        let request = Request::Purge { node: dlm_proto::NodeId(node), pid };
        let purge = || open.device.submit(&request).map(|_| ()).map_err(Errno::from);
        if pid == 0 {
            return purge();
        }
        // Given the calling thread's own id the kernel would drop this device's live locks instead,
        // without a word. The thread that calls is one that has never locked.
        let purged = std::thread::scope(|scope| scope.spawn(purge).join());
        purged.unwrap_or(Err(Errno(EIO)))
    }
}

/// What a refused conversion puts back.
struct Former {
    ast: Option<Ast>,
    bast: Option<Ast>,
    sticky: LockFlags,
    owner: u32,
    status: std::ffi::c_int,
}
