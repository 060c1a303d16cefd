//! A program on dlm-sys and dlm-proto alone: encode and write a request, read and
//! decode its result, and remember nothing but the ids of its locks.

use dlm_proto::{LockId, LockStatus, MAX_REQUEST_LEN, MAX_RESULT_LEN, Request};
use dlm_sys::Accepted;

use crate::device::{self, Lockspace};
use crate::measure::{measure, measure_batches};
use crate::{BATCH, RESOURCE, Result, names};

impl Lockspace {
    fn lock(&self, name: &[u8]) -> Result<LockId> {
        device::id(self.submit(&device::lock(name))?)
    }

    fn unlock(&self, id: LockId) -> Result<()> {
        self.submit(&device::unlock(id)).map(drop)
    }

    fn submit(&self, request: &Request<'_>) -> Result<Accepted> {
        let mut buffer = [0; MAX_REQUEST_LEN];
        let bytes = request.encode(self.abi, &mut buffer)?;
        Ok(self.device.submit(request.command(), bytes)?)
    }

    fn complete(&self, wanted: LockStatus) -> Result<()> {
        let mut buffer = [0; MAX_RESULT_LEN];
        let len = self.device.read_result(&mut buffer)?.ok_or("nothing to read")?;
        device::check(self.abi, buffer.get(..len).unwrap_or(&buffer), wanted)
    }
}

pub(crate) fn blocking(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    measure(count, &mut |count| {
        for _ in 0..count {
            let id = lockspace.lock(RESOURCE)?;
            lockspace.complete(LockStatus::Granted)?;
            lockspace.unlock(id)?;
            lockspace.complete(LockStatus::Unlocked)?;
        }
        Ok(())
    })?;
    lockspace.release()
}

pub(crate) fn polling(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    measure(count, &mut |count| {
        for _ in 0..count {
            let id = lockspace.lock(RESOURCE)?;
            lockspace.poll()?;
            lockspace.complete(LockStatus::Granted)?;
            lockspace.unlock(id)?;
            lockspace.poll()?;
            lockspace.complete(LockStatus::Unlocked)?;
        }
        Ok(())
    })?;
    lockspace.release()
}

pub(crate) fn in_flight(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    let names = names();
    let mut ids = Vec::with_capacity(BATCH);
    measure_batches(count, &mut || {
        for name in &names {
            ids.push(lockspace.lock(name)?);
        }
        (0..BATCH).try_for_each(|_| lockspace.complete(LockStatus::Granted))?;
        for id in ids.drain(..) {
            lockspace.unlock(id)?;
        }
        (0..BATCH).try_for_each(|_| lockspace.complete(LockStatus::Unlocked))
    })?;
    lockspace.release()
}
