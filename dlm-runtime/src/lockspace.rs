//! Lockspaces.

use std::fmt;
use std::future::poll_fn;
#[cfg(not(dlm_model))]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use dlm_proto::{LockspaceName, Minor, Mode, RemoveFlags};

#[cfg(not(dlm_model))]
use crate::backend::Backend;
use crate::control::{self, Manager};
use crate::counters::Counters;
use crate::delivery::DeliveryThread;
use crate::driver::Driver;
use crate::driver::device::CloseReason;
use crate::driver::signal::PollSet;
use crate::error::{Error, ErrorKind, Operation};
use crate::lock::LockInfo;
use crate::native::Native;
use crate::options::LockspaceOptions;
use crate::request::LockRequest;
use crate::status::Status;
use crate::threads::atomic::{AtomicBool, Ordering};
use crate::threads::deadline_after;

/// An open lockspace.
///
/// Threads and tasks share it by reference or by clones, which are handles of one and the same. Its
/// locks keep it open: it is closed when all handles and all its locks are dropped, or with
/// [`close`](Self::close) of any. Closing releases every lock. [`release`](Self::release) of any handle
/// closes it for all of them and gives back the reference, once.
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
///
/// ```no_run
/// use dlm_runtime::{Lockspace, Mode};
///
/// let lockspace = Lockspace::create("example")?;
/// let theirs = lockspace.clone();
/// let worker = std::thread::spawn(move || theirs.lock("disk0", Mode::Pr).wait());
/// if let Ok(Ok(lock)) = worker.join() {
///     lock.unlock().wait()?;
/// }
/// lockspace.release()?;
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Lockspace {
    pub(crate) driver: Arc<Driver<Native>>,
    /// The descriptors that a user polls.
    #[cfg_attr(dlm_model, expect(dead_code, reason = "there are no descriptors to poll"))]
    pub(crate) set: Arc<PollSet>,
    pub(crate) manager: Manager,
    pub(crate) close_timeout: Duration,
    /// One of the handles has given back the reference.
    pub(crate) is_released: Arc<AtomicBool>,
}

