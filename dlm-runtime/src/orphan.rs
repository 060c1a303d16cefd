//! Orphans: persistent locks whose owner is gone.

use std::fmt;
use std::sync::Arc;

use dlm_core::NewLock;
use dlm_proto::{LockFlags, Mode, NameError, NodeId, ResourceName};
use dlm_sys::Errno;

use crate::blocking::BlockedLock;
use crate::driver::Driver;
use crate::error::{Error, ErrorKind, Operation};
use crate::event::Blocking;
use crate::lock::Lock;
use crate::lockspace::Lockspace;
use crate::native::{BlockingSlot, LockData, Native};

/// The adoption of an orphan in the making; [`Lockspace::adopt`] starts one.
///
/// ```no_run
/// # let lockspace = dlm_runtime::Lockspace::open("example")?;
/// use dlm_runtime::Mode;
///
/// let lock = lockspace.adopt("disk0", Mode::Ex).take()?;
/// lock.unlock().wait()?;
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
#[must_use = "nothing is adopted before take()"]
pub struct AdoptRequest<'a> {
    driver: &'a Arc<Driver<Native>>,
    name: Result<ResourceName, NameError>,
    /// `None`: any.
    mode: Option<Mode>,
    blocking: BlockingSlot,
}

impl fmt::Debug for AdoptRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptRequest")
            .field("name", &self.name)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl<'a> AdoptRequest<'a> {
    pub(crate) fn new(driver: &'a Arc<Driver<Native>>, name: &[u8], mode: Option<Mode>) -> Self {
        let name = ResourceName::new(name);
        Self { driver, name, mode, blocking: BlockingSlot::Unwanted }
    }

    /// Runs `callback` when somebody waits for this lock; see
    /// [`LockRequest::on_blocking`](crate::LockRequest::on_blocking). Those who wait already are
    /// told, too.
    pub fn on_blocking(mut self, callback: impl FnMut(Blocking) + Send + 'static) -> Self {
        self.blocking = BlockingSlot::with_mode(callback);
        self
    }

    /// As [`on_blocking`](Self::on_blocking), with a callback that is given the lock itself; see
    /// [`BlockedLock`].
    pub fn on_blocking_with(mut self, callback: impl FnMut(&BlockedLock) + Send + 'static) -> Self {
        self.blocking = BlockingSlot::with_lock(callback);
        self
    }

    /// Has blocking notices sent without a callback; see
    /// [`LockRequest::note_blocking`](crate::LockRequest::note_blocking).
    pub fn note_blocking(mut self) -> Self {
        self.blocking = BlockingSlot::Noted;
        self
    }

    /// Adopts the orphan. That is done when this returns: no completion follows. The lock stays
    /// persistent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoOrphan`] if there is none of this name on this node, or none that holds this
    /// mode; otherwise as [`LockRequest::wait`](crate::LockRequest::wait).
    pub fn take(self) -> Result<Lock, Error> {
        let notices = self.blocking.wants_notices();
        let lock = self.adopt().map_err(|kind| Error::new(Operation::Adopt, kind))?;
        if notices {
            // The kernel sends notices of those who wait already only after a new grant.
            lock.persist()?;
        }
        Ok(lock)
    }

    fn adopt(self) -> Result<Lock, ErrorKind> {
        let Self { driver, name, mode, mut blocking } = self;
        driver.check_fork()?;
        let name = name?;
        let notices = blocking.wants_notices();
        let mut attempt = |mode| {
            let mut data =
                LockData { blocking: std::mem::take(&mut blocking), ..LockData::default() };
            let flags = LockFlags::PERSISTENT;
            let new = NewLock { name: &name, mode, flags, xid: 0, notices };
            let answer = driver.adopt(&new, &mut data);
            if answer.is_err() {
                blocking = data.blocking;
            }
            answer.map_err(explained)
        };
        let token = match mode {
            Some(mode) => attempt(mode),
            None => any(attempt),
        }?;
        Ok(Lock::new(Arc::clone(driver), token))
    }
}

