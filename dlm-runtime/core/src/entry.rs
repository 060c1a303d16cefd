//! A lock in the table.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use dlm_proto::{Mode, ResourceName};

use crate::asked::{Conversion, Unlocking};
use crate::lock_state::{Cancel, LockState};
use crate::operation::{Ended, Failure, Kind, Lvb, Moved};

/// An operation that waits until the write for its lock has returned, or until what was given up
/// has ended.
#[derive(Debug)]
pub(crate) struct Queued<O> {
    pub(crate) serial: u64,
    pub(crate) call: Call,
    pub(crate) user: Option<O>,
}

#[derive(Debug)]
pub(crate) enum Call {
    Convert(Conversion),
    Unlock(Unlocking),
}

/// The end of an operation, and the value block if that moved it.
pub(crate) type Outcome = Result<(Ended, Option<Lvb>), Failure>;

/// An operation that another one was written over.
#[derive(Debug)]
pub(crate) struct Under<O> {
    pub(crate) serial: u64,
    /// Nothing once it was given up.
    pub(crate) user: Option<O>,
}

/// What is out of the ordinary. Most locks come and go without.
#[derive(Debug, Default)]
pub(crate) struct Odd {
    /// Ends of operations before that of [`Entry::outcome`], whose waiters are slower still. None
    /// without it.
    pub(crate) earlier: Vec<(u64, Outcome)>,
    /// The operation that was cancelled because its deadline has passed.
    pub(crate) timed_out: Option<u64>,
    /// The time after which what was refused for now is written again.
    pub(crate) retry: Duration,
    /// Until when a conversion that the kernel finds the lock too busy for is written again.
    pub(crate) busy_until: Option<Duration>,
}

/// A lock in the table.
#[derive(Debug)]
pub(crate) struct Entry<O, L> {
    pub(crate) name: ResourceName,
    pub(crate) state: LockState,
    /// The process that made the last request: comes back in its results.
    pub(crate) owner: u32,
    /// The number of the operation in flight, or of the last one.
    pub(crate) serial: u64,
    /// The last number that was given to an operation.
    pub(crate) last_serial: u64,
    /// The driver's data for the operation in flight; nothing once it was given up.
    pub(crate) user: Option<O>,
    /// The operation that the one in flight was written over.
    pub(crate) under: Option<Box<Under<O>>>,
    /// A conversion whose result another process has read, as the kernel has accepted one after it.
    /// Its owner is to be told; until then nothing is written over another operation.
    pub(crate) lost: Option<Box<Under<O>>>,
    pub(crate) queued: Option<Box<Queued<O>>>,
    /// The end of an operation that its waiter has not taken yet.
    pub(crate) outcome: Option<(u64, Outcome)>,
    /// The driver's data for the lock.
    pub(crate) face: L,
    /// A write for this lock has not returned.
    pub(crate) is_writing: bool,
    /// The kernel sends blocking notices.
    pub(crate) has_notices: bool,
    /// The last conversion that was written switched the notices.
    pub(crate) had_notices: bool,
    /// The strongest mode that somebody was told to wait for since the last grant.
    pub(crate) blocked: Option<Mode>,
    /// The number of the request or conversion that was granted last.
    pub(crate) granted: u64,
    /// Nobody wants the lock any more: it is unlocked as soon as that is possible.
    pub(crate) is_released: bool,
    /// Its request was given up: it is unlocked like a released one, but stays in the table until
    /// it is released.
    pub(crate) is_given_up: bool,
    /// It is released and the kernel has not accepted its unlock, or its conversion was given up.
    pub(crate) is_left_over: bool,
    /// Something was refused for now, and an alarm is set.
    pub(crate) is_backing_off: bool,
    /// What few locks have.
    pub(crate) odd: Option<Box<Odd>>,
    /// It is in the index of ids.
    pub(crate) has_id: bool,
    /// It is in the index of granted resources.
    pub(crate) is_listed: bool,
    /// Requests that are being written and rely on it for their resource: until then it does not end.
    pub(crate) relied_on: u32,
}

impl<O, L: Default> Default for Entry<O, L> {
    fn default() -> Self {
        Self {
            name: ResourceName::default(),
            state: LockState::default(),
            owner: 0,
            serial: 0,
            last_serial: 0,
            user: None,
            under: None,
            lost: None,
            queued: None,
            outcome: None,
            face: L::default(),
            is_writing: false,
            has_notices: false,
            had_notices: false,
            blocked: None,
            granted: 0,
            is_released: false,
            is_given_up: false,
            is_left_over: false,
            is_backing_off: false,
            odd: None,
            has_id: false,
            is_listed: false,
            relied_on: 0,
        }
    }
}

impl<O, L> Entry<O, L> {
    /// Whether this very operation has not ended yet.
    pub(crate) fn is_in_flight(&self, serial: u64) -> bool {
        self.serial == serial && self.state.op().is_some()
            || self.under.as_ref().is_some_and(|under| under.serial == serial)
            || self.queued.as_ref().is_some_and(|queued| queued.serial == serial)
    }

