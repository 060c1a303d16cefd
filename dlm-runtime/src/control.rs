//! Creation and removal of lockspaces, which block in the kernel where no signal reaches them.
//!
//! Each runs in a thread of its own, so that the caller's wait has an end.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use dlm_proto::{LockspaceFlags, LockspaceName, Minor, RemoveFlags};
use dlm_sys::ControlDevice;

use crate::error::ErrorKind;

/// Creates a lockspace, or takes a reference of an existing one, within `timeout`. A creation
/// that succeeds later is undone.
pub(crate) fn create(
    name: LockspaceName,
    flags: LockspaceFlags,
    timeout: Duration,
) -> Result<Minor, ErrorKind> {
    let create = move |answer: SyncSender<Result<Minor, dlm_sys::Error>>| {
        let control = match ControlDevice::open() {
            Ok(control) => control,
            Err(error) => {
                let _ = answer.send(Err(error));
                return;
            }
        };
        let created = control.create_lockspace(&name, flags);
        if let (Ok(minor), Err(_)) = (created, answer.send(created)) {
            // Nobody waits any more. Without force: somebody else may use it by now, and the
            // reference that stays behind if it fails is that of a lockspace in use.
            let _ = control.remove_lockspace(minor, RemoveFlags::empty());
        }
    };
    let late = "the cluster has not admitted this node (is dlm_controld waiting for a quorum?)";
    within(timeout, "dlm-create", late, create)
}

/// Drops a reference of a lockspace within `timeout`. A removal that takes longer goes on.
pub(crate) fn remove(minor: Minor, flags: RemoveFlags, timeout: Duration) -> Result<(), ErrorKind> {
    let remove = move |answer: SyncSender<Result<(), dlm_sys::Error>>| {
        let removed =
            ControlDevice::open().and_then(|control| control.remove_lockspace(minor, flags));
        let _ = answer.send(removed);
    };
    let late = "somebody has the lockspace's device open; it is removed when they close it";
    within(timeout, "dlm-remove", late, remove)
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
