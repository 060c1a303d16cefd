//! Runs a command while a lock is held, on all nodes of the cluster: what flock(1) is on one.
//!
//! ```console
//! # dlmlock backup -- rsync -a /srv/ /backup/
//! # dlmlock --nonblock backup -- true || echo "a backup is running, on some node"
//! ```
//!
//! The lock is held as long as the command runs. Should dlmlock itself be killed, the kernel drops
//! the lock and kills the command; what the command has started goes on. While dlmlock waits for
//! the lock, a signal ends it, and nothing is left in the queue. Afterwards signals are the
//! command's: those sent to dlmlock are passed on, those from the terminal reach the command anyway.
//!
//! The lockspace is created if this node has none of this name, which needs root, and is left in
//! place: others may be about to use it, and a removal waits, with all creations and removals on
//! the node, until nobody has the lockspace open. `dlmlock --remove` is for the node's shutdown.
//!
//! Neither `--timeout` nor `--nonblock` ends a wait for the cluster itself: while members change or
//! the quorum is lost, the kernel holds every request up, and no signal helps.
//!
//! Try it in a virtual machine:
//! `cargo xtask vm run --add target/debug/examples -- /examples/dlmlock -v r -- echo locked`

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use dlm_runtime::{Error, ErrorKind, Lock, Lockspace, LockspaceOptions, Mode};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpid, getppid};

const USAGE: &str = "\
usage: dlmlock [OPTION]... RESOURCE [--] COMMAND [ARGUMENT]...
       dlmlock --remove [-l NAME]

Runs COMMAND while a lock on RESOURCE is held, cluster-wide.

  -s, --shared             beside others that are shared (PR)
  -x, --exclusive          alone (EX); this is the default
  -m, --mode MODE          NL, CR, CW, PR, PW or EX
  -n, --nonblock           give up at once if the lock cannot be had now
  -w, --timeout SECONDS    give up after this time, such as 2.5; 0 is --nonblock
  -E, --conflict-exit-code NUMBER
                           the status after giving up (default 1)
  -l, --lockspace NAME     where RESOURCE is (default dlmlock); created if missing
  -v, --verbose            tell how long the lock took, or why it was not had
      --remove             remove the lockspace from this node, once nobody uses it
  -h, --help               show this

Exit status: that of COMMAND, or 128 and the number of the signal that killed it; 64 for wrong
usage, 66 if the lockspace cannot be had, 69 if COMMAND cannot be run, 71 if the lock failed.
";

// The statuses of sysexits.h, with the meanings that flock(1) gives them.
const EX_USAGE: u8 = 64;
const EX_NOINPUT: u8 = 66;
const EX_UNAVAILABLE: u8 = 69;
const EX_OSERR: u8 = 71;

/// How long udev may take to make a lockspace's device node usable.
const NODE_PATIENCE: Duration = Duration::from_secs(5);

struct Options {
    lockspace: OsString,
    resource: OsString,
    mode: Mode,
    /// `None`: wait without end.
    patience: Option<Duration>,
    conflict: u8,
    verbose: bool,
    command: Vec<OsString>,
}

enum Task {
    Help,
    Remove(OsString),
    Run(Options),
}

/// A status to exit with, and the line that says why.
struct Failure(u8, String);

impl Failure {
    fn new(status: u8, error: impl Display) -> Self {
        Self(status, error.to_string())
    }
}

fn main() -> ExitCode {
    let outcome = match parse() {
        Err(error) => Err(Failure(EX_USAGE, format!("{error} (--help tells more)"))),
        Ok(Task::Help) => {
            print!("{USAGE}");
            Ok(0)
        }
        Ok(Task::Remove(name)) => {
            let removed = Lockspace::remove(name.as_bytes());
            removed.map(|()| 0).map_err(|error| Failure::new(EX_NOINPUT, error))
        }
        Ok(Task::Run(options)) => run(&options),
    };
    outcome.map_or_else(
        |Failure(status, why)| {
            eprintln!("dlmlock: {why}");
            status.into()
        },
        ExitCode::from,
    )
}

fn parse() -> Result<Task, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options {
        lockspace: "dlmlock".into(),
        resource: OsString::new(),
        mode: Mode::Ex,
        patience: None,
        conflict: 1,
        verbose: false,
        command: Vec::new(),
    };
    let (mut parser, mut remove) = (lexopt::Parser::from_env(), false);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('s') | Long("shared") => options.mode = Mode::Pr,
            Short('x') | Long("exclusive") => options.mode = Mode::Ex,
            Short('m') | Long("mode") => options.mode = parser.value()?.parse_with(mode)?,
            Short('n') | Long("nonblock") => options.patience = Some(Duration::ZERO),
            Short('w') | Long("timeout") => {
                options.patience = Some(parser.value()?.parse_with(seconds)?);
            }
            Short('E') | Long("conflict-exit-code") => {
                options.conflict = parser.value()?.parse()?;
            }
            Short('l') | Long("lockspace") => options.lockspace = parser.value()?,
            Short('v') | Long("verbose") => options.verbose = true,
            Short('h') | Long("help") => return Ok(Task::Help),
            Long("remove") => remove = true,
            // Behind the resource everything is the command's.
            Value(resource) if !remove => {
                options.resource = resource;
                options.command.extend(parser.raw_args()?);
                if options.command.first().is_some_and(|word| word == "--") {
                    options.command.remove(0);
                }
            }
            other => return Err(other.unexpected()),
        }
    }
    match options {
        Options { lockspace, .. } if remove => Ok(Task::Remove(lockspace)),
        options if options.resource.is_empty() => Err("lock what?".into()),
        options if options.command.is_empty() => Err("run which command?".into()),
        options => Ok(Task::Run(options)),
    }
}

