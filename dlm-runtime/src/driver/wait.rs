//! How threads wait in a call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_core::{CancelKind, Kind, Ticket};
use dlm_proto::{LockId, LockStatus, Token};

use super::call::Begun;
use super::device::Device;
use super::face::{Face, Notify};
use super::read::{Observer, Read, Role};
use super::signal::{Source, wait_any};
use super::wait_queue::Seat;
use super::{Driver, Waiter};
use crate::error::ErrorKind;
use crate::event::Completion;
use crate::status::State as Condition;
use crate::sync::{atomic::Ordering, now, time_left};

/// How long a cancel may take to end an operation whose deadline has passed, before its caller is
/// told that time ran out. One that has to go to another node can take longer; what comes of it is
/// then seen to by others.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_millis(50);

/// How long an unlock that the kernel has accepted may take while the lockspace runs. Then its result
/// is lost.
const UNLOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How long a leader sleeps that cannot be woken, for want of a descriptor.
const SLICE: Duration = Duration::from_millis(20);

/// What a thread waits for.
pub(crate) trait Goal<F: Face> {
    /// What it gets.
    type Got;

    /// The operation whose end it may read itself.
    fn role(&self) -> Role {
        Role::Other
    }

    /// Looks for it. If it is not there, has `waiter` woken when it is worth another look.
    fn look(
        &self,
        driver: &Driver<F>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<Self::Got>, ErrorKind>;

    /// What it gets when the thread has read the end of its operation itself.
    fn read(&self, completion: Completion) -> Option<Self::Got>;
}

/// The end of an operation that the thread has begun.
struct OwnEnd(Begun);

impl<F: Face> Goal<F> for OwnEnd {
    type Got = Completion;

    fn role(&self) -> Role {
        Role::Waiter(self.0.token, self.0.serial)
    }

    fn look(
        &self,
        driver: &Driver<F>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<Completion>, ErrorKind> {
        let Begun { token, serial } = self.0;
        // Dropped when nothing is locked.
        let _face;
        let mut state = driver.state();
        if let Some(outcome) = state.core.take_outcome(token, serial) {
            _face = state.core.settle(token);
            let (ended, lvb) = outcome.map_err(|failure| driver.failed(failure))?;
            let completion = state.completion(token, &ended);
            return Ok(Some(Completion { lvb, ..completion }));
        }
        if let Some(Notify::Thread(known)) = state.core.user_mut(token, serial) {
            if let Some(waiter) = waiter {
                *known = Some(Arc::clone(waiter));
            }
            return Ok(None);
        }
        if let Some(end) = state.take_end(token, serial) {
            return Ok(Some(end));
        }
        drop(state);
        // Nobody will ever say more.
        Err(driver.slot.get().err().map_or(ErrorKind::LockGone, ErrorKind::from))
    }

    fn read(&self, completion: Completion) -> Option<Completion> {
        Some(completion)
    }
}

/// The end of an operation that somebody else has begun.
pub(crate) struct OthersEnd(Begun);

impl<F: Face> Goal<F> for OthersEnd {
    type Got = Completion;

    fn look(
        &self,
        driver: &Driver<F>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<Completion>, ErrorKind> {
        let Begun { token, serial } = self.0;
        driver.slot.get()?;
        let mut state = driver.state();
        let is_it = |observer: &&mut Observer| observer.token == token && observer.serial == serial;
        let observer = state.observers.iter_mut().find(is_it);
        if let (Some(Observer { end: None, waiter: place, .. }), Some(waiter)) = (observer, waiter)
        {
            *place = Some(Arc::clone(waiter));
        }
        Ok(state.take_end(token, serial))
    }

    fn read(&self, _: Completion) -> Option<Completion> {
        None
    }
}

impl<F: Face> super::State<F> {
    /// Takes the end of an operation that was kept for an observer.
    fn take_end(&mut self, token: Token, serial: u64) -> Option<Completion> {
        let is_it = |observer: &Observer| {
            observer.token == token && observer.serial == serial && observer.end.is_some()
        };
        let index = self.observers.iter().position(is_it)?;
        self.observers.swap_remove(index).end
    }
}

impl<F: Face> Driver<F> {
    /// Waits for an operation that the kernel has just accepted. When the deadline has passed it is
    /// cancelled, and an operation that was granted all the same is granted.
    #[inline]
    pub(crate) fn finish(
        &self,
        device: &Device,
        ticket: &Ticket,
        id: Option<LockId>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        let begun = Begun { token: ticket.token, serial: ticket.serial };
        let role = Role::Waiter(begun.token, begun.serial);
        match self.read_from(device, role, Some((ticket, id))) {
            Ok(Read::Mine(completion, _left)) => Ok(completion),
            first => self.finish_slowly(begun, first, deadline),
        }
    }

