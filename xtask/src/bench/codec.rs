//! The cost of encoding and decoding a record on this machine.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

use dlm_lab::cargo;

/// Runs of each row for time; the best one counts, as others were disturbed.
const RUNS: usize = 15;
/// Records in each of them: a hundredth of a second and more.
const TIMED: u32 = 1_000_000;
/// Records for the instruction count. It is taken twice, with this many and with twice as many,
/// and the difference is free of what starting the program costs.
const COUNTED: u32 = 10_000;

/// Measures and prints, and returns the rows.
pub(super) fn run() -> Result<Vec<Value>> {
    let built = cargo::build(&["bench", "--no-run", "-p", "dlm-proto", "--bench", "codec"])?;
    let codec = &built.first().context("cargo built no benchmark")?.path;
    let mut rows = Vec::new();
    println!("Records on this machine (time: the best of {RUNS} runs)");
    println!("{:28}{:>10}{:>16}", "record", "ns", "instructions");
    for name in output(&mut Command::new(codec))?.lines() {
        let nanoseconds = time(codec, name)?;
        let instructions = instructions(codec, name)?;
        println!("{name:28}{nanoseconds:10.2}{instructions:16.1}");
        rows.push(json!({
            "row": name,
            "library": "dlm-proto",
            "ns": nanoseconds,
            "instructions": instructions,
        }));
    }
    println!();
    Ok(rows)
}

fn time(codec: &Path, row: &str) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let printed = output(Command::new(codec).args([row, &TIMED.to_string()]))?;
        best = best.min(printed.trim().parse().context("the benchmark printed no number")?);
    }
    Ok(best)
}

fn instructions(codec: &Path, row: &str) -> Result<f64> {
    let once = total_instructions(codec, row, COUNTED)?;
    let twice = total_instructions(codec, row, 2 * COUNTED)?;
    Ok((twice - once) / f64::from(COUNTED))
}

fn total_instructions(codec: &Path, row: &str, count: u32) -> Result<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(codec).args([row, &count.to_string()]);
    let output = command.output().context("cannot run valgrind")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed:\n{log}");
    collected(&log).with_context(|| format!("valgrind counted nothing:\n{log}"))
}

/// The number behind `Collected : ` in the messages of callgrind.
fn collected(log: &str) -> Option<f64> {
    let line = log.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_among_the_messages_of_callgrind() {
        let log = "==1== Events    : Ir\n==1== Collected : 1234567\n==1==\n";
        assert_eq!(collected(log), Some(1_234_567.0));
        assert_eq!(collected("==1== nothing"), None);
    }
}
