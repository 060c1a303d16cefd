//! Lock managers: the kernel's, and any other that speaks the bytes of its devices.
//!
//! A [`Lockspace`](crate::Lockspace) needs little of its lock manager: lockspaces that can be
//! created, found and removed ([`Backend`]), and for each open one a device that takes requests and
//! gives results ([`BackendDevice`]), in the records of `dlm-proto`. What stands on that, from the
//! blocking calls to the futures, is the same for all lock managers.
//!
//! The kernel is the one that is used unless another was chosen, with
//! [`LockspaceOptions::backend`](crate::LockspaceOptions::backend). Nothing else ever takes its
//! place by itself: a lock that others do not see must not look like one.
//!
//! [`Faulty`] stands before a backend and lets calls fail, to test what a program does then.
//!
//! # Writing one
//!
//! The crate treats a backend as it treats the kernel: it may refuse any call, hold up a request or
//! answer with any bytes, and must not be trusted to do otherwise. Calls come from several threads
//! at the same time; results are read by one thread at a time.
//!
//! What it reads and writes is here, too: [`Request`] takes requests apart, and [`LockResult`] makes
//! results ([`proto`] has the rest, and [`sys`] the errors of devices). The example `record_replay` is one
//! that writes down what a lock manager answers and one that answers from that; `no_std_transport` uses a
//! device without the rest of this crate.

mod faulty;
mod kernel;
mod plan;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

pub use dlm_proto as proto;
pub use dlm_proto::{
    Abi, Command, Cookies, DecodeError, EncodeError, Event, LockId, LockResult, LockStatus,
    LockspaceFlags, LockspaceName, MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor, NodeId, RemoveFlags,
    Request, ResourceName, StatusFlags, Token, ValueBlock,
};
pub use dlm_sys as sys;
pub use dlm_sys::{Accepted, Call, Cause, Errno, Error};

pub use crate::status::{State, Status};
pub use faulty::Faulty;
pub use kernel::Kernel;
pub use plan::{Plan, RequestFault, ResultFault, Seeded, on_calls, on_requests, on_results};

/// A lock manager, as one node of its cluster sees it.
///
/// What a call may answer is what the kernel's devices answer in its place: see the methods of
/// [`dlm_sys::ControlDevice`] and [`dlm_sys::LockspaceDevice`].
///
/// ```no_run
/// use dlm_runtime::backend::{
///     Backend, BackendDevice, Error, Kernel, LockspaceFlags, LockspaceName, Minor, RemoveFlags,
/// };
/// use dlm_runtime::{Lockspace, Mode};
/// use std::time::Duration;
///
/// /// The kernel's, with names of a prefix of its own.
/// #[derive(Debug)]
/// struct Prefixed(&'static str);
///
/// impl Prefixed {
///     fn name(&self, name: &LockspaceName) -> LockspaceName {
///         // A name that becomes too long stays as it is.
///         format!("{}{name}", self.0).parse().unwrap_or_else(|_| name.clone())
///     }
/// }
///
/// impl Backend for Prefixed {
///     fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error> {
///         Kernel.create(&self.name(name), flags)
///     }
///
///     fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
///         Kernel.remove(minor, flags)
///     }
///
///     fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error> {
///         Kernel.find(&self.name(name))
///     }
///
///     fn open(
///         &self,
///         name: &LockspaceName,
///         minor: Option<Minor>,
///         timeout: Duration,
///     ) -> Result<Box<dyn BackendDevice>, Error> {
///         Kernel.open(&self.name(name), minor, timeout)
///     }
/// }
///
/// let lockspace = Lockspace::create_on(Prefixed("staging_"), "example")?;
/// lockspace.lock("disk0", Mode::Ex).wait()?;
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
pub trait Backend: fmt::Debug + Send + Sync {
    /// Creates a lockspace, or takes one more reference of an existing one, and returns the minor
    /// number by which it is opened and removed. May block; the caller has given it a thread.
    ///
    /// # Errors
    ///
    /// EEXIST, with [`LockspaceFlags::NEWEXCL`], for one that exists; any other.
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error>;

    /// Drops one reference of a lockspace; the last one removes it, which blocks until each of its
    /// devices is closed. The caller has given it a thread.
    ///
    /// # Errors
    ///
    /// ENOENT; EBUSY if locks are left and [`RemoveFlags::FORCEFREE`] is not given; any other.
    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error>;

    /// Drops all references of a lockspace, those of killed programs too, and so removes it.
    /// Returns how many there were. The caller has given it a thread.
    ///
    /// By itself it drops one after the other until there is none, which may meet with a lockspace
    /// that somebody creates under the same number at the same time.
    ///
    /// # Errors
    ///
    /// [`Cause::NoLockspace`]; those of [`Backend::remove`], and then at least one is left.
    fn remove_all(&self, name: &LockspaceName, flags: RemoveFlags) -> Result<usize, Error> {
        let mut count = 0;
        while let Some(minor) = self.find(name)? {
            self.remove(minor, flags)?;
            count += 1;
        }
        match count {
            0 => Err(Error::new(Call::Submit(Command::RemoveLockspace), Cause::NoLockspace)),
            count => Ok(count),
        }
    }

