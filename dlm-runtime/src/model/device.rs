//! The device of a lockspace in a schedule: bytes in, bytes out, as the kernel's.

use std::sync::Arc;
use std::time::Duration;

use dlm_proto::{Abi, Command, LockspaceName, MAX_RESULT_LEN, Minor};
use dlm_sys::{Accepted, Call, Errno, Error};

use super::signal::{AsFd, Signal, Source};
use super::space::{Open, Space};
use crate::threads::atomic::{AtomicBool, Ordering};

/// Stands for the device of `dlm-sys`.
#[derive(Debug)]
pub(crate) struct LockspaceDevice {
    space: Arc<Space>,
    open: Arc<Open>,
}

impl LockspaceDevice {
    /// There is one lockspace in each schedule, whatever its name.
    pub(crate) fn open_within(
        _: &LockspaceName,
        _: Option<Minor>,
        _: Duration,
    ) -> Result<Self, Error> {
        let space = Space::current();
        Ok(Self { open: space.open(), space })
    }

    pub(crate) const fn minor(&self) -> Minor {
        Minor(1)
    }

    pub(crate) const fn abi(&self) -> Abi {
        super::space::ABI
    }

    pub(crate) fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error> {
        self.space.submit(&self.open, command, request)
    }

    pub(crate) fn try_lock_node(&self) -> Result<bool, Error> {
        Ok(!self.space.node_is_locked.swap(true, Ordering::SeqCst))
    }

    pub(crate) fn unlock_node(&self) {
        self.space.node_is_locked.store(false, Ordering::SeqCst);
    }

    pub(crate) fn read_result(
        &self,
        buffer: &mut [u8; MAX_RESULT_LEN],
    ) -> Result<Option<usize>, Error> {
        Ok(self.space.read(&self.open, buffer))
    }

    pub(crate) fn set_permissions(&self, _: u32) -> Result<(), Error> {
        Ok(())
    }
}

impl AsFd for LockspaceDevice {
    fn as_fd(&self) -> Source<'_> {
        self.open.readable.as_fd()
    }
}

impl Drop for LockspaceDevice {
    fn drop(&mut self) {
        self.space.close(&self.open);
    }
}

/// Stands for the watch on a device's node, which is made when it is first needed.
#[derive(Debug)]
pub(crate) struct LazyRemovalWatch(AtomicBool);

impl LazyRemovalWatch {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    pub(crate) fn get<'d>(&self, device: &'d LockspaceDevice) -> Result<&'d Signal, Error> {
        if !self.0.swap(true, Ordering::SeqCst) && device.space.is_removed() {
            self.0.store(false, Ordering::SeqCst);
            return Err(Error::os(Call::WatchNode, Errno::ENODEV));
        }
        Ok(&device.open.node_changed)
    }

    pub(crate) fn check(&self, device: &LockspaceDevice) -> Result<bool, Error> {
        // Cleared first: a change in between makes it readable again.
        device.open.node_changed.clear();
        Ok(device.space.is_removed())
    }
}
