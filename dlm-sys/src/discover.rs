//! Finding a lockspace and awaiting its node.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use dlm_proto::{LockspaceName, Minor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::errno::Errno;
use crate::error::{Call, Cause, Error};
use crate::lockspace::LockspaceDevice;
use crate::misc;

/// The longest time that a node that is there may still get the permissions that let us open it:
/// udev sets them a moment after the kernel has made the node.
const PERMISSION_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of `/proc/misc` that are read before it is called endless: more than fifty thousand
/// lockspaces.
const MOST_BYTES: u64 = 4 << 20;

/// The minor number of a lockspace on this node, or `None` if `/proc/misc` does not list it.
///
/// # Errors
///
/// The operating system's answer, or [`Cause::EndlessList`].
pub fn find_lockspace(name: &LockspaceName) -> Result<Option<Minor>, Error> {
    let list = list_devices()?;
    if let Some(minor) = misc::minor_of_lockspace(&list, name) {
        return Ok(Some(Minor(minor)));
    }
    if u64::try_from(list.len()).is_ok_and(|len| len >= MOST_BYTES) {
        return Err(Error::new(Call::ListDevices, Cause::EndlessList));
    }
    Ok(None)
}

/// The list of misc devices, or the beginning of one without end.
pub(crate) fn list_devices() -> Result<Vec<u8>, Error> {
    let fail = |error: std::io::Error| {
        Error::os(Call::ListDevices, Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    };
    let mut list = Vec::new();
    let file = File::open("/proc/misc").map_err(fail)?;
    file.take(MOST_BYTES).read_to_end(&mut list).map_err(fail)?;
    Ok(list)
}

impl LockspaceDevice {
    /// Opens a lockspace that exists on this node, waiting up to `timeout` for its node, which
    /// udev may make later than the kernel makes the device.
    ///
    /// `minor` is what the creation returned. Without it the lockspace is looked up.
    ///
    /// # Errors
    ///
    /// [`Cause::NoLockspace`], [`Cause::NodeTimeout`], or as [`LockspaceDevice::open`].
    pub fn open_within(
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let minor = match minor {
            Some(minor) => minor,
            None => {
                find_lockspace(name)?.ok_or(Error::new(Call::OpenLockspace, Cause::NoLockspace))?
            }
        };
        match Self::open(name, Some(minor)) {
            Err(error) if is_too_early(&error) => Self::await_node(name, minor, timeout),
            answer => answer,
        }
    }

    /// Watches the folders of the nodes, and tries again whenever something in them changes.
    fn await_node(name: &LockspaceName, minor: Minor, timeout: Duration) -> Result<Self, Error> {
        let fail = |errno: nix::errno::Errno| Error::os(Call::WatchNode, errno.into());
        // `None` for a time that the clock cannot express: wait without end.
        let start = Instant::now();
        let deadline = start.checked_add(timeout);
        let permitted_by = start + PERMISSION_PATIENCE;
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(fail)?;
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE;
        watch.add_watch("/dev", changes).map_err(fail)?;
        // Made with the first link in it; until then /dev tells.
        let mut in_misc = watch.add_watch("/dev/misc", changes).is_ok();
        loop {
            let error = match Self::open(name, Some(minor)) {
                Err(error) if is_too_early(&error) => error,
                answer => return answer,
            };
            let is_denied = error.errno() == Some(Errno::EACCES);
            let deadline = match deadline {
                Some(at) if is_denied => Some(at.min(permitted_by)),
                None if is_denied => Some(permitted_by),
                deadline => deadline,
            };
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let timeout = Error::new(Call::OpenLockspace, Cause::NodeTimeout);
                return Err(if is_denied { error } else { timeout });
            }
            // Rounded up, so as not to spin through the last millisecond.
            let left = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left.saturating_add(Duration::from_millis(1)))
                    .unwrap_or(PollTimeout::MAX)
            });
            let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, left) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
            match watch.read_events() {
                Ok(_) | Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
            in_misc = in_misc || watch.add_watch("/dev/misc", changes).is_ok();
        }
    }
}

/// Whether the node may still come, or still get its permissions, or its name still belongs to a
/// device that is just going away.
fn is_too_early(error: &Error) -> bool {
    let waits = [Errno::ENOENT, Errno::ENODEV, Errno::EACCES];
    matches!(error.cause, Cause::WrongDevice)
        || error.errno().is_some_and(|errno| waits.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lockspace_that_is_not_listed_is_an_error_at_once() {
        let name = LockspaceName::new(b"no-such-lockspace-here").unwrap();
        let error = LockspaceDevice::open_within(&name, None, Duration::MAX).unwrap_err();
        assert_eq!(error.cause, Cause::NoLockspace);
    }

    #[test]
    fn a_node_that_does_not_come_ends_the_wait() {
        let name = LockspaceName::new(b"no-such-lockspace-here").unwrap();
        let start = Instant::now();
        let timeout = Duration::from_millis(30);
        let error = LockspaceDevice::open_within(&name, Some(Minor(1)), timeout).unwrap_err();
        assert_eq!(error.cause, Cause::NodeTimeout);
        assert!(start.elapsed() >= timeout);
    }
}
