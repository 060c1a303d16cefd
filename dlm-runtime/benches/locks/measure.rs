//! Timing pairs, and what is printed of it.

use std::time::{Duration, Instant};

use crate::{BATCH, Result, allocator};

/// Pairs before the clock starts, a batch at least: by then the kernel has its resources and we our
/// tables.
const WARM_UP: usize = 1000;

/// Pairs that are timed together.
///
/// Among the instructions of a run are those of timer interrupts and of an allocator that refills
/// its lists. They fall into some of the chunks, and the chunk at the tenth percentile has none.
const CHUNK: usize = 10;

/// Clock readings to know the length of one.
const READINGS: usize = 200;

/// A way to do pairs, ready to do any number of them.
pub(crate) type Work<'a> = &'a mut dyn FnMut(usize) -> Result<()>;

/// Does `count` pairs, and prints what they cost.
pub(crate) fn measure(count: usize, work: Work<'_>) -> Result<()> {
    measure_after(WARM_UP, count, work)
}

/// As [`measure`], with this many pairs before the clock starts.
pub(crate) fn measure_after(warm_up: usize, count: usize, work: Work<'_>) -> Result<()> {
    work(warm_up)?;
    chunks(count, CHUNK, work)
}

/// As [`measure`], with so many pairs in a chunk, for pairs that are far shorter than the reading of a
/// clock.
pub(crate) fn measure_in(size: usize, count: usize, work: Work<'_>) -> Result<()> {
    work(size)?;
    chunks(count, size, work)
}

/// As [`measure`], for batches.
pub(crate) fn measure_batches(count: usize, batch: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    batch()?;
    chunks(count, BATCH, &mut |_| batch())
}

/// Does `count` pairs in chunks of `size`, and prints the nanoseconds that they took (all of them,
/// and a pair in the chunk at the tenth percentile) and the allocations that they made.
fn chunks(count: usize, size: usize, work: Work<'_>) -> Result<()> {
    if count == 0 || !count.is_multiple_of(size) {
        return Err(format!("{count} is no multiple of {size}").into());
    }
    let clock = reading();
    let mut times = Vec::with_capacity(count / size);
    let allocations = allocator::count();
    for _ in 0..count / size {
        let start = Instant::now();
        work(size)?;
        times.push(start.elapsed().saturating_sub(clock));
    }
    let allocations = allocator::count() - allocations;
    let total: Duration = times.iter().sum();
    let tenth = tenth(&mut times).as_nanos();
    println!("ns {}\nallocations {allocations}", total.as_nanos());
    println!("tenth {tenth} {size}");
    Ok(())
}

/// How long reading the clock takes.
fn reading() -> Duration {
    let mut times: Vec<_> = (0..READINGS).map(|_| Instant::now().elapsed()).collect();
    tenth(&mut times)
}

/// The time at the tenth percentile. Leaves them sorted.
pub(crate) fn tenth(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 10).copied().unwrap_or_default()
}
