//! `dlm purge`: locks whose programs are gone, removed.

use std::os::unix::ffi::OsStrExt;

use dlm_runtime::NodeId;

use crate::args::PurgeArgs;
use crate::scene::Scene;
use crate::status::{Failure, Status};

pub(crate) fn run(args: &PurgeArgs, scene: &Scene) -> Result<Status, Failure> {
    let lockspace = scene.options().open(args.lockspace.as_bytes());
    let lockspace = lockspace.map_err(|error| Failure::of(&error, Status::NoLockspace))?;
    let purged = lockspace.purge(args.node.map(NodeId), args.thread);
    purged.map_err(|error| Failure::of(&error, Status::System))?;
    Ok(Status::Good)
}
