//! The delivery thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::Driver;
use crate::driver::delivery::Control;
use crate::error::{Error, ErrorKind, Operation};
use crate::native::Native;

/// The longest time that dropping a [`DeliveryThread`] waits for a callback that is running.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// A thread that runs the callbacks of a lockspace, one after the other.
///
/// [`Lockspace::start_delivery`](crate::Lockspace::start_delivery) starts it. It ends when it is
/// stopped or dropped, or when the lockspace is closed, removed or cannot be read any more; in the
/// last two cases the callbacks of operations in flight are run first, with the status
/// [`LockStatus::Other`](dlm_proto::LockStatus::Other). A callback that is running is never
/// interrupted. Blocking calls do not need the thread and do not wait for it, so they may be made
/// from inside a callback, too.
///
/// A panic in a callback ends that callback only, is counted
/// ([`DeliveryThread::callback_panics`]), and the thread goes on.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
/// use std::time::Duration;
///
/// let delivery = lockspace.start_delivery()?;
/// let lock = lockspace.lock("disk0", Mode::Ex).start(|completion| println!("{}", completion.status))?;
/// drop(lock);
/// delivery.stop(Duration::from_secs(5))?;
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[must_use = "dropping it stops the thread"]
pub struct DeliveryThread {
    driver: Arc<Driver<Native>>,
    control: Arc<Control>,
    is_stopped: bool,
}

impl fmt::Debug for DeliveryThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryThread")
            .field("lockspace", &self.driver.name)
            .field("is_running", &self.is_running())
            .finish_non_exhaustive()
    }
}

impl DeliveryThread {
    pub(crate) fn start(driver: &Arc<Driver<Native>>) -> Result<Self, Error> {
        let start = || {
            driver.check_fork()?;
            driver.start_delivery()
        };
        let control = start().map_err(|kind| Error::new(Operation::StartThread, kind))?;
        Ok(Self { driver: Arc::clone(driver), control, is_stopped: false })
    }

    /// Whether the thread has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.control.is_running()
    }

    /// The number of callbacks, wakers and dropped values of users that have panicked in this
    /// lockspace's time.
    #[must_use]
    pub fn callback_panics(&self) -> u64 {
        self.driver.callback_panics.get()
    }

    /// Stops the thread and waits, at most for `timeout`, until it has ended. Callbacks that are
    /// due are left for [`dispatch`](crate::Lockspace::dispatch) or another thread. From inside a
    /// callback it does not wait: the thread ends after that callback.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] if a callback is still running: the thread ends after it.
    /// [`ErrorKind::Closed`], [`ErrorKind::Removed`] or [`ErrorKind::Device`] if the thread had
    /// ended before, for that reason.
    pub fn stop(mut self, timeout: Duration) -> Result<(), Error> {
        self.halt(timeout).map_err(|kind| Error::new(Operation::StopThread, kind))
    }

    fn halt(&mut self, timeout: Duration) -> Result<(), ErrorKind> {
        if std::mem::replace(&mut self.is_stopped, true) {
            return Ok(());
        }
        self.control.stop(timeout)
    }
}

impl Drop for DeliveryThread {
    fn drop(&mut self) {
        // In a forked child there is no such thread.
        if self.driver.check_fork().is_ok() {
            let _ = self.halt(DROP_PATIENCE);
        }
    }
}

#[cfg(dlm_model)]
impl DeliveryThread {
    /// The thread in which callbacks run.
    pub(crate) fn thread_id(&self) -> Option<crate::threads::thread::ThreadId> {
        self.control.thread_id()
    }
}
