//! Threads that wait in a call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_core::{CancelKind, Kind, Ticket};
use dlm_proto::{LockId, LockStatus};

use super::alarm::CANCEL_GRACE;
use super::begun::Begun;
use super::effects::Effects;
use super::face::{Due, Face, Notify};
use super::host::{Host, Quiet, at_once};
use super::read::{Read, Role};
use super::shared::Driver;
use super::signal::AsFd;
use super::sleep::{SLICE, earliest};
use super::state::OthersEnd;
use super::wait_queue::QueuePlace;
use super::wait_queue::Waiter;
use crate::error::ErrorKind;
use crate::event::Completion;
use crate::status::State as Condition;
use crate::threads::{deadline_after, time_left};

/// The longest time that an unlock that the kernel has accepted may take while the lockspace runs.
/// Then its result is lost.
const UNLOCK_PATIENCE: Duration = Duration::from_secs(10);

/// The goal of a thread that waits.
pub(crate) trait Goal<F: Face> {
    /// The value that it gets.
    type Got;

    /// The operation whose end it may read itself.
    fn role(&self) -> Role {
        Role::Other
    }

    /// Whether the thread may run callbacks meanwhile.
    fn runs_callbacks(&self) -> bool {
        true
    }

    /// Looks for it. If it is not there, has `waiter` woken when it is worth another look.
    fn look(
        &self,
        driver: &Driver<F>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<Self::Got>, ErrorKind>;

    /// What it gets when the thread has read the end of its operation itself.
    fn read(&self, _: Completion) -> Option<Self::Got> {
        None
    }
}

/// An operation that the thread has begun and that it is to wait for: [`Driver::see_through`] must
/// follow.
#[must_use]
pub struct Unfinished<F: Face> {
    begun: Begun,
    /// It asks for a lock, which nobody else knows of.
    is_request: bool,
    /// What the thread has read first. `None`: it has not looked.
    first: Option<Looked<F>>,
}

/// What a first look has found.
enum Looked<F: Face> {
    Nothing,
    Something(Box<Result<Read<F>, ErrorKind>>),
}

/// The end of an operation, or else what is to be seen through.
pub type First<F> = Result<Completion, Unfinished<F>>;

impl<F: Face> Unfinished<F> {
    #[cold]
    #[inline(never)]
    fn after(begun: Begun, is_request: bool, first: Result<Read<F>, ErrorKind>) -> Self {
        let first = match first {
            Ok(Read::Empty) => Looked::Nothing,
            first => Looked::Something(Box::new(first)),
        };
        Self { begun, is_request, first: Some(first) }
    }

    /// An operation that somebody else writes.
    pub(crate) const fn queued(begun: Begun) -> Self {
        Self { begun, is_request: false, first: None }
    }
}

/// An operation that somebody waits for. He who stops before its end gives it up.
struct Wanted<'a, F: Face> {
    driver: &'a Driver<F>,
    begun: Begun,
    is_request: bool,
}

impl<F: Face> Drop for Wanted<'_, F> {
    fn drop(&mut self) {
        if self.driver.check_fork().is_ok() {
            self.driver.take_back_wait(self.begun, self.is_request);
        }
    }
}

/// The end of an operation that the thread has begun.
pub(crate) struct OwnEnd(pub(crate) Begun);

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
        if let Some(end) = driver.take_end(self.0) {
            return end.map(Some);
        }
        let mut state = driver.state();
        if let Some(Notify::Thread(known)) = state.core.user_mut(token, serial) {
            if let Some(waiter) = waiter {
                *known = Some(Arc::clone(waiter));
            }
            return Ok(None);
        }
        if let Some(end) = state.take_end(token, serial, 0) {
            return Ok(Some(end));
        }
        drop(state);
        // It may have come between the two looks.
        if let Some(end) = driver.take_end(self.0) {
            return end.map(Some);
        }
        // Nobody will ever say more.
        Err(driver.end_or(ErrorKind::LockGone))
    }

    fn read(&self, completion: Completion) -> Option<Completion> {
        Some(completion)
    }
}

impl<F: Face> Goal<F> for OthersEnd {
    type Got = Completion;

