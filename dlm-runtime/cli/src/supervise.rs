//! A command that runs under a lock: it ends with this program, and signals are passed on to it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpid, getppid};

use crate::args::ExecArgs;
use crate::status::{Failure, Status};

/// Runs the command to its end. The lockspace's device is closed in it: the lock is not the
/// command's to keep.
pub(crate) fn run(words: &[OsString]) -> Result<ExitStatus, Failure> {
    let watch = |error: &dyn std::fmt::Display| {
        Failure::new(Status::System, format!("cannot watch the command: {error}"))
    };
    let signals = watched();
    let before = SigSet::thread_get_mask().map_err(|error| watch(&error))?;
    let unblocked: Vec<String> = signals
        .iter()
        .filter(|signal| !before.contains(*signal))
        .map(|signal| (signal as i32).to_string())
        .collect();
    // From here on no signal ends this process before the command has ended.
    signals.thread_block().map_err(|error| watch(&error))?;
    let waiting = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC);
    let waiting = waiting.map_err(|error| watch(&error))?;
    // If the parent of this process ignored SIGCHLD, the end of the command would not be reported:
    // with a handler it is. The handler itself never runs, as the signal is blocked.
    signal_hook::flag::register(nix::libc::SIGCHLD, Arc::new(AtomicBool::new(false)))
        .map_err(|error| watch(&error))?;
    // Between fork and exec only a program of its own can ask to die with its parent.
    let mut child = Command::new("/proc/self/exe")
        .arg0("dlm")
        .arg("exec")
        .arg(getpid().to_string())
        .arg(unblocked.join(","))
        .arg("--")
        .args(words)
        .spawn()
        .map_err(|error| watch(&error))?;
    let process = i32::try_from(child.id()).map(Pid::from_raw);
    loop {
        let Some(info) = waiting.read_signal().map_err(|error| watch(&error))? else { continue };
        match Signal::try_from(i32::try_from(info.ssi_signo).unwrap_or(0)) {
            Ok(Signal::SIGCHLD) => {
                if let Some(status) = child.try_wait().map_err(|error| watch(&error))? {
                    return Ok(status);
                }
            }
            // Sent by a process, not by the terminal. The command is still there: nobody else waits
            // for it.
            Ok(signal) if info.ssi_code <= 0 => {
                let _ = process.map(|process| kill(process, signal));
            }
            _ => {}
        }
    }
}

/// The child's side: becomes the command.
pub(crate) fn exec(args: &ExecArgs) -> Result<ExitCode, Failure> {
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::new(Status::Usage, "run which command?"));
    };
    set_pdeathsig(Signal::SIGKILL).map_err(|error| Failure::new(Status::System, error))?;
    // The parent may have died before that.
    if getppid() != Pid::from_raw(args.parent) {
        return Err(Failure::new(Status::System, "the program that holds the lock is gone"));
    }
    // Those that this program has blocked, and nobody before it.
    let unblocked: SigSet = args
        .unblocked
        .split(',')
        .filter_map(|number| Signal::try_from(number.parse::<i32>().ok()?).ok())
        .collect();
    unblocked.thread_unblock().map_err(|error| Failure::new(Status::System, error))?;
    let error = Command::new(program).args(rest).exec();
    Err(Failure::new(Status::NoCommand, format!("cannot run {}: {error}", program.display())))
}

fn watched() -> SigSet {
    use Signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2].into_iter().collect()
}
