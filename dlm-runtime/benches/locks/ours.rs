//! The same work as users of this crate write it.

use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dlm_runtime::{
    Completion, CompletionHandler, Lock, LockStatus, Lockspace, LockspaceOptions, Mode,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::measure::{measure, measure_batches};
use crate::{BATCH, LOCKSPACE, RESOURCE, Result, allocator, names};

/// Locks in flight when their memory is measured. Tables grow by doubling, so a power of two shows
/// the size of a lock and not that of the reserve.
const FULL: usize = 1024;

/// What the callbacks of a program look after. They hold a reference to it, as callbacks do that
/// are any use, and as the C library's get an argument.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) granted: AtomicUsize,
    pub(crate) unlocked: AtomicUsize,
    pub(crate) blocked: AtomicUsize,
}

impl Tally {
    /// One for the rest of the program: callbacks may run as long as the lockspace is open.
    pub(crate) fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    fn note(&self, completion: Completion) {
        let count = match completion.status {
            LockStatus::Granted => &self.granted,
            LockStatus::Unlocked => &self.unlocked,
            // Missing in the tally: the benchmark then runs into its time limit.
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls and dispatches until this many callbacks have counted themselves, and begins anew.
fn serve(lockspace: &Lockspace, count: &AtomicUsize, wanted: usize) -> Result<()> {
    while count.load(Ordering::Relaxed) < wanted {
        poll(&mut [PollFd::new(lockspace.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        lockspace.dispatch()?;
    }
    count.store(0, Ordering::Relaxed);
    Ok(())
}

fn pairs(lockspace: &Lockspace, count: usize) -> Result<()> {
    for _ in 0..count {
        lockspace.lock(RESOURCE, Mode::Ex).wait()?.unlock().wait()?;
    }
    Ok(())
}

fn block(lockspace: &Lockspace, count: usize) -> Result<()> {
    measure(count, &mut |count| pairs(lockspace, count))
}

pub(crate) fn blocking(count: usize) -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    block(&lockspace, count)?;
    Ok(lockspace.release()?)
}

/// First requests kept apart, as kernels since 6.10 need it.
pub(crate) fn blocking_guarded(count: usize) -> Result<()> {
    let lockspace = LockspaceOptions::new().serialize_new_requests().create(LOCKSPACE)?;
    block(&lockspace, count)?;
    Ok(lockspace.release()?)
}

/// Not kept apart, not even there.
pub(crate) fn blocking_unguarded(count: usize) -> Result<()> {
    let lockspace = LockspaceOptions::new().concurrent_new_requests().create(LOCKSPACE)?;
    block(&lockspace, count)?;
    Ok(lockspace.release()?)
}

pub(crate) fn blocking_with_thread(count: usize) -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let delivery = lockspace.start_delivery()?;
    block(&lockspace, count)?;
    delivery.stop(Duration::from_secs(5))?;
    Ok(lockspace.release()?)
}

pub(crate) fn poll_and_dispatch(count: usize) -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let tally = Tally::new();
    let handler = handler(tally);
    measure(count, &mut |count| {
        for _ in 0..count {
            let lock = lockspace.lock(RESOURCE, Mode::Ex).start_with(&handler, 0)?;
            serve(&lockspace, &tally.granted, 1)?;
            lock.unlock().start_with(&handler, 0)?;
            serve(&lockspace, &tally.unlocked, 1)?;
        }
        Ok(())
    })?;
    Ok(lockspace.release()?)
}

/// Waits and dispatches until this many callbacks have counted themselves, and begins anew.
pub(crate) fn wait(lockspace: &Lockspace, count: &AtomicUsize, wanted: usize) -> Result<()> {
    while count.load(Ordering::Relaxed) < wanted {
        lockspace.dispatch_until(None)?;
    }
    count.store(0, Ordering::Relaxed);
    Ok(())
}

/// A handler for all operations: it allocates nothing for each of them.
pub(crate) fn handler(tally: &'static Tally) -> CompletionHandler {
    Arc::new(|_, completion| tally.note(completion))
}

pub(crate) fn waiting_dispatch(count: usize) -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let tally = Tally::new();
    let handler = handler(tally);
    measure(count, &mut |count| {
        for _ in 0..count {
            let lock = lockspace.lock(RESOURCE, Mode::Ex).start_with(&handler, 0)?;
            wait(&lockspace, &tally.granted, 1)?;
            lock.unlock().start_with(&handler, 0)?;
            wait(&lockspace, &tally.unlocked, 1)?;
        }
        Ok(())
    })?;
    Ok(lockspace.release()?)
}

/// The smallest executor: one task, which it polls, and between two polls it dispatches.
fn drive<F: IntoFuture>(lockspace: &Lockspace, future: F) -> Result<F::Output> {
    let mut future = pin!(future.into_future());
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        poll(&mut [PollFd::new(lockspace.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        lockspace.dispatch()?;
    }
}

pub(crate) fn futures(count: usize) -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    measure(count, &mut |count| {
        for _ in 0..count {
            let lock = drive(&lockspace, lockspace.lock(RESOURCE, Mode::Ex))??;
            drive(&lockspace, lock.unlock())??;
        }
        Ok(())
    })?;
    Ok(lockspace.release()?)
}

pub(crate) fn in_flight(count: usize) -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let tally = Tally::new();
    let handler = handler(tally);
    let names = names();
    let mut locks: Vec<Lock> = Vec::with_capacity(BATCH);
    measure_batches(count, &mut || {
        for name in &names {
            locks.push(lockspace.lock(name, Mode::Ex).start_with(&handler, 0)?);
        }
        wait(&lockspace, &tally.granted, BATCH)?;
        for lock in locks.drain(..) {
            lock.unlock().start_with(&handler, 0)?;
        }
        wait(&lockspace, &tally.unlocked, BATCH)
    })?;
    Ok(lockspace.release()?)
}

/// Prints how many bytes a lock in flight has on the heap, and how many its handle has.
pub(crate) fn memory() -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let tally = Tally::new();
    let mut locks: Vec<Lock> = Vec::with_capacity(FULL);
    let before = allocator::live();
    for number in 0..FULL {
        let request = lockspace.lock(number.to_ne_bytes(), Mode::Ex);
        locks.push(request.start(|completion| tally.note(completion))?);
    }
    let bytes = allocator::live() - before;
    serve(&lockspace, &tally.granted, FULL)?;
    println!("heap {}\nhandle {}", bytes.div_ceil(FULL), size_of::<Lock>());
    drop(locks);
    Ok(lockspace.release()?)
}
