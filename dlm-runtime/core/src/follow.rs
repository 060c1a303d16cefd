//! The kernel's answer to a write: its effect on the lock, and the next write for it.

use alloc::boxed::Box;

use dlm_proto::{LockFlags, LockId, Token};

use crate::alarms::{BUSY_PATIENCE, FIRST_RETRY, Purpose, SLOWEST_RETRY, Time};
use crate::asked::Conversion;
use crate::core::{Core, Rules};
use crate::entry::{Call, Entry, Queued};
use crate::lock_state::{Cancel, Release};
use crate::operation::{CancelKind, Failure, Kind, Rejected};
use crate::submission::{Refusal, Submission, Ticket, What};

/// The next step for a lock.
#[derive(Debug)]
#[must_use = "what is in the submission is to be written"]
pub enum Follow<O, L> {
    /// Nothing.
    Nothing,
    /// Write the submission.
    Write,
    /// An operation that waited for its turn could not be begun, or is lost: tell its owner, and
    /// ask again.
    Failed {
        /// The data kept for it.
        user: Option<O>,
        /// Its number.
        serial: u64,
        /// The reason.
        failure: Failure,
    },
    /// The lock is gone from the table. What was kept for it is to be dropped when nothing is
    /// locked.
    Gone(L),
}

/// The leftovers of a lock's owner, to be dropped when nothing is locked, and what is to
/// be done next.
#[derive(Debug)]
pub struct Released<O, L> {
    /// The data kept for its operations.
    pub users: [Option<O>; 3],
    /// The data kept for the lock.
    pub face: L,
    /// The next step.
    pub follow: Follow<O, L>,
}

/// The operations that a refusal has ended. A lock that is gone by it stays in the table until
/// [`Core::settle`], as the one of a request that was refused.
#[derive(Debug)]
pub struct Refused<O> {
    /// The data kept for the operation that was refused, if its owner has not given it up.
    pub user: Option<O>,
    /// The data kept for operations that cannot be any more, as the lock is gone.
    pub lost: [Option<O>; 2],
    /// [`Core::follow`] has something to do.
    pub follow: bool,
    /// It has something to do for this other lock, on which a request has relied ([`Core::rely`]).
    pub freed: Option<Token>,
}

/// What is to be done next, after the kernel has accepted a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "something may have to be written"]
pub struct Accepted {
    /// [`Core::follow`] has something to do.
    pub follow: bool,
    /// It has something to do for this other lock, on which a request has relied ([`Core::rely`]).
    pub freed: Option<Token>,
}

impl<O> Refused<O> {
    const NOTHING: Self = Self { user: None, lost: [None, None], follow: false, freed: None };
}

impl<O, L: Default> Core<O, L> {
    /// The kernel has accepted a submission, as a lock of this id if it is a new one.
    pub fn accepted(&mut self, ticket: &Ticket, id: Option<LockId>) -> Accepted {
        let follow = self.take_in(ticket, id);
        Accepted { follow, freed: self.let_go(ticket) }
    }

    fn take_in(&mut self, ticket: &Ticket, id: Option<LockId>) -> bool {
        let Ticket { token, what, .. } = *ticket;
        self.counts.count(what);
        let Some(entry) = self.table.get_mut(token) else { return false };
        entry.is_writing = false;
        match what {
            What::Request => entry.state.accepted(Kind::Request),
            What::Convert => {
                entry.state.accepted(Kind::Convert);
                if let Some(odd) = &mut entry.odd {
                    odd.busy_until = None;
                }
                if entry.under.is_some() {
                    entry.lost = entry.under.take();
                }
            }
            What::Release | What::Cancel { .. } => {
                if let Some(odd) = &mut entry.odd {
                    odd.retry = Time::ZERO;
                }
            }
            What::Unlock | What::Adopt => {}
        }
        if entry.is_unwanted() {
            self.update_left_over(token);
        }
        if let Some(id) = id {
            self.note_id(token, id);
        }
        if matches!(what, What::Request | What::Adopt) {
            self.list_new(token);
        }
        self.table.get_mut(token).is_some_and(|entry| entry.has_follow())
    }

    /// The kernel has refused a submission: everything is as before, unless the lock is gone.
    pub fn refused(&mut self, ticket: &Ticket, refusal: Refusal, now: Time) -> Refused<O> {
        let refused = self.turn_down(ticket, refusal, now);
        Refused { freed: self.let_go(ticket), ..refused }
    }

