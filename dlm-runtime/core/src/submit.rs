//! Requests, conversions, unlocks and cancels: what is checked, kept and written.

use dlm_proto::{
    LockFlags, LockRequest, Mode, Request, ResourceName, Token, UnlockRequest, ValueBlock,
};

use crate::asked::{CancelStep, Conversion, NewLock, Queueing, Unlocking};
use crate::core::{Core, Rules, cookies};
use crate::entry::{Call, Entry, Queued, Under};
use crate::lock_state::Cancel;
use crate::operation::{CancelKind, Kind, Operation, Rejected};
use crate::submission::{Submission, Ticket, What};
use crate::validate;

impl<O, L: Default> Core<O, L> {
    /// Makes a lock, and fills in the request for it. `user` and `face` are taken if that succeeds.
    ///
    /// # Errors
    ///
    /// [`Rejected::Illegal`], [`Rejected::TooManyLocks`], [`Rejected::Ended`].
    #[inline]
    pub fn lock(
        &mut self,
        new: &NewLock<'_>,
        user: &mut Option<O>,
        face: &mut L,
        out: &mut Submission,
    ) -> Result<Token, Rejected> {
        let NewLock { name, mode, flags, xid, notices } = *new;
        if self.has_ended || self.is_ending && flags.contains(LockFlags::PERSISTENT) {
            return Err(Rejected::Ended);
        }
        match self.rules {
            Rules::Checked => validate::request(mode, flags).map_err(Rejected::Illegal)?,
            Rules::AsAsked => validate::harmless(flags).map_err(Rejected::Illegal)?,
        }
        let (abi, owner) = (self.abi, self.owner);
        let (token, entry) = self.table.insert().ok_or(Rejected::TooManyLocks)?;
        entry.init(name, owner, notices, face);
        entry.state.request(mode, flags, xid);
        core::mem::swap(&mut entry.user, user);
        entry.is_writing = true;
        let serial = entry.serial;
        self.in_flight += 1;
        self.noticed += usize::from(notices);
        let encoded = self.cookies(token, notices).and_then(|cookies| {
            let request = LockRequest::new(name, mode, cookies).with(flags);
            let request = LockRequest { xid, ..request };
            out.len = request.encode(abi, &mut out.bytes)?.len();
            Ok(())
        });
        if let Err(error) = encoded {
            *user = self.table.get_mut(token).and_then(|entry| entry.user.take());
            self.in_flight -= 1;
            *face = self.remove(token);
            return Err(error);
        }
        out.command = dlm_proto::Command::Lock;
        out.ticket = Ticket::new(token, serial, What::Request);
        Ok(token)
    }

    /// Makes a lock of an orphan, and fills in the request that adopts it. That has no result: the
    /// lock is held when [`Core::accepted`] was told so.
    ///
    /// # Errors
    ///
    /// As [`Core::lock`].
    pub fn adopt(
        &mut self,
        new: &NewLock<'_>,
        face: &mut L,
        out: &mut Submission,
    ) -> Result<Token, Rejected> {
        let NewLock { name, mode, flags, notices, .. } = *new;
        if self.has_ended {
            return Err(Rejected::Ended);
        }
        validate::adoption(flags).map_err(Rejected::Illegal)?;
        let (abi, owner) = (self.abi, self.owner);
        let (token, entry) = self.table.insert().ok_or(Rejected::TooManyLocks)?;
        entry.init(name, owner, notices, face);
        entry.state.adopt(mode, flags);
        entry.is_writing = true;
        self.noticed += usize::from(notices);
        let encoded = self.cookies(token, notices).and_then(|cookies| {
            let request = LockRequest::adopt(name, mode, cookies).with(flags);
            out.len = request.encode(abi, &mut out.bytes)?.len();
            Ok(())
        });
        if let Err(error) = encoded {
            *face = self.remove(token);
            return Err(error);
        }
        out.command = dlm_proto::Command::Lock;
        out.ticket = Ticket::new(token, 0, What::Adopt);
        Ok(token)
    }

