//! The least that any program can do: encode and write a request, read and decode its result.
//!
//! No table, no lock, no second thread; the names of the locks are all that it remembers.

use dlm_proto::{
    Cookies, Event, LockId, LockRequest, LockResult, LockStatus, LockspaceFlags, LockspaceName,
    MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor, Mode, RemoveFlags, Request, Token, UnlockRequest,
};
use dlm_sys::{Accepted, ControlDevice, LockspaceDevice};
use std::time::Duration;

use crate::{BATCH, LOCKSPACE, RESOURCE, Result, WARM_UP, measure, measure_batches, names};

/// Longer than a node takes to appear.
const PATIENCE: Duration = Duration::from_secs(10);

struct Floor {
    control: ControlDevice,
    minor: Minor,
    device: LockspaceDevice,
}

impl Floor {
    fn open() -> Result<Self> {
        let name = LockspaceName::new(LOCKSPACE.as_bytes())?;
        let control = ControlDevice::open()?;
        let minor = control.create_lockspace(&name, LockspaceFlags::empty())?;
        let device = LockspaceDevice::open_within(&name, Some(minor), PATIENCE)?;
        Ok(Self { control, minor, device })
    }

    /// Closes the device, without which the lockspace could not be removed.
    fn release(self) -> Result<()> {
        let Self { control, minor, device } = self;
        drop(device);
        Ok(control.remove_lockspace(minor, RemoveFlags::empty())?)
    }

    fn lock(&self, name: &[u8]) -> Result<LockId> {
        let request = LockRequest::new(name, Mode::Ex, cookies());
        match self.submit(&Request::Lock(request))? {
            Accepted::Lock(id) => Ok(id),
            Accepted::Done => Err("a lock without an id".into()),
        }
    }

    fn unlock(&self, id: LockId) -> Result<()> {
        self.submit(&Request::Unlock(UnlockRequest::new(id, cookies()))).map(drop)
    }

    fn submit(&self, request: &Request<'_>) -> Result<Accepted> {
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = request.encode(self.device.abi(), &mut buffer)?;
        Ok(self.device.submit(request.command(), bytes)?)
    }

    fn complete(&self, wanted: LockStatus) -> Result<()> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let len = self.device.read_result(&mut buffer)?.ok_or("nothing to read")?;
        let result = LockResult::decode(self.device.abi(), buffer.get(..len).unwrap_or(&buffer))?;
        match result.event(self.device.abi().width)? {
            Event::Completion { status, .. } if status == wanted => Ok(()),
            other => Err(format!("{other:?} instead of {wanted:?}").into()),
        }
    }

    /// As a program that has more to do than wait for locks.
    fn poll_and_complete(&self, wanted: LockStatus) -> Result<()> {
        while !self.device.poll(None)? {}
        self.complete(wanted)
    }
}

fn cookies() -> Cookies {
    Cookies::for_token(Token::new(1, 1), 1)
}

pub(crate) fn blocking(count: usize) -> Result<()> {
    let floor = Floor::open()?;
    measure(count, WARM_UP, &mut |count| {
        for _ in 0..count {
            let id = floor.lock(RESOURCE)?;
            floor.complete(LockStatus::Granted)?;
            floor.unlock(id)?;
            floor.complete(LockStatus::Unlocked)?;
        }
        Ok(())
    })?;
    floor.release()
}

pub(crate) fn polling(count: usize) -> Result<()> {
    let floor = Floor::open()?;
    measure(count, WARM_UP, &mut |count| {
        for _ in 0..count {
            let id = floor.lock(RESOURCE)?;
            floor.poll_and_complete(LockStatus::Granted)?;
            floor.unlock(id)?;
            floor.poll_and_complete(LockStatus::Unlocked)?;
        }
        Ok(())
    })?;
    floor.release()
}

pub(crate) fn in_flight(count: usize) -> Result<()> {
    let floor = Floor::open()?;
    let names = names();
    let mut ids = Vec::with_capacity(BATCH);
    measure_batches(count, &mut || {
        for name in &names {
            ids.push(floor.lock(name)?);
        }
        (0..BATCH).try_for_each(|_| floor.complete(LockStatus::Granted))?;
        for id in ids.drain(..) {
            floor.unlock(id)?;
        }
        (0..BATCH).try_for_each(|_| floor.complete(LockStatus::Unlocked))
    })?;
    floor.release()
}
