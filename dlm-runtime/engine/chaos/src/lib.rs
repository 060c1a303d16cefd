//! Chaos in the process: programs of dlm-runtime on clusters of dlm-engine, whose time passes as fast
//! as it can, while nodes die, freeze and lose each other. What happened must be what may happen.
//!
//! `cargo xtask chaos --engine` runs it, and `cargo xtask chaos` the same work on machines: the
//! [`history`] and the [`plan`] are theirs, too.

mod faults;
pub mod history;
pub mod plan;
mod program;
mod round;
mod tally;
#[cfg(test)]
mod tests;
mod work;

use anyhow::Result;
use dlm_runtime::engine::Profile;
use round::{Front, Outcome, Round, plain};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tally::Tally;

/// How often the progress is told.
const PAUSE: Duration = Duration::from_secs(5);

/// Rounds in each run of all tests, and what they follow from.
const BRIEFLY: (u64, u64) = (600, 1);

/// Runs the rounds, of one kernel or of both by turns; false if something happened that may not.
///
/// # Errors
///
/// What keeps them from running.
pub fn run(kernel: Option<&str>, rounds: u64, seed: u64) -> Result<bool> {
    Ok(run_all(kernel, rounds, seed)?.is_some())
}

/// What the rounds showed, unless something happened that may not.
fn run_all(kernel: Option<&str>, rounds: u64, seed: u64) -> Result<Option<Tally>> {
    let plan = Plan { rounds, seed, profile: kernel.and_then(profile), kernel };
    let begin = Instant::now();
    println!("{rounds} rounds from seed {seed}");
    let (tally, failed) = plan.all(plain)?;
    print!("{tally}");
    if let Some((seed, report)) = &failed {
        let kernel = kernel.map(|name| format!(" --kernel {name}")).unwrap_or_default();
        print!("{report}");
        println!("again: cargo xtask chaos --engine --rounds 1 --seed {seed}{kernel}");
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{} rounds in {seconds:.1} s, {:.0} a minute: {}",
        tally.rounds,
        per_minute(tally.rounds, begin.elapsed()),
        if failed.is_some() { "a violation" } else { "no violation" }
    );
    Ok(failed.is_none().then_some(tally))
}

/// Some rounds, always the same; false if something happened that may not, or too little.
///
/// # Errors
///
/// What keeps it from running.
pub fn briefly() -> Result<bool> {
    let (rounds, seed) = BRIEFLY;
    Ok(run_all(None, rounds, seed)?.is_some_and(|tally| tally.is_complete()))
}

/// The engine's name for a kernel.
fn profile(kernel: &str) -> Option<Profile> {
    match kernel {
        "6.1" => Some(Profile::Linux6_1),
        "6.12" => Some(Profile::Linux6_12),
        _ => None,
    }
}

fn per_minute(count: u64, time: Duration) -> f64 {
    count as f64 * 60.0 / time.as_secs_f64().max(1e-9)
}

/// Which rounds to run. Round `n` follows from the seed plus `n`.
struct Plan<'a> {
    rounds: u64,
    seed: u64,
    /// Without it each round draws one.
    profile: Option<Profile>,
    kernel: Option<&'a str>,
}

/// A seed, and what happened.
type Failed = (u64, String);

/// What the threads that do the rounds share.
struct Shared {
    next: AtomicU64,
    is_over: AtomicBool,
    state: Mutex<(Tally, Option<Failed>)>,
}

impl Plan<'_> {
    /// Runs all rounds, in as many threads as there are processors, up to the first that fails.
    fn all(&self, front: Front) -> Result<(Tally, Option<Failed>)> {
        let shared = Shared {
            next: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            state: Mutex::default(),
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| self.work(&shared, front))).collect();
            let done = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a round panicked")))
            });
            done.collect::<Result<Vec<()>>>()
        })?;
        Ok(shared.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn work(&self, shared: &Shared, front: Front) -> Result<()> {
        let begin = Instant::now();
        let mut told = begin;
        loop {
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.rounds || shared.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let seed = self.seed.wrapping_add(number);
            let outcome = Round::run(seed, self.profile, front)?;
            let mut state = shared.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let Outcome { mut tally, report } = outcome;
            tally.rounds = 1;
            state.0.add(&tally);
            if let Some(report) = report {
                shared.is_over.store(true, Ordering::Relaxed);
                if state.1.as_ref().is_none_or(|(other, _)| seed < *other) {
                    state.1 = Some((seed, report));
                }
            }
            let done = state.0.rounds;
            drop(state);
            // One of the threads tells.
            if told.elapsed() >= PAUSE && done + 1 >= number {
                told = Instant::now();
                self.progress(done, begin.elapsed());
            }
        }
    }

    fn progress(&self, done: u64, time: Duration) {
        let rate = per_minute(done, time);
        let left = (self.rounds.saturating_sub(done)) as f64 / rate.max(1e-9);
        let kernel = self.kernel.unwrap_or("both");
        println!(
            "{done} of {} rounds ({kernel}), {rate:.0} a minute, {left:.1} minutes left",
            self.rounds
        );
        let _ = std::io::stdout().flush();
    }
}