    /// Begins a conversion. `user` is taken if that succeeds. With [`Rules::AsAsked`], and once
    /// another process may have read results, the kernel says whether what is in flight has ended.
    ///
    /// # Errors
    ///
    /// [`Rejected::LockGone`], [`Rejected::InFlight`], [`Rejected::Illegal`], [`Rejected::Ended`].
    pub fn convert(
        &mut self,
        token: Token,
        conversion: &Conversion,
        user: &mut Option<O>,
        out: &mut Submission,
    ) -> Result<Queueing, Rejected> {
        let (is_shared, rules) = (self.is_shared, self.rules);
        let entry = self.live(token)?;
        if entry.must_queue(rules) {
            return self.queue(token, Call::Convert(*conversion), user);
        }
        if !(is_shared && rules == Rules::AsAsked && entry.may_be_granted()) {
            entry.state.idle_mode()?;
        }
        let serial = entry.next_serial();
        self.begin_convert(token, conversion, serial, user, out)?;
        Ok(Queueing::Write)
    }

    pub(crate) fn begin_convert(
        &mut self,
        token: Token,
        conversion: &Conversion,
        serial: u64,
        user: &mut Option<O>,
        out: &mut Submission,
    ) -> Result<(), Rejected> {
        let (abi, owner, rules) = (self.abi, self.owner, self.rules);
        let entry = self.table.get_mut(token).ok_or(Rejected::LockGone)?;
        let from = entry.state.granted_unless_lost().ok_or(Rejected::LockGone)?;
        let flags = entry.check_conversion(rules, from, conversion)?;
        let Conversion { mode, write, .. } = *conversion;
        let xid = conversion.xid.unwrap_or(entry.state.xid());
        let notices = conversion.notices.unwrap_or(entry.has_notices);
        let write = write.filter(|_| entry.state.writes(mode, flags));
        let block = write.unwrap_or_else(|| entry.state.carried_block());
        let id = entry.state.id();
        let cookies = self.cookies(token, notices)?;
        let request = LockRequest::convert(id, mode, cookies);
        let request = LockRequest { flags, xid, lvb: &block, ..request };
        out.len = request.encode(abi, &mut out.bytes)?.len();
        out.command = dlm_proto::Command::Lock;
        out.ticket = Ticket::new(token, serial, What::Convert);

        let entry = self.table.get_mut(token).ok_or(Rejected::LockGone)?;
        let is_over = entry.state.op().is_some();
        entry.state.begin_convert(Operation { kind: Kind::Convert, mode, flags }, write, xid);
        entry.had_notices = core::mem::replace(&mut entry.has_notices, notices);
        self.noticed += usize::from(notices);
        self.noticed -= usize::from(entry.had_notices);
        self.in_flight += usize::from(!is_over);
        entry.start(serial, owner, user, is_over);
        if is_over {
            self.update_left_over(token);
        }
        Ok(())
    }

    /// Begins an unlock. `user` is taken if that succeeds. With [`Rules::AsAsked`] it may be
    /// written over an operation in flight, unless that ends by itself ([`Unlocking::waits`]); once
    /// another process may have read results, over that one, too.
    ///
    /// # Errors
    ///
    /// As [`Core::convert`].
    #[inline]
    pub fn unlock(
        &mut self,
        token: Token,
        unlock: &Unlocking,
        user: &mut Option<O>,
        out: &mut Submission,
    ) -> Result<Queueing, Rejected> {
        let (is_shared, rules) = (self.is_shared, self.rules);
        let entry = self.live(token)?;
        if rules == Rules::Checked {
            entry.state.check_unlock_lvb(unlock.lvb).map_err(Rejected::Illegal)?;
        }
        let is_cancelling = entry.is_converting() && entry.state.is_cancelling();
        let must_queue = entry.must_queue(rules) || entry.relied_on != 0;
        if must_queue || is_cancelling && rules == Rules::AsAsked && !is_shared {
            return self.queue(token, Call::Unlock(*unlock), user);
        }
        if let Some(op) = entry.state.op() {
            if op.kind == Kind::Unlock {
                return Err(Rejected::LockGone);
            }
            if rules == Rules::Checked {
                return Err(Rejected::InFlight);
            }
            if entry.state.ends_by_itself() && !is_shared {
                return if unlock.waits {
                    self.queue(token, Call::Unlock(*unlock), user)
                } else {
                    Err(Rejected::InFlight)
                };
            }
        } else {
            entry.state.idle_mode()?;
        }
        let serial = entry.next_serial();
        let (flags, block) = entry.unlock_parts(unlock);
        self.write_unlock(token, flags, &block, What::Unlock, serial, user, out)?;
        Ok(Queueing::Write)
    }

