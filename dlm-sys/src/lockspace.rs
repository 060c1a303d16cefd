//! A lockspace's device: requests in, results out.

use core::ffi::CStr;
use core::time::Duration;

use dlm_proto::{
    Abi, Command, LockId, LockspaceName, MAX_NAME_LEN, MAX_RESULT_LEN, Minor, Version,
};

use crate::control::{negotiate, read_version};
use crate::errno::Errno;
use crate::error::{Call, Cause, Error};
use crate::misc::LOCKSPACE_PREFIX;
use crate::sys::{self, Fd};

/// The major number of misc devices.
pub(crate) const MISC_MAJOR: u32 = 10;

/// Below which folders a node may stand. Today's kernels make the first by themselves; the udev
/// rules of C libdlm link the second to it.
const FOLDERS: [&[u8]; 2] = [b"/dev/", b"/dev/misc/"];

/// Bytes of the longest path of a node, with its NUL.
const PATH_LEN: usize = 96;

/// The kernel's answer to a request that it accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// A new or adopted lock has this id. For a NOQUEUE request that failed, and whose completion
    /// says so, the id is dead already.
    Lock(LockId),
    /// Nothing to tell: a conversion, unlock, cancel or purge.
    Done,
}

/// `/dev/dlm_NAME`, open with CLOEXEC and NONBLOCK.
///
/// Each open device is an owner of its own: locks requested through it end when it is closed, and
/// their results are read from it. Results are read by one thread at a time; two readers at the
/// same time can get a mixture of two results on kernels before 6.10.
///
/// Locks end at the **last** close: a forked child that inherits the device keeps them.
#[derive(Debug)]
pub struct LockspaceDevice {
    fd: Fd,
    minor: Minor,
    version: Version,
    abi: Abi,
}

impl LockspaceDevice {
    /// Opens the node of a lockspace and agrees on a version. Does not wait for the node.
    ///
    /// With `minor` (from [`ControlDevice::create_lockspace`](crate::ControlDevice) or
    /// `/proc/misc`) only that device is taken.
    ///
    /// # Errors
    ///
    /// ENOENT or ENODEV (no such lockspace), EACCES, [`Cause::WrongDevice`], [`Cause::Version`].
    pub fn open(name: &LockspaceName, minor: Option<Minor>) -> Result<Self, Error> {
        let mut last = Error::os(Call::OpenLockspace, Errno::ENOENT);
        for folder in FOLDERS {
            let mut buffer = [0; PATH_LEN];
            let path = node_path(folder, name, &mut buffer).ok_or(last)?;
            match Self::open_path(path, minor) {
                Err(error) if error.errno() == Some(Errno::ENOENT) => last = error,
                answer => return answer,
            }
        }
        Err(last)
    }

    /// Opens a node by its path.
    ///
    /// # Errors
    ///
    /// As [`LockspaceDevice::open`].
    pub fn open_path(path: &CStr, minor: Option<Minor>) -> Result<Self, Error> {
        let fail = |errno| Error::os(Call::OpenLockspace, errno);
        let fd = sys::open(path, true).map_err(fail)?;
        let node = fd.node().map_err(fail)?;
        let same = minor.is_none_or(|minor| minor.0 == node.minor);
        if !(node.is_char_device && node.major == MISC_MAJOR && same) {
            return Err(Error::new(Call::OpenLockspace, Cause::WrongDevice));
        }
        let (version, abi) = negotiate(&fd)?;
        Ok(Self { fd, minor: Minor(node.minor), version, abi })
    }

    #[cfg(feature = "std")]
    pub(crate) fn duplicate(&self) -> Result<Self, Errno> {
        let Self { minor, version, abi, .. } = *self;
        Ok(Self { fd: self.fd.duplicate()?, minor, version, abi })
    }

    /// The device's minor number, by which the lockspace is removed.
    #[must_use]
    pub const fn minor(&self) -> Minor {
        self.minor
    }

    /// The version that the kernel stated when the device was opened; 5.0.0 for an old kernel that
    /// has no version to state.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The layout that requests must have and results will have.
    #[must_use]
    pub const fn abi(&self) -> Abi {
        self.abi
    }

    /// Writes a request, encoded with [`LockspaceDevice::abi`].
    ///
    /// Blocks, and no signal ends that, while the lockspace is stopped for recovery. The result of
    /// the request may be readable, and be read by another thread, before this returns.
    ///
    /// # Errors
    ///
    /// The kernel's answer; EINVAL, EBUSY, ENOENT and ENOBUFS depend on the request.
    /// [`Cause::Return`] if the value makes no sense.
    #[inline]
    pub fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error> {
        let call = Call::Submit(command);
        let value = self.fd.write(request).map_err(|errno| Error::os(call, errno))?;
        match (command, u32::try_from(value)) {
            (_, Ok(0)) => Ok(Accepted::Done),
            (Command::Lock, Ok(id)) => Ok(Accepted::Lock(LockId(id))),
            _ => Err(Error::new(call, Cause::Return(value))),
        }
    }

