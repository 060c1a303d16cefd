//! Runs of a scenario under many schedules.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::clock::World;

/// Schedules of each kind for each scenario, unless `DLM_SCHEDULES` says otherwise.
const SCHEDULES: usize = 2_000;

/// More steps than any schedule of these scenarios takes, unless its threads run in circles.
const MOST_STEPS: usize = 100_000;

type Scenario = Arc<dyn Fn() + Send + Sync>;

/// Runs a scenario under many schedules.
pub fn check(scenario: impl Fn() + Send + Sync + 'static) {
    check_in(1, scenario);
}

/// The same, under one in `share` of them.
pub(super) fn check_in(share: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/model/failed");
    std::fs::create_dir_all(&folder).unwrap();
    let scenario: Scenario = Arc::new(scenario);
    if let Some(file) = std::env::var_os("DLM_SCHEDULE") {
        run(ReplayScheduler::new_from_file(PathBuf::from(file)).unwrap(), &folder, &scenario);
        return;
    }
    let count = std::env::var("DLM_SCHEDULES").map_or(SCHEDULES, |count| count.parse().unwrap());
    let count = count.div_ceil(share);
    let begin = (Instant::now(), SystemTime::now());
    let all = || {
        run(RandomScheduler::new(count), &folder, &scenario);
        // Those with few changes between threads, at the places where it hurts.
        run(PctScheduler::new(2, count), &folder, &scenario);
        run(PctScheduler::new(4, count), &folder, &scenario);
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
        tell_how_to_repeat(&name, &folder, begin.1);
        resume_unwind(panic);
    }
    let per_second = 3.0 * count as f64 / begin.0.elapsed().as_secs_f64();
    println!("{} schedules, {per_second:.0} per second", 3 * count);
}

fn run(scheduler: impl Scheduler + 'static, folder: &Path, scenario: &Scenario) {
    let scenario = Arc::clone(scenario);
    let mut config = Config::new();
    config.stack_size = 0x4_0000;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.failure_persistence = FailurePersistence::File(Some(folder.to_owned()));
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || {
        World::begin();
        scenario();
        let world = World::current();
        let failures = world.failures.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(failures.is_empty(), "{failures:?}");
    });
}

fn tell_how_to_repeat(name: &str, folder: &Path, begin: SystemTime) {
    let written = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = files.map(|file| file.path()).filter(|path| written(path) >= Some(begin));
    // Shuttle writes it twice, and other scenarios may have failed since.
    let Some(file) = files.min_by_key(written).and_then(|path| path.canonicalize().ok()) else {
        return;
    };
    // Set by cargo.
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    eprintln!(
        "\nTo repeat the schedule that failed:\n  DLM_SCHEDULE={} RUSTFLAGS='--cfg dlm_model' \
         CARGO_TARGET_DIR=target/model CARGO_PROFILE_TEST_OPT_LEVEL=1 \
         cargo test -p {package} --lib -- --exact {name}\n",
        file.display()
    );
}
