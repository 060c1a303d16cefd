//! The least that a program can do: the writes and the reads.
//!
//! The same request is sent over and over, and the same result comes back. So they are encoded and
//! decoded once, and compared after that. The kernel gives a lock the lowest free id, which is the
//! same each time, too; should it ever not be, the unlock is encoded anew.
//!
//! Each floor exists with and without another thread in the process, as that makes system calls
//! longer, and with the functions of the C library, as most programs make them, and with those of
//! dlm-sys. Where a program polls, there is one more, with the device in an epoll set: what a
//! descriptor costs that shows more than the device alone, as those of this crate's libraries do.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use dlm_proto::{Command, LockId, LockStatus, MAX_REQUEST_LEN, MAX_RESULT_LEN, Request};
use dlm_sys::{Accepted, LockspaceDevice};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::device::{self, Lockspace};
use crate::measure::{measure, measure_batches};
use crate::{RESOURCE, Result, names};

/// How the system calls are made.
pub(crate) trait Calls {
    /// What is polled beside the device, or in place of it.
    type Set;

    fn set(device: &LockspaceDevice) -> Result<Self::Set>;

    /// The value that a request is answered with, which is the id of a new lock.
    fn write(device: &LockspaceDevice, command: Command, request: &[u8]) -> Result<u32>;

    /// The length of a result.
    fn read(device: &LockspaceDevice, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<usize>;

    fn poll(device: &LockspaceDevice, set: &Self::Set) -> Result<()>;
}

/// By the functions of the C library, which are points where a thread can be cancelled.
pub(crate) struct CLibrary;

impl Calls for CLibrary {
    type Set = ();

    fn set(_: &LockspaceDevice) -> Result<()> {
        Ok(())
    }

    fn write(device: &LockspaceDevice, _: Command, request: &[u8]) -> Result<u32> {
        Ok(u32::try_from(nix::unistd::write(device, request)?)?)
    }

    fn read(device: &LockspaceDevice, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<usize> {
        Ok(nix::unistd::read(device, buffer)?)
    }

    fn poll(device: &LockspaceDevice, (): &()) -> Result<()> {
        poll_one(device.as_fd())
    }
}

fn poll_one(descriptor: BorrowedFd<'_>) -> Result<()> {
    nix::poll::poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], PollTimeout::NONE)?;
    Ok(())
}

/// By the functions of the C library, with the device in a set.
pub(crate) struct Watched;

impl Calls for Watched {
    type Set = Epoll;

