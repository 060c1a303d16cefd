//! The operation of the lock manager that is in flight for a resource.

use super::machine::Action;
use crate::driver::Begun;
use crate::error::ErrorKind;
use crate::event::Completion;

/// The operation in flight. It is over when both the call that began it has returned, and its end is
/// known; the end may be read before, by another thread.
#[derive(Debug, Default)]
pub(super) struct Flight {
    number: u32,
    action: Option<Action>,
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
    /// Its number among all operations of the resource.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The next operation.
    pub(super) fn next(&mut self, action: Action) {
        let number = self.number.wrapping_add(1);
        *self = Self { number, action: Some(action), ..Self::default() };
    }

    /// Nothing is heard of the operation any more. The lock of a request that has begun.
    pub(super) fn give_up(&mut self) -> Option<Begun> {
        let Self { begun, number, .. } = std::mem::take(self);
        self.number = number.wrapping_add(1);
        begun
    }

    /// The call that began it has returned. `false`: it was given up meanwhile.
    pub(super) fn begun(&mut self, number: u32, begun: Begun) -> bool {
        let is_it = self.number == number;
        if is_it {
            self.begun = Some(begun);
        }
        is_it
    }

    /// Its end is known.
    pub(super) fn ended(&mut self, number: u32, end: Completion) {
        if self.number == number && self.action.is_some() {
            self.end = Some(end);
        }
    }

    /// It has not begun, for this reason.
    pub(super) fn failed(&mut self, number: u32, why: ErrorKind) -> Option<Landed> {
        let action = self.action.take().filter(|_| self.number == number)?;
        self.begun = None;
        Some(Landed { action, how: Err(why) })
    }

    /// Notes that it is to be cancelled. Its lock, if it can be cancelled now.
    pub(super) fn cancel(&mut self) -> Option<Begun> {
        match self.begun {
            Some(begun) => Some(begun),
            None => {
                self.cancel = self.action.is_some();
                None
            }
        }
    }

    /// What was to be cancelled before the call that began it had returned.
    pub(super) fn take_cancel(&mut self) -> Option<Begun> {
        let begun = self.begun?;
        std::mem::take(&mut self.cancel).then_some(begun)
    }

    /// How it went, if it is over.
    pub(super) fn land(&mut self) -> Option<Landed> {
        let (begun, end) = (self.begun?, self.end?);
        let action = self.action.take()?;
        (self.begun, self.end, self.cancel) = (None, None, false);
        Some(Landed { action, how: Ok((begun, end)) })
    }
}
