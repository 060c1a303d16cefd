//! `dlm hold`: a lock that is held until a signal comes.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dlm_runtime::{Lock, Lockspace, Mode};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::args::{Common, HoldArgs};
use crate::lock::{acquire, unlock};
use crate::output::{print, print_json};
use crate::scene::Scene;
use crate::status::{Failure, Status};

/// A line of the output with `--json`.
#[derive(Debug, serde::Serialize)]
struct Event<'a> {
    /// `granted`, `waited_for` or `unlocked`.
    event: &'static str,
    /// The resource.
    resource: String,
    /// The mode that was granted, or that somebody waits for.
    mode: Option<&'a str>,
}

pub(crate) fn run(args: &HoldArgs, scene: &Scene, common: &Common) -> Result<ExitCode, Failure> {
    let wanted = &args.wanted;
    let tell = |event: &'static str, mode: Option<Mode>| {
        let resource = wanted.resource.display();
        if common.json {
            let mode = mode.map(Mode::name);
            return print_json(&Event { event, resource: resource.to_string(), mode });
        }
        let mode = mode.map_or(String::new(), |mode| format!(" {mode}"));
        print(&format!("{event}{mode} {resource}\n").replace("waited_for", "waited for:"))
    };
    let Some((lockspace, lock)) = acquire(wanted, scene, |request| request.note_blocking())? else {
        return Ok(wanted.conflict_exit_code.into());
    };
    if args.persistent {
        lock.persist().map_err(|error| Failure::of(&error, Status::System))?;
    }
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    let system = |error: Errno| Failure::new(Status::System, error);
    signals.thread_block().map_err(system)?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(system)?;
    tell("granted", lock.mode())?;
    let until = args.duration.and_then(|duration| Instant::now().checked_add(duration));
    watch(&lockspace, &lock, &signals, until, &tell)?;
    unlock(lock)?;
    tell("unlocked", None)?;
    Ok(ExitCode::SUCCESS)
}

/// Tells who waits, until a signal comes or the time is over.
fn watch(
    lockspace: &Lockspace,
    lock: &Lock,
    signals: &SignalFd,
    until: Option<Instant>,
    tell: &impl Fn(&'static str, Option<Mode>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut told = None;
    loop {
        lockspace.dispatch().map_err(|error| Failure::of(&error, Status::System))?;
        let blocked = lock.blocked();
        if blocked.is_some() && blocked != told {
            tell("waited_for", blocked)?;
        }
        told = blocked;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(());
        }
        // Up to the next millisecond; longer than poll can wait is waited for in parts.
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            let millis = left.as_millis().saturating_add(1);
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        let mut descriptors = [
            PollFd::new(lockspace.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(Failure::new(Status::System, error)),
        }
        if descriptors.last().and_then(PollFd::any) == Some(true) {
            return Ok(());
        }
    }
}