/// Tries the modes, the strongest first, as long as the kernel says that there is an orphan.
fn any<T>(mut attempt: impl FnMut(Mode) -> Result<T, ErrorKind>) -> Result<T, ErrorKind> {
    let mut answer = Err(ErrorKind::NoOrphan { other_mode: true });
    for mode in Mode::ALL.into_iter().rev() {
        answer = attempt(mode);
        if !matches!(answer, Err(ErrorKind::NoOrphan { other_mode: true })) {
            break;
        }
    }
    answer
}

/// The meaning of the kernel's answer to an adoption.
fn explained(kind: ErrorKind) -> ErrorKind {
    let errno = match &kind {
        ErrorKind::Device(error) => error.errno(),
        _ => None,
    };
    match errno {
        Some(Errno::ENOENT) => ErrorKind::NoOrphan { other_mode: false },
        Some(Errno::EAGAIN) => ErrorKind::NoOrphan { other_mode: true },
        _ => kind,
    }
}

impl Lockspace {
    /// Adopts an orphan of this node: a persistent lock whose owner is gone, on this resource and
    /// granted this mode.
    pub fn adopt(&self, resource: impl AsRef<[u8]>, mode: Mode) -> AdoptRequest<'_> {
        AdoptRequest::new(self.driver(), resource.as_ref(), Some(mode))
    }

    /// Adopts an orphan of this node on this resource in whichever mode it holds; of several, one
    /// with the strongest mode. [`Lock::mode`] tells which that is.
    ///
    /// The kernel is asked for one mode after the other, as it has no question for all of them.
    ///
    /// ```no_run
    /// use dlm_runtime::Lockspace;
    ///
    /// let lockspace = Lockspace::open("example")?;
    /// match lockspace.adopt_any("disk0").take() {
    ///     Ok(lock) => println!("the last owner died with {:?}", lock.mode()),
    ///     Err(error) if error.is_no_orphan() => println!("nothing was left behind"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), dlm_runtime::Error>(())
    /// ```
    pub fn adopt_any(&self, resource: impl AsRef<[u8]>) -> AdoptRequest<'_> {
        AdoptRequest::new(self.driver(), resource.as_ref(), None)
    }

    /// Removes orphans of this lockspace that lie on `node`, or on this node without one. Not
    /// privileged: any program that may open the lockspace may remove everybody's orphans. On
    /// another node it is a message that nobody answers.
    ///
    /// `task` chooses those whose last request was made by this thread, a TID of the initial pid
    /// namespace.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Illegal`] for task 0, [`ErrorKind::Device`] (ENOBUFS: no such node).
    pub fn purge(&self, node: Option<NodeId>, task: Option<u32>) -> Result<(), Error> {
        let purge = || {
            self.driver().check_fork()?;
            if task == Some(0) {
                return Err(ErrorKind::Illegal(
                    "purge of task 0: it would mean the orphans of all tasks",
                ));
            }
            self.driver().purge(node.unwrap_or(NodeId(0)), task.unwrap_or(0))
        };
        purge().map_err(|kind| Error::new(Operation::Purge, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_tried_from_the_strongest_on_while_there_is_an_orphan() {
        let try_all = |answers: &dyn Fn(Mode) -> Result<(), ErrorKind>| {
            let mut asked = Vec::new();
            let answer = any(|mode| {
                asked.push(mode);
                answers(mode)
            });
            (asked, answer)
        };
        let no = |other_mode| Err(ErrorKind::NoOrphan { other_mode });
        let (asked, answer) = try_all(&|mode| if mode == Mode::Pr { Ok(()) } else { no(true) });
        assert_eq!(asked, [Mode::Ex, Mode::Pw, Mode::Pr]);
        assert!(answer.is_ok());
        let (asked, answer) = try_all(&|_| no(true));
        assert_eq!(asked.len(), Mode::ALL.len());
        assert!(matches!(answer, Err(ErrorKind::NoOrphan { other_mode: true })));
        // Somebody else has adopted it in between.
        let (asked, answer) = try_all(&|mode| no(mode == Mode::Ex));
        assert_eq!(asked, [Mode::Ex, Mode::Pw]);
        assert!(matches!(answer, Err(ErrorKind::NoOrphan { other_mode: false })));
        let (asked, answer) = try_all(&|_| Err(ErrorKind::Closed));
        assert_eq!(asked.len(), 1);
        assert!(matches!(answer, Err(ErrorKind::Closed)));
    }
}
