//! A lockspace's device without this library's rules, for a front that has rules of its own.
//!
//! The C libraries (`dlm-runtime/capi`) must let their callers do what C libdlm lets them do:
//! persistent requests, a second operation over one in flight, orphans adopted by a lock call. This
//! is the layer below [`Lockspace`](crate::Lockspace) for them: it finds, creates and removes
//! lockspaces, writes requests and reads results. What may be asked of the kernel, when, and what
//! its results mean is the caller's affair; the kernel's hazards are within reach from here.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use dlm_proto::{Abi, LockspaceFlags, LockspaceName, MAX_RESULT_LEN, Minor, RemoveFlags};
use dlm_proto::{MAX_REQUEST_LEN, Request};
use dlm_sys::Accepted;

use crate::backend::Backend;
use crate::control::{self, Manager};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Operation};

/// How long a device node may take to appear.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// The lock manager whose lockspaces are opened.
#[derive(Debug, Clone, Default)]
pub struct RawManager(Manager);

impl RawManager {
    /// Another one than the kernel's.
    #[must_use]
    pub fn of(backend: Arc<dyn Backend>) -> Self {
        Self(Manager::Other(backend))
    }

    /// Gives back a reference of a lockspace. Waits until everybody has closed its device if that
    /// reference is the last one, so close your own before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Device`]: EPERM, EBUSY (locks are left, the reference is kept), ENOENT.
    pub fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        control::remove(&self.0, minor, flags, Duration::MAX)
            .map_err(|kind| Error::new(Operation::Release, kind))
    }
}

/// An open lockspace device.
#[derive(Debug)]
pub struct RawLockspace {
    name: LockspaceName,
    minor: Minor,
    abi: Abi,
    device: Device,
}

impl RawLockspace {
    /// Opens a lockspace that exists on this node.
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::open`](crate::LockspaceOptions::open).
    pub fn open(manager: &RawManager, name: &[u8]) -> Result<Self, Error> {
        let open = || Self::attach(manager, LockspaceName::new(name)?, None);
        open().map_err(|kind| Error::new(Operation::Open, kind))
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
        manager: &RawManager,
        name: &[u8],
        flags: LockspaceFlags,
        permissions: u32,
    ) -> Result<Self, Error> {
        let create = || {
            let name = LockspaceName::new(name)?;
            let create = |flags| control::create(&manager.0, name.clone(), flags, Duration::MAX);
            // Only who made it may change its node: others may have it open.
            let (minor, is_new) = match create(flags | LockspaceFlags::NEWEXCL) {
                Ok(minor) => (minor, true),
                Err(kind) if exists(&kind) && !flags.contains(LockspaceFlags::NEWEXCL) => {
                    (create(flags)?, false)
                }
                Err(kind) => return Err(kind),
            };
            let opened = Self::attach(manager, name.clone(), Some(minor)).and_then(|lockspace| {
                if is_new {
                    lockspace.device.set_permissions(permissions)?;
                }
                Ok(lockspace)
            });
            opened.inspect_err(|_| {
                // Nobody else would give back the reference.
                let _ = control::remove(&manager.0, minor, RemoveFlags::empty(), NODE_TIMEOUT);
            })
        };
        create().map_err(|kind| Error::new(Operation::Create, kind))
    }

    fn attach(
        manager: &RawManager,
        name: LockspaceName,
        minor: Option<Minor>,
    ) -> Result<Self, ErrorKind> {
        let device = manager.0.open(&name, minor, NODE_TIMEOUT)?;
        let (minor, abi) = (device.minor(), device.abi());
        Ok(Self { name, minor, abi, device })
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &LockspaceName {
        &self.name
    }

    /// The minor number of the device.
    #[must_use]
    pub const fn minor(&self) -> Minor {
        self.minor
    }

    /// The layout of requests and results.
    #[must_use]
    pub const fn abi(&self) -> Abi {
        self.abi
    }

    /// Writes a request. Blocks, and no signal ends that, while the lockspace is stopped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Encode`], [`ErrorKind::Device`].
    pub fn submit(&self, request: &Request<'_>) -> Result<Accepted, ErrorKind> {
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = request.encode(self.abi, &mut buffer)?;
        Ok(self.device.submit(request.command(), bytes)?)
    }

    /// Reads one result, if there is one. One thread at a time: kernels before 6.10 may mix up the
    /// results of two readers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Device`].
    pub fn read<'b>(
        &self,
        buffer: &'b mut [u8; MAX_RESULT_LEN],
    ) -> Result<Option<&'b [u8]>, ErrorKind> {
        let len = self.device.read_result(buffer)?;
        Ok(len.map(|len| buffer.get(..len).unwrap_or(buffer)))
    }

    /// Readable when [`was_removed`](Self::was_removed) is worth a call.
    #[must_use]
    pub fn removal(&self) -> BorrowedFd<'_> {
        self.device.removal()
    }

    /// Whether the lockspace was removed from this node.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Device`].
    pub fn was_removed(&self) -> Result<bool, ErrorKind> {
        Ok(self.device.was_removed()?)
    }
}

/// Readable while there are results.
impl AsFd for RawLockspace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.results()
    }
}

fn exists(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Device(error) if error.errno() == Some(dlm_sys::Errno::EEXIST))
}
