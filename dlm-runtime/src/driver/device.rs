//! The device of an open lockspace, with a way to take it from under its users.

use std::sync::Arc;
use std::time::Instant;

use dlm_proto::{Abi, Command, MAX_RESULT_LEN, Minor};
use dlm_sys::Accepted;

#[cfg(not(dlm_model))]
use super::signal::Signal;
use super::signal::{AsFd, Source};
#[cfg(not(dlm_model))]
use crate::backend::BackendDevice;
use crate::error::ErrorKind;
#[cfg(not(dlm_model))]
use crate::threads::MutexGuard;
use crate::threads::{Condvar, Mutex, lock, time_left, wait_until};

#[cfg(dlm_model)]
pub(crate) use crate::model::device::{LazyRemovalWatch, LockspaceDevice};
#[cfg(not(dlm_model))]
pub(crate) use dlm_sys::{LazyRemovalWatch, LockspaceDevice};

/// A lockspace's device.
#[derive(Debug)]
pub(crate) struct Device {
    kind: Kind,
    /// The last field: it tells that the others are closed.
    notify: NotifyOnDrop,
}

/// Whose device it is. The kernel's is used without an indirection.
#[derive(Debug)]
enum Kind {
    /// The device and the watch for its removal, which is made when somebody first sleeps.
    Kernel(LockspaceDevice, LazyRemovalWatch),
    #[cfg(not(dlm_model))]
    Other(Arc<dyn BackendDevice>),
}

/// Calls the same thing on either kind.
macro_rules! on_either {
    ($kind:expr, ($device:pat, $removal:pat) => $kernel:expr, $other:ident => $call:expr) => {
        match $kind {
            Kind::Kernel($device, $removal) => $kernel,
            #[cfg(not(dlm_model))]
            Kind::Other($other) => $call,
        }
    };
}

impl Device {
    pub(crate) fn of_kernel(device: LockspaceDevice) -> Self {
        Self::of(Kind::Kernel(device, LazyRemovalWatch::new()))
    }

    #[cfg(not(dlm_model))]
    pub(crate) fn of_other(device: Box<dyn BackendDevice>) -> Self {
        Self::of(Kind::Other(device.into()))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, notify: NotifyOnDrop(Arc::default()) }
    }

    /// The device of a forked child. What the parent's other threads held of this one, nobody lets
    /// go of there. Without a descriptor for that it is the same.
    #[cfg(not(dlm_model))]
    pub(crate) fn in_child(this: Arc<Self>) -> Arc<Self> {
        let taken = match &this.kind {
            Kind::Kernel(device, _) => Signal::new()
                .ok()
                .and_then(|nothing| Some(Self::of_kernel(device.take_out(nothing.as_fd()).ok()?))),
            Kind::Other(other) => Some(Self::of(Kind::Other(Arc::clone(other)))),
        };
        taken.map_or(this, Arc::new)
    }

    pub(crate) fn abi(&self) -> Abi {
        on_either!(&self.kind, (device, _) => device.abi(), other => other.abi())
    }

    pub(crate) fn minor(&self) -> Minor {
        on_either!(&self.kind, (device, _) => device.minor(), other => other.minor())
    }

    /// Writes a request. Blocks while the lockspace is stopped.
    #[inline]
    pub(crate) fn submit(
        &self,
        command: Command,
        request: &[u8],
    ) -> Result<Accepted, dlm_sys::Error> {
        on_either!(
            &self.kind,
            (device, _) => device.submit(command, request),
            other => other.submit(command, request)
        )
    }

    /// Whether two requests at the same time can make two resources of one name.
    pub(crate) fn first_requests_can_meet(&self) -> bool {
        match &self.kind {
            // The lockspace of a schedule has one table under one lock.
            #[cfg(dlm_model)]
            Kind::Kernel(..) => false,
            #[cfg(not(dlm_model))]
            Kind::Kernel(..) => dlm_sys::first_requests_can_meet(),
            #[cfg(not(dlm_model))]
            Kind::Other(other) => other.first_requests_can_meet(),
        }
    }

    /// Takes what keeps this open device apart from the others of the node, if it is free.
    #[inline]
    pub(crate) fn try_lock_node(&self) -> Result<bool, dlm_sys::Error> {
        on_either!(&self.kind, (device, _) => device.try_lock_node(), other => other.try_lock_node())
    }

    #[inline]
    pub(crate) fn unlock_node(&self) {
        on_either!(&self.kind, (device, _) => device.unlock_node(), other => other.unlock_node());
    }

    /// Reads one result, if there is one.
    #[inline]
    pub(crate) fn read_result(
        &self,
        buffer: &mut [u8; MAX_RESULT_LEN],
    ) -> Result<Option<usize>, dlm_sys::Error> {
        on_either!(
            &self.kind,
            (device, _) => device.read_result(buffer),
            other => other.read_result(buffer)
        )
    }

    /// Readable while there are results.
    #[inline]
    pub(crate) fn results(&self) -> Source<'_> {
        on_either!(&self.kind, (device, _) => device.as_fd(), other => other.results())
    }

    /// Gives the node these permissions; 0 leaves it as it is, as C libdlm does.
    pub(crate) fn set_permissions(&self, mode: u32) -> Result<(), dlm_sys::Error> {
        if mode == 0 {
            return Ok(());
        }
        on_either!(
            &self.kind,
            (device, _) => device.set_permissions(mode),
            other => other.set_permissions(mode)
        )
    }

    /// Readable when [`Device::was_removed`] is worth a call.
    #[inline]
    pub(crate) fn removal(&self) -> Result<Source<'_>, dlm_sys::Error> {
        Ok(on_either!(
            &self.kind,
            (device, removal) => removal.get(device)?.as_fd(),
            other => other.removal()
        ))
    }

    pub(crate) fn was_removed(&self) -> Result<bool, dlm_sys::Error> {
        on_either!(
            &self.kind,
            (device, removal) => removal.check(device),
            other => other.was_removed()
        )
    }
}

