//! `dlm lock`: a command that runs while a lock is held.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dlm_runtime::{Lock, LockRequest, Lockspace};

use crate::args::{LockArgs, Wanted};
use crate::scene::Scene;
use crate::status::{Failure, Status};
use crate::supervise;

/// How long udev may take to make a lockspace's device node usable.
const NODE_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &LockArgs, scene: &Scene) -> Result<ExitCode, Failure> {
    let wanted = &args.wanted;
    match acquire(wanted, scene, |request| request)? {
        Some((_lockspace, lock)) => under(lock, &args.command),
        None => Ok(wanted.conflict_exit_code.into()),
    }
}

/// The lock, with its lockspace; or `None` if it was not had in time, which was told of.
pub(crate) fn acquire(
    wanted: &Wanted,
    scene: &Scene,
    prepare: impl FnOnce(LockRequest<'_>) -> LockRequest<'_>,
) -> Result<Option<(Lockspace, Lock)>, Failure> {
    // Many processes may do this at the same time. The lockspace gets one reference from them all,
    // so that one removal is enough.
    let lockspace = scene
        .options()
        .timeout(NODE_PATIENCE)
        .open_or_create(wanted.lockspace.as_bytes())
        .map_err(|error| Failure::of(&error, Status::NoLockspace))?;
    let (resource, start) = (wanted.resource.display(), Instant::now());
    let request = prepare(lockspace.lock(wanted.resource.as_bytes(), wanted.mode()));
    let answer = match wanted.patience() {
        None => request.wait(),
        Some(Duration::ZERO) => request.no_queue().wait(),
        Some(patience) => request.timeout(patience).wait(),
    };
    match answer {
        Ok(lock) => {
            if wanted.verbose {
                let (mode, seconds) = (wanted.mode(), start.elapsed().as_secs_f64());
                eprintln!("dlm: {mode} on {resource} after {seconds:.6} s");
            }
            Ok(Some((lockspace, lock)))
        }
        Err(error) if error.would_block() || error.is_timed_out() => {
            if wanted.verbose {
                eprintln!("dlm: {resource} is taken: {error}");
            }
            Ok(None)
        }
        Err(error) => Err(Failure::of(&error, Status::System)),
    }
}

/// Runs a command while a lock is held, and unlocks it then.
pub(crate) fn under(lock: Lock, command: &[OsString]) -> Result<ExitCode, Failure> {
    let command = match command.split_first() {
        Some((first, rest)) if first == "--" && !rest.is_empty() => rest,
        _ => command,
    };
    let status = supervise::run(command)?;
    unlock(lock)?;
    // A shell's way to say it.
    Ok(ExitCode::from(match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => u8::try_from(128 + signal.unwrap_or(0)).unwrap_or(u8::MAX),
    }))
}

/// Fails if somebody removed the lockspace by force: then there was no protection.
pub(crate) fn unlock(lock: Lock) -> Result<(), Failure> {
    let lost = |error| Failure::new(Status::System, format!("the lock was lost: {error}"));
    lock.unlock().wait().map(drop).map_err(lost)
}
