//! `cargo xtask chaos`

mod driver;
mod faults;
mod history;
mod random;
mod rounds;
mod waits;
mod work;

use anyhow::Result;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::vm::{VmOptions, kernels};

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask chaos [--rounds N] [--seed S] [--kernel NAME]

Three nodes with corosync, dlm_controld and fencing take and drop locks, in each other's way, with
refusals, deadlines, cancels and value blocks; in each round a node is killed, frozen or cut off, for
good or for a moment, or a program is killed. What happened must be what may happen: never two holders
of incompatible modes, no value lost without being marked invalid, an end for every operation, nothing
left held, no complaint of a kernel. A violation is shown with the seed and the history before it.

    --rounds N      how many rounds, default 10; each takes about 15 seconds
    --seed S        what the choices follow from; the order of events between nodes does not
    --kernel NAME   6.1 (default) or 6.12
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    rounds: u32,
    seed: u64,
    kernel: String,
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps the cluster from running. Violations make an
/// exit status of 1.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(choice) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let good = rounds::run(&choice.kernel, choice.rounds, choice.seed)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Choice>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    let mut choice = Choice { rounds: 10, seed: now, kernel: VmOptions::default().kernel };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("rounds") => choice.rounds = parser.value()?.parse()?,
            Long("seed") => choice.seed = parser.value()?.parse()?,
            Long("kernel") => choice.kernel = kernels::named(&parser.value()?.string()?)?,
            other => return Err(other.unexpected()),
        }
    }
    if choice.rounds == 0 {
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
        assert_eq!(choice, Choice { rounds: 3, seed: 9, kernel: "6.12".into() });
        assert!(parse("--help").unwrap().is_none());
        for wrong in ["--rounds 0", "--rounds x", "--kernel 9", "more"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