    fn turn_down(&mut self, ticket: &Ticket, refusal: Refusal, now: Time) -> Refused<O> {
        let Ticket { token, serial, what, .. } = *ticket;
        let Some(entry) = self.table.get_mut(token) else { return Refused::NOTHING };
        entry.is_writing = false;
        let is_gone = matches!(refusal, Refusal::NoLock | Refusal::Ended);
        let mut refused = match what {
            What::Request | What::Adopt => self.lose(token),
            What::Cancel { kind, internal } => {
                let wanted = if internal { Cancel::Wanted(kind) } else { Cancel::None };
                self.refused_cancel(token, wanted, refusal, now)
            }
            What::Convert | What::Unlock | What::Release => {
                let user = self.take_back(token, serial, what, refusal);
                if is_gone {
                    // What it was written over has ended, too.
                    let Refused { user: over, lost: [under, queued], .. } = self.lose(token);
                    Refused { user, lost: [over.or(under), queued], ..Refused::NOTHING }
                } else {
                    if what == What::Release {
                        self.back_off(token, now);
                    }
                    Refused { user, ..Refused::NOTHING }
                }
            }
        };
        self.update_left_over(token);
        refused.follow = self.table.get_mut(token).is_some_and(|entry| entry.has_follow());
        refused
    }

    /// The kernel finds a lock too busy for a conversion (EBUSY), which is as yet neither accepted nor
    /// refused. If that is because the cancel of an earlier operation is still to be answered by
    /// another node, the conversion is written again in a while: [`Core::next_alarm`] and
    /// [`Core::follow`]. `false`: it is refused.
    pub fn put_off(&mut self, ticket: &Ticket, now: Time) -> bool {
        let Ticket { token, serial, what, .. } = *ticket;
        let rules = self.rules;
        let Some(entry) = self.table.get_mut(token).filter(|_| what == What::Convert) else {
            return false;
        };
        let is_wanted = entry.serial == serial && entry.user.is_some() && entry.queued.is_none();
        if !is_wanted || entry.is_unwanted() || !entry.state.awaits_cancel() {
            return false;
        }
        let until = entry.odd_mut().busy_until;
        let until = until.unwrap_or_else(|| now.saturating_add(BUSY_PATIENCE));
        entry.odd_mut().busy_until = Some(until);
        let Some(conversion) = entry.conversion(rules).filter(|_| now < until) else {
            entry.odd_mut().busy_until = None;
            return false;
        };
        entry.is_writing = false;
        let user = self.take_back(token, serial, what, Refusal::Later);
        if let Some(entry) = self.table.get_mut(token) {
            let call = Call::Convert(conversion);
            entry.queued = Some(Box::new(Queued { serial, call, user }));
            self.in_flight += 1;
        }
        self.back_off(token, now);
        true
    }

    fn refused_cancel(
        &mut self,
        token: Token,
        wanted: Cancel,
        refusal: Refusal,
        now: Time,
    ) -> Refused<O> {
        let Some(entry) = self.table.get_mut(token) else { return Refused::NOTHING };
        let is_over = entry.state.op().is_none();
        match refusal {
            Refusal::Ended => return self.lose(token),
            // The lock is gone. If somebody waits, the result of that may be still to be read.
            Refusal::NoLock if is_over || entry.is_unwanted() => return self.lose(token),
            Refusal::NoLock => {
                entry.state.set_lost();
                self.forget(token);
                return Refused::NOTHING;
            }
            _ if is_over => entry.state.set_cancel(Cancel::None),
            Refusal::Later => {
                entry.state.take_back_cancel(wanted);
                if wanted != Cancel::None {
                    self.back_off(token, now);
                }
            }
            Refusal::NoBuffer => entry.state.take_back_cancel(Cancel::Spent),
            // The kernel has had a cancel for it.
            Refusal::Never => {}
        }
        self.list_new(token);
        Refused::NOTHING
    }

    /// Takes back an operation that was begun and not accepted, and returns what was kept for it.
    fn take_back(&mut self, token: Token, serial: u64, what: What, refusal: Refusal) -> Option<O> {
        let entry = self.table.get_mut(token)?;
        if entry.serial != serial || entry.state.op().is_none() {
            // It has ended, whatever the kernel says.
            return None;
        }
        entry.state.refused(refusal);
        let user = entry.user.take();
        if let Some(under) = entry.under.take() {
            entry.serial = under.serial;
            entry.user = under.user;
        }
        if entry.state.op().is_none() {
            self.in_flight -= 1;
        }
        if what == What::Convert {
            self.noticed += usize::from(entry.had_notices);
            self.noticed -= usize::from(entry.has_notices);
            entry.has_notices = entry.had_notices;
        } else {
            self.restore_id(token);
            self.list_new(token);
        }
        user
    }

