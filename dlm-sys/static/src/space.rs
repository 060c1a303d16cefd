//! A lockspace that is there while it is used.

use dlm_proto::{LockspaceFlags, LockspaceName, RemoveFlags};
use dlm_sys::{ControlDevice, LockspaceDevice};

/// What goes wrong around the use of a lockspace, as exit status. Those of its use are between
/// [`Fault::OpenLockspace`] and [`Fault::Remove`].
#[derive(Clone, Copy)]
#[repr(u8)]
enum Fault {
    Name = 1,
    OpenControl = 2,
    Create = 3,
    OpenLockspace = 4,
    Remove = 20,
}

/// Creates a lockspace, uses it and removes it. Returns the exit status.
pub(crate) fn within(name: &[u8], used: impl FnOnce(&LockspaceDevice) -> Result<(), u8>) -> u8 {
    match created(name, used) {
        Ok(()) => 0,
        Err(status) => status,
    }
}

fn created(name: &[u8], used: impl FnOnce(&LockspaceDevice) -> Result<(), u8>) -> Result<(), u8> {
    let name = LockspaceName::new(name).map_err(|_| Fault::Name as u8)?;
    let control = ControlDevice::open().map_err(|_| Fault::OpenControl as u8)?;
    let minor = control
        .create_lockspace(&name, LockspaceFlags::NEWEXCL)
        .map_err(|_| Fault::Create as u8)?;
    // The device is closed in here: a removal waits for that.
    let used = LockspaceDevice::open(&name, Some(minor))
        .map_err(|_| Fault::OpenLockspace as u8)
        .and_then(|device| used(&device));
    let removed = control.remove_lockspace(minor, RemoveFlags::empty());
    used.and(removed.map_err(|_| Fault::Remove as u8))
}
