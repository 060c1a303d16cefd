//! The lockspaces of a duel.

use dlm_proto::{LockspaceFlags, RemoveFlags};

use crate::scenario::{Ask, Backend, Device, Frame, MAIN, Observed, Player, Step, What};

/// The one beside the main one.
pub(super) const OTHER: &str = "two";

pub(super) const SPACES: [&str; 2] = [MAIN, OTHER];

/// A player with both lockspaces.
pub(super) fn with_spaces<B: Backend>(backend: B) -> Result<Player<B>, String> {
    let mut player = Player::new(backend, "conf")?;
    create(&mut player, OTHER)?;
    Ok(player)
}

/// Removes a lockspace with all that is in it, and creates it anew.
pub(super) fn renew<B: Backend>(player: &mut Player<B>, space: &str) -> Result<(), String> {
    let what = What::Remove { space: space.to_owned(), flags: RemoveFlags::FORCEFREE };
    control(player, what)?;
    create(player, space)
}

fn create<B: Backend>(player: &mut Player<B>, space: &str) -> Result<(), String> {
    let flags = LockspaceFlags::empty();
    control(player, What::Create { space: space.to_owned(), length: None, flags })
}

fn control<B: Backend>(player: &mut Player<B>, what: What) -> Result<(), String> {
    let ask = Ask { what, frame: Frame::default() };
    let step = Step::Ask { device: Device::Control, by: None, ask, errno: None };
    match player.play(&step)? {
        Observed::Answer(Ok(_)) => Ok(()),
        other => Err(format!("{step}: {other:?}")),
    }
}
