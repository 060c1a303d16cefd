//! `dlm leave`: references of a lockspace, given back.

use std::os::unix::ffi::OsStrExt;

use crate::args::LeaveArgs;
use crate::output::print;
use crate::scene::Scene;
use crate::status::{Failure, Status};

pub(crate) fn run(args: &LeaveArgs, scene: &Scene) -> Result<Status, Failure> {
    let (options, name) = (scene.options(), args.lockspace.as_bytes());
    let failure = |error| Failure::of(&error, Status::System);
    if args.all_references {
        let count = options.remove_all(name).map_err(failure)?;
        let what = if count == 1 { "reference" } else { "references" };
        print(&format!("{count} {what} given back\n"))?;
    } else {
        options.remove(name).map_err(failure)?;
    }
    Ok(Status::Good)
}
