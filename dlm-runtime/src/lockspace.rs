//! Lockspaces.

use std::fmt;
#[cfg(not(dlm_model))]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_proto::{LockspaceName, Minor, Mode, RemoveFlags};

#[cfg(not(dlm_model))]
use crate::backend::Backend;
use crate::control::{self, Manager};
use crate::counters::Counters;
use crate::delivery::DeliveryThread;
use crate::device::Gone;
use crate::error::{Error, ErrorKind, Operation};
use crate::lock::LockInfo;
use crate::options::LockspaceOptions;
use crate::request::LockRequest;
use crate::shared::Shared;
use crate::status::Status;
use crate::sync::now;

/// An open lockspace.
///
/// Threads share it by reference. Its locks keep it open: it is closed when it and all its locks
/// are dropped, or with [`close`](Self::close). Closing releases every lock.
///
/// # Delivery
///
/// Blocking calls ([`LockRequest::wait`] and its like) need nothing else: the calling thread reads
/// the device. Callbacks are run in one of two places:
///
/// * in [`dispatch`](Self::dispatch), in its caller's thread, when the descriptor of the
///   lockspace ([`AsFd`]) is readable;
/// * in the [`DeliveryThread`] that [`start_delivery`](Self::start_delivery) starts.
///
/// A thread that waits in a blocking call may come upon the result of another operation. It never
/// runs the callback, but leaves it for the place where it belongs.
pub struct Lockspace {
    pub(crate) shared: Arc<Shared>,
    pub(crate) manager: Manager,
    pub(crate) close_timeout: Duration,
}

impl fmt::Debug for Lockspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lockspace")
            .field("name", &self.shared.name)
            .field("minor", &self.shared.minor)
            .finish_non_exhaustive()
    }
}

