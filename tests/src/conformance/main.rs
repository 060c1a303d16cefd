//! Runs random scripts on the kernel and an engine. `cargo xtask conformance` starts it in virtual
//! machines.

#![allow(clippy::expect_used, reason = "without its arguments it cannot do anything")]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dlm_tests::conformance::{Difference, Differential, generate, shrink};
use dlm_tests::scenario::{Devices, Step};

const USAGE: &str = "usage: conformance SCRIPTS SEED";

/// So many differences that are shown before it gives up.
const ENOUGH: usize = 5;

/// How often the progress is told.
const PAUSE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let (Some(Ok(scripts)), Some(Ok(seed)), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(scripts, seed) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Script `n` follows from the seed plus `n`.
fn run(scripts: u64, seed: u64) -> Result<usize, String> {
    let mut differential = Differential::new(Devices::new())?;
    let start = Instant::now();
    let mut told = start;
    let mut shown = BTreeSet::new();
    let mut done = 0;
    while done < scripts && shown.len() < ENOUGH {
        let own = seed.wrapping_add(done);
        let script = generate(own);
        done += 1;
        let outcome = differential.run(&script).map_err(|error| format!("seed {own}: {error}"))?;
        if let Some(difference) = outcome {
            show(&mut differential, own, &script, difference, &mut shown)?;
        }
        if told.elapsed() >= PAUSE {
            told = Instant::now();
            progress(own, done, scripts, start.elapsed(), shown.len());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{done} scripts, {} steps on both ({} left out), {:.0} scripts a minute, {} differences",
        differential.steps,
        differential.skipped,
        per_minute(done, start.elapsed()),
        shown.len()
    );
    println!("in {seconds:.1} s, from seed {seed}");
    if differential.leaked > 0 {
        println!(
            "{} scripts left locks that have lost their mode, the same on both",
            differential.leaked
        );
    }
    if differential.repeated > 0 {
        println!(
            "{} times a script differed after a standstill and was done again",
            differential.repeated
        );
    }
    println!("came: {}", differential.coverage);
    differential.finish()?;
    Ok(shown.len())
}

fn show(
    differential: &mut Differential<Devices>,
    seed: u64,
    script: &[Step],
    difference: Difference,
    shown: &mut BTreeSet<String>,
) -> Result<(), String> {
    let (_, shortest) = shrink(differential, script, difference)
        .map_err(|error| format!("seed {seed}: {error}"))?;
    if shown.insert(shortest.scenario.clone()) {
        println!("=== seed {seed}");
        for line in shortest.text.lines() {
            println!("# {line}");
        }
        println!("{}=== end", shortest.scenario);
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "shown with no digits behind the point")]
fn per_minute(done: u64, took: Duration) -> f64 {
    done as f64 * 60.0 / took.as_secs_f64().max(0.001)
}

#[allow(clippy::cast_precision_loss, reason = "shown with no digits behind the point")]
fn progress(seed: u64, done: u64, scripts: u64, took: Duration, differences: usize) {
    let rate = per_minute(done, took);
    let left = (scripts - done) as f64 / rate.max(1.0);
    println!(
        "{done} of {scripts} scripts, {rate:.0} a minute, {left:.1} minutes left, {differences} \
         differences, at seed {seed}"
    );
}
