//! Noticing that a lockspace was removed while its device is open.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use dlm_proto::Minor;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::lockspace::{LockspaceDevice, MISC_MAJOR};
use crate::sys::Fd;
use crate::sys::uevents;
use crate::uevent;

/// The network namespace of the calling thread.
const NETWORK: &str = "/proc/thread-self/ns/net";

/// The inode of the user namespace that each machine starts with (`USER_NS_INIT_INO` of
/// `linux/nsfs.h`).
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// Bytes of a message that are looked at. The numbers of the device stand before all that is long.
const MESSAGE_LEN: usize = 1024;

/// Becomes readable when the lockspace of an open device may have been removed; then ask
/// [`RemovalWatch::check`].
///
/// The kernel tells the holders of an open device nothing when the lockspace goes: no error, no
/// hang-up, and requests are still granted, locally. Meanwhile whoever removes the lockspace waits,
/// and cannot be killed, until the device is closed: close it soon.
///
/// What can be had is the message that the kernel broadcasts for each device that goes. To listen
/// for it takes no privilege, and costs requests and results nothing. The kernel does not send it
/// into a container with a user namespace of its own. There, and where such a socket is forbidden,
/// the watch is one on the device's node, which costs each request and result some hundred
/// instructions in the kernel, and misses the removal if the node was made by hand (mknod).
#[derive(Debug)]
pub struct RemovalWatch {
    source: Source,
    minor: Minor,
    /// The message has been read.
    is_removed: AtomicBool,
}

#[derive(Debug)]
enum Source {
    Messages(Fd),
    Node(Inotify),
}

impl RemovalWatch {
    /// Watches for the removal of this device's lockspace.
    ///
    /// # Errors
    ///
    /// ENODEV if it was removed already; the operating system's answer, where EMFILE and ENOSPC may
    /// tell of inotify limits.
    pub fn new(device: &LockspaceDevice) -> Result<Self, Error> {
        let source = match listen(device.minor())? {
            Some(socket) => Source::Messages(socket),
            None => Source::Node(watch_node(device)?),
        };
        // What happened before nobody tells any more. A node made by hand outlives the device.
        if device.is_removed()? || !is_registered(device.minor()) {
            return Err(Error::os(Call::WatchNode, Errno::ENODEV));
        }
        Ok(Self { source, minor: device.minor(), is_removed: AtomicBool::new(false) })
    }

    /// Whether the lockspace of `device`, for which this watch was made, was removed. After that
    /// the watch is readable again only when there is more to know.
    ///
    /// # Errors
    ///
    /// The operating system's answer.
    pub fn check(&self, device: &LockspaceDevice) -> Result<bool, Error> {
        let told = match &self.source {
            Source::Messages(socket) => self.read_messages(socket),
            Source::Node(inotify) => clear(inotify),
        };
        told.map_err(|errno| Error::os(Call::WatchNode, errno))?;
        Ok(self.is_removed.load(Ordering::Relaxed) || device.is_removed()?)
    }

    fn read_messages(&self, socket: &Fd) -> Result<(), Errno> {
        let mut buffer = [0; MESSAGE_LEN];
        loop {
            match socket.read(&mut buffer) {
                Ok(len) => {
                    if is_removal(buffer.get(..len).unwrap_or(&buffer), self.minor) {
                        self.is_removed.store(true, Ordering::Relaxed);
                    }
                }
                Err(Errno::EAGAIN) => return Ok(()),
                // So many that some are lost: the node is left to tell.
                Err(Errno::ENOBUFS) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for RemovalWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::Messages(socket) => socket.borrow(),
            Source::Node(inotify) => inotify.as_fd(),
        }
    }
}

/// A [`RemovalWatch`] that is made when it is first needed, which is before a thread sleeps: until
/// then the removal of the lockspace is nothing that anybody waits for, and no descriptor is open
/// for it.
#[derive(Debug, Default)]
pub struct LazyRemovalWatch(OnceLock<RemovalWatch>);

impl LazyRemovalWatch {
    /// One that is not made yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The watch for this device, which is the same at each call. Of threads that make it at the
    /// same time one does.
    ///
    /// # Errors
    ///
    /// As [`RemovalWatch::new`]: ENODEV if the lockspace was removed already. After another one
    /// (EMFILE) the next call tries again; who sleeps without a watch does so for a limited time,
    /// and asks [`LazyRemovalWatch::check`] then.
    pub fn get(&self, device: &LockspaceDevice) -> Result<&RemovalWatch, Error> {
        match self.0.get() {
            Some(watch) => Ok(watch),
            None => {
                let watch = RemovalWatch::new(device)?;
                Ok(self.0.get_or_init(|| watch))
            }
        }
    }

