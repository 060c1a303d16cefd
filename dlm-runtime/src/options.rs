//! The options with which lockspaces are created and opened.

use std::sync::Arc;
use std::time::Duration;

use dlm_core::Rules;
use dlm_proto::{LockspaceFlags, LockspaceName, Minor, RemoveFlags};

#[cfg(not(dlm_model))]
use crate::backend::Backend;
use crate::control::{self, Manager};
use crate::driver::first::KeepApart;
use crate::driver::signal::PollSet;
use crate::driver::{Driver, DriverOptions};
use crate::error::{Error, ErrorKind, Operation};
use crate::lockspace::Lockspace;
use crate::threads::atomic::AtomicBool;

/// The longest time that the creation of a lockspace may take, unless [`LockspaceOptions::timeout`]
/// says otherwise. A cluster that is just starting or recovering takes its time.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time that closing and releasing wait, unless [`LockspaceOptions::close_timeout`]
/// says otherwise.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The options with which a lockspace is opened.
///
/// ```no_run
/// use dlm_runtime::LockspaceOptions;
/// use std::time::Duration;
///
/// let options = LockspaceOptions::new().permissions(0o660).timeout(Duration::from_secs(30));
/// let lockspace = options.open_or_create("example")?;
/// # drop(lockspace);
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LockspaceOptions {
    manager: Manager,
    flags: LockspaceFlags,
    timeout: Duration,
    close_timeout: Duration,
    background_writes: bool,
    first_requests: KeepApart,
    permissions: Option<u32>,
}

