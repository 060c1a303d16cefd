//! The cost of a lock and its unlock on dlm-engine, through the whole byte path, and how that
//! grows.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

use dlm_lab::cargo;

/// Other locks that are there meanwhile.
const LOCKS: [u32; 3] = [10, 1_000, 100_000];

/// Runs of each row; the best one counts, as others were disturbed.
const RUNS: usize = 5;

/// Measures and prints, and returns the rows.
pub(super) fn run(quick: bool) -> Result<Vec<Value>> {
    let built = cargo::build(&["bench", "--no-run", "-p", "dlm-engine", "--bench", "engine"])?;
    let engine = &built.first().context("cargo built no benchmark")?.path;
    let seconds = if quick { "0.1" } else { "0.5" };
    println!("dlm-engine, pairs of a lock and its unlock a second (the best of {RUNS} runs)");
    print!("{:12}", "others");
    LOCKS.iter().for_each(|locks| print!("{locks:>14}"));
    println!();
    let mut json = Vec::new();
    for row in printed(&mut Command::new(engine))?.lines().filter_map(|row| row.split(' ').next()) {
        print!("{row:12}");
        for locks in LOCKS {
            let pairs = best(engine, row, locks, seconds)?;
            print!("{pairs:14.0}");
            json.push(json!({
                "row": format!("engine-{row}"),
                "library": "dlm-engine",
                "other_locks": locks,
                "pairs_per_s": pairs,
            }));
        }
        println!();
    }
    println!();
    Ok(json)
}

fn best(engine: &Path, row: &str, locks: u32, seconds: &str) -> Result<f64> {
    let mut best: f64 = 0.0;
    for _ in 0..RUNS {
        let mut command = Command::new(engine);
        let pairs = printed(command.args([row, &locks.to_string(), seconds]))?;
        best = best.max(pairs.trim().parse().context("the benchmark printed no number")?);
    }
    Ok(best)
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
