//! The examples of dlm-runtime that can do without a kernel, on the engine. Those on kernels are
//! tests of `dlm-tests::isolated::examples`.

use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};

use super::guest::EXAMPLES;
use super::tally::Tally;
use dlm_lab::cargo;

/// The examples, and how they are told to use the engine.
const ON_ENGINE: [(&str, &[&str]); 10] = [
    ("demo", &["--engine"]),
    ("error_decisions", &["--engine"]),
    ("key_value", &[]),
    ("mio_loop", &["--engine"]),
    ("no_std_transport", &["--engine"]),
    ("record_replay", &["--engine"]),
    ("service", &["--engine"]),
    ("simulated_faults", &[]),
    ("stream_cache", &["--engine"]),
    ("upgrade", &["--engine"]),
];

/// Seconds after which a program hangs.
const PATIENCE: &str = "120";

pub(super) fn run(tally: &mut Tally) {
    println!("=== examples on the engine");
    let examples = match cargo::build(&EXAMPLES) {
        Ok(examples) => examples,
        Err(error) => return tally.fail(format!("examples: {error:#}")),
    };
    for (name, arguments) in ON_ENGINE {
        let example = examples.iter().find(|example| example.name == name);
        let outcome = example.context("cargo built none").and_then(|example| {
            succeed(Command::new("timeout").arg(PATIENCE).arg(&example.path).args(arguments))
        });
        match outcome {
            Ok(()) => tally.check(name, true),
            Err(error) => tally.fail(format!("example {name} on the engine: {error:#}")),
        }
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && !text.is_empty(), "{}\n{text}{errors}", output.status);
    Ok(())
}
