//! The work of udev on the node of a new lockspace.
//!
//! The kernel makes the node; udev, told of it by the kernel, then sets its permissions by its
//! rules and makes the link in `/dev/misc`, some milliseconds later. What is done to the node
//! before that is undone by udev, so whoever creates a lockspace waits for it. When udev is done
//! with a device it sends a message to its own group, with the number of the kernel's message.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use dlm_proto::{LockspaceName, Minor};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::error::{Call, Error};
use crate::lockspace::MISC_MAJOR;
use crate::misc::LOCKSPACE_PREFIX;
use crate::removal::hears_the_kernel;
use crate::sys::Fd;
use crate::sys::uevents;
use crate::uevent::{self, LONGEST};

/// The place where udev listens to its own tools. Without it there is no udev.
const UDEV: &str = "/run/udev/control";

/// The longest wait for udev. Its rules for lockspaces run no programs.
const PATIENCE: Duration = Duration::from_secs(10);

/// The place where udev keeps a file for each device.
const FILES: &str = "/run/udev/data";

/// The longest time that udev's message is waited for when its file says that it is done. From
/// another network namespace the message does not get here.
const AFTER_THE_FILE: Duration = Duration::from_secs(1);
/// How far the time of a file may be behind the clock.
const COARSE: Duration = Duration::from_millis(50);

/// What tells of the kernel's new device, and of what udev has done. What cannot be had is done
/// without.
#[derive(Debug)]
pub(crate) struct Udev {
    kernel: Option<Fd>,
    udev: Option<Fd>,
    files: Option<Inotify>,
    since: SystemTime,
}

/// What cannot be had is done without, unless it may be had a moment later.
fn had<T>(source: Result<T, crate::errno::Errno>) -> Result<Option<T>, Error> {
    match source {
        Err(errno) if errno.is_shortage() => Err(Error::os(Call::WatchNode, errno)),
        source => Ok(source.ok()),
    }
}

/// The event that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The answer to this message of the kernel.
    Answer { sequence: u64 },
    /// The device was there before: any message or file about it.
    Any,
}

impl Udev {
    /// Listens for what is said about the lockspace of this name from now on, if there is a udev.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub(crate) fn listen(name: &LockspaceName) -> Result<Option<Self>, Error> {
        if !Path::new(UDEV).exists() {
            return Ok(None);
        }
        let path = [b"/devices/virtual/misc/", LOCKSPACE_PREFIX, name].concat();
        let is_told = hears_the_kernel()?;
        let kernel = is_told.then(|| had(uevents::listen_for_addition(&path))).transpose()?;
        let udev = is_told.then(|| had(uevents::listen_to_udev())).transpose()?;
        let files = || {
            let files = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let changes = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
            files.add_watch(FILES, changes).map(|_| files)
        };
        Ok(Some(Self {
            kernel: kernel.flatten(),
            udev: udev.flatten(),
            files: had(files().map_err(|errno| errno.into()))?,
            since: SystemTime::now() - COARSE,
        }))
    }

    /// Waits until udev is done with the node that was created since, until the deadline or as long
    /// as there is patience with udev.
    pub(crate) fn await_node(&self, minor: Minor, deadline: Option<Instant>) {
        let patience = Instant::now() + PATIENCE;
        let deadline = deadline.map_or(patience, |at| at.min(patience));
        let wanted = self.wanted(minor);
        let mut filed_by = None;
        loop {
            // The messages that are here already come before what the files say.
            if self.has_answered(minor, wanted) {
                return;
            }
            let now = Instant::now();
            let mut until = deadline;
            if self.has_file(minor, wanted) {
                let accepted = *filed_by.get_or_insert(now + AFTER_THE_FILE);
                until = until.min(accepted);
                if wanted == Wanted::Any || self.udev.is_none() {
                    return;
                }
            }
            if until <= now || self.sleep(until - now).is_err() {
                return;
            }
        }
    }

    /// Sleeps until there is something to look at.
    fn sleep(&self, time: Duration) -> nix::Result<()> {
        let sources = [self.udev.as_ref().map(Fd::borrow), self.files.as_ref().map(AsFd::as_fd)];
        let mut fds: Vec<_> =
            sources.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        // Rounded up, so as not to spin through the last millisecond.
        let time = PollTimeout::try_from(time.saturating_add(Duration::from_millis(1)));
        match poll(&mut fds, time.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        match self.files.as_ref().map(Inotify::read_events) {
            None | Some(Ok(_) | Err(Errno::EAGAIN | Errno::EINTR)) => Ok(()),
            Some(Err(errno)) => Err(errno),
        }
    }

    /// The kernel has queued its message before it returned from the creation.
    fn wanted(&self, minor: Minor) -> Wanted {
        let mut buffer = [0; LONGEST];
        let mut wanted = Wanted::Any;
        while let Some(Ok(len)) = self.kernel.as_ref().map(|socket| socket.read(&mut buffer)) {
            let message = buffer.get(..len).unwrap_or(&buffer);
            if let (true, Some(sequence)) =
                (uevent::is_about(message, minor), uevent::number(message, b"SEQNUM="))
            {
                wanted = Wanted::Answer { sequence };
            }
        }
        wanted
    }

    fn has_answered(&self, minor: Minor, wanted: Wanted) -> bool {
        let mut buffer = [0; LONGEST];
        // An error other than EAGAIN (ENOBUFS: messages are lost) leaves the files to tell.
        while let Some(Ok(len)) = self.udev.as_ref().map(|socket| socket.read(&mut buffer)) {
            let message = uevent::of_udev(buffer.get(..len).unwrap_or(&buffer));
            let Some(message) = message.filter(|message| uevent::is_about(message, minor)) else {
                continue;
            };
            let sequence = uevent::number(message, b"SEQNUM=");
            if wanted == Wanted::Any
                || sequence.is_some_and(|sequence| wanted == Wanted::Answer { sequence })
            {
                return true;
            }
        }
        false
    }

    /// Whether udev has written its file about this device, which it does when its node is as it is
    /// to be.
    fn has_file(&self, minor: Minor, wanted: Wanted) -> bool {
        let file = std::fs::metadata(format!("{FILES}/c{MISC_MAJOR}:{}", minor.0));
        match file.and_then(|file| file.modified()) {
            // That of a former device with this number is older.
            Ok(written) => wanted == Wanted::Any || written >= self.since,
            Err(_) => false,
        }
    }
}
