//! A lock that has to wait, for somebody who counts the system calls of the first thread.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use dlm_runtime::{Lockspace, Mode};

use crate::{LOCKSPACE, RESOURCE, Result};

/// The second thread, with an open lockspace of its own, holds the lock until the first one sleeps.
/// The first thread makes no other calls than those for its pairs.
pub(crate) fn waits(count: usize) -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let holder = Lockspace::open(LOCKSPACE)?;
    let (held, waited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let hold = || -> Result<(), String> {
        for pair in 1..=count {
            let lock = holder.lock(RESOURCE, Mode::Ex).wait().map_err(|error| error.to_string())?;
            held.store(pair, SeqCst);
            while !sleeps().map_err(|error| error.to_string())? {}
            lock.unlock().wait().map_err(|error| error.to_string())?;
            until(&waited, pair);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let thread = scope.spawn(hold);
        for pair in 1..=count {
            until(&held, pair);
            lockspace.lock(RESOURCE, Mode::Ex).wait()?.unlock().wait()?;
            waited.store(pair, SeqCst);
        }
        thread.join().map_err(|_| "the holder panicked")??;
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    holder.close()?;
    Ok(lockspace.release()?)
}

fn until(count: &AtomicUsize, wanted: usize) {
    while count.load(SeqCst) < wanted {
        spin_loop();
    }
}

/// Whether the first thread sleeps. Traced, it is in another state when it is stopped.
fn sleeps() -> std::io::Result<bool> {
    let pid = std::process::id();
    let stat = std::fs::read_to_string(format!("/proc/self/task/{pid}/stat"))?;
    Ok(stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S")))
}