    pub(crate) fn start_unlock(
        &mut self,
        token: Token,
        unlock: &Unlocking,
        serial: u64,
        user: &mut Option<O>,
        out: &mut Submission,
    ) -> Result<(), Rejected> {
        let rules = self.rules;
        let entry = self.table.get_mut(token).ok_or(Rejected::LockGone)?;
        if entry.is_gone() {
            return Err(Rejected::LockGone);
        }
        if rules == Rules::Checked {
            entry.state.check_unlock_lvb(unlock.lvb).map_err(Rejected::Illegal)?;
        }
        let (flags, block) = entry.unlock_parts(unlock);
        self.write_unlock(token, flags, &block, What::Unlock, serial, user, out)
    }

    /// Fills in an unlock, over what is in flight if something is.
    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    #[inline]
    pub(crate) fn write_unlock(
        &mut self,
        token: Token,
        flags: LockFlags,
        block: &ValueBlock,
        what: What,
        serial: u64,
        user: &mut Option<O>,
        out: &mut Submission,
    ) -> Result<(), Rejected> {
        let (abi, owner) = (self.abi, self.owner);
        let entry = self.table.get_mut(token).ok_or(Rejected::LockGone)?;
        let (id, notices) = (entry.state.id(), entry.has_notices);
        let flags = entry.state.unlock_flags(flags);
        let cookies = cookies(token, owner, abi, notices)?;
        let unlock = UnlockRequest { flags, lvb: block, ..UnlockRequest::new(id, cookies) };
        out.len = unlock.encode(abi, &mut out.bytes)?.len();
        out.command = dlm_proto::Command::Unlock;
        out.ticket = Ticket::new(token, serial, what);

        let is_over = entry.state.op().is_some();
        entry.state.begin_unlock(flags);
        self.in_flight += usize::from(!is_over);
        entry.start(serial, owner, user, is_over);
        // As soon as it is written the id may be that of another lock.
        if entry.has_id || entry.is_listed {
            self.forget(token);
        }
        if is_over {
            // A conversion that was given up is not waited for any more.
            self.update_left_over(token);
        }
        Ok(())
    }

    /// Cancels what is in flight for a lock: the operation of this number, if one is given.
    /// `internal`: nobody hears of a refusal, so a cancel that is refused for now is written again.
    /// A cancel has no result of its own.
    pub fn cancel(
        &mut self,
        token: Token,
        serial: Option<u64>,
        kind: CancelKind,
        internal: bool,
        out: &mut Submission,
    ) -> CancelStep {
        let Some(entry) = self.table.get_mut(token) else { return CancelStep::Nothing };
        let Some(op) = entry.state.op().filter(|op| op.kind != Kind::Unlock) else {
            return CancelStep::Nothing;
        };
        if serial.is_some_and(|serial| serial != entry.serial) {
            return CancelStep::Nothing;
        }
        if entry.state.cancel() != Cancel::None {
            return CancelStep::Already;
        }
        if op.kind == Kind::Request && op.contains(LockFlags::NOQUEUE) {
            return CancelStep::EndsByItself;
        }
        let is_request = op.kind == Kind::Request;
        let must_wait = entry.is_writing || is_request && entry.relied_on != 0;
        if must_wait || entry.is_backing_off {
            entry.state.set_cancel(Cancel::Wanted(kind));
            return CancelStep::Left;
        }
        match self.write_cancel(token, kind, internal, out) {
            Ok(()) => CancelStep::Write,
            Err(_) => CancelStep::Nothing,
        }
    }

