//! C programs on this machine, with ours on dlm-engine: no kernel, no root.

use anyhow::{Context, Result};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Programs, SECONDS};
use crate::capi::{Host, Row};

/// For one program under valgrind, which takes some thirty times as long.
const VALGRIND_LIMIT: &str = "1200";

/// Reported are errors, and what nobody has a pointer to. Memory of the process, such as the
/// lock manager itself, is not given back at the end.
const VALGRIND: [&str; 7] = [
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
    "--trace-children=yes",
    // Without this a thread that polls keeps the others out.
    "--fair-sched=yes",
];

/// Calls in `ours/anything`, of which valgrind makes fewer in its time.
const OPERATIONS: (&str, &str) = ("DLM_OPERATIONS", "3000");

/// Leaks are for valgrind to find, which knows what a forked child cannot free. Frames that a thread is
/// cancelled in leave marks, at which the sanitizer's own stack for signals would take offence.
const ADDRESS: (&str, &str) = ("ASAN_OPTIONS", "detect_leaks=0:use_sigaltstack=0");

/// Runs the programs one after another.
pub(in crate::capi) fn run(
    programs: &Programs,
    host: Host,
    report: &mut dyn FnMut(&Row),
) -> Result<()> {
    let begin = Instant::now();
    let mut count = 0;
    for program in programs.all.iter().filter(|program| program.not_on_engine.is_none()) {
        if host == Host::Valgrind && program.not_under_valgrind.is_some() {
            continue;
        }
        let path = programs.ours.join(&program.name);
        let mut command = if host == Host::Valgrind {
            let mut command = Command::new("valgrind");
            command.args(VALGRIND).arg(path);
            command.env(SECONDS, VALGRIND_LIMIT).env(OPERATIONS.0, OPERATIONS.1);
            command
        } else {
            Command::new(path)
        };
        command.env(ADDRESS.0, ADDRESS.1);
        command.env("DLM_BACKEND", "engine").env("LD_LIBRARY_PATH", programs.ours.join("lib"));
        let output = command.output().with_context(|| format!("cannot run {}", program.name))?;
        let complaint = (!output.status.success()).then(|| {
            let [stdout, stderr] =
                [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
            format!("{}\n{stdout}{stderr}", output.status)
        });
        let place = match host {
            Host::Plain => "dlm-engine",
            Host::Valgrind => "dlm-engine, under valgrind",
            Host::Address => "dlm-engine, with AddressSanitizer",
        };
        count += 1;
        report(&Row {
            what: format!("{} on {place}", program.name),
            complaint,
            note: String::new(),
        });
    }
    println!("{count} programs on dlm-engine in {}", seconds(begin.elapsed()));
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64())
}