    #[inline(never)]
    fn finish_slowly(
        &self,
        begun: Begun,
        first: Result<Read<F>, ErrorKind>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        match first {
            Ok(Read::Effects(effects)) => self.apply_in_wait(*effects),
            // What has ended everything is told by the next look.
            Ok(Read::Empty | Read::Handled | Read::Mine(..)) | Err(_) => {}
        }
        self.finish_queued(begun, deadline)
    }

    /// As [`Driver::finish`], for an operation that somebody else writes.
    pub(crate) fn finish_queued(
        &self,
        begun: Begun,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        let end = self.await_end(begun, deadline);
        if end.is_err() {
            self.abandon(begun);
        }
        end
    }

    fn await_end(&self, begun: Begun, deadline: Option<Instant>) -> Result<Completion, ErrorKind> {
        let goal = OwnEnd(begun);
        let is_unlock = self.is_unlock(begun);
        if deadline.is_none() && is_unlock {
            return self.await_unlock(begun);
        }
        if let Some(end) = self.wait_for(&goal, deadline)? {
            return Ok(end);
        }
        if is_unlock {
            return Err(ErrorKind::TimedOut("the unlock has not ended, and goes on by itself"));
        }
        self.cancel_overdue(begun);
        match self.wait_for(&goal, now().checked_add(CANCEL_GRACE))? {
            Some(end) if end.status == LockStatus::TimedOut => {
                Err(ErrorKind::TimedOut("it was not granted in time"))
            }
            Some(end) => Ok(end),
            None => Err(ErrorKind::TimedOut("it was not granted in time; it is being taken back")),
        }
    }

    fn is_unlock(&self, begun: Begun) -> bool {
        let state = self.state();
        let view = state.core.view(begun.token);
        view.is_some_and(|view| {
            view.serial == begun.serial && view.op.is_some_and(|op| op.kind == Kind::Unlock)
        })
    }

    /// Waits for an unlock as long as it takes, but not for a result that is lost.
    fn await_unlock(&self, begun: Begun) -> Result<Completion, ErrorKind> {
        loop {
            let limit = now().checked_add(UNLOCK_PATIENCE);
            if let Some(end) = self.wait_for(&OwnEnd(begun), limit)? {
                return Ok(end);
            }
            // A lockspace that is stopped for a recovery completes nothing.
            let condition = self.manager.status(&self.name).state;
            if matches!(condition, Condition::Running | Condition::Unknown) {
                return Err(ErrorKind::TimedOut(
                    "the kernel has accepted the unlock, and does not report its end",
                ));
            }
        }
    }

    /// An operation has not ended at its deadline: has it cancelled. This thread does not write the
    /// cancel itself if it may have others do it, as the kernel may hold up every write.
    fn cancel_overdue(&self, begun: Begun) {
        let Begun { token, serial } = begun;
        {
            let mut state = self.state();
            state.core.mark_timed_out(token, serial);
            state.core.want_cancel(token, serial, CancelKind::Plain);
        }
        self.settle_later(token);
    }

    /// Nobody waits for this operation any more. When it ends nobody is told; if it is a request
    /// that is granted after all, the lock is unlocked.
    pub(crate) fn abandon(&self, begun: Begun) {
        let user = {
            let mut state = self.state();
            let user = state.core.give_up(begun.token, begun.serial);
            state.handed_out(user.as_ref());
            // The end may have come meanwhile.
            let _ = state.core.take_outcome(begun.token, begun.serial);
            let _ = state.take_end(begun.token, begun.serial);
            user
        };
        self.guarded(move || drop(user));
        self.release_given_up(begun.token);
        self.see_to_left_overs();
    }

    /// Lets go of a lock whose request was given up, if it has no handle that does.
    pub(crate) fn release_given_up(&self, token: Token) {
        let is_given_up = || self.state().core.view(token).is_some_and(|view| view.is_released);
        if !F::HAS_HANDLES && is_given_up() {
            self.release(token);
        }
    }

    /// Watches the operation that is in flight for a lock, for [`Driver::await_others`].
    pub(crate) fn observe(&self, state: &mut super::State<F>, begun: Begun) -> OthersEnd {
        let Begun { token, serial } = begun;
        state.observers.push(Observer { token, serial, waiter: None, end: None });
        OthersEnd(begun)
    }

    /// Waits for the end of an operation that somebody else has begun, until the deadline: `None`.
    pub(crate) fn await_others(
        &self,
        observed: &OthersEnd,
        deadline: Option<Instant>,
    ) -> Result<Option<Completion>, ErrorKind> {
        let end = self.wait_for(observed, deadline);
        if !matches!(end, Ok(Some(_))) {
            let Begun { token, serial } = observed.0;
            let is_it = |observer: &Observer| observer.token == token && observer.serial == serial;
            let mut state = self.state();
            if let Some(index) = state.observers.iter().position(is_it) {
                state.observers.swap_remove(index);
            }
        }
        end
    }