    /// As [`Core::cancel`] of an operation, internally, but nothing is written now:
    /// [`Core::follow`] hands the submission to whoever calls that. Tells whether there is
    /// something to cancel.
    pub fn want_cancel(&mut self, token: Token, serial: u64, kind: CancelKind) -> bool {
        let Some(entry) = self.table.get_mut(token).filter(|entry| entry.serial == serial) else {
            return false;
        };
        let Some(op) = entry.state.op().filter(|op| op.kind != Kind::Unlock) else { return false };
        let ends_by_itself = op.kind == Kind::Request && op.contains(LockFlags::NOQUEUE);
        if entry.state.cancel() != Cancel::None || ends_by_itself {
            return false;
        }
        entry.state.set_cancel(Cancel::Wanted(kind));
        true
    }

    pub(crate) fn write_cancel(
        &mut self,
        token: Token,
        kind: CancelKind,
        internal: bool,
        out: &mut Submission,
    ) -> Result<(), Rejected> {
        let (abi, owner) = (self.abi, self.owner);
        let entry = self.table.get_mut(token).ok_or(Rejected::LockGone)?;
        let (id, notices, serial) = (entry.state.id(), entry.has_notices, entry.serial);
        let request = match kind {
            // The kernel replaces the lock's words by these: they must be the same.
            CancelKind::Plain => {
                Request::Unlock(UnlockRequest::cancel(id, self.cookies(token, notices)?))
            }
            CancelKind::Deadlock => Request::Deadlock { lock: id, flags: LockFlags::CANCEL },
        };
        out.len = request.encode(abi, &mut out.bytes)?.len();
        out.command = request.command();
        out.ticket = Ticket::new(token, serial, What::Cancel { kind, internal });
        if let Some(entry) = self.table.get_mut(token) {
            entry.owner = owner;
            entry.state.set_cancel(Cancel::Sent);
            entry.is_writing = true;
            if entry.state.ends_by_itself() {
                self.unlist(token);
            }
        }
        Ok(())
    }

    /// Keeps an operation until it can be written.
    fn queue(
        &mut self,
        token: Token,
        call: Call,
        user: &mut Option<O>,
    ) -> Result<Queueing, Rejected> {
        let rules = self.rules;
        let entry = self.table.get_mut(token).ok_or(Rejected::LockGone)?;
        if entry.is_gone() || entry.state.op().is_some_and(|op| op.kind == Kind::Unlock) {
            return Err(Rejected::LockGone);
        }
        // An operation that somebody waits for is not passed over, unless by an unlock where the kernel
        // allows that.
        let is_over = rules == Rules::AsAsked && matches!(call, Call::Unlock(_));
        if entry.queued.is_some() || entry.user.is_some() && !is_over {
            return Err(Rejected::InFlight);
        }
        let serial = entry.next_serial();
        let queued = Queued { serial, call, user: user.take() };
        entry.queued = Some(alloc::boxed::Box::new(queued));
        self.in_flight += 1;
        Ok(Queueing::Queued { serial })
    }

    /// The entry of a lock that can be used.
    #[inline]
    fn live(&mut self, token: Token) -> Result<&mut Entry<O, L>, Rejected> {
        if self.has_ended {
            return Err(Rejected::Ended);
        }
        let entry = self.table.get_mut(token).ok_or(Rejected::LockGone)?;
        let is_gone = entry.is_unwanted() || entry.state.is_lost();
        if is_gone { Err(Rejected::LockGone) } else { Ok(entry) }
    }
}

impl<O, L: Default> Entry<O, L> {
    /// Makes a vacant entry that of a lock.
    #[inline]
    fn init(&mut self, name: &ResourceName, owner: u32, notices: bool, face: &mut L) {
        self.name.clone_from(name);
        self.owner = owner;
        self.serial = 0;
        self.last_serial = 0;
        core::mem::swap(&mut self.face, face);
        self.outcome = None;
        self.odd = None;
        self.has_notices = notices;
        self.had_notices = notices;
        self.blocked = None;
        self.granted = 0;
        self.is_released = false;
        self.is_given_up = false;
        self.is_left_over = false;
        self.is_backing_off = false;
        self.has_id = false;
        self.is_listed = false;
        self.relied_on = 0;
    }

