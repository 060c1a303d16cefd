//! `cargo xtask chaos`

mod cached;
mod driver;
mod faults;
mod rounds;
mod waits;
mod work;

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use dlm_lab::cargo;
use dlm_lab::vm::{VmOptions, kernels};

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask chaos [--engine] [--rounds N] [--seed S] [--kernel NAME]

Three nodes with corosync, dlm_controld and fencing take, convert and drop locks, in each other's way,
with refusals, deadlines, cancels, blocking notices and value blocks, and use a cache of locks on the same
resources (which the engine's rounds do without: its time is real); in each round a node is killed,
frozen or cut off, for good or for a moment, a program is killed, or dlm_controld is killed or
restarted. What happened must be what may happen: never two holders of incompatible modes, no value
lost without being marked invalid, an end for every operation, no long wait that no fault explains,
nothing left held, no complaint of a kernel. A violation is shown with the seed and the history before
it.

    --engine        on dlm-engine in this process instead of machines: each round is a cluster of its
                    own, in which several faults happen, and repeats exactly from its seed
    --rounds N      how many rounds, default 10; each takes about 15 seconds. On the engine thousands
                    take a minute, and the default is 10000
    --seed S        what the choices follow from; the order of events between machines does not. On
                    the engine, what the first round follows from, the next from S + 1 and so on
    --kernel NAME   6.1 (default), 6.12, 5.10 or 7; on the engine by default now one and now the other
";

/// So many rounds on the engine are worth an optimized build.
const MANY: u32 = 3000;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    on_engine: bool,
    rounds: Option<u32>,
    seed: u64,
    kernel: Option<String>,
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps the cluster from running. Violations make an
/// exit status of 1.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let parsed = parse(arguments.clone()).map_err(|error| crate::Usage::new(&error, USAGE))?;
    let Some(choice) = parsed else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let Choice { on_engine, rounds, seed, kernel } = choice;
    if on_engine && cfg!(debug_assertions) && rounds.is_none_or(|rounds| rounds >= MANY) {
        return run_optimized(arguments);
    }
    let good = if on_engine {
        dlm_chaos::run(kernel.as_deref(), rounds.map_or(10_000, u64::from), seed)?
    } else {
        let kernel = kernel.unwrap_or_else(|| VmOptions::default().kernel);
        rounds::run(&kernel, rounds.unwrap_or(10), seed)?
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the rounds in an optimized build of this program.
fn run_optimized(arguments: Vec<OsString>) -> Result<ExitCode> {
    let built = cargo::build(&["build", "--release", "-p", "xtask", "--bin", "xtask"])?;
    let program = built.iter().find(|it| it.name == "xtask").context("cargo built no xtask")?;
    let status = std::process::Command::new(&program.path).arg("chaos").args(arguments).status();
    let status = status.with_context(|| format!("cannot run {}", program.path.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Some rounds on the engine, and whether nothing happened that may not.
///
/// # Errors
///
/// What keeps them from running.
pub fn briefly() -> Result<bool> {
    dlm_chaos::briefly()
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Choice>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let mut choice = Choice { on_engine: false, rounds: None, seed: now, kernel: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("engine") => choice.on_engine = true,
            Long("rounds") => choice.rounds = Some(parser.value()?.parse()?),
            Long("seed") => choice.seed = parser.value()?.parse()?,
            Long("kernel") => choice.kernel = Some(kernels::named(&parser.value()?.string()?)?),
            other => return Err(other.unexpected()),
        }
    }
    if choice.rounds == Some(0) {
        return Err("no rounds show nothing".into());
    }
    Ok(Some(choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_and_seed_can_be_chosen() {
        let parse = |words: &str| parse(words.split_whitespace().map(OsString::from).collect());
        let choice = parse("--rounds 3 --seed 9 --kernel 6.12").unwrap().unwrap();
        let kernel = Some("6.12".to_owned());
        assert_eq!(choice, Choice { on_engine: false, rounds: Some(3), seed: 9, kernel });
        assert!(parse("--engine").unwrap().unwrap().on_engine);
        assert!(parse("--help").unwrap().is_none());
        for wrong in ["--rounds 0", "--rounds x", "--kernel 9", "more"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
