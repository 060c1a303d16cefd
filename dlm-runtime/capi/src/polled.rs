//! Descriptors to be polled.

use std::ffi::c_int;
use std::os::fd::AsRawFd;

use dlm_runtime::driver::{Ready, Source};
use libc::{nfds_t, pollfd};
use nix::errno::Errno as Number;

/// The most descriptors that are polled at once.
const MOST: usize = size_of::<Ready>();

/// Descriptors to be polled, and what `poll` has said of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Polled {
    fds: [pollfd; MOST],
    count: nfds_t,
}

impl Polled {
    pub(crate) const NONE: Self =
        Self { fds: [pollfd { fd: -1, events: 0, revents: 0 }; MOST], count: 0 };

    pub(crate) fn new(sources: &[Source<'_>]) -> Self {
        let mut polled = Self::NONE;
        for (place, source) in polled.fds.iter_mut().zip(sources) {
            *place = pollfd { fd: source.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            polled.count += 1;
        }
        polled
    }

    /// The arguments for `poll`.
    pub(crate) const fn place(&mut self) -> (*mut pollfd, nfds_t) {
        (self.fds.as_mut_ptr(), self.count)
    }

    /// Which of them are readable after `poll` has answered this, with this `errno`.
    pub(crate) fn ready(&self, answer: c_int, number: c_int) -> Result<Ready, Number> {
        let mut ready = Ready::default();
        if answer > 0 {
            ready.iter_mut().zip(&self.fds).for_each(|(ready, fd)| *ready = fd.revents != 0);
        }
        match Number::from_raw(number) {
            number if answer < 0 && number != Number::EINTR => Err(number),
            _ => Ok(ready),
        }
    }
}
