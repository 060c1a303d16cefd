//! Creation and removal of lockspaces, which block in the kernel where no signal reaches them.
//!
//! Each runs in a thread of its own, so that the caller's wait has an end. A caller who would wait
//! for ever makes the call himself: a process that never had a second thread has cheaper system
//! calls.

#[cfg(not(dlm_model))]
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use dlm_proto::{LockspaceFlags, LockspaceName, Minor, RemoveFlags};
use dlm_sys::{Call, Cause, ControlDevice};

#[cfg(not(dlm_model))]
use crate::backend::Backend;
use crate::driver::device::{Device, LockspaceDevice};
use crate::error::ErrorKind;
use crate::status::Status;

/// The lock manager of a lockspace.
#[derive(Debug, Clone, Default)]
pub enum Manager {
    /// The kernel's.
    #[default]
    Kernel,
    /// Another one.
    #[cfg(not(dlm_model))]
    Other(Arc<dyn Backend>),
}

impl Manager {
    /// Opens a lockspace that exists.
    pub(crate) fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Device, dlm_sys::Error> {
        match self {
            Self::Kernel => {
                LockspaceDevice::open_within(name, minor, timeout).map(Device::of_kernel)
            }
            #[cfg(not(dlm_model))]
            Self::Other(backend) => backend.open(name, minor, timeout).map(Device::of_other),
        }
    }

    pub(crate) fn find(&self, name: &LockspaceName) -> Result<Minor, dlm_sys::Error> {
        let found = match self {
            Self::Kernel => dlm_sys::find_lockspace(name)?,
            #[cfg(not(dlm_model))]
            Self::Other(backend) => backend.find(name)?,
        };
        let call = Call::Submit(dlm_proto::Command::RemoveLockspace);
        found.ok_or(dlm_sys::Error::new(call, Cause::NoLockspace))
    }

    pub(crate) fn status(&self, name: &LockspaceName) -> Status {
        match self {
            Self::Kernel => Status::read(name),
            #[cfg(not(dlm_model))]
            Self::Other(backend) => backend.status(name),
        }
    }

    /// `patience`: for creations and removals by other processes.
    fn create(
        &self,
        name: &LockspaceName,
        flags: LockspaceFlags,
        patience: Duration,
    ) -> Result<Minor, dlm_sys::Error> {
        match self {
            Self::Kernel => dlm_sys::create_lockspace(name, flags, patience),
            #[cfg(not(dlm_model))]
            Self::Other(backend) => backend.create(name, flags),
        }
    }

    fn remove_all(
        &self,
        name: &LockspaceName,
        flags: RemoveFlags,
    ) -> Result<usize, dlm_sys::Error> {
        match self {
            Self::Kernel => ControlDevice::open()?.patience(Duration::MAX).remove_all(name, flags),
            #[cfg(not(dlm_model))]
            Self::Other(backend) => backend.remove_all(name, flags),
        }
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), dlm_sys::Error> {
        match self {
            // As long as it may take: a removal that is given up leaves a reference behind.
            Self::Kernel => {
                ControlDevice::open()?.patience(Duration::MAX).remove_lockspace(minor, flags)
            }
            #[cfg(not(dlm_model))]
            Self::Other(backend) => backend.remove(minor, flags),
        }
    }
}

/// Creates a lockspace, or takes a reference of an existing one, within `timeout`. A creation
/// that succeeds later is undone.
pub(crate) fn create(
    manager: &Manager,
    name: LockspaceName,
    flags: LockspaceFlags,
    timeout: Duration,
) -> Result<Minor, ErrorKind> {
    if timeout == Duration::MAX {
        return Ok(manager.create(&name, flags, timeout)?);
    }
    let manager = manager.clone();
    let create = move |answer: SyncSender<Result<Minor, dlm_sys::Error>>| {
        // It ends before the caller's patience does, so that the caller hears what it waits for.
        let created = manager.create(&name, flags, timeout - timeout / 8);
        if let (Ok(minor), Err(_)) = (created, answer.send(created)) {
            // Nobody waits any more. Without force: somebody else may use it by now, and the
            // reference that stays behind if it fails is that of a lockspace in use.
            let _ = manager.remove(minor, RemoveFlags::empty());
        }
    };
    let late = "the cluster has not admitted this node (is dlm_controld waiting for a quorum?)";
    within(timeout, "dlm-create", late, create)
}

/// Drops a reference of a lockspace within `timeout`. A removal that takes longer goes on.
pub(crate) fn remove(
    manager: &Manager,
    minor: Minor,
    flags: RemoveFlags,
    timeout: Duration,
) -> Result<(), ErrorKind> {
    removal(manager, timeout, move |manager| manager.remove(minor, flags))
}

/// Drops all references of a lockspace within `timeout`, and tells how many there were. A removal
/// that takes longer goes on.
pub(crate) fn remove_all(
    manager: &Manager,
    name: LockspaceName,
    flags: RemoveFlags,
    timeout: Duration,
) -> Result<usize, ErrorKind> {
    removal(manager, timeout, move |manager| manager.remove_all(&name, flags))
}

fn removal<T: Send + 'static>(
    manager: &Manager,
    timeout: Duration,
    remove: impl FnOnce(&Manager) -> Result<T, dlm_sys::Error> + Send + 'static,
) -> Result<T, ErrorKind> {
    if timeout == Duration::MAX {
        return Ok(remove(manager)?);
    }
    let manager = manager.clone();
    let late = "somebody has the lockspace's device open, or another process is creating or \
                removing a lockspace; it is removed when they are done";
    within(timeout, "dlm-remove", late, move |answer: SyncSender<_>| {
        let _ = answer.send(remove(&manager));
    })
}

fn within<T: Send + 'static>(
    timeout: Duration,
    name: &str,
    late: &'static str,
    work: impl FnOnce(SyncSender<Result<T, dlm_sys::Error>>) + Send + 'static,
) -> Result<T, ErrorKind> {
    // Without a buffer: an answer is taken, or its sender knows that it was not.
    let (sender, answer) = sync_channel(0);
    thread::Builder::new().name(name.into()).spawn(move || work(sender))?;
    match answer.recv_timeout(timeout) {
        Ok(answer) => Ok(answer?),
        Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut(late)),
        Err(RecvTimeoutError::Disconnected) => Err(ErrorKind::System(std::io::Error::other(
            "the thread that was to ask the kernel has died",
        ))),
    }
}