    /// The kernel knows no such lock: nothing of it is left. Returns what was kept for what was in
    /// flight.
    fn lose(&mut self, token: Token) -> Refused<O> {
        self.forget(token);
        let Some(entry) = self.table.get_mut(token) else {
            return Refused::NOTHING;
        };
        self.in_flight -= usize::from(entry.state.op().is_some());
        self.in_flight -= usize::from(entry.queued.is_some());
        entry.state.end();
        let [user, under, queued] = entry.take_users();
        Refused { user, lost: [under, queued], ..Refused::NOTHING }
    }

    /// Sets an alarm after which what was refused is written again.
    fn back_off(&mut self, token: Token, now: Time) {
        let Some(entry) = self.table.get_mut(token).filter(|entry| !entry.is_finished()) else {
            return;
        };
        entry.is_backing_off = true;
        let retry = &mut entry.odd_mut().retry;
        *retry = (*retry * 2).clamp(FIRST_RETRY, SLOWEST_RETRY);
        let at = now.saturating_add(*retry);
        self.alarms.set(at, token, Purpose::Retry);
    }

    /// Fills in what is to be written next for a lock, if nothing is being written for it. Ask
    /// again after each answer until there is nothing, or the lock is gone.
    pub fn follow(&mut self, token: Token, out: &mut Submission) -> Follow<O, L> {
        let Some(entry) = self.table.get_mut(token) else { return Follow::Nothing };
        if let Some(lost) = entry.lost.take() {
            let (user, serial) = (lost.user, lost.serial);
            return Follow::Failed { user, serial, failure: Failure::Lost };
        }
        if entry.is_kept() || entry.is_backing_off {
            return Follow::Nothing;
        }
        if let Cancel::Wanted(kind) = entry.state.cancel() {
            entry.state.set_cancel(Cancel::None);
            let is_in_flight = entry.state.op().is_some_and(|op| op.kind != Kind::Unlock);
            if is_in_flight && self.write_cancel(token, kind, true, out).is_ok() {
                return Follow::Write;
            }
        }
        let (rules, is_shared) = (self.rules, self.is_shared);
        let Some(entry) = self.table.get_mut(token) else { return Follow::Nothing };
        match entry.turn(rules, is_shared) {
            Turn::Release => self.follow_release(token, out),
            Turn::Wait => Follow::Nothing,
            turn => {
                let Some(queued) = entry.queued.take() else { return Follow::Nothing };
                self.in_flight -= 1;
                self.start_queued(token, *queued, turn == Turn::Start, out)
            }
        }
    }

    fn follow_release(&mut self, token: Token, out: &mut Submission) -> Follow<O, L> {
        let Some(entry) = self.table.get_mut(token) else { return Follow::Nothing };
        match entry.state.release() {
            Release::Unlock(flags, block) => {
                let serial = entry.next_serial();
                let user = &mut None;
                let written =
                    self.write_unlock(token, flags, &block, What::Release, serial, user, out);
                if written.is_ok() { Follow::Write } else { Follow::Nothing }
            }
            Release::Cancel => {
                let written = self.write_cancel(token, CancelKind::Plain, true, out);
                if written.is_ok() { Follow::Write } else { Follow::Nothing }
            }
            Release::Await => Follow::Nothing,
            // One that was given up stays until its owner lets go of it.
            Release::Gone if !entry.is_released => Follow::Nothing,
            Release::Gone => {
                let Refused { user, lost: [under, queued], .. } = self.lose(token);
                debug_assert!(user.or(under).or(queued).is_none(), "nobody wants it");
                Follow::Gone(self.remove(token))
            }
        }
    }

    fn start_queued(
        &mut self,
        token: Token,
        queued: Queued<O>,
        is_due: bool,
        out: &mut Submission,
    ) -> Follow<O, L> {
        let Queued { serial, call, mut user } = queued;
        let started = match call {
            _ if !is_due => Err(Rejected::LockGone),
            Call::Convert(conversion) => {
                self.begin_convert(token, &conversion, serial, &mut user, out)
            }
            Call::Unlock(unlock) => self.start_unlock(token, &unlock, serial, &mut user, out),
        };
        match started {
            Ok(()) => Follow::Write,
            Err(why) => Follow::Failed { user, serial, failure: Failure::Rejected(why) },
        }
    }

