//! Kernel object events from the netlink socket that udev listens to, too.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The kernel's own events; group 2 would be what udev sends on.
const KERNEL_GROUP: u32 = 1;

/// A listener. Events are kept from the moment it exists.
pub(crate) struct Uevents(OwnedFd);

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event(Vec<Vec<u8>>);

impl Uevents {
    pub(crate) fn listen() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        // Loading modules makes hundreds of events in one go, and a lost one hangs a lockspace.
        setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20))?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))?;
        Ok(Self(socket))
    }

    /// The next event, waiting for it without limit.
    pub(crate) fn next(&self) -> io::Result<Event> {
        let mut buffer = [0; 8192];
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => return Ok(Event::parse(buffer.get(..length).unwrap_or_default())),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Waits until something happened or the time is over; false in the latter case.
    pub(crate) fn wait(&self, until: Instant) -> io::Result<bool> {
        let left = until.saturating_duration_since(Instant::now()).min(Duration::from_secs(60));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) => Ok(false),
            Ok(_) => self.next().map(|_| true),
            Err(Errno::EINTR) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }
}

impl Event {
    fn parse(packet: &[u8]) -> Self {
        Self(packet.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect())
    }

    /// The value of a variable of the event.
    pub(crate) fn variable(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_by_their_whole_name() {
        let event = Event::parse(
            b"online@/kernel/dlm/a b\0ACTION=online\0XLOCKSPACE=no\0LOCKSPACE=a b\0SEQNUM=7\0",
        );
        assert_eq!(event.variable("LOCKSPACE"), Some(b"a b".as_slice()));
        assert_eq!(event.variable("ACTION"), Some(b"online".as_slice()));
        assert_eq!(event.variable("LOCK"), None);
        assert_eq!(event.variable("online@/kernel/dlm/a b"), None);
    }
}
