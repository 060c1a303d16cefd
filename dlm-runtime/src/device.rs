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
    /// The last field: it tells that the others are closed.
    tells: Tells,
}

impl Device {
    pub(crate) fn new(kernel: LockspaceDevice) -> Result<Self, dlm_sys::Error> {
        let removal = RemovalWatch::new(&kernel)?;
        Ok(Self { kernel, removal, tells: Tells(Arc::default()) })
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

/// Tells that a device was closed.
#[derive(Debug, Default)]
struct Closing {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

/// Part of a device, and dropped last.
#[derive(Debug)]
struct Tells(Arc<Closing>);

impl Drop for Tells {
    fn drop(&mut self) {
        *lock(&self.0.is_closed) = true;
        self.0.changed.notify_all();
    }
}

/// Where the users of a device get it, for the time of one call.
///
/// The kernel releases locks and lets a lockspace be removed only when the device is closed, so
/// closing must not wait for the last forgotten handle: the slot is emptied, and the device is
/// closed when the calls that use it have returned.
pub(crate) struct Slot {
    device: Mutex<Result<Arc<Device>, Gone>>,
    closing: Arc<Closing>,
}

impl Slot {
    pub(crate) fn new(device: Device) -> Self {
        let closing = Arc::clone(&device.tells.0);
        Self { device: Mutex::new(Ok(Arc::new(device))), closing }
    }

    #[inline]
    pub(crate) fn get(&self) -> Result<Arc<Device>, Gone> {
        lock(&self.device).clone()
    }

    /// Takes the device away. The first reason stays.
    pub(crate) fn empty(&self, why: Gone) {
        let taken = {
            let mut device = lock(&self.device);
            match *device {
                Ok(_) => std::mem::replace(&mut *device, Err(why)),
                Err(_) => return,
            }
        };
        // Closed here unless it is in use. Closing blocks while the lockspace is stopped.
        drop(taken);
    }

    /// Waits until the device is closed, after it was taken away. `false`: time ran out.
    pub(crate) fn wait_closed(&self, deadline: Option<Instant>) -> bool {
        let mut is_closed = lock(&self.closing.is_closed);
        while !*is_closed {
            if deadline.is_some_and(|at| time_left(at).is_zero()) {
                return false;
            }
            is_closed = wait_until(&self.closing.changed, is_closed, deadline);
        }
        true
    }
}
