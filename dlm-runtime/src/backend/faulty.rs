//! A backend that lets calls fail.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dlm_proto::{Abi, Command, LockspaceFlags, LockspaceName, MAX_RESULT_LEN, Minor, RemoveFlags};
use dlm_sys::{Accepted, Call, Error};

use super::plan::{Plan, RequestFault, ResultFault};
use super::{Backend, BackendDevice};
use crate::driver::signal::{AsFd, PollSet, Signal, Timer};
use crate::status::Status;
use crate::threads::{Mutex, deadline_after, lock, now};

/// A backend behind which another one works, and that lets requests and results come to harm.
///
/// What is to go wrong is for its [`Plan`] to say: a [`Seeded`](super::Seeded) one, or one from a
/// closure ([`on_requests`](super::on_requests), [`on_results`](super::on_results),
/// [`on_calls`](super::on_calls)). Clones are one and the same.
///
/// ```no_run
/// use dlm_runtime::backend::{Errno, Faulty, Kernel, Seeded};
/// use dlm_runtime::{Lockspace, Mode};
///
/// let faulty = Faulty::new(Kernel, Seeded::new(1).refusals(3, Errno::ENOBUFS));
/// let lockspace = Lockspace::create_on(faulty.clone(), "example")?;
/// while lockspace.lock("disk0", Mode::Ex).wait().is_ok() {}
/// assert_eq!(faulty.injected(), 1);
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
pub struct Faulty<B> {
    inner: B,
    faults: Arc<Faults>,
}

/// The state that the devices of a backend share.
struct Faults {
    plan: Box<dyn Plan>,
    is_active: AtomicBool,
    injected: AtomicU64,
}

impl<B: Clone> Clone for Faulty<B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), faults: Arc::clone(&self.faults) }
    }
}

impl<B: fmt::Debug> fmt::Debug for Faulty<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("inner", &self.inner)
            .field("injected", &self.injected())
            .finish_non_exhaustive()
    }
}

impl<B: Backend> Faulty<B> {
    /// Puts a plan before a backend.
    pub fn new(inner: B, plan: impl Plan + 'static) -> Self {
        let faults = Faults {
            plan: Box::new(plan),
            is_active: AtomicBool::new(true),
            injected: AtomicU64::new(0),
        };
        Self { inner, faults: Arc::new(faults) }
    }

    /// Whether the plan is asked, as it is at the beginning. While it is not everything works; what
    /// was delayed before still comes.
    pub fn set_active(&self, is_active: bool) {
        self.faults.is_active.store(is_active, Ordering::SeqCst);
    }
}

impl<B> Faulty<B> {
    /// The number of faults so far.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.faults.injected.load(Ordering::SeqCst)
    }
}

/// The call that a removal is.
const REMOVE: Call = Call::Submit(Command::RemoveLockspace);

impl Faults {
    /// Asks the plan, and counts.
    fn decide<T>(&self, ask: impl FnOnce(&dyn Plan) -> Option<T>) -> Option<T> {
        if !self.is_active.load(Ordering::SeqCst) {
            return None;
        }
        let fault = ask(&*self.plan)?;
        self.injected.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }

    /// Has what the plan wants happen to a call or request.
    fn meet(&self, call: Call, fault: Option<RequestFault>) -> Result<(), Error> {
        match fault {
            Some(RequestFault::Fail(errno)) => return Err(Error::os(call, errno)),
            Some(RequestFault::Delay(delay)) => std::thread::sleep(delay),
            None => {}
        }
        Ok(())
    }

    fn call(&self, call: Call) -> Result<(), Error> {
        self.meet(call, self.decide(|plan| plan.call(call)))
    }
}

impl<B: Backend> Backend for Faulty<B> {
    fn create(&self, name: &LockspaceName, flags: LockspaceFlags) -> Result<Minor, Error> {
        self.faults.call(Call::Submit(Command::CreateLockspace))?;
        self.inner.create(name, flags)
    }

    fn remove(&self, minor: Minor, flags: RemoveFlags) -> Result<(), Error> {
        self.faults.call(REMOVE)?;
        self.inner.remove(minor, flags)
    }

    fn remove_all(&self, name: &LockspaceName, flags: RemoveFlags) -> Result<usize, Error> {
        self.faults.call(REMOVE)?;
        self.inner.remove_all(name, flags)
    }

    fn find(&self, name: &LockspaceName) -> Result<Option<Minor>, Error> {
        self.inner.find(name)
    }

