//! What runs on this machine.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::tally::Tally;
use crate::cargo::cargo;

/// Checks that pass or fail as a whole. Each is one line of arguments to cargo.
const CHECKS: [(&str, &str); 5] = [
    ("format", "fmt --all --check"),
    ("format of the fuzzers", "fmt --manifest-path fuzz/Cargo.toml --check"),
    ("lints", "clippy --quiet --workspace --all-targets -- -D warnings"),
    (
        "lints without std",
        "clippy --quiet -p dlm-proto -p dlm-sys --no-default-features -- -D warnings",
    ),
    ("documentation", "doc --quiet --workspace --no-deps --document-private-items"),
];

/// Programs full of tests. The second needs virtual machines and is therefore not run by the
/// first.
const TESTS: [(&str, &str); 2] = [
    ("host", "test --quiet --workspace --no-fail-fast -- --format=pretty"),
    ("virtual machines", "test --quiet -p xtask --test vm -- --ignored --format=pretty"),
];

pub(super) fn run(tally: &mut Tally) -> Result<()> {
    for (name, line) in CHECKS {
        println!("=== {name}: cargo {line}");
        let passed = cargo(&words(line))
            .env("RUSTDOCFLAGS", "-D warnings")
            .status()
            .with_context(|| format!("cannot run cargo {line}"))?
            .success();
        tally.check(name, passed);
    }
    for (name, line) in TESTS {
        println!("=== {name}: cargo {line}");
        test(name, line, tally)?;
    }
    println!("=== fuzz: cargo xtask fuzz, a few seconds for each target");
    match crate::fuzz::briefly() {
        Ok(passed) => tally.check("fuzz", passed),
        Err(error) => tally.fail(format!("fuzz: {error:#}")),
    }
    Ok(())
}

/// Runs a test program, showing its output as it comes and counting from it.
fn test(name: &str, line: &str, tally: &mut Tally) -> Result<()> {
    let mut child = cargo(&words(line))
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run cargo {line}"))?;
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context("reading the output of the tests")?;
            println!("{line}");
            output.push_str(&line);
            output.push('\n');
        }
    }
    tally.program(name, &output, child.wait()?.success());
    Ok(())
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}