    fn set(device: &LockspaceDevice) -> Result<Epoll> {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        set.add(device, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(set)
    }

    fn write(device: &LockspaceDevice, command: Command, request: &[u8]) -> Result<u32> {
        CLibrary::write(device, command, request)
    }

    fn read(device: &LockspaceDevice, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<usize> {
        CLibrary::read(device, buffer)
    }

    fn poll(_: &LockspaceDevice, set: &Epoll) -> Result<()> {
        poll_one(set.0.as_fd())
    }
}

/// As dlm-sys makes them.
pub(crate) struct DlmSys;

impl Calls for DlmSys {
    type Set = ();

    fn set(_: &LockspaceDevice) -> Result<()> {
        Ok(())
    }

    fn write(device: &LockspaceDevice, command: Command, request: &[u8]) -> Result<u32> {
        Ok(match device.submit(command, request)? {
            Accepted::Lock(id) => id.0,
            Accepted::Done => 0,
        })
    }

    fn read(device: &LockspaceDevice, buffer: &mut [u8; MAX_RESULT_LEN]) -> Result<usize> {
        Ok(device.read_result(buffer)?.ok_or("nothing to read")?)
    }

    fn poll(device: &LockspaceDevice, (): &()) -> Result<()> {
        while !device.poll(None)? {}
        Ok(())
    }
}

/// The records about one resource.
struct Records<C> {
    lock: Vec<u8>,
    granted: Vec<u8>,
    id: u32,
    unlock: Vec<u8>,
    unlocked: Vec<u8>,
    calls: PhantomData<C>,
}

impl<C: Calls> Records<C> {
    fn new(lockspace: &Lockspace, name: &[u8]) -> Result<Self> {
        Ok(Self {
            lock: encode(lockspace, &device::lock(name))?,
            granted: Vec::new(),
            id: 0,
            unlock: Vec::new(),
            unlocked: Vec::new(),
            calls: PhantomData,
        })
    }

    fn write_lock(&mut self, lockspace: &Lockspace) -> Result<()> {
        let id = C::write(&lockspace.device, Command::Lock, &self.lock)?;
        if id != self.id {
            self.id = id;
            self.unlock = encode(lockspace, &device::unlock(LockId(id)))?;
        }
        Ok(())
    }

    fn read_granted(&mut self, lockspace: &Lockspace) -> Result<()> {
        read::<C>(lockspace, &mut self.granted, LockStatus::Granted)
    }

    fn write_unlock(&self, lockspace: &Lockspace) -> Result<()> {
        C::write(&lockspace.device, Command::Unlock, &self.unlock).map(drop)
    }

    fn read_unlocked(&mut self, lockspace: &Lockspace) -> Result<()> {
        read::<C>(lockspace, &mut self.unlocked, LockStatus::Unlocked)
    }
}

fn encode(lockspace: &Lockspace, request: &Request<'_>) -> Result<Vec<u8>> {
    Ok(request.encode(lockspace.abi, &mut [0; MAX_REQUEST_LEN])?.to_vec())
}

/// Reads a result. Only one that differs from the last is looked into.
fn read<C: Calls>(lockspace: &Lockspace, last: &mut Vec<u8>, wanted: LockStatus) -> Result<()> {
    let mut buffer = [0; MAX_RESULT_LEN];
    let len = C::read(&lockspace.device, &mut buffer)?;
    let bytes = buffer.get(..len).unwrap_or(&buffer);
    if last != bytes {
        device::check(lockspace.abi, bytes, wanted)?;
        bytes.clone_into(last);
    }
    Ok(())
}

/// A thread that sleeps until this is dropped.
struct Bystander {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    fn start() -> Self {
        let (end, ends) = channel();
        let thread = thread::spawn(move || _ = ends.recv());
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.end = None;
        self.thread.take().map(JoinHandle::join);
    }
}

pub(crate) fn blocking<C: Calls>(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    let mut records = Records::<C>::new(&lockspace, RESOURCE)?;
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

pub(crate) fn blocking_with_thread<C: Calls>(count: usize) -> Result<()> {
    let _thread = Bystander::start();
    blocking::<C>(count)
}

pub(crate) fn polling<C: Calls>(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    let set = C::set(&lockspace.device)?;
    let mut records = Records::<C>::new(&lockspace, RESOURCE)?;
    measure(count, &mut |count| {
        for _ in 0..count {
            records.write_lock(&lockspace)?;
            C::poll(&lockspace.device, &set)?;
            records.read_granted(&lockspace)?;
            records.write_unlock(&lockspace)?;
            C::poll(&lockspace.device, &set)?;
            records.read_unlocked(&lockspace)?;
        }
        Ok(())
    })?;
    lockspace.release()
}

/// The kernel keeps the order of the requests.
pub(crate) fn in_flight<C: Calls>(count: usize) -> Result<()> {
    let lockspace = Lockspace::create()?;
    let _set = C::set(&lockspace.device)?;
    let all = names().into_iter().map(|name| Records::<C>::new(&lockspace, &name));
    let mut all: Vec<_> = all.collect::<Result<_>>()?;
    measure_batches(count, &mut || {
        all.iter_mut().try_for_each(|records| records.write_lock(&lockspace))?;
        all.iter_mut().try_for_each(|records| records.read_granted(&lockspace))?;
        all.iter().try_for_each(|records| records.write_unlock(&lockspace))?;
        all.iter_mut().try_for_each(|records| records.read_unlocked(&lockspace))
    })?;
    lockspace.release()
}
