//! Lockspaces.

use std::fmt;
#[cfg(not(dlm_model))]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_proto::{LockspaceFlags, LockspaceName, Minor, Mode, RemoveFlags};

use crate::control;
use crate::counters::Counters;
use crate::delivery::DeliveryThread;
use crate::device::{Gone, LockspaceDevice};
use crate::error::{Error, ErrorKind, Operation};
use crate::lock::LockInfo;
use crate::request::LockRequest;
use crate::shared::Shared;
use crate::status::Status;
use crate::sync::now;

/// How long the creation of a lockspace may take, unless [`LockspaceOptions::timeout`] says
/// otherwise. A cluster that is just starting or recovering takes its time.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long closing and releasing wait.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a lockspace is opened.
#[derive(Debug, Clone, Copy)]
pub struct LockspaceOptions {
    flags: LockspaceFlags,
    timeout: Duration,
    background_writes: bool,
    permissions: Option<u32>,
}

impl Default for LockspaceOptions {
    fn default() -> Self {
        Self {
            flags: LockspaceFlags::empty(),
            timeout: CREATE_TIMEOUT,
            background_writes: false,
            permissions: None,
        }
    }
}

impl LockspaceOptions {
    /// The defaults: join a lockspace that exists, wait 60 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails with EEXIST if the lockspace exists on this node (NEWEXCL).
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.flags |= LockspaceFlags::NEWEXCL;
        self
    }

    /// The permission bits that a creation gives the device node, such as `0o660`. They say who may
    /// use the lockspace, and hold for everybody on this node, also if the lockspace existed.
    /// Without this they stay as the kernel or udev made them: for root only, usually.
    #[must_use]
    pub fn permissions(mut self, mode: u32) -> Self {
        self.permissions = Some(mode);
        self
    }

    /// The longest time to wait for the cluster, and then once more for the device node.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Writes the requests of futures, and the unlocks of dropped locks, in a thread of its own.
    ///
    /// While the kernel has stopped the lockspace a `write` blocks, and no signal ends that. With
    /// this an executor goes on meanwhile, and dropping a lock never blocks. It costs a hand-over
    /// to the thread for each of them.
    #[must_use]
    pub fn background_writes(mut self) -> Self {
        self.background_writes = true;
        self
    }

    /// Creates the lockspace on this node, or takes one more reference of it, and opens it. Needs
    /// CAP_SYS_ADMIN.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], [`ErrorKind::Device`] (module not loaded, no cluster, no permission,
    /// ...), [`ErrorKind::TimedOut`].
    pub fn create(self, name: impl AsRef<[u8]>) -> Result<Lockspace, Error> {
        let create = || {
            let name = LockspaceName::new(name.as_ref())?;
            let minor = control::create(name.clone(), self.flags, self.timeout)?;
            let attached = self.attach(name, Some(minor)).and_then(|lockspace| {
                if let Some(mode) = self.permissions {
                    lockspace.shared.set_permissions(mode)?;
                }
                Ok(lockspace)
            });
            attached.inspect_err(|_| {
                // Nobody else would give back the reference.
                let _ = control::remove(minor, RemoveFlags::empty(), CLOSE_TIMEOUT);
            })
        };
        create().map_err(|kind| Error::new(Operation::Create, kind))
    }

    /// Opens a lockspace that exists on this node. Needs permission for its device node only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], [`ErrorKind::Device`].
    pub fn open(self, name: impl AsRef<[u8]>) -> Result<Lockspace, Error> {
        let open = || self.attach(LockspaceName::new(name.as_ref())?, None);
        open().map_err(|kind| Error::new(Operation::Open, kind))
    }

    /// Opens a lockspace that exists on this node, or creates it if it does not.
    ///
    /// Any number of programs that start at the same time take one reference of the lockspace
    /// among them, as only one of them creates it. A program that gives a reference back with
    /// [`Lockspace::release`] should use [`create`](Self::create), which opens what exists, too.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(self, name: impl AsRef<[u8]>) -> Result<Lockspace, Error> {
        let name = name.as_ref();
        let mut answer = self.open(name);
        // Between the two calls somebody may create it, and remove it again: once is a coincidence.
        for _ in 0..2 {
            match answer {
                Err(error) if error.is_no_lockspace() => {}
                answer => return answer,
            }
            answer = match self.exclusive().create(name) {
                Err(error) if error.raw_os_error() == Some(nix::libc::EEXIST) => self.open(name),
                answer => answer,
            };
        }
        answer
    }

    fn attach(self, name: LockspaceName, minor: Option<Minor>) -> Result<Lockspace, ErrorKind> {
        let device = LockspaceDevice::open_within(&name, minor, self.timeout)?;
        Ok(Lockspace { shared: Shared::new(name, device, self.background_writes)? })
    }
}

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
    shared: Arc<Shared>,
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
        Status::read(&self.shared.name)
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
    /// [`ErrorKind::TimedOut`] after 10 seconds, if another thread's call has not returned from
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
        if self.shared.slot.wait_closed(now().checked_add(CLOSE_TIMEOUT)) {
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
            control::remove(minor, flags, CLOSE_TIMEOUT)
        };
        release().map_err(|kind| Error::new(Operation::Release, kind))
    }

    /// Gives back a reference of a lockspace that is not open here. Needs CAP_SYS_ADMIN.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], and as [`release`](Self::release); without force, too.
    pub fn remove(name: impl AsRef<[u8]>) -> Result<(), Error> {
        let remove = || {
            let name = LockspaceName::new(name.as_ref())?;
            let call = dlm_sys::Call::Submit(dlm_proto::Command::RemoveLockspace);
            let missing = dlm_sys::Error::new(call, dlm_sys::Cause::NoLockspace);
            let minor = dlm_sys::find_lockspace(&name)?.ok_or(missing)?;
            control::remove(minor, RemoveFlags::empty(), CLOSE_TIMEOUT)
        };
        remove().map_err(|kind| Error::new(Operation::Release, kind))
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
