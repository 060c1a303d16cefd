//! Locks whose master is another node, by several libraries in one process, which take turns pair by
//! pair: what the network and the machine do from moment to moment, they do to all.

use std::time::{Duration, Instant};

use dlm_runtime::{Lock, Lockspace, Mode};

use crate::c_library::CLockspace;
use crate::measure::tenth;
use crate::{LOCKSPACE, RESOURCE, Result};

/// Pairs of each library before the clock starts.
const WARM_UP: usize = 20;

/// A library with an open lockspace.
pub(crate) trait Contestant {
    fn lock(&mut self) -> Result<()>;
    fn unlock(&mut self) -> Result<()>;
}

pub(crate) struct Ours {
    lockspace: Lockspace,
    lock: Option<Lock>,
}

impl Ours {
    pub(crate) fn open() -> Result<Self> {
        Ok(Self { lockspace: Lockspace::open(LOCKSPACE)?, lock: None })
    }

    pub(crate) fn close(self) -> Result<()> {
        Ok(self.lockspace.close()?)
    }
}

/// The C library in a folder beside this program.
pub(crate) fn c_library(folder: &str) -> Result<CLockspace> {
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("a program is in a folder")?;
    CLockspace::open(&beside.join(folder).join("libdlm_lt.so.3"), LOCKSPACE)
}

impl Contestant for Ours {
    fn lock(&mut self) -> Result<()> {
        self.lock = Some(self.lockspace.lock(RESOURCE, Mode::Ex).wait()?);
        Ok(())
    }

    fn unlock(&mut self) -> Result<()> {
        Ok(self.lock.take().ok_or("no lock")?.unlock().wait()?)
    }
}

impl Contestant for CLockspace {
    fn lock(&mut self) -> Result<()> {
        self.lock(RESOURCE)
    }

    fn unlock(&mut self) -> Result<()> {
        self.unlock()
    }
}

/// Does `count` pairs with each library, and prints for each its name in the table, and the
/// nanoseconds of an operation in the middle and at the tenth percentile.
pub(crate) fn beside(count: usize) -> Result<()> {
    let mut ours = Ours::open()?;
    let (mut theirs, mut capi) = (c_library("lib")?, c_library("capi")?);
    let contestants: [(&str, &mut dyn Contestant); 3] =
        [("dlm-runtime", &mut ours), ("libdlm_lt", &mut theirs), ("our-libdlm_lt", &mut capi)];
    let mut lanes = contestants.map(|contestant| (contestant, Vec::with_capacity(2 * count)));
    for round in 0..WARM_UP + count {
        // Who begins changes, as the first may find the lockspace in another state.
        lanes.rotate_left(1);
        for ((_, library), times) in &mut lanes {
            let operations = [time(|| library.lock())?, time(|| library.unlock())?];
            if round >= WARM_UP {
                times.extend(operations);
            }
        }
    }
    for ((name, _), times) in &mut lanes {
        let tenth = tenth(times).as_nanos();
        let median = times.get(times.len() / 2).copied().unwrap_or_default().as_nanos();
        println!("{name} {median} {tenth}");
    }
    ours.close()?;
    theirs.close()?;
    capi.close()
}

fn time(operation: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    operation()?;
    Ok(start.elapsed())
}