fn mode(name: &str) -> Result<Mode, &'static str> {
    let named = |mode: &Mode| mode.name().eq_ignore_ascii_case(name);
    Mode::ALL.into_iter().find(named).ok_or("no such mode: NL, CR, CW, PR, PW or EX")
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let wrong = "not a number of seconds";
    Duration::try_from_secs_f64(text.parse().map_err(|_| wrong)?).map_err(|_| wrong)
}

fn run(options: &Options) -> Result<u8, Failure> {
    // Many processes may do this at the same time. The lockspace gets one reference from them all,
    // so that one removal is enough.
    let lockspace = LockspaceOptions::new().timeout(NODE_PATIENCE);
    let lockspace = lockspace
        .open_or_create(options.lockspace.as_bytes())
        .map_err(|error| Failure::new(status_of(&error, EX_NOINPUT), error))?;
    let (resource, start) = (options.resource.display(), Instant::now());
    let lock = match acquire(&lockspace, options) {
        Ok(lock) => lock,
        Err(error) if error.would_block() || error.is_timed_out() => {
            if options.verbose {
                eprintln!("dlmlock: {resource} is taken: {error}");
            }
            return Ok(options.conflict);
        }
        Err(error) => return Err(Failure::new(status_of(&error, EX_OSERR), error)),
    };
    if options.verbose {
        let (mode, seconds) = (options.mode.name(), start.elapsed().as_secs_f64());
        eprintln!("dlmlock: {mode} on {resource} after {seconds:.6} s");
    }
    let status = supervise(&options.command)?;
    // Fails if somebody removed the lockspace by force: then the command ran without protection.
    let unlocked = lock.unlock().wait();
    unlocked.map_err(|error| Failure(EX_OSERR, format!("the lock was lost: {error}")))?;
    // A shell's way to say it.
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => u8::try_from(128 + signal.unwrap_or(0)).unwrap_or(u8::MAX),
    })
}

fn acquire(lockspace: &Lockspace, options: &Options) -> Result<Lock, Error> {
    let request = lockspace.lock(options.resource.as_bytes(), options.mode);
    match options.patience {
        None => request.wait(),
        Some(Duration::ZERO) => request.no_queue().wait(),
        Some(patience) => request.timeout(patience).wait(),
    }
}

/// Names that break the rules are the caller's fault.
fn status_of(error: &Error, otherwise: u8) -> u8 {
    if matches!(error.kind, ErrorKind::Name(_)) { EX_USAGE } else { otherwise }
}

/// Runs the command to its end. The lockspace's device is closed in it: the lock is not the
/// command's to keep.
fn supervise(words: &[OsString]) -> Result<ExitStatus, Failure> {
    let os = |error| Failure(EX_OSERR, format!("cannot watch the command: {error}"));
    let signals = watched();
    // From here on no signal ends this process before the command has ended.
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(os)?;
    let waiting = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(os)?;
    // SAFETY: the default action is no handler that could break anything. If the parent of this
    // process ignored SIGCHLD, the end of the command would not be reported.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map_err(os)?;

    let mut words = words.iter();
    let program = words.next().map_or(OsStr::new(""), OsString::as_os_str);
    let mut command = Command::new(program);
    let parent = getpid();
    let prepare = move || {
        before.thread_set_mask()?;
        set_pdeathsig(Signal::SIGKILL)?;
        // It may have died before that.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: between fork and exec it makes four system calls and touches no memory but its own.
    unsafe { command.args(words).pre_exec(prepare) };
    let mut child = command.spawn().map_err(|error| {
        Failure(EX_UNAVAILABLE, format!("cannot run {}: {error}", program.display()))
    })?;
    let process = i32::try_from(child.id()).map(Pid::from_raw);
    loop {
        let Some(info) = waiting.read_signal().map_err(os)? else { continue };
        let number = i32::try_from(info.ssi_signo).unwrap_or(0);
        match Signal::try_from(number) {
            Ok(Signal::SIGCHLD) => match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => {}
                Err(error) => return Err(Failure(EX_OSERR, format!("cannot wait: {error}"))),
            },
            // Sent by a process, not by the terminal. The command is still there: nobody else
            // waits for it.
            Ok(signal) if info.ssi_code <= 0 => {
                let _ = process.map(|process| kill(process, signal));
            }
            _ => {}
        }
    }
}

fn watched() -> SigSet {
    use Signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2].into_iter().collect()
}
