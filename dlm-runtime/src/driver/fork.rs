//! The fork of a process with an open lockspace.
//!
//! Other threads may be anywhere in the driver then, with locks that nobody lets go of in the
//! child. So the thread that forks takes what is to go on in the child before the fork, and there
//! moves it to a driver of its own, with threads, locks and descriptors that are new. The old one
//! is not touched again in the child: a frame of its, in which a callback has forked, returns at
//! once.

use std::collections::VecDeque;
use std::sync::Arc;

use dlm_core::Core;

use super::device::{CloseReason, Device, Slot};
use super::due::DueQueue;
use super::face::{Due, Face, Notify};
use super::shared::{Driver, Parts};
use super::state::State;
use crate::threads::MutexGuard;

/// An open lockspace whose process is about to fork. Nobody else changes it meanwhile.
pub struct Frozen<'a, F: Face> {
    driver: &'a Driver<F>,
    device: MutexGuard<'a, Result<Arc<Device>, CloseReason>>,
    due: MutexGuard<'a, VecDeque<Due<F>>>,
    state: MutexGuard<'a, State<F>>,
}

impl<F: Face> Driver<F> {
    /// Waits until nobody changes what is to go on in a forked child, and keeps it so.
    pub fn freeze(&self) -> Frozen<'_, F> {
        // None of these is ever locked by who has one of the others.
        let (device, due, state) = (self.slot.lock(), self.due.lock(), self.state());
        Frozen { driver: self, device, due, state }
    }
}

impl<F: Face> Frozen<'_, F> {
    /// Goes on in the parent: another process may read results of this one from now on.
    pub fn thaw(mut self) {
        self.state.core.set_shared();
    }

    /// Goes on in the child, with what is returned. The other driver must not be used any more:
    /// what is frozen of it stays so.
    #[must_use]
    pub fn in_child(mut self) -> Arc<Driver<F>> {
        let driver = self.driver;
        let device = std::mem::replace(&mut *self.device, Err(CloseReason::Closed));
        let gone = State::new(Core::new(driver.core_options));
        let mut state = std::mem::replace(&mut *self.state, gone);
        let due = DueQueue::of(std::mem::take(&mut *self.due));
        std::mem::forget(self);

        let left = state.core.set_child(std::process::id());
        for user in &left.0 {
            state.handed_out(Some(user));
        }
        state.observers.clear();
        // The threads that wait are the parent's.
        state.core.for_each_user(|user| {
            if let Notify::Thread(waiter) = user {
                std::mem::forget(waiter.take());
            }
        });
        let new = Driver::of(Parts {
            writer: None,
            name: driver.name.clone(),
            minor: driver.minor,
            manager: driver.manager.clone(),
            core_options: driver.core_options,
            has_threads: driver.has_threads,
            start: driver.start,
            slot: Slot::of(device.map(Device::in_child)),
            first_requests: driver.first_requests.in_child(),
            state,
            due,
            readiness: driver.readiness.in_child(),
            settle: driver.settle,
            attend: driver.attend,
        });
        new.guarded(move || drop(left));
        if !new.due.is_empty() {
            new.readiness.raise();
        }
        if new.readiness.made().is_some() {
            // Whoever has the number may look at it before any call.
            new.readiness.watch(&new.slot, || None);
        }
        new
    }
}
