//! Operations, each written once for threads and tasks.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::Error;
use crate::convert::ConvertRequest;
use crate::driver::Driver;
use crate::driver::host::at_once;
use crate::error::{ErrorKind, Operation};
use crate::event::Completion;
use crate::lock::Lock;
use crate::lockspace::Lockspace;
use crate::native::Native;
use crate::request::LockRequest;
use crate::several::{self, Event, Pending};
use crate::threads::deadline_after;
use crate::unlock::UnlockRequest;
use dlm_proto::{LockFlags, Mode};

/// The future of a [`Request`].
type Answer<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// An operation in the making: [`wait`](Self::wait) does it in this thread, `.await` in a task.
///
/// A thread that waits reads the results itself. For a task somebody else must read them, as for all
/// futures of this crate: see [`future`](crate::future).
///
#[cfg_attr(feature = "engine", doc = "```")]
#[cfg_attr(not(feature = "engine"), doc = "```ignore")]
/// # use dlm_runtime::{engine::Cluster, Lockspace};
/// # let lockspace = Lockspace::create_on(Cluster::default().node(1), "example")?;
/// use dlm_runtime::sync::Mutex;
/// use std::time::Duration;
///
/// let disk = Mutex::new(&lockspace, "disk0", ());
/// let guard = disk.lock().timeout(Duration::from_secs(5)).wait()?;
/// assert!(guard.is_valid());
/// # Ok::<(), dlm_runtime::sync::Error>(())
/// ```
#[must_use = "nothing happens before wait() or .await"]
pub struct Request<'a, T, E = Error> {
    deadline: Option<Instant>,
    run: Box<dyn FnOnce(Way) -> Answer<'a, T, E> + Send + 'a>,
}

impl<T, E> fmt::Debug for Request<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl<'a, T, E> Request<'a, T, E> {
    pub(super) fn new<F>(run: impl FnOnce(Way) -> F + Send + 'a) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'a,
    {
        Self { deadline: None, run: Box::new(move |way| Box::pin(run(way))) }
    }

    /// Gives up at this time. What was begun is taken back, and the error
    /// [says so](Error::is_timed_out).
    pub const fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// Gives up after this time; see [`deadline`](Self::deadline).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = deadline_after(timeout);
        self
    }

    /// Does it, and waits in this thread until it is done.
    ///
    /// # Errors
    ///
    /// Those of the operation; a deadline that has passed.
    pub fn wait(self) -> Result<T, E> {
        // Nothing of it ever pends.
        at_once((self.run)(Way { is_task: false, deadline: self.deadline }))
    }
}

/// Dropped before it is ready, the future leaves nothing held.
impl<'a, T, E> IntoFuture for Request<'a, T, E> {
    type Output = Result<T, E>;
    type IntoFuture = Answer<'a, T, E>;

    fn into_future(self) -> Answer<'a, T, E> {
        (self.run)(Way { is_task: true, deadline: self.deadline })
    }
}

/// The way in which an operation waits: in place, or as a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    is_task: bool,
    deadline: Option<Instant>,
}

impl Way {
    /// The same with another deadline.
    pub(super) const fn until(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    pub(super) async fn lock(self, mut request: LockRequest<'_>) -> Result<Lock, crate::Error> {
        if let Some(at) = self.deadline {
            request = request.deadline(at);
        }
        if self.is_task { request.await } else { request.wait() }
    }

    /// As [`lock`](Self::lock) of a NOQUEUE request: `None` if others are in its way.
    pub(super) async fn try_lock(
        self,
        request: LockRequest<'_>,
    ) -> Result<Option<Lock>, crate::Error> {
        match self.lock(request.no_queue()).await {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.would_block() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn convert(
        self,
        mut request: ConvertRequest<'_>,
    ) -> Result<Completion, crate::Error> {
        if let Some(at) = self.deadline {
            request = request.deadline(at);
        }
        if self.is_task { request.await } else { request.wait() }
    }

    /// Waits for the end of an unlock however late it is: the deadline is for what may be held up.
    pub(super) async fn unlock(self, request: UnlockRequest) -> Result<(), crate::Error> {
        let unlocked = if self.is_task { request.await } else { request.wait() };
        unlocked.map_err(Into::into)
    }

    /// Waits for the first end of these.
    pub(super) async fn first_end(
        self,
        space: &Space,
        pending: &mut [Pending],
    ) -> Result<(usize, Lock), crate::Error> {
        loop {
            if let Event::Ended(index, lock) = self.first(space, pending, None).await? {
                return lock.map(|lock| (index, lock));
            }
        }
    }

    /// Waits for the first end of these, or for a notice.
    pub(super) async fn first(
        self,
        space: &Space,
        pending: &mut [Pending],
        watched: Option<&Lock>,
    ) -> Result<Event, crate::Error> {
        let first = if self.is_task {
            several::first(&space.0, pending, watched, self.deadline).await?
        } else {
            several::wait_first(&space.0, pending, watched, self.deadline)?
        };
        let late = ErrorKind::TimedOut("what is awaited has not happened in time");
        first.ok_or_else(|| crate::Error::new(Operation::AwaitNotice, late))
    }
}

/// The name of a resource of a primitive that has several.
pub(super) fn part(name: &[u8], part: &str) -> Vec<u8> {
    [name, b"#", part.as_bytes()].concat()
}

/// Whether a lock is held in this mode or a stronger one, and its lockspace is there: this looks.
pub(super) fn holds(lock: &Lock, mode: Mode) -> bool {
    let driver = lock.driver();
    driver.check_fork().is_ok() && driver.check_removed().is_ok() && lock.mode() >= Some(mode)
}

/// The lockspace of a primitive.
#[derive(Clone)]
pub(super) struct Space(Arc<Driver<Native>>);

impl Space {
    pub(super) fn of(lockspace: &Lockspace) -> Self {
        Self(Arc::clone(lockspace.driver()))
    }

    pub(super) fn lock(&self, name: impl AsRef<[u8]>, mode: Mode) -> LockRequest<'_> {
        LockRequest::new(&self.0, name.as_ref(), mode)
    }

    /// The request for a lock that keeps a resource and its value block, and is in nobody's way.
    pub(super) fn anchor(&self, name: impl AsRef<[u8]>) -> LockRequest<'_> {
        // Without EXPEDITE it would wait behind others.
        self.lock(name, Mode::Nl).with_lvb().flags(LockFlags::EXPEDITE)
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.name)
    }
}
