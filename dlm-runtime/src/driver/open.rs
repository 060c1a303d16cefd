//! Opening and closing a lockspace for a face.

#[cfg(not(dlm_model))]
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use dlm_core::{Core, Options, Rules};
use dlm_proto::{LockspaceFlags, LockspaceName, Minor, RemoveFlags};

use super::attend::attend;
use super::delivery::Control;
use super::device::{CloseReason, Device, Slot};
use super::due::DueQueue;
use super::face::Face;
use super::first::{FirstRequests, KeepApart};
use super::readiness::Readiness;
use super::settle::settle;
use super::shared::{Driver, Parts};
use super::state::State;
use super::writer::Writer;
use crate::control::{self, Manager};
use crate::error::ErrorKind;
use crate::threads::{deadline_after, now};

/// The longest time that a device node may take to appear.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a driver is made with.
pub struct DriverOptions {
    /// Requests for futures and unlocks of dropped locks are written by a thread of their own.
    pub background_writes: bool,
    /// Whether first requests for a resource are kept apart (#two-resources-of-one-name).
    pub keep_apart: KeepApart,
    /// The set of rules for what may be asked for.
    pub rules: Rules,
    /// Locks are known by the kernel's ids.
    pub has_ids: bool,
    /// The driver may start threads for what is left over.
    pub has_threads: bool,
}

impl<F: Face> Driver<F> {
    /// A driver of a device.
    pub(crate) fn new(
        name: LockspaceName,
        device: Device,
        manager: Manager,
        options: &DriverOptions,
    ) -> Result<Arc<Self>, ErrorKind> {
        let writer = if options.background_writes { Some(Writer::start()?) } else { None };
        let first_requests = FirstRequests::new(options.keep_apart, &device);
        let core_options = Options {
            abi: device.abi(),
            owner: std::process::id(),
            rules: options.rules,
            has_ids: options.has_ids,
            has_names: first_requests.is_wanted(),
        };
        Ok(Self::of(Parts {
            writer,
            name,
            minor: device.minor(),
            manager,
            core_options,
            has_threads: options.has_threads,
            start: now(),
            slot: Slot::new(device),
            first_requests,
            state: State::new(Core::new(core_options)),
            due: DueQueue::default(),
            readiness: Readiness::default(),
            settle,
            attend,
        }))
    }

    /// Opens a lockspace that exists on this node.
    ///
    /// # Errors
    ///
    /// A bad name, no such lockspace, no permission for its device.
    pub fn open(
        manager: &Manager,
        name: &[u8],
        options: &DriverOptions,
    ) -> Result<Arc<Self>, ErrorKind> {
        Self::attach(manager, LockspaceName::new(name)?, None, options)
    }

    /// Creates a lockspace on this node, or takes one more reference of it, and opens it. Waits for
    /// the cluster as long as it takes. `permissions` are given to the node of a lockspace that did
    /// not exist; those of one in use stay as they are.
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::create`](crate::LockspaceOptions::create). What was created is
    /// removed again when it cannot be opened.
    pub fn create(
        manager: &Manager,
        name: &[u8],
        flags: LockspaceFlags,
        permissions: u32,
        options: &DriverOptions,
    ) -> Result<Arc<Self>, ErrorKind> {
        let name = LockspaceName::new(name)?;
        let create = |flags| control::create(manager, name.clone(), flags, Duration::MAX);
        // Only who made it may change its node: others may have it open.
        let (minor, is_new) = match create(flags | LockspaceFlags::NEWEXCL) {
            Ok(minor) => (minor, true),
            Err(kind) if exists(&kind) && !flags.contains(LockspaceFlags::NEWEXCL) => {
                (create(flags)?, false)
            }
            Err(kind) => return Err(kind),
        };
        let opened = Self::attach(manager, name.clone(), Some(minor), options).and_then(|driver| {
            if is_new {
                driver.set_permissions(permissions)?;
            }
            Ok(driver)
        });
        opened.inspect_err(|_| {
            // Nobody else would give back the reference.
            let _ = control::remove(manager, minor, RemoveFlags::empty(), NODE_TIMEOUT);
        })
    }

    fn attach(
        manager: &Manager,
        name: LockspaceName,
        minor: Option<Minor>,
        options: &DriverOptions,
    ) -> Result<Arc<Self>, ErrorKind> {
        let device = manager.open(&name, minor, NODE_TIMEOUT)?;
        Self::new(name, device, manager.clone(), options)
    }

    /// The name.
    pub const fn name(&self) -> &LockspaceName {
        &self.name
    }

    /// The minor number of the device.
    pub const fn minor(&self) -> Minor {
        self.minor
    }

    /// The descriptor that is readable while there is something to dispatch. It is made at the
    /// first call.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    #[cfg(not(dlm_model))]
    pub fn descriptor(&self) -> Result<RawFd, ErrorKind> {
        let source = self.readiness.source(&self.slot, || self.next_alarm())?;
        Ok(source.as_raw_fd())
    }

    /// The same, if it was asked for before.
    #[cfg(not(dlm_model))]
    #[inline]
    pub fn shown_descriptor(&self) -> Option<RawFd> {
        self.readiness.shown().map(|source| source.as_raw_fd())
    }

    /// The same, if it was made.
    #[cfg(not(dlm_model))]
    #[inline]
    pub fn made_descriptor(&self) -> Option<RawFd> {
        self.readiness.made().map(|source| source.as_raw_fd())
    }

    /// Stops the delivery thread after the callback that it runs, and waits for that, at most for
    /// `timeout`, unless this is that thread. Returns it, if there is one.
    pub fn stop_delivery(&self, timeout: Duration) -> Option<Arc<Control>> {
        let control = self.delivery.take()?;
        let _ = control.stop(timeout);
        Some(control)
    }

    /// Takes the lockspace from its users. `false`: a call of another thread has not returned from
    /// the kernel within `timeout`, and the device is closed when it does.
    pub fn close(&self, timeout: Duration) -> bool {
        self.end(CloseReason::Closed);
        self.slot.wait_closed(deadline_after(timeout))
    }

    /// Gives back a reference of the lockspace, after it was closed. Waits until everybody has
    /// closed it, if that reference is the last one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Device`]: EPERM, EBUSY (locks are left, the reference is kept), ENOENT.
    pub fn give_back(&self, flags: RemoveFlags) -> Result<(), ErrorKind> {
        control::remove(&self.manager, self.minor, flags, Duration::MAX)
    }

    /// Whether this node has a lockspace of this name.
    #[must_use]
    pub fn is_on_node(&self) -> bool {
        self.manager.find(&self.name).is_ok()
    }
}

fn exists(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Device(error) if error.errno() == Some(dlm_sys::Errno::EEXIST))
}