    /// The minor number of a lockspace, if it exists on this node.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from knowing.
    fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error>;

    /// Opens a lockspace that exists: a new owner of locks. `minor` is what its creation returned;
    /// without it, it is looked up. Waits, not longer than `timeout`, for what is to come by
    /// itself.
    ///
    /// # Errors
    ///
    /// [`Cause::NoLockspace`], ENOENT or ENODEV if there is no such lockspace; any other.
    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Box<dyn BackendDevice>, Error>;

    /// The status of a lockspace. Must not block. Nothing, unless it is overridden.
    fn status(&self, name: &LockspaceName) -> Status {
        let _ = name;
        Status::new(State::Unknown)
    }
}

/// An open lockspace. Dropping it closes it: its locks end, and what is persistent becomes an
/// orphan.
///
/// ```no_run
/// use dlm_runtime::backend::proto::{Cookies, LockRequest, Mode, Token};
/// use dlm_runtime::backend::{
///     Backend, Command, Kernel, LockResult, MAX_REQUEST_LEN, MAX_RESULT_LEN,
/// };
/// use std::time::Duration;
///
/// // A request by hand, as this crate makes them.
/// let device = Kernel.open(&"example".parse()?, None, Duration::from_secs(10))?;
/// let mut bytes = [0; MAX_REQUEST_LEN];
/// let cookies = Cookies::for_token(Token::new(7, 1), 0);
/// let request = LockRequest::new(b"disk0", Mode::Ex, cookies);
/// device.submit(Command::Lock, request.encode(device.abi(), &mut bytes)?)?;
/// let mut buffer = [0; MAX_RESULT_LEN];
/// if let Some(len) = device.read_result(&mut buffer)? {
///     println!("{}", LockResult::decode(device.abi(), &buffer[..len])?.status);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait BackendDevice: fmt::Debug + Send + Sync {
    /// The layout that requests have and results must have.
    fn abi(&self) -> Abi;

    /// The minor number of its lockspace.
    fn minor(&self) -> Minor;

    /// Takes a request. Blocks while the lockspace is stopped.
    ///
    /// Its result may be read before this returns. A request that is refused has no result.
    ///
    /// # Errors
    ///
    /// The answer of the lock manager, if it is no.
    fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error>;

    /// Gives one result, and its length, or `None` if there is none now. Never blocks.
    ///
    /// # Errors
    ///
    /// What keeps the results from being read; they stay then.
    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<Option<usize>, Error>;

    /// A descriptor that is readable while there are results, the same at each call, for poll and
    /// epoll.
    fn results(&self) -> BorrowedFd<'_>;

    /// A descriptor that becomes readable when [`BackendDevice::was_removed`] is worth a call, the
    /// same at each call.
    fn removal(&self) -> BorrowedFd<'_>;

    /// Whether the lockspace was removed under this device. After that [`BackendDevice::removal`]
    /// is readable again only when there is more to know.
    ///
    /// # Errors
    ///
    /// What keeps it from knowing.
    fn was_removed(&self) -> Result<bool, Error>;

    /// Whether two requests at the same time for a resource that nobody uses can make two resources
    /// of that name, with locks that know nothing of each other. The caller keeps such requests
    /// apart then, with [`BackendDevice::try_lock_node`]. No, unless it is overridden.
    fn first_requests_can_meet(&self) -> bool {
        false
    }

    /// Takes the lock that keeps this device's requests for new locks apart from those of the
    /// node's other devices, for the time of one [`BackendDevice::submit`]. `false`: another device
    /// has it. Never blocks. There is no such lock unless it is overridden.
    ///
    /// # Errors
    ///
    /// What keeps it from being taken.
    fn try_lock_node(&self) -> Result<bool, Error> {
        Ok(true)
    }

    /// Ends what [`BackendDevice::try_lock_node`] took.
    fn unlock_node(&self) {}

    /// Sets who may open the lockspace. Does nothing unless it is overridden.
    ///
    /// # Errors
    ///
    /// EPERM, or any other.
    fn set_permissions(&self, mode: u32) -> Result<(), Error> {
        let _ = mode;
        Ok(())
    }
}

/// A backend that several share.
impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error> {
        (**self).create(name, flags)
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        (**self).remove(minor, flags)
    }

    fn remove_all(&self, name: &LockspaceName, flags: RemoveFlags) -> Result<usize, Error> {
        (**self).remove_all(name, flags)
    }

    fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error> {
        (**self).find(name)
    }

    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Box<dyn BackendDevice>, Error> {
        (**self).open(name, minor, timeout)
    }

    fn status(&self, name: &LockspaceName) -> Status {
        (**self).status(name)
    }
}
