//! `dlm dump`: all that this node knows, for other nodes.

use crate::output::print;
use crate::scene::{Depth, Scene};
use crate::status::{Failure, Status};

pub(crate) fn run(scene: &Scene) -> Result<Status, Failure> {
    // Of several nodes each writes its own.
    for snapshot in scene.snapshots(Depth::All)?.iter().take(1) {
        print(&snapshot.to_string())?;
    }
    Ok(Status::Good)
}