    fn look(
        &self,
        driver: &Driver<F>,
        waiter: Option<&Arc<Waiter>>,
    ) -> Result<Option<Completion>, ErrorKind> {
        let Begun { token, serial } = self.begun;
        let mut state = driver.state();
        if let Some(end) = state.take_end(token, serial, self.number) {
            return Ok(Some(end));
        }
        if !state.core.is_in_flight(token, serial) {
            drop(state);
            // Nobody will ever say more.
            return Err(driver.end_or(ErrorKind::LockGone));
        }
        if let (Some(waiter), Some(index)) = (waiter, state.observer(token, serial, self.number)) {
            if let Some(observer) = state.observers.get_mut(index) {
                observer.waiter = Some(Arc::clone(waiter));
            }
        }
        Ok(None)
    }

    fn runs_callbacks(&self) -> bool {
        !self.is_quiet
    }
}

impl<F: Face> Driver<F> {
    /// Looks for the end of an operation that the kernel has just accepted.
    pub(crate) fn finish(&self, ticket: &Ticket, id: Option<LockId>, is_request: bool) -> First<F> {
        let begun = Begun { token: ticket.token, serial: ticket.serial };
        Self::first_look(begun, is_request, self.read_own(ticket, id))
    }

    /// The same, of what there was to read first.
    pub(crate) fn first_look(
        begun: Begun,
        is_request: bool,
        first: Result<Read<F>, ErrorKind>,
    ) -> First<F> {
        match first {
            // What is left of it is dropped when nothing is locked.
            Ok(Read::Mine(completion, _left)) => Ok(completion),
            first => Err(Unfinished::after(begun, is_request, first)),
        }
    }

    /// Waits for the end of an operation after a first look at what there is to read.
    pub(crate) fn finish_with(
        &self,
        begun: Begun,
        first: Result<Read<F>, ErrorKind>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        self.wait_out(Self::first_look(begun, false, first), deadline)
    }

    /// The end of an operation, for which a thread waits that runs no callbacks meanwhile; as
    /// [`Driver::see_through`].
    #[inline]
    pub(crate) fn wait_out(
        &self,
        first: First<F>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        first.or_else(|unfinished| self.wait_out_slowly(unfinished, deadline))
    }

    #[inline(never)]
    fn wait_out_slowly(
        &self,
        unfinished: Unfinished<F>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        at_once(self.see_through(&Quiet, unfinished, deadline))
    }

    /// Waits for an operation that has begun. When the deadline has passed it is cancelled, and an
    /// operation that was granted all the same is granted. If the future is dropped before, the
    /// operation is given up: a request or conversion is taken back, and nobody is told.
    ///
    /// # Errors
    ///
    /// What keeps it from being awaited.
    pub async fn see_through(
        &self,
        host: &impl Host<F>,
        unfinished: Unfinished<F>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        let Unfinished { begun, is_request, first } = unfinished;
        let wanted = Wanted { driver: self, begun, is_request };
        let end = self.await_begun(host, begun, first, deadline).await;
        std::mem::forget(wanted);
        if end.is_err() && self.check_fork().is_ok() {
            let is_held = self.abandon(begun);
            self.release_unknown(begun, is_request && is_held && !F::HAS_HANDLES);
        }
        end
    }

    async fn await_begun(
        &self,
        host: &impl Host<F>,
        begun: Begun,
        first: Option<Looked<F>>,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        let has_looked = matches!(first, Some(Looked::Nothing));
        let read = match first {
            Some(Looked::Something(read)) => Some(*read),
            _ => None,
        };
        match read {
            Some(Ok(Read::Mine(completion, _left))) => return Ok(completion),
            Some(Ok(Read::Effects(effects))) => {
                self.apply_in_wait(host, *effects, self.runs_callbacks_in_waits()).await;
            }
            Some(Ok(Read::Due(due))) => {
                self.run_or_leave(host, due, self.runs_callbacks_in_waits()).await;
            }
            None | Some(Ok(Read::Handled | Read::Empty)) => {}
            Some(Err(kind)) => {
                // Somebody else may have read it.
                return self.take_end(begun).unwrap_or_else(|| Err(self.end_or(kind)));
            }
        }
        self.check_fork()?;
        self.await_end(host, begun, has_looked, deadline).await
    }

