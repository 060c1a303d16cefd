//! Locks that stay: the cache, beside a compare-and-swap loop that nobody disturbs, which is the least that
//! a lock within a program costs.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dlm_runtime::Lockspace;
use dlm_runtime::cache::{LockCache, Resource};

use crate::measure::measure_in;
use crate::{LOCKSPACE, RESOURCE, Result, allocator};

/// Pairs that are timed together. They are a thousand times as short as those of locks that do not stay.
const CHUNK: usize = 1000;

/// For locks to be given back in the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The resources whose memory is measured. Tables grow by doubling, so a power of two shows the size of
/// what is in them and not that of the reserve.
const FULL: usize = 1 << 14;

/// A lock within a program, taken and released while nobody else wants it.
pub(crate) fn compare_and_swap(count: usize) -> Result<()> {
    let word = AtomicU64::new(0);
    measure_in(CHUNK, count, &mut |count| {
        for _ in 0..count {
            let word = black_box(&word);
            while word.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                std::hint::spin_loop();
            }
            word.store(0, Ordering::Release);
        }
        Ok(())
    })
}

/// Does something with a cache and a lock that is in it.
fn with_cache(work: impl FnOnce(&LockCache, &Resource) -> Result<()>) -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let cache = LockCache::builder(&lockspace).start()?;
    let resource = cache.resource(RESOURCE)?;
    work(&cache, &resource)?;
    drop(resource);
    cache.close(PATIENCE)?;
    drop(cache);
    Ok(lockspace.release()?)
}

pub(crate) fn exclusive(count: usize) -> Result<()> {
    with_cache(|_, resource| {
        measure_in(CHUNK, count, &mut |count| {
            for _ in 0..count {
                drop(resource.exclusive().wait()?);
            }
            Ok(())
        })
    })
}

pub(crate) fn shared(count: usize) -> Result<()> {
    with_cache(|_, resource| {
        measure_in(CHUNK, count, &mut |count| {
            for _ in 0..count {
                drop(resource.shared().wait()?);
            }
            Ok(())
        })
    })
}

pub(crate) fn by_name(count: usize) -> Result<()> {
    with_cache(|cache, _| {
        measure_in(CHUNK, count, &mut |count| {
            for _ in 0..count {
                drop(cache.lock(RESOURCE).exclusive().wait()?);
            }
            Ok(())
        })
    })
}

/// Pairs of EX by so many threads at the same time, each on a resource of its own or all on one. Prints
/// the nanoseconds from the first to the last, and how many pairs there were.
pub(crate) fn threads(threads: usize, on_own: bool, each: usize) -> Result<()> {
    with_cache(|cache, _| {
        let name = |thread: usize| format!("resource-{}", if on_own { thread } else { 0 });
        let names = (0..threads).map(name);
        let resources = names.map(|name| cache.resource(name)).collect::<Result<Vec<_>, _>>()?;
        // The locks are there from here on.
        resources.iter().try_for_each(|resource| resource.exclusive().wait().map(drop))?;
        let begin = Barrier::new(threads);
        let spans = thread::scope(|scope| {
            let begin = &begin;
            let start = |resource| scope.spawn(move || pairs(resource, begin, each));
            let all: Vec<_> = resources.iter().map(start).collect();
            let ended = all.into_iter().map(|it| it.join().map_err(|_| "a thread panicked"));
            ended.map(|span| Ok(span??)).collect::<Result<Vec<_>>>()
        })?;
        let first = spans.iter().map(|(start, _)| *start).min().ok_or("no threads")?;
        let last = spans.iter().map(|(_, end)| *end).max().ok_or("no threads")?;
        println!("ns {}\npairs {}", (last - first).as_nanos(), each * threads);
        Ok(())
    })
}

fn pairs(
    resource: &Resource,
    begin: &Barrier,
    count: usize,
) -> Result<(Instant, Instant), dlm_runtime::Error> {
    begin.wait();
    let start = Instant::now();
    for _ in 0..count {
        drop(resource.exclusive().wait()?);
    }
    Ok((start, Instant::now()))
}

/// Prints how many bytes a resource has on the heap that is known, and one whose lock is held.
pub(crate) fn memory() -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    let cache = LockCache::builder(&lockspace).start()?;
    let mut resources = Vec::with_capacity(FULL);
    let before = allocator::live();
    for number in 0..FULL {
        resources.push(cache.resource(number.to_ne_bytes())?);
    }
    let known = allocator::live() - before;
    for resource in &resources {
        drop(resource.exclusive().wait()?);
    }
    let held = allocator::live() - before;
    println!("known {}\nheld {}", known.div_ceil(FULL), held.div_ceil(FULL));
    drop(resources);
    cache.close(PATIENCE)?;
    drop(cache);
    Ok(lockspace.release()?)
}
