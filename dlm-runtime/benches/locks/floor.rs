//! The least that a program can do: the writes and the reads.
//!
//! The same request is sent over and over, and the same result comes back. So they are encoded and
//! decoded once, and compared after that. The kernel gives a lock the lowest free id, which is the
//! same each time, too; should it ever not be, the unlock is encoded anew.

use dlm_proto::{Command, LockId, LockStatus, MAX_REQUEST_LEN, MAX_RESULT_LEN, Request};

use crate::device::{self, Lockspace};
use crate::{RESOURCE, Result, measure, measure_batches, names};

/// The records about one resource.
struct Records {
    lock: Vec<u8>,
    granted: Vec<u8>,
    id: LockId,
    unlock: Vec<u8>,
    unlocked: Vec<u8>,
}

impl Records {
    fn new(lockspace: &Lockspace, name: &[u8]) -> Result<Self> {
        Ok(Self {
            lock: encode(lockspace, &device::lock(name))?,
            granted: Vec::new(),
            id: LockId(0),
            unlock: Vec::new(),
            unlocked: Vec::new(),
        })
    }

    fn write_lock(&mut self, lockspace: &Lockspace) -> Result<()> {
        let id = device::id(lockspace.device.submit(Command::Lock, &self.lock)?)?;
        if id != self.id {
            self.id = id;
            self.unlock = encode(lockspace, &device::unlock(id))?;
        }
        Ok(())
    }

    fn read_granted(&mut self, lockspace: &Lockspace) -> Result<()> {
        read(lockspace, &mut self.granted, LockStatus::Granted)
    }

    fn write_unlock(&self, lockspace: &Lockspace) -> Result<()> {
        Ok(lockspace.device.submit(Command::Unlock, &self.unlock).map(drop)?)
    }

    fn read_unlocked(&mut self, lockspace: &Lockspace) -> Result<()> {
        read(lockspace, &mut self.unlocked, LockStatus::Unlocked)
    }
}

fn encode(lockspace: &Lockspace, request: &Request<'_>) -> Result<Vec<u8>> {
    Ok(request.encode(lockspace.abi, &mut [0; MAX_REQUEST_LEN])?.to_vec())
}

/// Reads a result. Only one that differs from the last is looked into.
fn read(lockspace: &Lockspace, last: &mut Vec<u8>, wanted: LockStatus) -> Result<()> {
    let mut buffer = [0; MAX_RESULT_LEN];
    let len = lockspace.device.read_result(&mut buffer)?.ok_or("nothing to read")?;
    let bytes = buffer.get(..len).unwrap_or(&buffer);
    if last != bytes {
        device::check(lockspace.abi, bytes, wanted)?;
        bytes.clone_into(last);
    }
    Ok(())
}

pub(crate) fn blocking(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    let mut records = Records::new(&lockspace, RESOURCE)?;
    measure(count, &mut |count| {
        for _ in 0..count {
            records.write_lock(&lockspace)?;
            records.read_granted(&lockspace)?;
            records.write_unlock(&lockspace)?;
            records.read_unlocked(&lockspace)?;
        }
        Ok(())
    })?;
    lockspace.release()
}

pub(crate) fn polling(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    let mut records = Records::new(&lockspace, RESOURCE)?;
    measure(count, &mut |count| {
        for _ in 0..count {
            records.write_lock(&lockspace)?;
            lockspace.poll()?;
            records.read_granted(&lockspace)?;
            records.write_unlock(&lockspace)?;
            lockspace.poll()?;
            records.read_unlocked(&lockspace)?;
        }
        Ok(())
    })?;
    lockspace.release()
}

/// The kernel keeps the order of the requests.
pub(crate) fn in_flight(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    let all = names().into_iter().map(|name| Records::new(&lockspace, &name));
    let mut all: Vec<_> = all.collect::<Result<_>>()?;
    measure_batches(count, &mut || {
        all.iter_mut().try_for_each(|records| records.write_lock(&lockspace))?;
        all.iter_mut().try_for_each(|records| records.read_granted(&lockspace))?;
        all.iter().try_for_each(|records| records.write_unlock(&lockspace))?;
        all.iter_mut().try_for_each(|records| records.read_unlocked(&lockspace))
    })?;
    lockspace.release()
}
