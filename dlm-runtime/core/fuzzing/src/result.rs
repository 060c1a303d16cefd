//! Writes that reach the lock manager and return, results that are read, and what others do.

use dlm_core::{Core, Kind as Op, Received, Refusal, Report, Rules, Usual};
use dlm_engine::Errno;
use dlm_proto::{Abi, Cookies, LockFlags, LockId, LockResult, LockStatus, MAX_RESULT_LEN, Token};

use crate::action::{Action, Kind};
use crate::driver::{Driver, Write, key, pick};
use crate::kept::{Face, Owner};

/// Results that may come again.
const MEMORY: usize = 8;

const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const ENOBUFS: i32 = 105;

impl Driver {
    /// A write reaches the lock manager, or not.
    pub(crate) fn issue(&mut self, action: Action) {
        let due: Vec<usize> = (0..self.writes.len())
            .filter(|&at| self.writes.get(at).is_some_and(|write| write.answer.is_none()))
            .collect();
        let Some(at) = pick(&due, action.which) else { return };
        match action.more {
            // The kernel has no memory for the request, or no buffer for its message.
            240..=247 => self.answer(at, Err(ENOMEM)),
            248..=255 => self.answer(at, Err(ENOBUFS)),
            _ => self.write(at),
        }
        if action.is(0) && self.writes.get(at).is_some_and(|write| write.answer.is_some()) {
            self.return_at(at);
        }
    }

    fn answer(&mut self, at: usize, answer: Result<i64, i32>) {
        if let Some(write) = self.writes.get_mut(at) {
            write.answer = Some(answer);
        }
    }

    /// The lock manager does what is asked. One that is stopped keeps its caller waiting.
    pub(crate) fn write(&mut self, at: usize) {
        if self.has_ended {
            return self.answer(at, Err(ENODEV));
        }
        let knows = self.knows();
        let (token, bytes, keeps_block) = {
            let write = &self.writes[at];
            (write.ticket.token, write.bytes.clone(), write.keeps_block)
        };
        let before = keeps_block.then(|| self.block_of(token)).flatten();
        let answer = self.world.write(&bytes);
        if answer == Err(Errno::STOPPED) {
            return;
        }
        self.watch.answered(&bytes, token, answer, &mut self.book, knows);
        if let Some(before) = before.filter(|_| knows && !self.book.is_tainted(token)) {
            let after = self.block_of(token);
            let is_kept = after.is_none_or(|(block, invalid)| block == before.0 || invalid);
            assert!(is_kept, "the value block {before:?} has become {after:?}");
        }
        self.answer(at, answer.map_err(|errno| errno.0));
    }

    /// A write returns.
    pub(crate) fn return_one(&mut self, which: u8) {
        let due: Vec<usize> = (0..self.writes.len())
            .filter(|&at| self.writes.get(at).is_some_and(|write| write.answer.is_some()))
            .collect();
        if let Some(at) = pick(&due, which) {
            self.return_at(at);
        }
    }

    pub(crate) fn return_at(&mut self, at: usize) {
        let write = self.writes.swap_remove(at);
        let (ticket, token) = (write.ticket, write.ticket.token);
        if let Some(answer) = write.answer {
            self.watch.returned(token, write.watched, answer);
        }
        let id = match write.answer {
            Some(Ok(id)) => u32::try_from(id).ok().filter(|&id| id > 0).map(LockId),
            Some(Err(errno)) => {
                let now = self.now;
                if errno == EBUSY && self.call(|core, _| core.put_off(&ticket, now)) {
                    return;
                }
                let refusal = Refusal::from_errno(errno);
                let refused = self.call(|core, _| core.refused(&ticket, refusal, now));
                self.book.told(refused.user);
                self.book.told(refused.lost.into_iter().flatten());
                self.remove(token);
                if refused.follow {
                    self.follow(token);
                }
                if let Some(freed) = refused.freed {
                    self.follow(freed);
                }
                if refusal == Refusal::Ended {
                    self.end();
                }
                return;
            }
            None => panic!("it has not been answered"),
        };
        // Either way may be the one that a driver goes.
        let is_plain = token.index() % 2 == 0 && ticket.relies_on().is_none();
        if is_plain && self.call(|core, _| core.accepted_plain(token, ticket.serial, id)) {
            return;
        }
        let accepted = self.call(|core, _| core.accepted(&ticket, id));
        if accepted.follow {
            self.follow(token);
        }
        if let Some(freed) = accepted.freed {
            self.follow(freed);
        }
    }

