//! The operation of the lock manager that is in flight for a resource.

use super::machine::Action;
use crate::driver::Begun;
use crate::error::ErrorKind;
use crate::event::Completion;

/// The operation in flight, if there is one. It is over when both the call that began it has returned,
/// and its end is known; the end may be read before, by another thread.
#[derive(Debug)]
pub(super) struct Flight {
    number: u32,
    current: Option<Box<Current>>,
}

#[derive(Debug)]
struct Current {
    action: Action,
    begun: Option<Begun>,
    end: Option<Completion>,
    /// It is to be cancelled as soon as it can be.
    cancel: bool,
}

/// How the operation went.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) action: Action,
    pub(super) how: Result<(Begun, Completion), ErrorKind>,
}

impl Flight {
    /// None, after an operation of this number.
    pub(super) const fn after(number: u32) -> Self {
        Self { number, current: None }
    }

    /// Its number among all operations of the resource.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// Whether there is none.
    pub(super) const fn is_over(&self) -> bool {
        self.current.is_none()
    }

    /// The next operation.
    pub(super) fn next(&mut self, action: Action) {
        let current = Current { action, begun: None, end: None, cancel: false };
        self.number = self.number.wrapping_add(1);
        self.current = Some(Box::new(current));
    }

    /// Nothing is heard of the operation any more. The lock of a request that has begun.
    pub(super) fn give_up(&mut self) -> Option<Begun> {
        self.number = self.number.wrapping_add(1);
        self.current.take()?.begun
    }

    /// The one in flight, if it is this one.
    fn of(&mut self, number: u32) -> Option<&mut Current> {
        self.current.as_deref_mut().filter(|_| self.number == number)
    }

    /// The call that began it has returned. `false`: it was given up meanwhile.
    pub(super) fn begun(&mut self, number: u32, begun: Begun) -> bool {
        let current = self.of(number);
        let is_it = current.is_some();
        if let Some(current) = current {
            current.begun = Some(begun);
        }
        is_it
    }

    /// Its end is known.
    pub(super) fn ended(&mut self, number: u32, end: Completion) {
        if let Some(current) = self.of(number) {
            current.end = Some(end);
        }
    }

    /// It has not begun, for this reason.
    pub(super) fn failed(&mut self, number: u32, why: ErrorKind) -> Option<Landed> {
        let action = self.of(number)?.action;
        self.current = None;
        Some(Landed { action, how: Err(why) })
    }

    /// Notes that it is to be cancelled. Its lock, if it can be cancelled now.
    pub(super) fn cancel(&mut self) -> Option<Begun> {
        let current = self.current.as_deref_mut()?;
        current.cancel = current.begun.is_none();
        current.begun
    }

    /// What was to be cancelled before the call that began it had returned.
    pub(super) fn take_cancel(&mut self) -> Option<Begun> {
        let current = self.current.as_deref_mut()?;
        let begun = current.begun?;
        std::mem::take(&mut current.cancel).then_some(begun)
    }

    /// How it went, if it is over.
    pub(super) fn land(&mut self) -> Option<Landed> {
        let Current { action, begun, end, .. } = self.current.as_deref()?;
        let action = *action;
        let how = Ok(((*begun)?, (*end)?));
        self.current = None;
        Some(Landed { action, how })
    }
}
