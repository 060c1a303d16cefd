//! The lockspaces of a comparison.

use dlm_proto::{LockspaceFlags, RemoveFlags};

use crate::scenario::{Ask, Backend, Device, Executor, Frame, MAIN, Observed, Step, What};

/// The one beside the main one.
pub(super) const OTHER: &str = "two";

pub(super) const SPACES: [&str; 2] = [MAIN, OTHER];

/// A executor with both lockspaces.
pub(super) fn with_spaces<B: Backend>(backend: B) -> Result<Executor<B>, String> {
    let mut executor = Executor::new(backend, "conf")?;
    create(&mut executor, OTHER)?;
    Ok(executor)
}

/// Removes a lockspace with all that is in it, and creates it anew.
pub(super) fn renew<B: Backend>(executor: &mut Executor<B>, space: &str) -> Result<(), String> {
    let what = What::Remove { space: space.to_owned(), flags: RemoveFlags::FORCEFREE };
    control(executor, what)?;
    create(executor, space)
}

fn create<B: Backend>(executor: &mut Executor<B>, space: &str) -> Result<(), String> {
    let flags = LockspaceFlags::empty();
    control(executor, What::Create { space: space.to_owned(), length: None, flags })
}

fn control<B: Backend>(executor: &mut Executor<B>, what: What) -> Result<(), String> {
    let ask = Ask { what, frame: Frame::default() };
    let step = Step::Ask { device: Device::Control, by: None, ask, errno: None };
    match executor.play(&step)? {
        Observed::Answer(Ok(_)) => Ok(()),
        other => Err(format!("{step}: {other:?}")),
    }
}