    /// Takes the exclusive lock on the node (`flock`), which keeps this open device apart from the
    /// others of the lockspace on this node that take it, too. `false`: another has it now. It ends
    /// with [`LockspaceDevice::unlock_node`], or with the last close.
    ///
    /// Where [`first_requests_can_meet`](crate::first_requests_can_meet), requests for new locks
    /// that are each written under it do not meet, as far as one node is concerned. To be held for
    /// the time of one `write`. Only who may open the node can hold it. It says nothing about
    /// threads and forked children that share one open device: each of them gets it while another
    /// has it.
    ///
    /// # Errors
    ///
    /// The operating system's answer (ENOLCK, ENOMEM).
    #[inline]
    pub fn try_lock_node(&self) -> Result<bool, Error> {
        self.fd.try_lock().map_err(|errno| Error::os(Call::SerialiseRequests, errno))
    }

    /// Ends what [`LockspaceDevice::try_lock_node`] took.
    #[inline]
    pub fn unlock_node(&self) {
        self.fd.unlock();
    }

    /// Writes bytes to the device and returns the kernel's answer, whatever it means. For tests of
    /// the kernel's own checks: the kernel trusts what it is told, and some requests crash it.
    ///
    /// # Errors
    ///
    /// The kernel's, as it gave it.
    pub fn submit_raw(&self, bytes: &[u8]) -> Result<isize, Errno> {
        self.fd.write(bytes)
    }

    /// Reads one result into `buffer` and returns its length, or `None` if there is none now.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    #[inline]
    pub fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<Option<usize>, Error> {
        match self.fd.read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(Error::os(Call::ReadResult, errno)),
        }
    }

    /// Reads the version record again. Queued results stay where they are.
    ///
    /// # Errors
    ///
    /// The kernel's answer, or [`Cause::Decode`].
    pub fn read_version(&self) -> Result<Version, Error> {
        read_version(&self.fd)
    }

    /// Waits until a result can be read, at most for `timeout`; `None` waits without end. A signal
    /// ends the wait early. Tells whether there is a result.
    ///
    /// The device does not report its own removal here.
    ///
    /// # Errors
    ///
    /// The operating system's answer.
    pub fn poll(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        self.fd.poll_readable(timeout).map_err(|errno| Error::os(Call::Poll, errno))
    }

    /// Whether the node that was opened has vanished, which it does when the lockspace is removed.
    ///
    /// # Errors
    ///
    /// The operating system's answer.
    pub fn is_removed(&self) -> Result<bool, Error> {
        let node = self.fd.node().map_err(|errno| Error::os(Call::WatchNode, errno))?;
        Ok(node.links == 0)
    }
}

/// `FOLDER` + `dlm_` + name, as a C string in `buffer`.
pub(crate) fn node_path<'b>(
    folder: &[u8],
    name: &LockspaceName,
    buffer: &'b mut [u8; PATH_LEN],
) -> Option<&'b CStr> {
    let parts = [folder, LOCKSPACE_PREFIX, name, &[0]];
    let mut len = 0;
    // Byte by byte: `copy_from_slice` would link a panic into programs without `std`.
    for (to, from) in buffer.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
        len += 1;
    }
    CStr::from_bytes_with_nul(buffer.get(..len)?).ok()
}

const _: () = assert!("/dev/misc/dlm_".len() + MAX_NAME_LEN < PATH_LEN);

#[cfg(feature = "std")]
impl LockspaceDevice {
    /// Sets the permission bits of the node, for all who open it from now on; others are cut off.
    ///
    /// # Errors
    ///
    /// EPERM for those who do not own the node.
    pub fn set_permissions(&self, mode: u32) -> Result<(), Error> {
        let bits = nix::sys::stat::Mode::from_bits_truncate(mode);
        nix::sys::stat::fchmod(self, bits)
            .map_err(|errno| Error::os(Call::SetPermissions, errno.into()))
    }
}

#[cfg(feature = "std")]
mod descriptors {
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

    use super::LockspaceDevice;

    impl AsRawFd for LockspaceDevice {
        fn as_raw_fd(&self) -> RawFd {
            self.fd.raw()
        }
    }

    impl AsFd for LockspaceDevice {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.fd.borrow()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_paths_hold_the_longest_name() {
        let name = LockspaceName::new(&[b'x'; 64]).unwrap();
        let mut buffer = [0xa5; PATH_LEN];
        let path = node_path(b"/dev/misc/", &name, &mut buffer).unwrap();
        assert_eq!(path.to_bytes().len(), 14 + 64);
        assert!(path.to_bytes().starts_with(b"/dev/misc/dlm_xxx"));
    }

    #[test]
    fn another_device_is_not_taken_for_a_lockspace() {
        let error = LockspaceDevice::open_path(c"/dev/null", None).unwrap_err();
        assert_eq!(error, Error::new(Call::OpenLockspace, Cause::WrongDevice));
    }

    #[test]
    fn a_missing_lockspace_is_told_with_a_remedy() {
        let name = LockspaceName::new(b"no-such-lockspace-here").unwrap();
        let error = LockspaceDevice::open(&name, None).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ENOENT));
        assert!(error.to_string().contains("does not exist"), "{error}");
    }
}
