//! The control device: version, creation and removal of lockspaces.

use core::time::Duration;

use dlm_proto::{
    Abi, Command, LockspaceFlags, LockspaceName, MAX_REQUEST_LEN, Minor, NegotiateError,
    PointerWidth, RemoveFlags, Request, VERSION_LEN, Version,
};

use crate::creation::CreationLock;
use crate::errno::Errno;
use crate::error::{Call, Cause, Error};
use crate::sys::{self, Fd};

/// The longest time that other creations and removals are waited for, in milliseconds, unless the
/// caller says otherwise.
const PATIENCE: u32 = 60_000;

/// The flags that are sent with a creation.
const SENT: LockspaceFlags = LockspaceFlags::NEWEXCL;

/// `/dev/dlm-control`, open.
///
/// Opening needs the node's permission only; creating and removing need CAP_SYS_ADMIN in the
/// initial user namespace.
#[derive(Debug)]
pub struct ControlDevice {
    fd: Fd,
    version: Version,
    abi: Abi,
    patience: u32,
}

impl ControlDevice {
    /// Opens the control device, below `/dev` or `/dev/misc`, and agrees on a version.
    ///
    /// # Errors
    ///
    /// ENOENT if the dlm module is not loaded, EACCES, or [`Cause::Version`] for a kernel of
    /// another device version.
    pub fn open() -> Result<Self, Error> {
        let fail = |errno| Error::os(Call::OpenControl, errno);
        let fd = match sys::open(c"/dev/dlm-control", false) {
            Err(Errno::ENOENT) => sys::open(c"/dev/misc/dlm-control", false),
            answer => answer,
        }
        .map_err(fail)?;
        let (version, abi) = negotiate(&fd)?;
        Ok(Self { fd, version, abi, patience: PATIENCE })
    }

