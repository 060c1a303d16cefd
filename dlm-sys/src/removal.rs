//! Noticing that a lockspace was removed while its device is open.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::error::{Call, Error};
use crate::lockspace::LockspaceDevice;

/// Becomes readable when the node of an open device changes; then ask
/// [`LockspaceDevice::is_removed`].
///
/// The kernel tells the holders of an open device nothing when the lockspace goes: no error, no
/// hang-up, and requests are still granted, locally. All that can be seen is that the node
/// vanishes. Meanwhile whoever removes the lockspace waits, and cannot be killed, until the device
/// is closed: close it soon. A node that was made by hand (mknod) does not vanish.
#[derive(Debug)]
pub struct RemovalWatch {
    inotify: Inotify,
}

impl RemovalWatch {
    /// Watches the node through which `device` was opened.
    ///
    /// # Errors
    ///
    /// The operating system's answer; EMFILE and ENOSPC tell of inotify limits.
    pub fn new(device: &LockspaceDevice) -> Result<Self, Error> {
        let fail = |errno: nix::errno::Errno| Error::os(Call::WatchNode, errno.into());
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags).map_err(fail)?;
        // The link below /proc leads to the very inode that is open, whatever its path.
        let fd = std::os::fd::AsRawFd::as_raw_fd(device);
        let node = PathBuf::from(format!("/proc/self/fd/{fd}"));
        // The last link of a node goes with a change of its attributes (the link count); the
        // deletion itself is told only after the last close.
        inotify
            .add_watch(&node, AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DELETE_SELF)
            .map_err(fail)?;
        Ok(Self { inotify })
    }

    /// Forgets the changes so far, so that the descriptor is readable again only after the next.
    ///
    /// # Errors
    ///
    /// The operating system's answer.
    pub fn clear(&self) -> Result<(), Error> {
        use nix::errno::Errno::{EAGAIN, EINTR};
        match self.inotify.read_events() {
            Ok(_) | Err(EAGAIN | EINTR) => Ok(()),
            Err(errno) => Err(Error::os(Call::WatchNode, errno.into())),
        }
    }
}

impl AsFd for RemovalWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
