//! Whether the threads get on, and what they are doing when one does not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::world::World;

/// How long one step of a thread may take.
const STUCK: Duration = Duration::from_secs(45);
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
    loop {
        std::thread::sleep(Duration::from_millis(50));
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
        let stuck = |desk: &Desk| {
            let since = Duration::from_millis(desk.since.load(Ordering::SeqCst));
            let age = Duration::from_millis(world.millis()).saturating_sub(since);
            !desk.done.load(Ordering::SeqCst) && age > STUCK
        };
        if world.desks.iter().any(stuck) {
            eprintln!("STUCK: a step takes longer than {STUCK:?}");
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
        eprintln!("thread {n}: since {since} ms: {} (done: {done})", desk.step.lock().unwrap());
    }
}