impl Lockspace {
    /// Creates a lockspace with the default options; see [`LockspaceOptions::create`].
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::create`].
    pub fn create(name: impl AsRef<[u8]>) -> Result<Self, Error> {
        LockspaceOptions::new().create(name)
    }

    /// Opens a lockspace with the default options; see [`LockspaceOptions::open`].
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::open`].
    pub fn open(name: impl AsRef<[u8]>) -> Result<Self, Error> {
        LockspaceOptions::new().open(name)
    }

    /// Creates a lockspace of another lock manager than the kernel's, with the default options; see
    /// [`LockspaceOptions::backend`].
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::create`].
    #[cfg(not(dlm_model))]
    pub fn create_on(
        backend: impl Backend + 'static,
        name: impl AsRef<[u8]>,
    ) -> Result<Self, Error> {
        LockspaceOptions::new().backend(backend).create(name)
    }

    /// Opens a lockspace of another lock manager than the kernel's, with the default options; see
    /// [`LockspaceOptions::backend`].
    ///
    /// # Errors
    ///
    /// As [`LockspaceOptions::open`].
    #[cfg(not(dlm_model))]
    pub fn open_on(backend: impl Backend + 'static, name: impl AsRef<[u8]>) -> Result<Self, Error> {
        LockspaceOptions::new().backend(backend).open(name)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &LockspaceName {
        &self.shared.name
    }

    /// The minor number of the device.
    #[must_use]
    pub fn minor(&self) -> Minor {
        self.shared.minor
    }

    /// Starts a lock request on a resource, named by up to 64 bytes of any value.
    ///
    /// Names should not end in NUL: for kernels since 6.10 names that differ only in the NULs
    /// behind them are one resource, for older ones they are not.
    pub fn lock(&self, resource: impl AsRef<[u8]>, mode: Mode) -> LockRequest<'_> {
        LockRequest::new(&self.shared, resource.as_ref(), mode)
    }

    /// Reads what results there are, up to a bound, and runs the callbacks that are due, in this
    /// thread. Returns how many ran. Does not wait: poll the lockspace's descriptor for reading
    /// first.
    ///
    /// Several threads may dispatch at the same time; the callbacks then run in each of them. The
    /// blocking callback of one lock never runs twice at the same time. A callback may do
    /// anything, dispatch included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`], [`ErrorKind::Removed`], [`ErrorKind::Forked`],
    /// [`ErrorKind::Device`].
    pub fn dispatch(&self) -> Result<usize, Error> {
        let dispatch = || {
            self.shared.check_fork()?;
            self.shared.dispatch()
        };
        dispatch().map_err(|kind| Error::new(Operation::Dispatch, kind))
    }

    /// As [`dispatch`](Self::dispatch), but waits until at least one callback has run, or until the
    /// deadline; `None` waits without end. What is there already is read at once, without a look
    /// whether there is something: this saves the `poll` of a program that has nothing else to wait
    /// for. Returns 0 if the deadline has passed.
    ///
    /// # Errors
    ///
    /// As [`dispatch`](Self::dispatch).
    pub fn dispatch_until(&self, deadline: Option<Instant>) -> Result<usize, Error> {
        let dispatch = || {
            self.shared.check_fork()?;
            self.shared.dispatch_until(deadline)
        };
        dispatch().map_err(|kind| Error::new(Operation::Dispatch, kind))
    }

    /// Starts a thread that runs the callbacks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::HasThread`], [`ErrorKind::Forked`], [`ErrorKind::System`].
    pub fn start_delivery(&self) -> Result<DeliveryThread, Error> {
        DeliveryThread::start(&self.shared)
    }

    /// How many locks and requests there are.
    #[must_use]
    pub fn lock_count(&self) -> usize {
        crate::sync::lock(&self.shared.table).len()
    }

    /// The locks and requests of this open lockspace, in no order.
    #[must_use]
    pub fn locks(&self) -> Vec<LockInfo> {
        crate::sync::lock(&self.shared.table)
            .iter_mut()
            .map(|entry| LockInfo {
                resource: entry.name,
                mode: entry.state.granted(),
                is_in_flight: entry.state.pending().is_some(),
                is_persistent: entry.state.is_persistent(),
                blocked: entry.blocked,
            })
            .collect()
    }

    /// How often things happened since the lockspace was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counts.get()
    }

    /// What the kernel tells of the lockspace: whether it runs, and who its members are. Reads a
    /// few small files, and never blocks for a recovery.
    #[must_use]
    pub fn status(&self) -> Status {
        self.manager.status(&self.shared.name)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How many results were dropped because they belonged to no lock of this handle: late,
    /// forged, or those of another process that shares the device.
    #[must_use]
    pub fn dropped_results(&self) -> u64 {
        self.shared.counts.dropped_results.get()
    }

    /// Closes the lockspace, for all threads that share it: every wait ends with [`ErrorKind::Closed`], a delivery thread ends,
    /// and the kernel releases all locks. Handles of locks may be kept; they do nothing any more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] after 10 seconds (see
    /// [`LockspaceOptions::close_timeout`]), if another thread's call has not returned from
    /// the kernel, as it happens while the lockspace is stopped. The device is closed as soon as
    /// it does.
    pub fn close(&self) -> Result<(), Error> {
        self.shut().map_err(|kind| Error::new(Operation::Close, kind))
    }

    fn shut(&self) -> Result<(), ErrorKind> {
        if self.shared.check_fork().is_err() {
            // Only this process' descriptor; the parent's threads are not here.
            self.shared.slot.empty(Gone::Closed);
            return Ok(());
        }
        self.shared.end(Gone::Closed);
        if self.shared.slot.wait_closed(now().checked_add(self.close_timeout)) {
            Ok(())
        } else {
            Err(ErrorKind::TimedOut("a call has not returned from the kernel"))
        }
    }

    /// Closes the lockspace and gives back the reference that its creation took. The last
    /// reference removes the lockspace from this node.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Device`] with EBUSY if it was the last reference and locks of others or
    /// orphans are left: the reference is kept, [`Lockspace::remove`] tries again.
    /// [`ErrorKind::TimedOut`] if somebody has the device open: the removal goes on until they
    /// close it, and holds up every creation and removal on this node.
    pub fn release(self) -> Result<(), Error> {
        self.give_back(RemoveFlags::empty())
    }

    /// As [`release`](Self::release), but removes the lockspace with all locks that are left in it.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release), without EBUSY.
    pub fn force_release(self) -> Result<(), Error> {
        self.give_back(RemoveFlags::FORCEFREE)
    }

    fn give_back(self, flags: RemoveFlags) -> Result<(), Error> {
        let minor = self.shared.minor;
        let release = || {
            self.shared.check_fork()?;
            // Before it is closed, the removal would wait for ourselves.
            self.shut()?;
            control::remove(&self.manager, minor, flags, self.close_timeout)
        };
        release().map_err(|kind| Error::new(Operation::Release, kind))
    }

    /// Gives back a reference of a lockspace that is not open here. Needs CAP_SYS_ADMIN.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], and as [`release`](Self::release); without force, too.
    pub fn remove(name: impl AsRef<[u8]>) -> Result<(), Error> {
        LockspaceOptions::new().remove(name)
    }
}

/// Readable when [`Lockspace::dispatch`] has something to do, or has to report that the lockspace
/// is gone. For poll, select and epoll; not for reading.
#[cfg(not(dlm_model))]
impl AsFd for Lockspace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.lookout.source(&self.shared.slot)
    }
}