    /// Waits until a goal is reached, or until the deadline: `None`. The thread reads the device.
    pub(crate) fn wait_for<G: Goal<F>>(
        &self,
        goal: &G,
        deadline: Option<Instant>,
    ) -> Result<Option<G::Got>, ErrorKind> {
        let runs_callbacks = self.runs_callbacks_in_waits();
        let mut seat: Option<Seat<'_>> = None;
        loop {
            if let Some(got) = goal.look(self, None)? {
                return Ok(Some(got));
            }
            match self.read(goal.role()) {
                Ok(Read::Mine(completion, left)) => {
                    drop(seat);
                    drop(left);
                    return Ok(goal.read(completion));
                }
                Ok(Read::Handled) => continue,
                Ok(Read::Effects(effects)) => {
                    if let Some(seat) = seat.as_mut().filter(|_| effects.runs_foreign_code()) {
                        seat.leave();
                    }
                    self.apply_in_wait(*effects);
                    continue;
                }
                Ok(Read::Empty) => {}
                Err(kind) => {
                    drop(seat);
                    // What has come before the end counts.
                    return match goal.look(self, None) {
                        Ok(Some(got)) => Ok(Some(got)),
                        _ => Err(kind),
                    };
                }
            }
            if runs_callbacks {
                if let Some(due) = self.due.pop() {
                    if let Some(seat) = &mut seat {
                        seat.leave();
                    }
                    self.run(due);
                    continue;
                }
            }
            if self.has_overdue() {
                if let Some(seat) = &mut seat {
                    seat.leave();
                }
                self.serve_alarms()?;
                continue;
            }
            if deadline.is_some_and(|at| time_left(at).is_zero()) {
                return Ok(None);
            }
            let seat = seat.get_or_insert_with(|| Seat::new(&self.waits));
            let leads = seat.try_lead();
            // Somebody else may have brought it before this thread could be told.
            if let Some(got) = goal.look(self, Some(&seat.waiter))? {
                return Ok(Some(got));
            }
            self.slot.get()?;
            if leads { self.sleep_at_device(seat, deadline)? } else { seat.sleep(deadline) }
        }
    }

    /// Whether this thread runs callbacks that are due while it waits.
    fn runs_callbacks_in_waits(&self) -> bool {
        F::RUNS_IN_WAITS && !self.delivery.is_elsewhere()
    }

    fn apply_in_wait(&self, effects: super::effects::Effects<F>) {
        if let Some(due) = self.apply(effects, self.runs_callbacks_in_waits()) {
            self.run(due);
        }
    }

    /// The leader sleeps until there is something to read, somebody wakes it, or time is up.
    fn sleep_at_device(&self, seat: &Seat<'_>, deadline: Option<Instant>) -> Result<(), ErrorKind> {
        let device = self.slot.get()?;
        let nudge = self.waits.nudge.get().ok();
        if !seat.lie_down() {
            return Ok(());
        }
        let mut until = earliest(deadline, self.next_alarm());
        let removed;
        {
            let results = device.results();
            // Without memory to read them, results that are there must not keep it from sleeping.
            let is_short = self.is_read_short.swap(false, Ordering::Relaxed);
            let removal = device.removal().ok();
            if nudge.is_none() || removal.is_none() || is_short {
                until = earliest(until, now().checked_add(SLICE));
            }
            let source = nudge.map(super::signal::AsFd::as_fd);
            let slept = sleep_on([removal, source, (!is_short).then_some(results)], until);
            seat.get_up();
            let is_nudged;
            [removed, is_nudged, _] = slept?;
            if let (true, Some(nudge)) = (is_nudged, nudge) {
                // It may have been set for a leader that was gone already.
                nudge.clear();
            }
        }
        if removed { self.check_removed() } else { Ok(()) }
    }
}

/// Sleeps on those of three sources that are there.
fn sleep_on(sources: [Option<Source<'_>>; 3], deadline: Option<Instant>) -> nix::Result<[bool; 3]> {
    let mut ready = [false; 3];
    match sources {
        // As a rule.
        [Some(removal), Some(nudge), Some(results)] => {
            let [results, removal, nudge, ..] = wait_any(&[results, removal, nudge], deadline)?;
            ready = [removal, nudge, results];
        }
        _ => {
            let there: Vec<(usize, Source<'_>)> = sources
                .iter()
                .enumerate()
                .filter_map(|(at, source)| source.map(|source| (at, source)))
                .collect();
            let only: Vec<Source<'_>> = there.iter().map(|(_, source)| *source).collect();
            let seen = wait_any(&only, deadline)?;
            for ((at, _), is_ready) in there.iter().zip(seen) {
                if let Some(place) = ready.get_mut(*at) {
                    *place = is_ready;
                }
            }
        }
    }
    Ok(ready)
}

/// The earlier one of two points in time.
pub(crate) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