    /// What is out of the ordinary, to be noted.
    #[cold]
    pub(crate) fn odd_mut(&mut self) -> &mut Odd {
        self.odd.get_or_insert_default()
    }

    /// The operation that was cancelled because its deadline has passed.
    #[inline]
    pub(crate) fn timed_out(&self) -> Option<u64> {
        self.odd.as_deref()?.timed_out
    }

    /// Keeps the end of an operation for whoever waits for it.
    #[inline]
    pub(crate) fn keep(&mut self, serial: u64, outcome: Result<Ended, Failure>) {
        let known = self.state.known_lvb();
        let outcome = outcome.map(|ended| {
            let is_moved = ended.moved != Moved::Nothing;
            (ended, known.filter(|_| is_moved))
        });
        if let Some(earlier) = self.outcome.replace((serial, outcome)) {
            self.odd_mut().earlier.push(earlier);
        }
    }

    /// Takes that end.
    #[inline]
    pub(crate) fn take_outcome(&mut self, serial: u64) -> Option<Outcome> {
        if let Some((_, outcome)) = self.outcome.take_if(|(of, _)| *of == serial) {
            self.outcome = self.odd.as_deref_mut().and_then(|odd| odd.earlier.pop());
            return Some(outcome);
        }
        let earlier = &mut self.odd.as_deref_mut()?.earlier;
        let place = earlier.iter().position(|(of, _)| *of == serial)?;
        Some(earlier.swap_remove(place).1)
    }

    /// Whether that end is kept.
    pub(crate) fn has_outcome(&self, serial: u64) -> bool {
        let earlier = self.odd.iter().flat_map(|odd| &odd.earlier);
        self.outcome.iter().chain(earlier).any(|(of, _)| *of == serial)
    }

    /// The data kept for operations that nobody is to be told of any more, or that all have ended:
    /// the one in flight, the one that it was written over, the one that waits.
    pub(crate) fn take_users(&mut self) -> [Option<O>; 3] {
        // There is never more than one of these two.
        let under = self.under.take().or(self.lost.take());
        let queued = self.queued.take();
        [
            self.user.take(),
            under.and_then(|under| under.user),
            queued.and_then(|queued| queued.user),
        ]
    }

    /// The same, where it is.
    pub(crate) fn users_mut(&mut self) -> impl Iterator<Item = &mut O> {
        let Self { user, under, lost, queued, .. } = self;
        let under = under.iter_mut().chain(lost).filter_map(|under| under.user.as_mut());
        let queued = queued.iter_mut().filter_map(|queued| queued.user.as_mut());
        user.iter_mut().chain(under).chain(queued)
    }

    /// The kinds of the operations that [`Entry::take_users`] is about.
    pub(crate) fn kinds(&self) -> [Kind; 3] {
        let queued = self.queued.as_ref().is_some_and(|it| matches!(it.call, Call::Unlock(_)));
        [
            self.state.op().map_or(Kind::Convert, |op| op.kind),
            self.state.under().unwrap_or(Kind::Convert),
            if queued { Kind::Unlock } else { Kind::Convert },
        ]
    }

    pub(crate) fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// The mode that its owner holds: none once he has given up.
    #[inline]
    pub(crate) const fn held(&self) -> Option<Mode> {
        if self.is_unwanted() { None } else { self.state.granted() }
    }

    /// Whether nothing that can end it may be written now.
    #[inline]
    pub(crate) const fn is_kept(&self) -> bool {
        self.is_writing || self.relied_on != 0
    }

    /// Whether something is to be written for it, or told of it.
    #[inline]
    pub(crate) fn has_follow(&self) -> bool {
        let is_due = matches!(self.state.cancel(), Cancel::Wanted(_))
            || self.is_unwanted()
            || self.queued.is_some();
        is_due && !self.is_kept() || self.lost.is_some()
    }

    /// Whether the lock is to end.
    #[inline]
    pub(crate) const fn is_unwanted(&self) -> bool {
        self.is_released || self.is_given_up
    }

    /// Whether nothing out of the ordinary is known of the operation in flight.
    #[inline(always)]
    pub(crate) fn is_usual(&self) -> bool {
        let is_odd = self.under.is_some()
            | self.queued.is_some()
            | self.lost.is_some()
            | self.is_released
            | self.is_given_up
            | self.is_left_over
            | self.is_backing_off
            | self.timed_out().is_some();
        !is_odd && self.state.cancel() == Cancel::None
    }

    /// Whether there is no lock any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.state.op().is_none() && self.state.granted().is_none()
    }

    /// Whether there is no lock any more, and nobody is left to be told of that.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_gone() && self.queued.is_none() && self.lost.is_none()
    }
}
