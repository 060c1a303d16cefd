//! `cargo xtask fuzz`

mod build;
mod output;
mod report;
mod run;

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use build::Fuzzers;
use dlm_lab::vm::provision;
use dlm_lab::vm::store::Store;
use report::{Crash, Table};
use run::Plan;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask fuzz [--seconds N] [--seed N] [TARGET]...

Runs the fuzzers, all or those named, with AddressSanitizer, as many at a time as there are
processors, and prints what each came to. Inputs that are found to be new are kept in
target/fuzz/corpus for the next run; those of fuzz/corpus are only read.

    --seconds N   for the whole run, shared out evenly (default 60)
    --seed N      for the random numbers; printed at the start, and else taken from the clock
    TARGET        the name of a file in fuzz/fuzz_targets
";

const DEFAULT_SECONDS: u64 = 60;

/// What to run.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    seconds: u64,
    seed: Option<u32>,
    targets: Vec<String>,
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps the fuzzers from being built or run. A crash
/// makes an exit status of 1.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(choice) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let targets = choose(build::targets()?, &choice.targets)
        .map_err(|error| crate::Usage::new(&error, USAGE))?;
    let whole = Duration::from_secs(choice.seconds);
    let passed = fuzz(&targets, whole, choice.seed.unwrap_or_else(clock_seed))?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the random numbers of a check begin, each time: it does not fail by chance.
const BRIEF_SEED: u32 = 1;

/// Runs every fuzzer for a few seconds, and says whether all held.
///
/// # Errors
///
/// What keeps the fuzzers from being built or run.
pub fn briefly() -> Result<bool> {
    fuzz(&build::targets()?, Duration::from_secs(12), BRIEF_SEED)
}

fn fuzz(targets: &[String], whole: Duration, seed: u32) -> Result<bool> {
    provision::ensure_for_fuzzing(&Store::open()?)?;
    let fuzzers = Fuzzers::build()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan::new(targets, whole, cores, seed);
    println!("{plan}");
    let begin = Instant::now();
    let outcomes = run::all(&fuzzers, &plan)?;
    print!("{}", Table { outcomes: &outcomes, took: begin.elapsed() });
    for outcome in &outcomes {
        if let Some(crash) = Crash::of(outcome) {
            print!("\n{crash}");
        }
    }
    Ok(outcomes.iter().all(|outcome| outcome.succeeded))
}

/// The targets asked for, or all.
fn choose(all: Vec<String>, wanted: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("no target {unknown}; there are {}", all.join(", "));
    }
    Ok(if wanted.is_empty() {
        all
    } else {
        all.into_iter().filter(|name| wanted.contains(name)).collect()
    })
}

/// Another one in each run; never 0, which libFuzzer takes for "choose one yourself".
fn clock_seed() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.subsec_nanos() ^ u32::try_from(now.as_secs() & 0xffff_ffff).unwrap_or(1) | 1
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Choice>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut choice = Choice { seconds: DEFAULT_SECONDS, seed: None, targets: Vec::new() };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("seconds") => choice.seconds = parser.value()?.parse()?,
            Long("seed") => choice.seed = Some(parser.value()?.parse()?),
            Value(target) => choice.targets.push(target.string()?),
            other => return Err(other.unexpected()),
        }
    }
    if choice.seconds == 0 {
        return Err("--seconds 0 leaves nothing to do".into());
    }
    if choice.seed == Some(0) {
        return Err("libFuzzer takes --seed 0 for no seed at all".into());
    }
    Ok(Some(choice))
}

/// A folder below `target/fuzz`, made if there is none.
fn made(folder: &str) -> Result<std::path::PathBuf> {
    let path = build::place().join(folder);
    std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_seed_and_targets_can_be_chosen() {
        let parse = |words: &str| parse(words.split_whitespace().map(OsString::from).collect());
        let choice = parse("").unwrap().unwrap();
        assert_eq!(choice, Choice { seconds: 60, seed: None, targets: Vec::new() });
        let choice = parse("--seconds 600 misc --seed 7 names").unwrap().unwrap();
        assert_eq!((choice.seconds, choice.seed), (600, Some(7)));
        assert_eq!(choice.targets, ["misc", "names"]);
        assert!(parse("--help").unwrap().is_none());
        for bad in ["--seconds", "--seconds 0", "--seconds x", "--seed 0", "--x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_targets_that_exist_are_run_and_each_once() {
        let all = || vec!["a".to_owned(), "b".to_owned()];
        let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        assert_eq!(choose(all(), &[]).unwrap(), ["a", "b"]);
        assert_eq!(choose(all(), &words(&["b", "b"])).unwrap(), ["b"]);
        assert!(choose(all(), &words(&["c"])).unwrap_err().to_string().contains("a, b"));
    }

    #[test]
    fn each_target_has_inputs_to_start_from() {
        let targets = build::targets().unwrap();
        assert!(targets.len() >= 6, "{targets:?}");
        for target in targets {
            let folder = build::seeds(&target);
            assert!(folder.is_dir(), "{}", folder.display());
        }
    }
}