    /// Whether the lockspace of `device` was removed; as [`RemovalWatch::check`], also without a
    /// watch.
    ///
    /// # Errors
    ///
    /// The operating system's answer.
    pub fn check(&self, device: &LockspaceDevice) -> Result<bool, Error> {
        match self.0.get() {
            Some(watch) => watch.check(device),
            None => Ok(device.is_removed()? || !is_registered(device.minor())),
        }
    }
}

/// Whether the kernel's messages get here: it sends them to network namespaces of the first user
/// namespace.
///
/// # Errors
///
/// No descriptor is left to find out.
pub(crate) fn hears_the_kernel() -> Result<bool, Error> {
    let owner = || {
        let owner = uevents::owner_of(File::open(NETWORK)?.as_fd())?;
        File::from(owner).metadata()
    };
    let is_first = owner().map(|owner| owner.ino() == FIRST_USER_NAMESPACE);
    is_first.or_else(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
        if errno.is_shortage() { Err(Error::os(Call::WatchNode, errno)) } else { Ok(false) }
    })
}

/// A socket on which the kernel tells of devices that go, if there can be one here.
fn listen(minor: Minor) -> Result<Option<Fd>, Error> {
    if !hears_the_kernel()? {
        return Ok(None);
    }
    // Those of other devices would wake whoever waits for nothing.
    let path = device_path(minor);
    Ok(uevents::listen_for_removals(path.as_deref()).ok())
}

/// The place where the kernel has a link for each device with a number.
const DEVICES: &str = "/sys/dev/char";

/// Whether the kernel has a device with this minor number, if that can be known.
fn is_registered(minor: Minor) -> bool {
    let link = fs::symlink_metadata(format!("{DEVICES}/{MISC_MAJOR}:{}", minor.0));
    // Without /sys, or with a part of it only, nothing is known.
    link.is_ok() || !Path::new(DEVICES).exists()
}

/// The place where a misc device is below `/sys`, if that can be known.
fn device_path(minor: Minor) -> Option<Vec<u8>> {
    // A link like ../../devices/virtual/misc/dlm_NAME.
    let link = fs::read_link(format!("{DEVICES}/{MISC_MAJOR}:{}", minor.0)).ok()?;
    let path = link.as_os_str().as_bytes();
    Some([b"/", path.strip_prefix(b"../../")?].concat())
}

/// Whether this message says that the misc device with this minor number has gone.
fn is_removal(message: &[u8], minor: Minor) -> bool {
    message.starts_with(b"remove@") && uevent::is_about(message, minor)
}

fn watch_node(device: &LockspaceDevice) -> Result<Inotify, Error> {
    let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
    // The last link of a node goes with a change of its attributes (the link count); the deletion
    // itself is told only after the last close.
    let changes = AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DELETE_SELF;
    // The link below /proc leads to the very inode that is open, whatever its path.
    let node = format!("/proc/self/fd/{}", device.as_raw_fd());
    let watch = || {
        let inotify = Inotify::init(flags)?;
        inotify.add_watch(node.as_str(), changes)?;
        Ok(inotify)
    };
    watch().map_err(|errno: nix::errno::Errno| Error::os(Call::WatchNode, errno.into()))
}

fn clear(inotify: &Inotify) -> Result<(), Errno> {
    use nix::errno::Errno::{EAGAIN, EINTR};
    match inotify.read_events() {
        Ok(_) | Err(EAGAIN | EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"remove@/devices/virtual/misc/dlm_x\0ACTION=remove\0\
        DEVPATH=/devices/virtual/misc/dlm_x\0SUBSYSTEM=misc\0MAJOR=10\0MINOR=122\0\
        DEVNAME=dlm_x\0SEQNUM=4711\0";

    #[test]
    fn the_removal_of_a_device_is_told_by_its_numbers() {
        assert!(is_removal(MESSAGE, Minor(122)));
        for minor in [0, 12, 1220] {
            assert!(!is_removal(MESSAGE, Minor(minor)));
        }
        let text = std::str::from_utf8(MESSAGE).unwrap();
        for (from, to) in [
            ("remove@", "change@"),
            ("MAJOR=10", "MAJOR=8"),
            ("MAJOR=10\0", ""),
            ("MINOR=122", "MINOR=x"),
            ("\0MINOR=122", "-MINOR=122"),
            ("MAJOR", "SYNTH_UUID=0\0MAJOR"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert!(!is_removal(other.as_bytes(), Minor(122)), "{other}");
        }
    }

    #[test]
    fn a_message_of_which_the_end_is_missing_is_no_removal() {
        let needed = MESSAGE.len() - "DEVNAME=dlm_x\0SEQNUM=4711\0".len();
        for len in 0..needed {
            let cut = &MESSAGE[..len];
            for minor in [1, 12, 122] {
                assert!(!is_removal(cut, Minor(minor)), "{}", cut.escape_ascii());
            }
        }
        assert!(is_removal(&MESSAGE[..needed], Minor(122)));
    }
}