impl fmt::Debug for Lockspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lockspace")
            .field("name", &self.driver.name)
            .field("minor", &self.driver.minor)
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
        &self.driver.name
    }

    /// The minor number of the device.
    #[must_use]
    pub fn minor(&self) -> Minor {
        self.driver.minor
    }

    /// Starts a lock request on a resource, named by up to 64 bytes of any value.
    ///
    /// Names should not end in NUL: for kernels since 6.10 names that differ only in the NULs
    /// behind them are one resource, for older ones they are not.
    pub fn lock(&self, resource: impl AsRef<[u8]>, mode: Mode) -> LockRequest<'_> {
        LockRequest::new(&self.driver, resource.as_ref(), mode)
    }

    /// Reads what results there are and runs the callbacks that are due, in this thread. Returns
    /// how many ran. Does not wait: poll the lockspace's descriptor for reading first,
    /// level-triggered or edge-triggered. One call reads all that was there when it began; if more
    /// has come meanwhile than it reads, the descriptor becomes readable anew.
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
            self.driver.check_fork()?;
            self.driver.task_reader.program_reads();
            self.driver.dispatch()
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
            self.driver.check_fork()?;
            self.driver.task_reader.program_reads();
            self.driver.dispatch_until(deadline)
        };
        dispatch().map_err(|kind| Error::new(Operation::Dispatch, kind))
    }

    /// Starts a thread that runs the callbacks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::HasThread`], [`ErrorKind::Forked`], [`ErrorKind::System`].
    pub fn start_delivery(&self) -> Result<DeliveryThread, Error> {
        DeliveryThread::start(&self.driver)
    }

    /// The number of locks and requests.
    #[must_use]
    pub fn lock_count(&self) -> usize {
        self.driver.state().core.len()
    }

    /// The locks and requests of this open lockspace, in no order.
    #[must_use]
    pub fn locks(&self) -> Vec<LockInfo> {
        let state = self.driver.state();
        let info = |token| {
            let view = state.core.view(token)?;
            Some(LockInfo {
                resource: *state.core.name(token)?,
                mode: view.mode,
                is_in_flight: view.op.is_some() || view.has_queued,
                is_persistent: view.is_persistent,
                blocked: view.blocked,
            })
        };
        state.core.tokens().into_iter().filter_map(info).collect()
    }

    /// Counts of what happened since the lockspace was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.driver.counters()
    }

    /// The status of the lockspace: whether it runs, and who its members are. Reads a
    /// few small files, and never blocks for a recovery.
    #[must_use]
    pub fn status(&self) -> Status {
        self.manager.status(&self.driver.name)
    }

    pub(crate) const fn driver(&self) -> &Arc<Driver<Native>> {
        &self.driver
    }

    /// The number of results that were dropped because they belonged to no lock of this handle:
    /// late, forged, or those of another process that shares the device.
    #[must_use]
    pub fn dropped_results(&self) -> u64 {
        self.driver.state().core.counts().dropped_results
    }

    /// Whether the lockspace is open: not closed, not removed as far as anybody has read (to look, call
    /// [`dispatch`](Self::dispatch)), and its device can be read.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.driver.check_fork().is_ok() && self.driver.slot.get().is_ok()
    }

    /// Completes, with the reason, when the lockspace is not open any more. Somebody must read
    /// results or wait for the descriptor, as for other futures: the removal of a lockspace shows
    /// there.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), dlm_runtime::Error> {
    /// use dlm_runtime::Lockspace;
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// let why = lockspace.closed().await;
    /// println!("the locks protect nothing any more: {why}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn closed(&self) -> Error {
        poll_fn(|cx| {
            let driver = &self.driver;
            if driver.slot.get().is_ok() {
                driver.end_wakers.register(cx.waker().clone());
            }
            // It may have ended before it could be told.
            match driver.slot.get() {
                Ok(_) => {
                    driver.read_for_tasks();
                    Poll::Pending
                }
                Err(gone) => Poll::Ready(Error::new(Operation::Dispatch, gone)),
            }
        })
        .await
    }

    /// Closes the lockspace, for all threads that share it: every wait ends with
    /// [`ErrorKind::Closed`], a delivery thread ends, and the kernel releases all locks. Handles of
    /// locks may be kept; they do nothing any more.
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
        if self.driver.check_fork().is_err() {
            // Only this process' descriptor; the parent's threads are not here.
            drop(self.driver.slot.empty(CloseReason::Closed));
            return Ok(());
        }
        self.driver.end(CloseReason::Closed);
        if self.driver.slot.wait_closed(deadline_after(self.close_timeout)) {
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
    /// [`ErrorKind::Closed`] if a clone of this handle has released it already.
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
        let minor = self.driver.minor;
        let release = || {
            self.driver.check_fork()?;
            // Before it is closed, the removal would wait for ourselves.
            self.shut()?;
            if self.is_released.swap(true, Ordering::SeqCst) {
                return Err(ErrorKind::Closed);
            }
            let removed = control::remove(&self.manager, minor, flags, self.close_timeout);
            if matches!(removed, Err(ErrorKind::Device(_))) {
                // It is still there, for another handle to give back.
                self.is_released.store(false, Ordering::SeqCst);
            }
            removed
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

    /// As [`remove`](Self::remove), of another lock manager than the kernel's.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    #[cfg(not(dlm_model))]
    pub fn remove_on(backend: impl Backend + 'static, name: impl AsRef<[u8]>) -> Result<(), Error> {
        LockspaceOptions::new().backend(backend).remove(name)
    }
}

/// Readable when [`Lockspace::dispatch`] has something to do, or has to report that the lockspace
/// is gone. For poll, select and epoll; not for reading.
#[cfg(not(dlm_model))]
impl AsFd for Lockspace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.driver.task_reader.program_reads();
        self.watched()
    }
}

#[cfg(not(dlm_model))]
impl Lockspace {
    /// The descriptor, which shows what there is.
    pub(crate) fn watched(&self) -> BorrowedFd<'_> {
        self.driver.readiness.watch(&self.driver.slot, || self.driver.next_alarm());
        self.set.as_fd()
    }
}
