//! The tests on clusters of virtual machines.

use anyhow::{Context, Result};
use std::process::Command;

use super::host::test;
use super::named::{TESTS, means, tests_of};
use super::tally::Tally;
use dlm_lab::cargo;

/// The program of the tests; it starts a cluster for each of them.
pub(super) const PROGRAM: &str = "cluster";
/// The variable that tells it the kernel of the nodes.
const KERNEL: &str = "DLM_CLUSTER_KERNEL";

pub(super) fn run(kernels: &[&str], filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    if kernels.is_empty() {
        return Ok(());
    }
    let built = cargo::build(&["test", "--no-run", "-p", TESTS, "--test", PROGRAM])?;
    let program = built.first().context("cargo built no tests of clusters")?;
    let mut tests = tests_of(program, &["--ignored"])?;
    if let Some(filter) = filter {
        tests.retain(|test| means(filter, &format!("{TESTS}::{PROGRAM}::{test}")));
    }
    if tests.is_empty() {
        return Ok(());
    }
    for kernel in kernels {
        let mut command = Command::new(&program.path);
        command.args(["--ignored", "--format=pretty", "--exact"]).args(&tests);
        let line = format!("test -p {TESTS} --test {PROGRAM} -- --ignored");
        test(&format!("clusters of {kernel}"), &line, command.env(KERNEL, kernel), tally)?;
    }
    Ok(())
}
