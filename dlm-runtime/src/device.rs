//! The device of an open lockspace, with a way to take it from under its users.

use std::sync::Arc;
use std::time::Instant;

use dlm_proto::{Command, MAX_RESULT_LEN};
use dlm_sys::Accepted;

use crate::error::ErrorKind;
use crate::signal::{AsFd, Source};
use crate::sync::{Condvar, Mutex, lock, time_left, wait_until};

#[cfg(dlm_model)]
pub(crate) use crate::model::device::{LockspaceDevice, RemovalWatch};
#[cfg(not(dlm_model))]
pub(crate) use dlm_sys::{LockspaceDevice, RemovalWatch};

/// A lockspace's device and the watch on its node.
#[derive(Debug)]
pub(crate) struct Device {
    kernel: LockspaceDevice,
    removal: RemovalWatch,
}

impl Device {
    pub(crate) fn new(kernel: LockspaceDevice) -> Result<Self, dlm_sys::Error> {
        let removal = RemovalWatch::new(&kernel)?;
        Ok(Self { kernel, removal })
    }

    /// Writes a request. Blocks while the lockspace is stopped.
    pub(crate) fn submit(
        &self,
        command: Command,
        request: &[u8],
    ) -> Result<Accepted, dlm_sys::Error> {
        self.kernel.submit(command, request)
    }

    /// Reads one result, if there is one.
    pub(crate) fn read_result(
        &self,
        buffer: &mut [u8; MAX_RESULT_LEN],
    ) -> Result<Option<usize>, dlm_sys::Error> {
        self.kernel.read_result(buffer)
    }

    /// Readable while there are results.
    pub(crate) fn results(&self) -> Source<'_> {
        self.kernel.as_fd()
    }

    pub(crate) fn set_permissions(&self, mode: u32) -> Result<(), dlm_sys::Error> {
        self.kernel.set_permissions(mode)
    }

    /// Readable when [`Device::was_removed`] is worth a call.
    pub(crate) fn removal(&self) -> Source<'_> {
        self.removal.as_fd()
    }

    pub(crate) fn was_removed(&self) -> Result<bool, dlm_sys::Error> {
        self.removal.check(&self.kernel)
    }
}

/// Why a lockspace cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    Closed,
    Removed,
}

impl From<Gone> for ErrorKind {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Closed => Self::Closed,
            Gone::Removed => Self::Removed,
        }
    }
}

struct State {
    device: Result<Arc<Device>, Gone>,
    users: usize,
}

/// Where the users of a device get it, for the time of one call.
///
/// The kernel releases locks and lets a lockspace be removed only when the device is closed, so
/// closing must not wait for the last forgotten handle: the slot is emptied, and the device is
/// closed when the calls that use it have returned.
pub(crate) struct Slot {
    state: Mutex<State>,
    idle: Condvar,
}

impl Slot {
    pub(crate) fn new(device: Device) -> Self {
        Self {
            state: Mutex::new(State { device: Ok(Arc::new(device)), users: 0 }),
            idle: Condvar::new(),
        }
    }

    pub(crate) fn get(&self) -> Result<InUse<'_>, Gone> {
        let mut state = lock(&self.state);
        let device = Some(Arc::clone(state.device.as_ref().map_err(|gone| *gone)?));
        state.users += 1;
        Ok(InUse { slot: self, device })
    }

    /// Takes the device away. The first reason stays.
    pub(crate) fn empty(&self, why: Gone) {
        let taken = {
            let mut state = lock(&self.state);
            match state.device {
                Ok(_) => std::mem::replace(&mut state.device, Err(why)),
                Err(_) => return,
            }
        };
        // Closed here unless it is in use. Closing blocks while the lockspace is stopped.
        drop(taken);
    }

    /// Waits until nobody uses the device any more. `false`: time ran out.
    pub(crate) fn wait_idle(&self, deadline: Option<Instant>) -> bool {
        let mut state = lock(&self.state);
        while state.users > 0 {
            if deadline.is_some_and(|at| time_left(at).is_zero()) {
                return false;
            }
            state = wait_until(&self.idle, state, deadline);
        }
        true
    }
}

/// A device for the time of one call.
pub(crate) struct InUse<'a> {
    slot: &'a Slot,
    /// Always there until the drop.
    device: Option<Arc<Device>>,
}

impl InUse<'_> {
    pub(crate) fn device(&self) -> Result<&Device, Gone> {
        self.device.as_deref().ok_or(Gone::Closed)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        // The device goes first: an idle slot means that it is closed.
        self.device = None;
        let mut state = lock(&self.slot.state);
        state.users -= 1;
        if state.users == 0 && state.device.is_err() {
            self.slot.idle.notify_all();
        }
    }
}
