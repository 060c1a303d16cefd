//! The creation of a lockspace, with what belongs to it around the kernel's call.

use std::time::{Duration, Instant};

use dlm_proto::{LockspaceFlags, LockspaceName, Minor};

use crate::control::ControlDevice;
use crate::discover::list_devices;
use crate::errno::Errno;
use crate::error::{Cause, Error};
use crate::misc;
use crate::udev::Udev;

/// Creates a lockspace as [`ControlDevice::create_lockspace`] does, with this patience for other
/// creations, and waits until udev, where it runs, has done with the new node what its rules say:
/// its permissions can be changed then, and the link in `/dev/misc` is there. A udev that does not
/// answer is not waited for longer than ten seconds, nor than `patience`.
///
/// # Errors
///
/// As [`ControlDevice::open`] and [`ControlDevice::create_lockspace`], EMFILE, and
/// [`Cause::NoMinorLeft`] where the kernel says EEXIST for it.
pub fn create_lockspace(
    name: &LockspaceName,
    flags: LockspaceFlags,
    patience: Duration,
) -> Result<Minor, Error> {
    let control = ControlDevice::open()?.patience(patience);
    // Before the kernel tells of the device.
    let udev = Udev::listen(name)?;
    let minor = control.create_lockspace(name, flags).map_err(|error| explained(error, name))?;
    if let Some(udev) = udev {
        udev.await_node(minor, Instant::now().checked_add(patience));
    }
    Ok(minor)
}

/// The meaning of EEXIST.
fn explained(error: Error, name: &LockspaceName) -> Error {
    let is_full = || {
        let list = list_devices().unwrap_or_default();
        misc::minor_of_lockspace(&list, name).is_none() && misc::is_full(&list)
    };
    match error.errno() {
        Some(Errno::EEXIST) if is_full() => Error::new(error.call, Cause::NoMinorLeft),
        _ => error,
    }
}