/// The reason why a lockspace cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// By its user.
    Closed,
    /// By somebody else.
    Removed,
    /// Its results cannot be read any more.
    Failed(dlm_sys::Error),
}

impl From<CloseReason> for ErrorKind {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Closed => Self::Closed,
            CloseReason::Removed => Self::Removed,
            CloseReason::Failed(error) => Self::Device(error),
        }
    }
}

/// Tells that a device was closed.
#[derive(Debug, Default)]
struct CloseLatch {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

/// Part of a device, and dropped last.
#[derive(Debug)]
struct NotifyOnDrop(Arc<CloseLatch>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        *lock(&self.0.is_closed) = true;
        self.0.changed.notify_all();
    }
}

/// The place where the users of a device get it, for the time of one call.
///
/// The kernel releases locks and lets a lockspace be removed only when the device is closed, so
/// closing must not wait for the last forgotten handle: the slot is emptied, and the device is
/// closed when the calls that use it have returned.
pub(crate) struct Slot {
    device: Mutex<Result<Arc<Device>, CloseReason>>,
    closing: Arc<CloseLatch>,
}

impl Slot {
    pub(crate) fn new(device: Device) -> Self {
        Self::of(Ok(Arc::new(device)))
    }

    pub(crate) fn of(device: Result<Arc<Device>, CloseReason>) -> Self {
        let closing = match &device {
            Ok(device) => Arc::clone(&device.notify.0),
            Err(_) => Arc::new(CloseLatch { is_closed: Mutex::new(true), ..CloseLatch::default() }),
        };
        Self { device: Mutex::new(device), closing }
    }

    /// The device, which nobody takes away meanwhile.
    #[cfg(not(dlm_model))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Result<Arc<Device>, CloseReason>> {
        lock(&self.device)
    }

    #[inline]
    pub(crate) fn get(&self) -> Result<Arc<Device>, CloseReason> {
        lock(&self.device).clone()
    }

    /// Takes the device away. The first reason stays: `None`. What is returned closes the device
    /// when it is dropped, unless that is in use. Closing blocks while the lockspace is stopped.
    pub(crate) fn empty(&self, why: CloseReason) -> Option<Arc<Device>> {
        let mut device = lock(&self.device);
        match *device {
            Ok(_) => std::mem::replace(&mut *device, Err(why)).ok(),
            Err(_) => None,
        }
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