    /// The longest time to wait for creations and removals by other processes of this node, a
    /// minute by default and ten at most. It is not the time that the kernel takes afterwards.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.as_millis().try_into().unwrap_or(u32::MAX);
        self
    }

    /// The version that the kernel stated when the device was opened; 5.0.0 for an old kernel that
    /// has no version to state.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The layout that this program and the kernel speak.
    #[must_use]
    pub const fn abi(&self) -> Abi {
        self.abi
    }

    /// Creates a lockspace, or takes one more reference of an existing one, and returns the minor
    /// number of its device.
    ///
    /// Blocks until the cluster's daemon has joined and the kernel has recovered; no signal ends
    /// that. Each success needs one [`ControlDevice::remove_lockspace`]; the end of the process
    /// undoes nothing. Creations and removals by users of this library are kept apart, by a lock on
    /// [`LOCK_FILE`](crate::LOCK_FILE): at the same time they corrupt the list of misc devices of
    /// kernels up to 6.12.
    ///
    /// Of the flags only NEWEXCL is sent. Kernels make others, which do nothing for a program, part
    /// of the lockspace, and nodes with other ones cannot join it (EPROTO), nor can those whose
    /// kernel does not know them.
    ///
    /// # Errors
    ///
    /// [`Cause::Held`] (a creation or removal by another process takes longer than this one's
    /// patience), EPERM, ENOTCONN (no cluster), EUNATCH (its daemon died), EEXIST (with NEWEXCL),
    /// EBUSY (no minor number left), EPROTO (flags differ from other nodes'), and any number that
    /// the cluster's daemon gave.
    pub fn create_lockspace(
        &self,
        name: &LockspaceName,
        flags: LockspaceFlags,
    ) -> Result<Minor, Error> {
        let flags = flags & SENT;
        self.submit_alone(&Request::CreateLockspace { name, flags }).map(Minor)
    }

    /// Drops one reference of a lockspace. The last one removes it.
    ///
    /// Removing **blocks, and no signal ends that, until every open device of the lockspace is
    /// closed**, in this and all other processes of the node, and all other creations and removals
    /// of the node wait behind it, or fail when their patience ends. A minor number is handed out
    /// anew as soon as this is written: forget it then, whatever comes of it. Close your own device
    /// first, and call this where blocking does no harm.
    ///
    /// # Errors
    ///
    /// [`Cause::Held`], EPERM, ENOENT (no such lockspace), EBUSY (locks are left and FORCEFREE was
    /// not given; the reference is kept), [`Cause::MinorZero`].
    pub fn remove_lockspace(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        if minor.0 == 0 {
            let call = Call::Submit(Command::RemoveLockspace);
            return Err(Error::new(call, Cause::MinorZero));
        }
        self.submit_alone(&Request::RemoveLockspace { minor, flags }).map(|_| ())
    }

    /// Drops all references of a lockspace, those that killed programs have left behind, too, and
    /// so removes it; see [`ControlDevice::remove_lockspace`]. Returns how many there were.
    /// Programs that use it lose it.
    ///
    /// # Errors
    ///
    /// [`Cause::NoLockspace`]; as [`ControlDevice::remove_lockspace`], and then at least one
    /// reference is left: EBUSY, when locks are left and FORCEFREE was not given.
    #[cfg(feature = "std")]
    pub fn remove_all(&self, name: &LockspaceName, flags: RemoveFlags) -> Result<usize, Error> {
        // Held throughout: the minor number may be another lockspace's after the last one.
        let _lock = CreationLock::take(&self.fd, self.patience)?;
        let mut count = 0;
        while let Some(minor) = crate::find_lockspace(name)? {
            self.submit(&Request::RemoveLockspace { minor, flags })?;
            count += 1;
        }
        match count {
            0 => Err(Error::new(Call::Submit(Command::RemoveLockspace), Cause::NoLockspace)),
            count => Ok(count),
        }
    }

    /// Writes bytes to the device and returns the kernel's answer, whatever it means. For tests of
    /// the kernel's own checks.
    ///
    /// # Errors
    ///
    /// The kernel's, as it gave it.
    pub fn submit_raw(&self, bytes: &[u8]) -> Result<isize, Errno> {
        self.fd.write(bytes)
    }

    /// Submits while no other process that keeps to this does.
    fn submit_alone(&self, request: &Request<'_>) -> Result<u32, Error> {
        let _lock = CreationLock::take(&self.fd, self.patience)?;
        self.submit(request)
    }

    fn submit(&self, request: &Request<'_>) -> Result<u32, Error> {
        let call = Call::Submit(request.command());
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = request
            .encode(self.abi, &mut buffer)
            .map_err(|error| Error::new(call, Cause::Encode(error)))?;
        let value = self.fd.write(bytes).map_err(|errno| Error::os(call, errno))?;
        u32::try_from(value).map_err(|_| Error::new(call, Cause::Return(value)))
    }
}

/// Reads the version record, which any DLM device returns for a `read` of 12 bytes.
pub(crate) fn read_version(fd: &Fd) -> Result<Version, Error> {
    let mut record = [0; VERSION_LEN];
    let read = fd.read(&mut record).map_err(|errno| Error::os(Call::ReadVersion, errno))?;
    Version::decode(record.get(..read).unwrap_or(&record))
        .map_err(|error| Error::new(Call::ReadVersion, Cause::Decode(error)))
}

/// Agrees with the kernel on a version and a layout.
pub(crate) fn negotiate(fd: &Fd) -> Result<(Version, Abi), Error> {
    let mut record = [0; VERSION_LEN];
    let answer = match fd.read(&mut record) {
        Ok(len) => Ok(record.get(..len).unwrap_or(&record)),
        Err(errno) => Err(errno.raw()),
    };
    Abi::negotiate_answer(answer, PointerWidth::NATIVE).map_err(|error| {
        let cause = match error {
            NegotiateError::Unsupported(version) => Cause::Version(version),
            NegotiateError::Record(record) => Cause::Decode(record),
            NegotiateError::Failed(errno) => Cause::Os(Errno::from_raw(errno)),
        };
        Error::new(Call::ReadVersion, cause)
    })
}
