//! The table: the core, and what is counted and kept under the same lock.

use std::sync::Arc;

use dlm_core::{Core, Ended, Failure, Lvb, Moved, Time};
use dlm_proto::Token;

use super::begun::Begun;
use super::device::Device;
use super::face::{Face, Notify};
use super::timers::Timers;
use super::wait_queue::Waiter;
use crate::event::Completion;
use crate::trace::Clock;

/// The core, and what the driver counts under the same lock.
pub struct State<F: Face> {
    /// The core.
    pub core: Core<Notify<F>, F::Lock>,
    /// Operations whose end is for others than a thread that waits for it.
    pub(crate) delivered: usize,
    /// Threads that wait for operations of others. There is none, as a rule.
    pub(crate) observers: Vec<Observer>,
    /// The number of the last observer.
    pub(crate) last_observer: u64,
    /// The time when operations began, for those who trace.
    pub(crate) clock: Clock,
    /// The tasks that wait for a time.
    pub(crate) timers: Timers,
    /// That of [`Slot`](super::device::Slot), for who has the table locked anyway.
    pub(crate) device: Option<Arc<Device>>,
}

/// A thread that waits for the end of an operation that is not its own, or for whom the end of its
/// own cannot be kept with the lock, as that goes on without it.
pub(crate) struct Observer {
    pub(crate) token: Token,
    pub(crate) serial: u64,
    /// Tells the observers of an operation apart; 0 for the thread whose operation it is.
    pub(crate) number: u64,
    pub(crate) waiter: Option<Arc<Waiter>>,
    pub(crate) end: Option<Completion>,
}

impl Observer {
    pub(crate) fn of_end(token: Token, serial: u64, end: &Completion) -> Self {
        Self { token, serial, number: 0, waiter: None, end: Some(*end) }
    }
}

/// The end of an operation that somebody else has begun.
#[derive(Debug, Clone, Copy)]
pub struct OthersEnd {
    pub(super) begun: Begun,
    /// Tells it from other observers of the same operation.
    pub(super) number: u64,
    pub(super) is_quiet: bool,
}

impl OthersEnd {
    /// The thread that waits runs no callbacks meanwhile.
    #[must_use]
    pub const fn quiet(self) -> Self {
        Self { is_quiet: true, ..self }
    }
}

impl<F: Face> State<F> {
    pub(crate) fn new(core: Core<Notify<F>, F::Lock>) -> Self {
        Self {
            core,
            delivered: 0,
            observers: Vec::new(),
            last_observer: 0,
            clock: Default::default(),
            timers: Timers::default(),
            device: None,
        }
    }

    /// What was kept for an operation is handed out.
    #[inline]
    pub(crate) fn handed_out(&mut self, user: Option<&Notify<F>>) {
        if user.is_some_and(Notify::needs_delivery) {
            self.delivered -= 1;
        }
    }

    /// An operation has failed without a result, and what was kept for it was handed out just now.
    /// Its end is kept for the thread or task that waits for it, which may look any moment.
    pub(crate) fn fail(&mut self, begun: Begun, user: Option<&Notify<F>>, failure: Failure) {
        self.handed_out(user);
        if matches!(user, Some(Notify::Thread(_) | Notify::Task(_))) {
            self.core.keep(begun.token, begun.serial, Err(failure));
        }
    }

    /// The time when something is overdue.
    pub(crate) fn next_alarm(&self) -> Option<Time> {
        let next = self.core.next_alarm();
        match self.timers.next() {
            Some(timer) => Some(next.map_or(timer, |next| next.min(timer))),
            None => next,
        }
    }

    /// Whether somebody must read results who does not wait for one himself: a delivery thread, or
    /// whoever dispatches.
    #[inline]
    pub(crate) fn interest(&self) -> usize {
        self.awaited() + self.core.left_over()
    }

    /// The same without what is left over, which a thread of its own sees to: nobody else is told
    /// of that, so it may be there while the others sleep.
    #[inline]
    pub(crate) fn awaited(&self) -> usize {
        self.delivered + self.core.noticed()
    }
}

/// Those who observe an operation.
impl<F: Face> State<F> {
    /// The completion that is told of an end.
    #[inline]
    pub(crate) fn completion(&self, token: Token, ended: &Ended) -> Completion {
        let lvb = if ended.moved == Moved::Nothing { None } else { self.core.lvb(token) };
        completion(ended, lvb)
    }

    /// Tells the observers of an operation that it has ended.
    pub(crate) fn tell_observers(
        &mut self,
        token: Token,
        serial: u64,
        completion: &Completion,
        threads: &mut Vec<Arc<Waiter>>,
    ) {
        let of = |observer: &&mut Observer| observer.token == token && observer.serial == serial;
        for observer in self.observers.iter_mut().filter(of) {
            if observer.end.is_none() {
                observer.end = Some(*completion);
                threads.extend(observer.waiter.take());
            }
        }
    }

    pub(crate) fn observer(&self, token: Token, serial: u64, number: u64) -> Option<usize> {
        self.observers.iter().position(|other| {
            other.number == number && other.token == token && other.serial == serial
        })
    }

    /// Takes the end of an operation that was kept for an observer.
    pub(crate) fn take_end(
        &mut self,
        token: Token,
        serial: u64,
        number: u64,
    ) -> Option<Completion> {
        let index = self.observer(token, serial, number)?;
        let end = self.observers.get(index)?.end?;
        self.observers.swap_remove(index);
        Some(end)
    }

    /// Takes the end of an operation of a thread or task, if it has come. Tells whether the lock is held
    /// since.
    pub(crate) fn take_held(&mut self, begun: Begun) -> bool {
        let Begun { token, serial } = begun;
        let outcome = self.core.take_outcome(token, serial);
        let end = self.take_end(token, serial, 0);
        let is_granted = |(ended, _): (Ended, _)| ended.mode.is_some();
        outcome.is_some_and(|outcome| outcome.is_ok_and(is_granted))
            || end.is_some_and(|end| end.mode.is_some())
    }

    /// Watches the operation of this number, for [`Driver::await_others`], which must follow.
    #[must_use]
    pub fn observe(&mut self, begun: Begun) -> OthersEnd {
        let Begun { token, serial } = begun;
        self.last_observer += 1;
        let number = self.last_observer;
        self.observers.push(Observer { token, serial, number, waiter: None, end: None });
        OthersEnd { begun, number, is_quiet: false }
    }

    /// Whether that operation has ended, and its end is there to be taken.
    #[must_use]
    pub fn has_ended(&self, observed: OthersEnd) -> bool {
        let Begun { token, serial } = observed.begun;
        let index = self.observer(token, serial, observed.number);
        index.and_then(|index| self.observers.get(index)).is_some_and(|it| it.end.is_some())
    }

    /// Ends that.
    pub fn look_away(&mut self, observed: OthersEnd) {
        let Begun { token, serial } = observed.begun;
        if let Some(index) = self.observer(token, serial, observed.number) {
            self.observers.swap_remove(index);
        }
    }
}

/// The completion that is told of an end.
#[inline]
pub(crate) const fn completion(ended: &Ended, lvb: Option<Lvb>) -> Completion {
    Completion { status: ended.status, flags: ended.flags, mode: ended.mode, lvb }
}
