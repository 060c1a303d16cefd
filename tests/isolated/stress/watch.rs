//! The watch over threads: their progress, and their state when one is stuck.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::tell::tell;
use super::world::World;

/// How often the threads are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How many looks may find a thread in the same step. Looks are counted, not time: the clock of an
/// emulated machine under load was seen to jump ahead by minutes.
const STUCK: u32 = 900;
/// How often progress is printed.
const PERIOD: Duration = Duration::from_secs(5);

/// What a thread is doing.
#[derive(Default)]
pub(crate) struct Desk {
    /// Its step, and since when, in milliseconds of the world.
    step: std::sync::Mutex<String>,
    since: AtomicU64,
    done: AtomicBool,
}

impl Desk {
    pub(crate) fn begin(&self, world: &World, step: String) {
        *self.step.lock().unwrap() = step;
        self.since.store(world.millis(), Ordering::SeqCst);
    }

    pub(crate) fn finish(&self) {
        self.done.store(true, Ordering::SeqCst);
    }
}

/// Prints progress until all threads are done. Ends the process when one is stuck: it waits in a
/// call that nobody can end.
pub(crate) fn watch(world: &World) {
    let mut last = Instant::now();
    let mut before = 0;
    let mut steps = vec![(0, 0); world.desks.len()];
    loop {
        std::thread::sleep(LOOK);
        if world.desks.iter().all(|desk| desk.done.load(Ordering::SeqCst)) {
            return;
        }
        if last.elapsed() >= PERIOD {
            let done = world.done();
            let seconds = last.elapsed().as_secs_f64();
            #[allow(clippy::cast_precision_loss, reason = "for the reader")]
            let rate = (done - before) as f64 / seconds;
            let left = world.wanted.saturating_sub(done);
            eprintln!("stress: {done} operations done, {rate:.0} per second, {left} left");
            (last, before) = (Instant::now(), done);
        }
        let mut is_stuck = false;
        for (desk, (step, looks)) in world.desks.iter().zip(&mut steps) {
            let since = desk.since.load(Ordering::SeqCst);
            *looks = if since == *step { *looks + 1 } else { 0 };
            *step = since;
            is_stuck |= !desk.done.load(Ordering::SeqCst) && *looks > STUCK;
        }
        if is_stuck {
            tell(format_args!("STUCK: a step takes longer than {STUCK} looks of {LOOK:?}"));
            world.print();
            // The stuck thread cannot be joined.
            std::process::exit(1);
        }
    }
}

pub(crate) fn print(desks: &[Desk]) {
    for (n, desk) in desks.iter().enumerate() {
        let since = desk.since.load(Ordering::SeqCst);
        let done = desk.done.load(Ordering::SeqCst);
        let step = desk.step.lock().unwrap_or_else(PoisonError::into_inner);
        tell(format_args!("thread {n}: since {since} ms: {step} (done: {done})"));
    }
}