    fn open(
        &self,
        name: &LockspaceName,
        minor: Option<Minor>,
        timeout: Duration,
    ) -> Result<Box<dyn BackendDevice>, Error> {
        self.faults.call(Call::OpenLockspace)?;
        let inner = self.inner.open(name, minor, timeout)?;
        let fail = |errno: nix::errno::Errno| Error::os(Call::OpenLockspace, errno.into());
        let again = Signal::new().map_err(fail)?;
        let later = Timer::new().map_err(fail)?;
        let readable = PollSet::new(&[again.as_fd(), later.as_fd(), inner.results()]);
        let readable = readable.map_err(fail)?;
        let queue = Mutex::new(Queue::default());
        let faults = Arc::clone(&self.faults);
        Ok(Box::new(FaultyDevice { readable, again, later, queue, inner, faults }))
    }

    fn status(&self, name: &LockspaceName) -> Status {
        self.inner.status(name)
    }
}

struct FaultyDevice {
    /// Any of the next two, or a result of the inner device.
    readable: PollSet,
    /// A result is to be given without another look at the plan.
    again: Signal,
    /// The first of those that come late is due.
    later: Timer,
    queue: Mutex<Queue>,
    inner: Box<dyn BackendDevice>,
    faults: Arc<Faults>,
}

/// Results that were read from the inner device and not given yet.
#[derive(Default)]
struct Queue {
    again: VecDeque<Vec<u8>>,
    later: Vec<(Instant, Vec<u8>)>,
}

impl fmt::Debug for FaultyDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyDevice").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl FaultyDevice {
    /// Makes the descriptors tell what is in the queue.
    fn show(&self, queue: &Queue) -> Result<(), Error> {
        if queue.again.is_empty() {
            self.again.clear();
        } else {
            self.again.set();
        }
        let first = queue.later.iter().map(|(due, _)| *due).min();
        self.later.set(first).map_err(|errno| Error::os(Call::ReadResult, errno.into()))
    }

    /// One result, from the queue or else from the inner device.
    fn next(
        &self,
        queue: &mut Queue,
        buffer: &mut [u8; MAX_RESULT_LEN],
    ) -> Result<Option<usize>, Error> {
        queue.take_due();
        loop {
            if let Some(bytes) = queue.again.pop_front() {
                buffer.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
                return Ok(Some(bytes.len().min(buffer.len())));
            }
            let Some(len) = self.inner.read_result(buffer)? else { return Ok(None) };
            let bytes = buffer.get_mut(..len).unwrap_or_default();
            match self.faults.decide(|plan| plan.result(bytes)) {
                None => return Ok(Some(len)),
                Some(ResultFault::Fail(errno)) => {
                    queue.again.push_back(bytes.to_vec());
                    return Err(Error::os(Call::ReadResult, errno));
                }
                Some(ResultFault::Delay(delay)) => {
                    // Later than the clock can tell is never.
                    let due = deadline_after(delay);
                    queue.later.extend(due.map(|due| (due, bytes.to_vec())));
                }
                Some(ResultFault::Drop) => {}
                Some(ResultFault::Duplicate) => {
                    queue.again.push_back(bytes.to_vec());
                    return Ok(Some(len));
                }
                Some(ResultFault::Corrupt { at, mask }) => {
                    let at = at.checked_rem(bytes.len()).unwrap_or(0);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= mask;
                    }
                    return Ok(Some(len));
                }
            }
        }
    }
}

impl Queue {
    /// Moves what is due now, the earliest first.
    fn take_due(&mut self) {
        let now = now();
        self.later.sort_by_key(|(due, _)| *due);
        let count = self.later.partition_point(|(due, _)| *due <= now);
        self.again.extend(self.later.drain(..count).map(|(_, bytes)| bytes));
    }
}

impl BackendDevice for FaultyDevice {
    fn abi(&self) -> Abi {
        self.inner.abi()
    }

    fn minor(&self) -> Minor {
        self.inner.minor()
    }

    fn submit(&self, command: Command, request: &[u8]) -> Result<Accepted, Error> {
        let fault = self.faults.decide(|plan| plan.request(command, request));
        self.faults.meet(Call::Submit(command), fault)?;
        self.inner.submit(command, request)
    }

    fn read_result(&self, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<Option<usize>, Error> {
        let mut queue = lock(&self.queue);
        let answer = self.next(&mut queue, buffer);
        self.show(&queue)?;
        answer
    }

    fn results(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }

    fn removal(&self) -> BorrowedFd<'_> {
        self.inner.removal()
    }

    fn was_removed(&self) -> Result<bool, Error> {
        self.inner.was_removed()
    }

    fn first_requests_can_meet(&self) -> bool {
        self.inner.first_requests_can_meet()
    }

    fn try_lock_node(&self) -> Result<bool, Error> {
        self.inner.try_lock_node()
    }

    fn unlock_node(&self) {
        self.inner.unlock_node();
    }

    fn set_permissions(&self, mode: u32) -> Result<(), Error> {
        self.inner.set_permissions(mode)
    }
}