    /// A thread whose write has returned reads the first result before it has told the core, and tells
    /// it along with that. `false`: there is no such thread.
    fn return_and_take(&mut self, bytes: &[u8]) -> bool {
        let is_due = |write: &Write| write.answer.is_some_and(|answer| answer.is_ok());
        let Some(at) = self.writes.iter().position(is_due) else { return false };
        let write = self.writes.swap_remove(at);
        let Some(Ok(id)) = write.answer else { return false };
        let (ticket, token) = (write.ticket, write.ticket.token);
        self.watch.returned(token, write.watched, Ok(id));
        let id = u32::try_from(id).ok().filter(|&id| id > 0).map(LockId);
        let own = (token, ticket.serial, id);
        let is_plain = !ticket.is_cancel() && ticket.relies_on().is_none();
        if is_plain && self.take_end(|core| core.receive_plain(Some(own), bytes)) {
            return true;
        }
        if self.take_end(|core| core.receive_usual(Some((&ticket, id)), bytes)) {
            return true;
        }
        let accepted = self.call(|core, _| core.accepted(&ticket, id));
        self.take_in(bytes);
        if accepted.follow {
            self.follow(token);
        }
        if let Some(freed) = accepted.freed {
            self.follow(freed);
        }
        true
    }

    /// One result is read. `false`: there is none.
    pub(crate) fn read_one(&mut self) -> bool {
        let read = if self.has_ended { None } else { self.world.read() };
        let Some(bytes) = read else { return false };
        self.watch.read(&bytes);
        let is_taken = self.now.as_millis() & 2 == 0 && self.return_and_take(&bytes);
        if !(is_taken || self.take_own(&bytes)) {
            self.take_in(&bytes);
        }
        self.read.push_back(bytes);
        if self.read.len() > MEMORY {
            self.read.pop_front();
        }
        true
    }

    /// Somebody reads for whom most results are usual ends. `false`: this one is none.
    fn take_own(&mut self, bytes: &[u8]) -> bool {
        self.take_end(|core| core.receive_plain(None, bytes))
            || self.take_end(|core| core.receive_usual(None, bytes))
    }

    fn take_end(
        &mut self,
        receive: impl FnOnce(&mut Core<Owner, Face>) -> Option<Usual<'_, Owner, Face>>,
    ) -> bool {
        let end = self.call(|core, _| {
            let end = receive(core)?;
            let is_plain = end.can_settle && end.serial & 1 == 0;
            Some((end.token, end.ended, end.user.take(), is_plain))
        });
        let Some((token, ended, user, may_leave)) = end else { return false };
        assert!(self.core.mode(token) == ended.mode);
        self.book.told(user);
        if may_leave && self.call(|core, _| core.is_plain(token)) {
            // As a driver does whose callback has run.
            let face = self.call(|core, _| core.remove_in_place(token).map(std::mem::take));
            self.book.dropped(&face.unwrap_or_default());
            self.forget_handle(token);
        } else {
            self.remove(token);
        }
        true
    }

    pub(crate) fn take_in(&mut self, bytes: &[u8]) {
        match self.call(|core, _| core.receive(bytes)) {
            Received::Ended(report) => self.report(report),
            Received::Blocking { token, .. } => {
                assert!(self.core.view(token).is_some_and(|view| !view.is_released));
            }
            Received::Dropped | Received::Nothing => {}
        }
    }

    fn report(&mut self, report: Report<Owner>) {
        let Report { token, serial, kind, ended, user, overtaken, follow } = report;
        let waits = user.as_ref().is_some_and(|user| user.0 % 3 == 0) && overtaken.is_none();
        let view = self.core.view(token).expect("it stays until it is settled");
        assert!(ended.mode == view.mode || view.is_released);
        let is_last = view.op.is_none() && kind != Op::Unlock || self.setup.rules == Rules::Checked;
        self.book.told(user);
        self.book.told(overtaken.map(|(_, owner, _)| owner));
        if waits && is_last && !view.is_released {
            // A thread finds it when it wakes up.
            self.call(|core, _| core.keep(token, serial, Ok(ended)));
            self.outcomes.insert((key(token), serial));
        } else {
            self.remove(token);
        }
        if follow {
            self.follow(token);
        }
    }

