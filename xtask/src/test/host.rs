//! The tests on this machine.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::depends;
use super::packages;
use super::programs;
use super::tally::Tally;
use dlm_lab::arch::{Machine, Toolchain};
use dlm_lab::cargo::cargo;
use dlm_lab::vm::store::workspace_root;

/// Checks that pass or fail as a whole. Each is one line of arguments to cargo.
const CHECKS: [(&str, &str); 5] = [
    ("format", "fmt --all --check"),
    ("format of the fuzzers", "fmt --manifest-path fuzz/Cargo.toml --check"),
    ("lints", "clippy --quiet --workspace --all-targets -- -D warnings"),
    (
        "lints without std",
        "clippy --quiet -p dlm-proto -p dlm-core -p dlm-sys --no-default-features -- -D warnings",
    ),
    ("documentation", "doc --quiet --workspace --no-deps --document-private-items"),
];

/// Programs full of tests. The others need virtual machines, or build for long, and are therefore
/// not run by the first.
const TESTS: [(&str, &str); 3] = [
    ("host", "test --quiet --workspace --no-fail-fast -- --format=pretty"),
    ("virtual machines", "test --quiet -p dlm-lab --test vm -- --ignored --format=pretty"),
    ("what is for C", "test --quiet -p xtask --test dist -- --ignored --format=pretty"),
];

/// The schedules of dlm-runtime and dlm-capi (their modules `model`), in a build of their own.
const SCHEDULES_LINTS: &str =
    "clippy --quiet -p dlm-runtime -p dlm-capi --lib --profile test -- -D warnings";
const SCHEDULES: &str = "test --quiet -p dlm-runtime -p dlm-capi --lib --no-fail-fast model:: \
                         -- --format=pretty";

pub(super) fn run(tally: &mut Tally) -> Result<()> {
    for (name, line) in CHECKS {
        check(name, line, cargo(&words(line)).env("RUSTDOCFLAGS", "-D warnings"), tally)?;
    }
    check("lints of the schedules", SCHEDULES_LINTS, &mut with_model(SCHEDULES_LINTS), tally)?;
    println!("=== dependencies: cargo tree");
    match depends::stray() {
        Ok(stray) => {
            stray.iter().for_each(|line| println!("{line}"));
            tally.check("dependencies", stray.is_empty());
        }
        Err(error) => tally.fail(format!("dependencies: {error:#}")),
    }
    packages::run(tally);
    for (name, line) in TESTS {
        test(name, line, &mut cargo(&words(line)), tally)?;
    }
    programs::run(tally);
    schedules("model::", tally)?;
    println!("=== chaos: cargo xtask chaos --engine, some rounds");
    match crate::chaos::briefly() {
        Ok(passed) => tally.check("chaos", passed),
        Err(error) => tally.fail(format!("chaos: {error:#}")),
    }
    println!("=== fuzz: cargo xtask fuzz, a few seconds for each target");
    match crate::fuzz::briefly() {
        Ok(passed) => tally.check("fuzz", passed),
        Err(error) => tally.fail(format!("fuzz: {error:#}")),
    }
    Ok(())
}

/// Tests for another machine. What starts virtual machines is only for this one.
const MACHINE_TESTS: &str = "test --quiet --workspace --exclude xtask --exclude dlm-lab --lib \
                             --bins --tests --no-fail-fast";

/// A test that starts a program of this machine from an emulated one, which does not find its way.
const NOT_EMULATED: &str = "lock_runs_a_command_and_has_its_status";

/// Runs the tests, or those with this in their name, as programs for another machine.
pub(super) fn run_for(
    machine: &'static Machine,
    name: Option<&str>,
    tally: &mut Tally,
) -> Result<()> {
    let toolchain = Toolchain::prepare(machine)?;
    let line = format!(
        "{MACHINE_TESTS} -- --format=pretty --skip {NOT_EMULATED} {}",
        name.unwrap_or_default()
    );
    let line = line.trim_end();
    test(machine.name, line, &mut toolchain.cargo(&words(line)), tally)
}

/// Runs those schedules with this in their name.
pub(super) fn schedules(filter: &str, tally: &mut Tally) -> Result<()> {
    let line = SCHEDULES.replacen("model::", filter, 1);
    test("schedules", &line, &mut with_model(&line), tally)
}

/// A cargo command that builds both with chosen schedules in place of real threads.
///
/// In a folder of its own, as all dependencies are built anew for other flags.
fn with_model(line: &str) -> Command {
    let mut command = cargo(&words(line));
    command
        .env("RUSTFLAGS", "--cfg dlm_model")
        .env("CARGO_TARGET_DIR", workspace_root().join("target/model"))
        .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1");
    command
}

fn check(name: &str, line: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
    println!("=== {name}: cargo {line}");
    let status = command.status().with_context(|| format!("cannot run cargo {line}"))?;
    tally.check(name, status.success());
    Ok(())
}

/// Runs a test program, showing its output as it comes and counting from it.
pub(super) fn test(name: &str, line: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
    println!("=== {name}: cargo {line}");
    let mut child = command
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
