//! Nodes that all want one lock, all the time.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::Lockspace;
use dlm_runtime::cache::{LockCache, OwnedExclusiveGuard, Resource};

use crate::beside::{Contestant, Ours, c_library};
use crate::{LOCKSPACE, RESOURCE, Result};

/// For the lock to be given back in the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Acquisitions by the cache between two looks at the clock, which takes longer than they do.
const UNSEEN: u64 = 100;

/// A lock that stays.
struct Cached {
    lockspace: Lockspace,
    cache: LockCache,
    resource: Resource,
    guard: Option<OwnedExclusiveGuard>,
}

impl Contestant for Cached {
    fn lock(&mut self) -> Result<()> {
        self.guard = Some(self.resource.owned().exclusive().wait()?);
        Ok(())
    }

    fn unlock(&mut self) -> Result<()> {
        self.guard = None;
        Ok(())
    }
}

/// Takes and releases the lock until it is told to stop. Prints, of the time between two lines of its input,
/// the nanoseconds, how often it had the lock, and the longest that it waited for it.
pub(crate) fn fight(library: &str) -> Result<()> {
    match library {
        "cache" => {
            let lockspace = Lockspace::open(LOCKSPACE)?;
            let cache = LockCache::builder(&lockspace).start()?;
            let resource = cache.resource(RESOURCE)?;
            let mut cached = Cached { lockspace, cache, resource, guard: None };
            run(&mut cached, UNSEEN)?;
            cached.cache.close(PATIENCE)?;
            Ok(cached.lockspace.close()?)
        }
        "dlm-runtime" => {
            let mut ours = Ours::open()?;
            run(&mut ours, 1)?;
            ours.close()
        }
        "libdlm_lt" => {
            let mut theirs = c_library("lib")?;
            run(&mut theirs, 1)?;
            theirs.close()
        }
        other => Err(format!("{other} does not fight").into()),
    }
}

/// Others fight before and after the time that counts, too.
fn run(contestant: &mut dyn Contestant, unseen: u64) -> Result<()> {
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_line(&mut String::new())?;
    let heard: &AtomicUsize = Box::leak(Box::default());
    thread::spawn(|| {
        for _ in std::io::stdin().lines() {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut round = || -> Result<()> {
        for _ in 0..unseen {
            contestant.lock()?;
            contestant.unlock()?;
        }
        Ok(())
    };
    while heard.load(Ordering::Relaxed) < 1 {
        round()?;
    }
    let (mut count, mut longest) = (0, Duration::ZERO);
    let start = Instant::now();
    let mut before = start;
    while heard.load(Ordering::Relaxed) < 2 {
        round()?;
        count += unseen;
        let now = Instant::now();
        longest = longest.max(now - before);
        before = now;
    }
    println!("fought {} {count} {}", (before - start).as_nanos(), longest.as_nanos());
    std::io::stdout().flush()?;
    while heard.load(Ordering::Relaxed) < 3 {
        round()?;
    }
    Ok(())
}