impl Default for LockspaceOptions {
    fn default() -> Self {
        Self {
            manager: Manager::Kernel,
            flags: LockspaceFlags::empty(),
            timeout: CREATE_TIMEOUT,
            close_timeout: CLOSE_TIMEOUT,
            background_writes: false,
            first_requests: KeepApart::default(),
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
    /// use the lockspace, and hold for everybody on this node, also if the lockspace existed. Where
    /// udev runs they are set after its rules have been, and so hold.
    ///
    /// Without this, and with 0, they stay as the kernel or udev made them: for root only, usually,
    /// or for root's group. Who may read the node but not write it has no use of the lockspace, and
    /// could hold up the others: see [`serialize_new_requests`](Self::serialize_new_requests).
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

    /// The longest time that [`Lockspace::close`] and [`Lockspace::release`] wait, 10 seconds by
    /// default. What takes longer goes on without its caller.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
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

    /// Writes requests for new locks one at a time, also on kernels that do not need it.
    ///
    /// Where exclusion needs it, which is on kernels since 6.10 and on those of distributions that
    /// have their resource table, and wherever it cannot be told, this is done without being asked
    /// for: see [two resources of one name](crate::manual::hazards#two-resources-of-one-name). It
    /// keeps apart the threads of a program by a mutex, and the open lockspaces of this name on
    /// this node by a `flock` on the device node, which is two system calls for each
    /// [`Lockspace::lock`]. Conversions and unlocks cost what they did.
    ///
    /// Programs without it, and those that have another node for the same device (`mknod`, some
    /// containers), are not kept apart. While the kernel has stopped the lockspace, the first
    /// request is held up in its `write` and the others behind it. A process that keeps the lock on
    /// the node for ten seconds while the lockspace runs makes requests fail with EBUSY. Who may
    /// read the node but not write it has no use of the lockspace, and could be such a process:
    /// give both or none.
    #[must_use]
    pub fn serialize_new_requests(mut self) -> Self {
        self.first_requests = KeepApart::Always;
        self
    }

    /// Does without what [`serialize_new_requests`](Self::serialize_new_requests) tells of, also on
    /// kernels that need it.
    ///
    /// For programs whose resources all exist before they are fought for (each has a lock in NL,
    /// say, that was granted before anybody else asked), and where nothing but this handle asks for
    /// new locks, one at a time. Elsewhere **two may hold EX**.
    #[must_use]
    pub fn concurrent_new_requests(mut self) -> Self {
        self.first_requests = KeepApart::Never;
        self
    }

    /// Uses another lock manager than the kernel's: an engine in this process, say, see
    /// [`backend`](crate::backend).
    #[cfg(not(dlm_model))]
    #[must_use]
    pub fn backend(mut self, backend: impl Backend + 'static) -> Self {
        self.manager = Manager::Other(Arc::new(backend));
        self
    }

    /// Creates the lockspace on this node, or takes one more reference of it, and opens it. Needs
    /// CAP_SYS_ADMIN.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], [`ErrorKind::Device`] (module not loaded, no cluster, no permission,
    /// ...), [`ErrorKind::TimedOut`].
    pub fn create(&self, name: impl AsRef<[u8]>) -> Result<Lockspace, Error> {
        let create = || {
            let name = LockspaceName::new(name.as_ref())?;
            let minor = control::create(&self.manager, name.clone(), self.flags, self.timeout)?;
            let attached = self.attach(name, Some(minor)).and_then(|lockspace| {
                if let Some(mode) = self.permissions {
                    lockspace.driver.set_permissions(mode)?;
                }
                Ok(lockspace)
            });
            attached.inspect_err(|_| {
                // Nobody else would give back the reference.
                let _ = self.give_back(minor);
            })
        };
        create().map_err(|kind| Error::new(Operation::Create, kind))
    }

    /// Opens a lockspace that exists on this node. Needs permission for its device node only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], [`ErrorKind::Device`].
    pub fn open(&self, name: impl AsRef<[u8]>) -> Result<Lockspace, Error> {
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
    pub fn open_or_create(&self, name: impl AsRef<[u8]>) -> Result<Lockspace, Error> {
        let name = name.as_ref();
        let mut answer = self.open(name);
        // Between the two calls somebody may create it, and remove it again: once is a coincidence.
        for _ in 0..2 {
            match answer {
                Err(error) if error.is_no_lockspace() => {}
                answer => return answer,
            }
            answer = match self.clone().exclusive().create(name) {
                Err(error) if error.is_existing_lockspace() => self.open(name),
                answer => answer,
            };
        }
        answer
    }

    /// Gives back a reference of a lockspace that is not open here. Needs CAP_SYS_ADMIN.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`], and as [`Lockspace::release`]; without force, too.
    pub fn remove(&self, name: impl AsRef<[u8]>) -> Result<(), Error> {
        let remove = || {
            let name = LockspaceName::new(name.as_ref())?;
            let minor = self.manager.find(&name)?;
            self.give_back(minor)
        };
        remove().map_err(|kind| Error::new(Operation::Release, kind))
    }

    /// Removes a lockspace from this node with all its references, and tells how many there were.
    /// Needs CAP_SYS_ADMIN.
    ///
    /// The kernel counts creations, not programs: the reference of a program that was killed before
    /// it released the lockspace stays, and keeps it on this node. This is for clearing up.
    /// Programs that use the lockspace lose it; while there are locks in it, or orphans, it stays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`]; [`ErrorKind::Device`] where [`Error::is_no_lockspace`] tells that there
    /// is none, or with EBUSY for the last reference, which is kept, if there are locks;
    /// [`ErrorKind::TimedOut`] while somebody has it open (it goes on, as
    /// [`close_timeout`](Self::close_timeout) says).
    pub fn remove_all(&self, name: impl AsRef<[u8]>) -> Result<usize, Error> {
        let remove = || {
            let name = LockspaceName::new(name.as_ref())?;
            control::remove_all(&self.manager, name, RemoveFlags::empty(), self.close_timeout)
        };
        remove().map_err(|kind| Error::new(Operation::Release, kind))
    }

    fn give_back(&self, minor: Minor) -> Result<(), ErrorKind> {
        control::remove(&self.manager, minor, RemoveFlags::empty(), self.close_timeout)
    }

    fn attach(&self, name: LockspaceName, minor: Option<Minor>) -> Result<Lockspace, ErrorKind> {
        let device = self.manager.open(&name, minor, self.timeout)?;
        let options = DriverOptions {
            background_writes: self.background_writes,
            keep_apart: self.first_requests,
            rules: Rules::Checked,
            has_ids: false,
            has_threads: true,
        };
        let driver = Driver::new(name, device, self.manager.clone(), &options)?;
        let set = Arc::new(PollSet::new(&[])?);
        driver.readiness.use_set(&set);
        let (manager, close_timeout) = (self.manager.clone(), self.close_timeout);
        let is_released = Arc::new(AtomicBool::new(false));
        Ok(Lockspace { driver, set, manager, close_timeout, is_released })
    }
}
