//! Drivers: what reads results and wakes futures, in the executors that can wait for a descriptor.

use std::future::Future;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::driver::Driver;
use crate::driver::signal::PollSet;
use crate::error::{Error, ErrorKind, Operation};
use crate::lockspace::Lockspace;
use crate::native::Native;

/// The descriptor that a driver waits for.
struct Readiness(Arc<Driver<Native>>, Arc<PollSet>);

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.1.as_fd()
    }
}

impl AsRawFd for Readiness {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Readiness {
    fn of(lockspace: &Lockspace) -> Self {
        let _ = lockspace.watched();
        lockspace.driver().task_reader.executor_begins();
        Self(Arc::clone(lockspace.driver()), Arc::clone(&lockspace.set))
    }

    /// Dispatches once, and tells whether there is more to do.
    fn dispatch(&self) -> Result<bool, ErrorKind> {
        self.0.check_fork()?;
        self.0.dispatch().inspect_err(|kind| self.0.end_reading(kind))?;
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        if self.0.check_fork().is_ok() {
            self.0.task_reader.executor_ends();
            self.0.readers_left();
        }
    }
}

fn failed(kind: impl Into<ErrorKind>) -> Error {
    Error::new(Operation::Dispatch, kind)
}

#[cfg(feature = "tokio")]
impl Lockspace {
    /// A future that reads results, wakes futures and runs callbacks, for `tokio::spawn`. It ends,
    /// with the reason, when the lockspace is closed or removed; until then, or until it is
    /// dropped, it keeps the lockspace open.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), dlm_runtime::Error> {
    /// use dlm_runtime::{Lockspace, Mode};
    ///
    /// let lockspace = Lockspace::create("example")?;
    /// let driver = tokio::spawn(lockspace.drive_tokio()?);
    /// let lock = lockspace.lock("disk0", Mode::Ex).await?;
    /// lock.unlock().await?;
    /// lockspace.release()?;
    /// # drop(driver);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] if tokio cannot wait for the descriptor.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O driver enabled, as tokio does.
    pub fn drive_tokio(&self) -> Result<impl Future<Output = Error> + Send + 'static, Error> {
        use tokio::io::Interest;
        use tokio::io::unix::AsyncFd;

        let readiness = Readiness::of(self);
        #[allow(
            deprecated,
            reason = "its successor is unsafe, and what it asks for holds here: \
            the descriptor is open and the same as long as `Driver`"
        )]
        let fd = AsyncFd::with_interest(readiness, Interest::READABLE).map_err(failed)?;
        Ok(async move {
            loop {
                let mut guard = match fd.readable().await {
                    Ok(guard) => guard,
                    Err(error) => return failed(error),
                };
                match fd.get_ref().dispatch() {
                    // What came after the guard was made stays ready.
                    Ok(false) => guard.clear_ready(),
                    Ok(true) => {}
                    Err(kind) => return failed(kind),
                }
            }
        })
    }
}

#[cfg(feature = "async-io")]
impl Lockspace {
    /// A future that reads results, wakes futures and runs callbacks, for any executor: the thread
    /// of async-io waits for the descriptor. It ends, with the reason, when the lockspace is closed
    /// or removed; until then, or until it is dropped, it keeps the lockspace open.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] if async-io cannot wait for the descriptor.
    pub fn drive_async_io(&self) -> Result<impl Future<Output = Error> + Send + 'static, Error> {
        let readiness = Readiness::of(self);
        // Not set to non-blocking: nobody reads from it.
        let fd = async_io::Async::new_nonblocking(readiness).map_err(failed)?;
        Ok(async move {
            loop {
                if let Err(error) = fd.readable().await {
                    return failed(error);
                }
                // What is left makes it readable again at once.
                if let Err(kind) = fd.get_ref().dispatch() {
                    return failed(kind);
                }
            }
        })
    }
}