    /// What other programs, the network and the gods do.
    pub(crate) fn meddle(&mut self, action: Action) {
        match action.kind {
            Kind::OtherLock => {
                let flags = action.flags - LockFlags::FORCEUNLOCK - LockFlags::PERSISTENT;
                let id = self.world.other_locks(action.name, action.mode, flags);
                id.into_iter().for_each(|id| self.watch.is_foreign(id));
            }
            Kind::OtherUnlock => {
                let watch = &self.watch;
                self.world.other_unlocks(action.which, |id| watch.owner(id).is_some());
            }
            Kind::Orphan => {
                let id = self.world.leave_orphan(action.name, action.mode);
                id.into_iter().for_each(|id| self.watch.is_foreign(id));
            }
            Kind::Freeze => self.world.freeze(),
            Kind::Thaw => self.world.thaw(),
            Kind::Crash if action.is(0) && action.is(1) => self.world.crash(),
            Kind::Repeat => self.repeat(action),
            Kind::Forge => self.forge(action),
            Kind::Lose if self.setup.has_faults => self.lose(),
            Kind::Steal if self.setup.has_faults => self.steal(action.which),
            _ => {}
        }
    }

    /// A result comes again. With nothing in flight it is nothing; otherwise it is taken for the
    /// result of that, as results carry no number of their own.
    fn repeat(&mut self, action: Action) {
        let at = usize::from(action.which).checked_rem(self.read.len());
        let Some(bytes) = at.and_then(|at| self.read.get(at)).cloned() else { return };
        let token = LockResult::decode(Abi::V6_64, &bytes).ok().and_then(|result| {
            (result.addr == Cookies::COMPLETION).then_some(())?;
            crate::world::token_of(result.param)
        });
        let view = token.and_then(|token| self.core.view(token));
        if let (Some(token), Some(view)) = (token, view) {
            if view.op.is_some() {
                if !self.setup.has_faults {
                    return;
                }
                self.book.taint(token);
            }
        }
        self.take_in(&bytes);
        if let (Some(token), Some(before)) = (token, view.filter(|view| view.op.is_none())) {
            assert_eq!(self.core.view(token), Some(before));
        }
    }

    /// A result that no kernel has made.
    fn forge(&mut self, action: Action) {
        let statuses = [
            LockStatus::Granted,
            LockStatus::Cancelled,
            LockStatus::Unlocked,
            LockStatus::Again,
            LockStatus::Other(-5),
        ];
        let status = pick(&statuses, action.which).unwrap_or(LockStatus::Granted);
        let Some(token) = pick(&self.core.tokens(), action.which) else { return };
        let real = Cookies::for_token(token, 42);
        let mut words = real;
        match action.more % 4 {
            0 => words.lksb += 1,
            1 => words.completion_param += 1 << 32,
            2 => words.completion_addr += 7,
            _ if self.setup.has_faults => self.book.taint(token),
            _ => return,
        }
        let result = LockResult {
            version: dlm_proto::Version::V6,
            addr: words.completion_addr,
            param: words.completion_param,
            lksb: words.lksb,
            status,
            lock: LockId(u32::from(action.which)),
            flags: dlm_proto::StatusFlags::empty(),
            bast_mode: dlm_proto::ModeCode(0),
            lvb: None,
        };
        let mut buffer = [0; MAX_RESULT_LEN];
        let bytes = result.encode(Abi::V6_64, &mut buffer).expect("it fits").to_vec();
        let (before, dropped) = (self.core.view(token), self.core.counts().dropped_results);
        self.take_in(&bytes);
        if words != real {
            assert_eq!(self.core.view(token), before);
            assert_eq!(self.core.counts().dropped_results, dropped + 1);
        }
    }

    /// Another process reads a result that was meant for us.
    fn lose(&mut self) {
        if self.has_ended {
            return;
        }
        if !self.is_shared {
            self.is_shared = true;
            self.call(|core, _| core.set_shared());
        }
        let Some(bytes) = self.world.read() else { return };
        if let Ok(result) = LockResult::decode(Abi::V6_64, &bytes) {
            let token = crate::world::token_of(result.param);
            token.into_iter().for_each(|token| self.book.taint(token));
        }
    }

    /// Another program unlocks one of our locks.
    fn steal(&mut self, which: u8) {
        let Some(token) = pick(&self.handles, which) else { return };
        let id = self.core.id(token);
        if id != LockId(0) && !self.has_ended {
            let victims = [Some(token), self.watch.owner(id)];
            victims.into_iter().flatten().for_each(|token| self.book.taint(token));
            self.world.steal(id);
        }
    }

    /// The bytes of the value block of a lock's resource, and whether they are marked invalid, if the
    /// master is this node.
    fn block_of(&self, token: Token) -> Option<([u8; 32], bool)> {
        let name = self.core.name(token)?;
        let dump = self.world.dump();
        let resource = dump.resources.iter().find(|it| it.name == *name)?;
        resource.lvb.map(|block| (block.0, resource.lvb_invalid))
    }
}
