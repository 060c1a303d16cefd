//! The header probe, and the static program: its lints, what is in it, and its runs.

use anyhow::{Context, Result};

use super::tally::Tally;
use crate::abi;
use crate::size::{self, Report, build};

/// The package is no part of the workspace that the other lints see.
const CHECKS: [(&str, &str); 2] = [
    ("format of the static program", "fmt --check"),
    ("lints of the static program", "clippy --quiet -- -D warnings"),
];

pub(super) fn run(on_host: bool, kernels: &[&str], tally: &mut Tally) -> Result<()> {
    if on_host {
        println!("=== header probe: cargo xtask abi");
        count("header probe", abi::check(), tally);
        for (name, line) in CHECKS {
            println!("=== {name}: cargo {line}");
            let words: Vec<_> = line.split(' ').collect();
            let status = build::cargo_there(&words).status();
            let status = status.with_context(|| format!("cannot run cargo {line}"))?;
            tally.check(name, status.success());
        }
    }
    println!("=== static program: cargo xtask size");
    let programs = match build::build() {
        Ok(programs) => programs,
        Err(error) => {
            count("static program", Err(error), tally);
            return Ok(());
        }
    };
    if on_host {
        let report = Report::of(&programs).inspect(|report| print!("{report}"));
        count("static program", report.map(|report| report.is_good()), tally);
    }
    for kernel in kernels {
        count(&format!("static program on {kernel}"), size::run_on(kernel, &programs), tally);
    }
    Ok(())
}

/// An error fails its check and shows what it is, and the others go on.
fn count(what: &str, answer: Result<bool>, tally: &mut Tally) {
    match answer {
        Ok(good) => tally.check(what, good),
        Err(error) => {
            println!("{error:#}");
            tally.fail(what.to_owned());
        }
    }
}
