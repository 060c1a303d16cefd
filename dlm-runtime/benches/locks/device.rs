//! A lockspace without this crate.

use std::time::Duration;

use dlm_proto::{
    Abi, Cookies, Event, LockId, LockRequest, LockResult, LockStatus, LockspaceFlags,
    LockspaceName, Minor, Mode, RemoveFlags, Request, Token, UnlockRequest,
};
use dlm_sys::{Accepted, ControlDevice, LockspaceDevice};

use crate::{LOCKSPACE, Result};

/// Longer than a node takes to appear.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Lockspace {
    control: ControlDevice,
    minor: Minor,
    pub(crate) device: LockspaceDevice,
    pub(crate) abi: Abi,
}

impl Lockspace {
    pub(crate) fn create() -> Result<Self> {
        let name = LockspaceName::new(LOCKSPACE.as_bytes())?;
        let control = ControlDevice::open()?;
        let minor = control.create_lockspace(&name, LockspaceFlags::empty())?;
        let device = LockspaceDevice::open_within(&name, Some(minor), PATIENCE)?;
        let abi = device.abi();
        Ok(Self { control, minor, device, abi })
    }

    /// Closes the device, without which the lockspace could not be removed.
    pub(crate) fn release(self) -> Result<()> {
        let Self { control, minor, device, .. } = self;
        drop(device);
        Ok(control.remove_lockspace(minor, RemoveFlags::empty())?)
    }

    pub(crate) fn poll(&self) -> Result<()> {
        while !self.device.poll(None)? {}
        Ok(())
    }
}

pub(crate) fn lock(name: &[u8]) -> Request<'_> {
    Request::Lock(LockRequest::new(name, Mode::Ex, cookies()))
}

pub(crate) fn unlock(id: LockId) -> Request<'static> {
    Request::Unlock(UnlockRequest::new(id, cookies()))
}

/// The words of the one token that there is.
fn cookies() -> Cookies {
    Cookies::for_token(Token::new(1, 1), 1)
}

/// The id in the answer to a lock request.
pub(crate) fn id(accepted: Accepted) -> Result<LockId> {
    match accepted {
        Accepted::Lock(id) => Ok(id),
        Accepted::Done => Err("a lock without an id".into()),
    }
}

/// Decodes a result, which must be a completion with this status.
pub(crate) fn check(abi: Abi, bytes: &[u8], wanted: LockStatus) -> Result<()> {
    match LockResult::decode(abi, bytes)?.event(abi.width)? {
        Event::Completion { status, .. } if status == wanted => Ok(()),
        other => Err(format!("{other:?} instead of {wanted:?}").into()),
    }
}
