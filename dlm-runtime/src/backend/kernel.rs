//! The kernel as a backend among others.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use dlm_proto::{Abi, Command, LockspaceFlags, LockspaceName, MAX_RESULT_LEN, Minor, RemoveFlags};
use dlm_sys::{Accepted, ControlDevice, Error, LockspaceDevice, RemovalWatch, find_lockspace};

use super::{Backend, BackendDevice};
use crate::status::Status;

/// The DLM of the running kernel.
///
/// It need not be chosen, as it is what is used by default, and then without the indirection of a
/// trait. This is for what stands before a backend, such as [`Faulty`](super::Faulty).
///
/// ```no_run
/// use dlm_runtime::Lockspace;
/// use dlm_runtime::backend::{Faulty, Kernel, Seeded};
/// use std::time::Duration;
///
/// let late = Seeded::new(1).late_results(10, Duration::from_millis(50));
/// let lockspace = Lockspace::open_on(Faulty::new(Kernel, late), "example")?;
/// # drop(lockspace);
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

#[derive(Debug)]
struct KernelDevice {
    device: LockspaceDevice,
    removal: RemovalWatch,
}

impl Backend for Kernel {
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error> {
        dlm_sys::create_lockspace(name, flags, Duration::MAX)
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        ControlDevice::open()?.patience(Duration::MAX).remove_lockspace(minor, flags)
    }

    fn remove_all(&self, name: &LockspaceName, flags: RemoveFlags) -> Result<usize, Error> {
        ControlDevice::open()?.patience(Duration::MAX).remove_all(name, flags)
    }

    fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error> {
        find_lockspace(name)
    }

    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Box<dyn BackendDevice>, Error> {
        let device = LockspaceDevice::open_within(name, minor, timeout)?;
        let removal = RemovalWatch::new(&device)?;
        Ok(Box::new(KernelDevice { device, removal }))
    }

    fn status(&self, name: &LockspaceName) -> Status {
        Status::read(name)
    }
}

impl BackendDevice for KernelDevice {
    fn abi(&self) -> Abi {
        self.device.abi()
    }

    fn minor(&self) -> Minor {
        self.device.minor()
    }

    fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error> {
        self.device.submit(command, request)
    }

    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<Option<usize>, Error> {
        self.device.read_result(buffer)
    }

    fn results(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    fn removal(&self) -> BorrowedFd<'_> {
        self.removal.as_fd()
    }

    fn was_removed(&self) -> Result<bool, Error> {
        self.removal.check(&self.device)
    }

    fn first_requests_can_meet(&self) -> bool {
        dlm_sys::first_requests_can_meet()
    }

    fn try_lock_node(&self) -> Result<bool, Error> {
        self.device.try_lock_node()
    }

    fn unlock_node(&self) {
        self.device.unlock_node();
    }

    fn set_permissions(&self, mode: u32) -> Result<(), Error> {
        self.device.set_permissions(mode)
    }
}