    /// `has_looked`: there was nothing to read since the operation was written.
    async fn await_end(
        &self,
        host: &impl Host<F>,
        begun: Begun,
        has_looked: bool,
        deadline: Option<Instant>,
    ) -> Result<Completion, ErrorKind> {
        let goal = OwnEnd(begun);
        let is_unlock = self.is_unlock(begun);
        if deadline.is_none() && is_unlock {
            return self.await_unlock(host, begun, has_looked).await;
        }
        if let Some(end) = self.wait_on(host, &goal, has_looked, deadline).await? {
            return Ok(end);
        }
        if is_unlock {
            return Err(ErrorKind::TimedOut("the unlock has not ended, and goes on by itself"));
        }
        self.cancel_overdue(begun);
        let end = self.wait_on(host, &goal, false, deadline_after(CANCEL_GRACE)).await?;
        if end.is_none() {
            // It may have begun only now.
            self.cancel_overdue(begun);
        }
        match end {
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

    /// Waits for an unlock as long as it takes, but not for a result that is lost. `has_looked` as in
    /// [`Driver::wait_on`].
    async fn await_unlock(
        &self,
        host: &impl Host<F>,
        begun: Begun,
        mut has_looked: bool,
    ) -> Result<Completion, ErrorKind> {
        loop {
            let limit = deadline_after(UNLOCK_PATIENCE);
            if let Some(end) = self.wait_on(host, &OwnEnd(begun), has_looked, limit).await? {
                return Ok(end);
            }
            has_looked = false;
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

    /// The thread that waited for this operation is gone. A request is taken back, also if it was
    /// granted without being told of that: nobody knows of the lock. So is a conversion that waits.
    fn take_back_wait(&self, begun: Begun, is_request: bool) {
        let Begun { token, serial } = begun;
        let is_unknown = is_request && self.state().take_held(begun);
        if is_unknown {
            self.release_unknown(begun, true);
        } else {
            if !self.is_unlock(begun) {
                self.state().core.want_cancel(token, serial, CancelKind::Plain);
                self.follow_up(token);
            }
            let is_held = self.abandon(begun);
            self.release_unknown(begun, is_request && is_held);
        }
        // It may have ended by this. An error is the next call's.
        let _ = self.read_all();
    }

    /// Lets go of a lock that nobody knows of, if it is one.
    fn release_unknown(&self, begun: Begun, is_unknown: bool) {
        if is_unknown {
            self.release(begun.token);
            self.see_to_left_overs();
        }
    }

    /// Waits for the end of an operation that somebody else has begun, until the deadline: `None`.
    ///
    /// # Errors
    ///
    /// The end of the lockspace, or of the lock.
    pub async fn await_others_on(
        &self,
        host: &impl Host<F>,
        observed: OthersEnd,
        deadline: Option<Instant>,
    ) -> Result<Option<Completion>, ErrorKind> {
        let watching = Watching(self, observed);
        let end = self.wait_on(host, &observed, false, deadline).await;
        if matches!(end, Ok(Some(_))) {
            std::mem::forget(watching);
        }
        end
    }

    /// As [`Driver::await_others_on`], for a thread that runs no callbacks meanwhile.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn await_others(
        &self,
        observed: OthersEnd,
        deadline: Option<Instant>,
    ) -> Result<Option<Completion>, ErrorKind> {
        at_once(self.await_others_on(&Quiet, observed, deadline))
    }

    /// Waits until a goal is reached, or until the deadline: `None`. The thread reads the device.
    pub(crate) fn wait_for<G: Goal<F>>(
        &self,
        goal: &G,
        deadline: Option<Instant>,
    ) -> Result<Option<G::Got>, ErrorKind> {
        at_once(self.wait_on(&Quiet, goal, false, deadline))
    }

    /// The same. `has_looked`: there was nothing to read since what is waited for was written. What comes
    /// after that is shown by the device to whoever sleeps there, so nothing is missed without another
    /// look.
    async fn wait_on<G: Goal<F>>(
        &self,
        host: &impl Host<F>,
        goal: &G,
        mut has_looked: bool,
        deadline: Option<Instant>,
    ) -> Result<Option<G::Got>, ErrorKind> {
        let runs_callbacks = goal.runs_callbacks() && self.runs_callbacks_in_waits();
        let mut place: Option<QueuePlace<'_>> = None;
        // The thread was woken by the device alone: what it finds there may be what it waits for.
        let mut sees_result = false;
        loop {
            // A callback may have forked, and this be the child.
            self.check_fork()?;
            if !has_looked && !sees_result {
                if let Some(got) = goal.look(self, None)? {
                    return Ok(Some(got));
                }
            }
            sees_result = false;
            let read = if has_looked { Ok(Read::Empty) } else { self.read(goal.role()) };
            has_looked = false;
            match read {
                Ok(Read::Mine(completion, left)) => {
                    drop(place);
                    drop(left);
                    return Ok(goal.read(completion));
                }
                Ok(Read::Handled) => continue,
                Ok(Read::Due(due)) => {
                    leave(&mut place);
                    self.run_or_leave(host, due, runs_callbacks).await;
                    continue;
                }
                Ok(Read::Effects(effects)) => {
                    if effects.runs_foreign_code() {
                        leave(&mut place);
                    }
                    self.apply_in_wait(host, *effects, runs_callbacks).await;
                    continue;
                }
                Ok(Read::Empty) => {}
                Err(kind) => {
                    drop(place);
                    // What has come before the end counts.
                    return match goal.look(self, None) {
                        Ok(Some(got)) => Ok(Some(got)),
                        _ => Err(kind),
                    };
                }
            }
            if runs_callbacks {
                if let Some(due) = self.due.pop() {
                    leave(&mut place);
                    host.run(self, due).await;
                    continue;
                }
            }
            if self.has_overdue() {
                leave(&mut place);
                self.serve_alarms()?;
                continue;
            }
            if deadline.is_some_and(|at| time_left(at).is_zero()) {
                return Ok(None);
            }
            let place = place.get_or_insert_with(|| QueuePlace::new(&self.waits));
            let leads = place.try_lead();
            // Somebody else may have brought it before this thread could be told.
            if let Some(got) = goal.look(self, Some(&place.waiter))? {
                return Ok(Some(got));
            }
            self.slot.get()?;
            if leads {
                sees_result = !self.sleep_at_device(host, place, deadline).await?;
            } else {
                host.sleep_until_woken(&place.waiter, deadline).await;
            }
        }
    }

    /// Whether this thread runs callbacks that are due while it waits.
    fn runs_callbacks_in_waits(&self) -> bool {
        F::RUNS_IN_WAITS && !self.delivery.is_elsewhere()
    }

    async fn run_or_leave(&self, host: &impl Host<F>, due: Due<F>, runs_callbacks: bool) {
        if runs_callbacks && self.due.is_empty() {
            host.run(self, due).await;
        } else {
            // Those that were read before come first.
            self.leave_due(due);
        }
    }

    /// Others' wakers are left to those who run callbacks: one that takes its time would hold up what
    /// this thread waits for.
    async fn apply_in_wait(
        &self,
        host: &impl Host<F>,
        mut effects: Effects<F>,
        runs_callbacks: bool,
    ) {
        if let Some(waker) = effects.task.take() {
            self.leave_due(Due::Wake(waker));
        }
        if let Some(due) = self.apply(effects, runs_callbacks) {
            host.run(self, due).await;
        }
    }

    /// The leader sleeps until there is something to read, somebody wakes it, or time is up. Tells whether
    /// somebody may have woken it.
    async fn sleep_at_device(
        &self,
        host: &impl Host<F>,
        place: &QueuePlace<'_>,
        deadline: Option<Instant>,
    ) -> Result<bool, ErrorKind> {
        let device = self.slot.get()?;
        let wake_leader = self.waits.wake_leader.get().ok();
        if !place.begin_sleep() {
            return Ok(true);
        }
        let mut until = earliest(deadline, self.next_alarm());
        if wake_leader.is_none() {
            until = earliest(until, deadline_after(SLICE));
        }
        let source = wake_leader.map(AsFd::as_fd);
        let slept = self.sleep(host, &device, true, source.as_slice(), until).await;
        place.waiter.end_sleep();
        let is_woken = slept?;
        if let (true, Some(wake_leader)) = (is_woken, wake_leader) {
            // It may have been set for a leader that was gone already.
            wake_leader.clear();
        }
        Ok(is_woken || wake_leader.is_none())
    }
}

/// Gives up the place among the waiting, if the thread has one.
fn leave(place: &mut Option<QueuePlace<'_>>) {
    if let Some(place) = place {
        place.leave();
    }
}

/// An operation that is watched until this is dropped.
struct Watching<'a, F: Face>(&'a Driver<F>, OthersEnd);

impl<F: Face> Drop for Watching<'_, F> {
    fn drop(&mut self) {
        let Self(driver, observed) = self;
        if driver.check_fork().is_ok() {
            driver.state().look_away(*observed);
        }
    }
}