    /// A new operation begins, over the one in flight if there is one.
    #[inline]
    fn start(&mut self, serial: u64, owner: u32, user: &mut Option<O>, is_over: bool) {
        let before = core::mem::replace(&mut self.user, user.take());
        if is_over {
            let under = Under { serial: self.serial, user: before };
            self.under = Some(alloc::boxed::Box::new(under));
        } else {
            debug_assert!(before.is_none(), "what has ended has no owner");
        }
        self.serial = serial;
        self.owner = owner;
        self.is_writing = true;
    }

    /// The flags and the value block of an unlock.
    #[inline]
    fn unlock_parts(&self, unlock: &Unlocking) -> (LockFlags, ValueBlock) {
        let (flags, block) = self.state.unlock_lvb(unlock.lvb);
        let force = if unlock.force { LockFlags::FORCEUNLOCK } else { LockFlags::empty() };
        (flags | force, block)
    }

    #[inline]
    fn is_converting(&self) -> bool {
        self.state.op().is_some_and(|op| op.kind == Kind::Convert)
    }

    /// Whether the kernel may have granted what is in flight, as far as is known here.
    fn may_be_granted(&self) -> bool {
        self.state.op().is_some_and(|op| op.kind != Kind::Unlock)
    }

    /// Whether an operation that begins now must wait: for a write, or for the end of one that was
    /// given up. The latter is for the kernel to say if that is asked.
    fn must_queue(&self, rules: Rules) -> bool {
        let is_given_up = || self.is_converting() && self.user.is_none();
        self.is_writing
            || self.is_backing_off
            || self.queued.is_some()
            || self.lost.is_some()
            || rules == Rules::Checked && is_given_up()
    }

    /// Checks a conversion from this mode. Returns the flags that it takes.
    fn check_conversion(
        &self,
        rules: Rules,
        from: Mode,
        conversion: &Conversion,
    ) -> Result<LockFlags, Rejected> {
        let Conversion { mode, flags, write, persistent, .. } = *conversion;
        let flags = flags | LockFlags::CONVERT;
        if rules == Rules::AsAsked {
            let from = core::iter::once(from).chain(self.state.other_modes());
            validate::harmless_conversion(from, mode, flags).map_err(Rejected::Illegal)?;
            return Ok(flags);
        }
        for from in core::iter::once(from).chain(self.state.other_modes()) {
            validate::conversion(from, mode, flags).map_err(Rejected::Illegal)?;
        }
        let valblk = flags.contains(LockFlags::VALBLK);
        if valblk {
            validate::conversion_lvb(from, mode, write.is_some()).map_err(Rejected::Illegal)?;
        }
        if self.state.is_uncertain() && (valblk || flags.contains(LockFlags::QUECVT)) {
            return Err(Rejected::Illegal(
                "after a cancelled CONVDEADLK conversion the mode is known only when the lock was \
                 converted once more, without its value block and QUECVT",
            ));
        }
        let persistent = persistent || self.state.is_persistent();
        Ok(if persistent { flags | LockFlags::PERSISTENT } else { flags })
    }
}

impl<O, L: Default> Core<O, L> {
    /// Fills in a request that concerns no lock of this core: a purge, or a deadlock cancel of a
    /// lock of somebody else. It has no ticket to report.
    ///
    /// # Errors
    ///
    /// [`Rejected::Encode`].
    pub fn encode_other(
        &self,
        request: &Request<'_>,
        out: &mut Submission,
    ) -> Result<(), Rejected> {
        out.len = request.encode(self.abi, &mut out.bytes)?.len();
        out.command = request.command();
        out.ticket = Ticket::new(Token::new(u32::MAX, 0), 0, What::Adopt);
        Ok(())
    }
}
