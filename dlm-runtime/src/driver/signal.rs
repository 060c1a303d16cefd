//! Descriptors that threads sleep on.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::threads::time_left;

pub(crate) use std::os::fd::AsFd;

/// Something to wait for.
pub type Source<'a> = BorrowedFd<'a>;

/// The most sources that one thread waits for.
const MOST: usize = 8;

/// Which of them are readable.
pub type Ready = [bool; MOST];

/// Readable from when it is set until it is cleared.
#[derive(Debug)]
pub(crate) struct Signal(EventFd);

impl Signal {
    pub(crate) fn new() -> nix::Result<Self> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Self)
    }

    /// It can only fail when the counter is full, and then it is readable.
    pub(crate) fn set(&self) {
        let _ = self.0.write(1);
    }

    /// It can only fail when it is clear already.
    pub(crate) fn clear(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> Source<'_> {
        self.0.as_fd()
    }
}

/// Readable from a time on.
#[derive(Debug)]
pub(crate) struct Timer(TimerFd);

impl Timer {
    pub(crate) fn new() -> nix::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map(Self)
    }

    /// `None`: never.
    pub(crate) fn set(&self, at: Option<Instant>) -> nix::Result<()> {
        let Some(at) = at else { return self.0.unset() };
        // Zero would disarm it.
        let left = time_left(at).max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
        self.0.set(expiration, TimerSetTimeFlags::empty())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> Source<'_> {
        self.0.as_fd()
    }
}

/// Readable while any of its sources is.
#[derive(Debug)]
pub(crate) struct PollSet(Epoll);

impl PollSet {
    pub(crate) fn new(sources: &[Source<'_>]) -> nix::Result<Self> {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let set = Self(set);
        sources.iter().try_for_each(|source| set.add(source))?;
        Ok(set)
    }

    /// Has the descriptor lead to a set of its own: a forked child shares the one behind it with
    /// its parent.
    pub(crate) fn renew(&self) -> nix::Result<()> {
        let new = Self::new(&[])?;
        dlm_sys::redirect(self.as_fd(), new.as_fd()).map_err(|errno| Errno::from_raw(errno.raw()))
    }

    pub(crate) fn add(&self, source: &Source<'_>) -> nix::Result<()> {
        self.0.add(source, EpollEvent::new(EpollFlags::EPOLLIN, 0))
    }
}

impl AsFd for PollSet {
    fn as_fd(&self) -> Source<'_> {
        self.0.0.as_fd()
    }
}

fn poll_timeout(deadline: Option<Instant>) -> PollTimeout {
    // Rounded up, so as not to spin through the last millisecond.
    deadline.map_or(PollTimeout::NONE, |deadline| {
        let left = time_left(deadline).saturating_add(Duration::from_millis(1));
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    })
}

/// The time for a `poll` that ends at the deadline.
#[must_use]
pub fn poll_millis(deadline: Option<Instant>) -> i32 {
    poll_timeout(deadline).into()
}

/// Sleeps until one of the sources is readable, or a signal comes, or the deadline passes. Tells
/// which are readable.
pub(crate) fn wait_any(sources: &[Source<'_>], deadline: Option<Instant>) -> nix::Result<Ready> {
    let mut ready = [false; MOST];
    let Some(&first) = sources.first() else { return Ok(ready) };
    let mut fds: [_; MOST] = std::array::from_fn(|at| {
        PollFd::new(sources.get(at).copied().unwrap_or(first), PollFlags::POLLIN)
    });
    let timeout = poll_timeout(deadline);
    let fds = fds.get_mut(..sources.len()).unwrap_or_default();
    match poll(fds, timeout) {
        Ok(_) => {
            ready.iter_mut().zip(fds).for_each(|(ready, fd)| *ready = fd.any().unwrap_or(false));
        }
        Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    Ok(ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::now;

    #[test]
    fn a_wait_tells_which_sources_are_readable() {
        let [a, b, c] = [(); 3].map(|()| Signal::new().unwrap());
        let sources = [a.as_fd(), b.as_fd(), c.as_fd()];
        let readable = || wait_any(&sources, Some(now())).unwrap();
        assert_eq!(readable(), [false; MOST]);
        a.set();
        c.set();
        assert_eq!(readable()[..4], [true, false, true, false]);
        a.clear();
        assert_eq!(readable()[..4], [false, false, true, false]);
    }

    #[test]
    fn a_timer_and_a_set_are_readable_in_time() {
        let timer = Timer::new().unwrap();
        let set = PollSet::new(&[timer.as_fd()]).unwrap();
        let readable = || wait_any(&[set.as_fd()], Some(now())).unwrap()[0];
        assert!(!readable());
        timer.set(Some(now())).unwrap();
        assert!(wait_any(&[set.as_fd()], None).unwrap()[0]);
        timer.set(None).unwrap();
        assert!(!readable());
    }
}
