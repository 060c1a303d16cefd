//! Many threads, many operations, everything at once: no completion is lost, no two locks exclude
//! each other in vain, no value block goes back, and nothing is left.
//!
//! What each thread does follows from a seed; the command that repeats it is printed first, and again
//! with a failure. How the threads meet does not.

mod changes;
mod random;
mod resource;
mod steps;
mod tell;
mod ticket;
mod watch;
mod worker;
mod world;

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use dlm_tests::Place;
use tell::tell;
use world::{THREADS, World};

dlm_tests::everywhere! {
    mixed_operations_of_eight_threads_lose_nothing_and_leave_nothing,
}

/// Marks the panics that belong to the test.
const MARKER: &str = "a callback that panics, as it should";

fn is_expected(panic: &(dyn Any + Send)) -> bool {
    panic.downcast_ref::<String>().is_some_and(|text| text == MARKER)
}

/// Keeps expected panics quiet, and others from being lost with the process.
fn hush() {
    std::panic::set_hook(Box::new(|info| {
        if info.payload().downcast_ref::<String>().is_none_or(|text| text != MARKER) {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("without a name").to_owned();
            tell(format_args!("thread {name}: {info}\n{}", Backtrace::capture()));
        }
    }));
}

fn mixed_operations_of_eight_threads_lose_nothing_and_leave_nothing(place: &Place) {
    hush();
    let seed = random::seed();
    let wanted = std::env::var("DLM_OPERATIONS").map_or(100_000, |text| text.parse().unwrap());
    tell(tell::command(place, seed, wanted));
    let start = Instant::now();
    let world = World::new(place, seed, wanted);
    std::thread::scope(|scope| {
        let world = &world;
        for number in 0..THREADS {
            scope.spawn(move || {
                let run = AssertUnwindSafe(|| worker::Worker::new(world, number).run());
                if catch_unwind(run).is_err() {
                    // The others may wait for what this thread holds: there is no going on.
                    tell(format_args!("FAILED in thread {number}"));
                    world.print();
                    std::process::exit(1);
                }
            });
        }
        watch::watch(world);
    });
    let (done, time) = (world.done(), start.elapsed().as_secs_f64());
    #[allow(clippy::cast_precision_loss, reason = "for the reader")]
    let rate = done as f64 / time;
    eprintln!("stress: {done} operations in {time:.1} s, {rate:.0} per second");
    eprintln!("stress: {:?}, {} closes", world.tally, world.closes.load(Ordering::SeqCst));
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.check_end())) {
        world.print();
        std::panic::resume_unwind(panic);
    }
    world.release();
}