    /// Nobody wants this lock any more: its handle is dropped. No effect of it is reported from now
    /// on. It is unlocked as soon as that is possible, and stays in the table until it is gone.
    pub fn release(&mut self, token: Token, out: &mut Submission) -> Released<O, L> {
        let Some(entry) = self.table.get_mut(token) else {
            let users = [const { None }; 3];
            return Released { users, face: L::default(), follow: Follow::Nothing };
        };
        self.released += usize::from(!entry.is_released);
        entry.is_released = true;
        entry.outcome = None;
        if let Some(odd) = &mut entry.odd {
            odd.earlier.clear();
        }
        self.in_flight -= usize::from(entry.queued.is_some());
        if entry.has_notices {
            self.noticed -= 1;
            entry.has_notices = false;
        }
        let users = entry.release_users();
        let face = core::mem::take(&mut entry.face);
        let follow = self.follow(token, out);
        self.update_left_over(token);
        Released { users, face, follow }
    }

    /// Nobody waits for this operation any more, if it is still in flight. The lock of a request is
    /// unlocked then if it is granted after all; it stays in the table until [`Core::release`]. A
    /// conversion or unlock goes on, and nobody is told of its end. Returns what was kept for it;
    /// [`Core::follow`] may have something to do.
    pub fn give_up(&mut self, token: Token, serial: u64) -> Option<O> {
        let entry = self.table.get_mut(token)?;
        if entry.queued.as_ref().is_some_and(|queued| queued.serial == serial) {
            self.in_flight -= 1;
            return entry.queued.take().and_then(|queued| queued.user);
        }
        let (kind, user) = match entry.under.as_mut().filter(|under| under.serial == serial) {
            Some(under) => (entry.state.under(), under.user.take()),
            None => {
                let op = entry.state.op().filter(|_| entry.serial == serial)?;
                (Some(op.kind), entry.user.take())
            }
        };
        entry.is_given_up |= kind == Some(Kind::Request);
        self.update_left_over(token);
        user
    }
}

/// The next step for the operation that waits, or with a lock that nobody wants any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The operation begins.
    Start,
    /// It cannot be done any more.
    Fail,
    /// The lock is released.
    Release,
    Wait,
}

impl<O, L> Entry<O, L> {
    /// What was asked for by the conversion that is being written.
    fn conversion(&self, rules: Rules) -> Option<Conversion> {
        let op = self.state.op().filter(|op| op.kind == Kind::Convert)?;
        let added = match rules {
            Rules::Checked => LockFlags::CONVERT | LockFlags::PERSISTENT,
            Rules::AsAsked => LockFlags::CONVERT,
        };
        Some(Conversion {
            mode: op.mode,
            flags: op.flags - added,
            write: self.state.block_to_write(),
            persistent: op.contains(LockFlags::PERSISTENT),
            xid: Some(self.state.xid()),
            notices: Some(self.has_notices),
        })
    }

    fn turn(&self, rules: Rules, is_shared: bool) -> Turn {
        let Some(queued) = &self.queued else {
            return if self.is_unwanted() { Turn::Release } else { Turn::Wait };
        };
        if self.state.is_lost() {
            return Turn::Fail;
        }
        let is_unlock = matches!(queued.call, Call::Unlock(_));
        let ends = self.state.ends_by_itself() || self.state.is_cancelling();
        let is_due = match self.state.op() {
            None => true,
            Some(op) if op.kind == Kind::Unlock || rules == Rules::Checked => false,
            Some(op) => {
                let is_over = is_unlock && !ends;
                is_over || is_shared && (is_unlock || op.kind == Kind::Convert)
            }
        };
        if self.is_unwanted() && !is_unlock {
            Turn::Fail
        } else if is_due {
            // The unlock that somebody asked for ends a lock that is released just as well.
            Turn::Start
        } else if self.is_unwanted() && !ends {
            Turn::Fail
        } else {
            Turn::Wait
        }
    }

    /// Takes what is kept for the operations of a lock whose handle is dropped. What the one in
    /// flight was written over stays, as it may come back.
    fn release_users(&mut self) -> [Option<O>; 3] {
        let under = match &mut self.under {
            Some(under) => under.user.take(),
            None => self.lost.take().and_then(|lost| lost.user),
        };
        let queued = self.queued.take();
        [self.user.take(), under, queued.and_then(|queued| queued.user)]
    }
}
