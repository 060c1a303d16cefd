//! `cargo xtask bench`

mod cluster;
mod codec;
mod engine;
mod guest;
mod libdlm;
mod race;
mod samples;

use anyhow::{Context, Result};
use serde_json::Value;
use std::ffi::OsString;
use std::process::ExitCode;

use crate::vm::store::{Store, workspace_root};
use crate::vm::{VmOptions, kernels, provision};

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask bench [--kernel NAME] [--quick] [ROW]...

Measures what this workspace costs, and writes target/bench.json:

    codec                 encoding and decoding a record, on this machine
    engine                a lock and its unlock on dlm-engine, beside 10 to 100,000 others

and, in virtual machines with a real DLM, uncontended EX locks and their unlocks, which are an
operation each: by the floor, which only writes prepared requests and reads results; by dlm-sys,
which encodes and decodes them; by dlm-runtime; and by a program in C with libdlm_lt and libdlm, the
originals and ours:

    blocking              the thread waits for each
    blocking-with-thread  the same while a thread waits for callbacks
    poll-dispatch         with callbacks: request, poll, dispatch
    waiting-dispatch      with callbacks: request, one call that waits and dispatches
    in-flight             1,000 locks under way, then their 1,000 unlocks
    futures               awaited in one task; C, which has none, polls and dispatches

Those are measured in instruction-counted guest time on one processor, where a nanosecond is
an instruction and runs repeat to a percent, and in wall time on two. And between the nodes of a
cluster of three, in wall time; a third node is master of the resource:

    cross-node            locks and unlocks, an operation each
    handover              two nodes hold a lock in turn, each until a blocking AST tells that the other
                          wants it; each change of the holder is an operation
    value-exchange        the same by conversions, with a number in the value block
    cluster               these three

    ROW             only these rows
    --kernel NAME   6.1 (default) or 6.12
    --quick         fewer rounds
";

/// The rows that need no virtual machine.
const CODEC: &str = "codec";
const ENGINE: &str = "engine";

/// What to measure.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    kernel: String,
    quick: bool,
    /// Empty: all.
    rows: Vec<String>,
}

impl Choice {
    fn has(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|chosen| chosen == row)
    }
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps it from measuring.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(choice) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let mut rows = Vec::new();
    if choice.has(CODEC) {
        provision::ensure_for_counting(&Store::open()?)?;
        rows.extend(codec::run()?);
    }
    if choice.has(ENGINE) {
        rows.extend(engine::run(choice.quick)?);
    }
    if guest::ROWS.iter().any(|row| choice.has(row.name)) {
        rows.extend(guest::run(&choice)?);
    }
    if cluster::ROWS.iter().any(|(row, _)| choice.has(row.name)) {
        rows.extend(cluster::run(&choice)?);
    }
    let path = workspace_root().join("target/bench.json");
    std::fs::write(&path, format!("{:#}\n", Value::Array(rows)))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("Written to target/bench.json.");
    Ok(ExitCode::SUCCESS)
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Choice>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let kernel = VmOptions::default().kernel;
    let mut choice = Choice { kernel, quick: false, rows: Vec::new() };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("kernel") => choice.kernel = kernels::named(&parser.value()?.string()?)?,
            Long("quick") => choice.quick = true,
            Value(row) => choice.rows.extend(known(row.string()?)?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(choice))
}

/// The rows that a word means.
fn known(row: String) -> Result<Vec<String>, String> {
    let on_cluster = || cluster::ROWS.iter().map(|(row, _)| row.name);
    let mut names =
        guest::ROWS.iter().map(|row| row.name).chain([CODEC, ENGINE]).chain(on_cluster());
    if row == cluster::ALL {
        Ok(on_cluster().map(str::to_owned).collect())
    } else if names.any(|name| name == row) {
        Ok(vec![row])
    } else {
        Err(format!("no row {row}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_measure_can_be_chosen() {
        let parse = |words: &str| parse(words.split_whitespace().map(OsString::from).collect());
        let all = parse("").unwrap().unwrap();
        assert_eq!((all.kernel.as_str(), all.quick), ("6.1", false));
        assert!(all.has(CODEC) && all.has(ENGINE) && all.has("in-flight"));
        let some = parse("--quick --kernel 6.12 in-flight").unwrap().unwrap();
        assert_eq!((some.kernel.as_str(), some.quick), ("6.12", true));
        assert!(some.has("in-flight") && !some.has(CODEC));
        let cluster = parse("cluster").unwrap().unwrap();
        assert!(cluster.has("handover") && cluster.has("cross-node") && !cluster.has("blocking"));
        assert!(parse("--help").unwrap().is_none());
        for bad in ["--kernel 9", "--slow", "walk"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_row_is_explained() {
        let rows = guest::ROWS.iter().chain(cluster::ROWS.iter().map(|(row, _)| row));
        assert!(rows.map(|row| row.name).all(|name| USAGE.contains(&format!("\n    {name} "))));
    }
}
