//! The device of a lockspace in a schedule: bytes in, bytes out, as the kernel's.

use std::sync::Arc;
use std::time::Duration;

use dlm_proto::{Abi, Command, LockspaceName, MAX_RESULT_LEN, Minor};
use dlm_sys::{Accepted, Error};

use super::signal::{AsFd, Source};
use super::space::{Open, Space};
use crate::sync::atomic::Ordering;

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
        let result = self.space.read(&self.open);
        Ok(result.map(|bytes| {
            buffer[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }))
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

/// Stands for the watch on a device's node.
#[derive(Debug)]
pub(crate) struct RemovalWatch(Arc<Open>);

impl RemovalWatch {
    pub(crate) fn new(device: &LockspaceDevice) -> Result<Self, Error> {
        Ok(Self(Arc::clone(&device.open)))
    }

    pub(crate) fn check(&self, device: &LockspaceDevice) -> Result<bool, Error> {
        // Cleared first: a change in between makes it readable again.
        self.0.node_changed.clear();
        Ok(device.space.is_removed())
    }
}

impl AsFd for RemovalWatch {
    fn as_fd(&self) -> Source<'_> {
        self.0.node_changed.as_fd()
    }
}
