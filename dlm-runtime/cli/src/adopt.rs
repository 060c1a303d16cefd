//! `dlm adopt`: a lock whose program is gone, taken over.

use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use crate::args::AdoptArgs;
use crate::lock::{under, unlock};
use crate::output::print;
use crate::scene::Scene;
use crate::status::{Failure, Status};

pub(crate) fn run(args: &AdoptArgs, scene: &Scene) -> Result<ExitCode, Failure> {
    let lockspace = scene.options().open(args.lockspace.as_bytes());
    let lockspace = lockspace.map_err(|error| Failure::of(&error, Status::NoLockspace))?;
    let resource = args.resource.as_bytes();
    let request = match args.mode {
        Some(mode) => lockspace.adopt(resource, mode),
        None => lockspace.adopt_any(resource),
    };
    let lock = request.take().map_err(|error| {
        let status = if error.is_no_orphan() { Status::Not } else { Status::System };
        Failure::of(&error, status)
    })?;
    if !args.command.is_empty() {
        return under(lock, &args.command);
    }
    let mode = lock.mode().map_or("nothing".to_owned(), |mode| mode.to_string());
    unlock(lock)?;
    print(&format!(
        "{mode} on {} was held by an orphan, and is unlocked\n",
        args.resource.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
