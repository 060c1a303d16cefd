//! What runs on a real kernel, in virtual machines.
//!
//! Each program gets a machine of its own, which costs a quarter of a second, so that no lockspace
//! that one leaves behind is met by the next.

use anyhow::{Context, Result};
use std::io::Write;
use std::process::Command as HostCommand;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::sanitizer::{Sanitizer, symbolized};
use super::tally::Tally;
use super::udev::{self, WANTS_UDEV};
use crate::cargo::{self, Program};
use crate::vm::{Command, Vm, VmOptions};

/// For one program. Most take a second, some a minute; a busy machine needs many times that.
const LIMIT: Duration = Duration::from_secs(900);

/// How many operations the stress test does here, unless this variable says otherwise. By itself it
/// does ten times as many, which takes a minute.
const OPERATIONS: (&str, &str) = ("DLM_OPERATIONS", "10000");

/// What the choices of the stress test follow from, if it is to repeat some.
const SEED: &str = "DLM_SEED";

/// What tests that show how the kernel warns are called; elsewhere a warning is a failure.
const WARNS: &str = "kernel_warns";

/// Tests of the examples, which are put beside it.
pub(super) const USES_EXAMPLES: &str = "runtime_examples";

/// All examples, those that need a feature, too.
const EXAMPLES: [&str; 6] =
    ["build", "-p", "dlm-runtime", "--examples", "--features", "engine,tokio"];

/// What one program came to.
struct Report {
    text: String,
    succeeded: bool,
    /// What is wrong although it succeeded.
    complaint: Option<String>,
}

pub(super) fn run(
    kernels: &[&str],
    filter: Option<&str>,
    sanitizer: Option<Sanitizer>,
    tally: &mut Tally,
) -> Result<()> {
    if kernels.is_empty() {
        return Ok(());
    }
    println!("=== building what runs in virtual machines");
    let (tests, examples) = match sanitizer {
        Some(sanitizer) => (sanitizer.build()?, Vec::new()),
        None => {
            let tests = cargo::build(&["test", "--no-run", "-p", "dlm-tests", "--tests"])?;
            (tests, stripped(cargo::build(&EXAMPLES)?)?)
        }
    };
    let full = tests.clone();
    let tests = stripped(tests)?;
    let tally = Mutex::new(tally);
    std::thread::scope(|scope| {
        // The kernels side by side, the programs one after the other.
        for kernel in kernels {
            let (tests, full, examples, tally) = (&tests, &full, &examples, &tally);
            scope.spawn(move || {
                for (program, full) in tests.iter().zip(full) {
                    // A filter that names a program means all tests in it.
                    let filter = filter.filter(|filter| !program.name.contains(filter));
                    let beside = if program.name == USES_EXAMPLES { &examples[..] } else { &[] };
                    one(&Run { kernel, program, full, beside, filter, sanitizer }, tally);
                }
            });
        }
    });
    Ok(())
}

/// One program on one kernel.
struct Run<'a> {
    kernel: &'a str,
    program: &'a Program,
    /// The same with its debug information.
    full: &'a Program,
    /// What is put beside it.
    beside: &'a [Program],
    filter: Option<&'a str>,
    sanitizer: Option<Sanitizer>,
}

/// Runs one program on one kernel and shows and counts what came out.
fn one(run: &Run<'_>, tally: &Mutex<&mut Tally>) {
    let Run { kernel, program, filter, .. } = *run;
    let what = format!("{} on {kernel}", program.name);
    let start = Instant::now();
    // Most programs have nothing to run then.
    if filter.is_some_and(|filter| !has_test(program, filter)) {
        return;
    }
    let report = in_machine(run);
    let seconds = start.elapsed().as_secs_f64();
    let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    // A closed output is noticed by the exit status of the reader, not here.
    let _ = writeln!(out, "=== {what} ({seconds:.1} s)");
    match report {
        Ok(report) => {
            let _ = writeln!(out, "{}", report.text.trim_end());
            tally.program(&what, &report.text, report.succeeded);
            if let Some(complaint) = report.complaint {
                let _ = writeln!(out, "the kernel complained:\n{complaint}");
                tally.fail(format!("{what}: the kernel complained"));
            }
        }
        Err(error) => {
            let _ = writeln!(out, "{error:#}");
            tally.fail(format!("{what}: the virtual machine failed"));
        }
    }
}

/// Whether a program of tests has one with this in its name. It can be asked without a DLM.
pub(super) fn has_test(program: &Program, filter: &str) -> bool {
    let listed = HostCommand::new(&program.path).args(["--list", filter]).output();
    listed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(": test"))
}

fn in_machine(run: &Run<'_>) -> Result<Report> {
    let Run { kernel, program, full, beside, filter, sanitizer } = *run;
    let time_limit = if sanitizer.is_some() { 3 * LIMIT } else { LIMIT };
    let options = VmOptions { kernel: kernel.into(), time_limit, ..VmOptions::default() };
    let vm = Vm::start(&options)?;
    let inside = format!("/bin/{}", program.name);
    vm.add_program(&program.path, &inside)?;
    for example in beside {
        vm.add_program(&example.path, format!("/examples/{}", example.name))?;
    }
    if program.name.starts_with(WANTS_UDEV) {
        udev::add(&vm)?;
    }
    let operations = std::env::var(OPERATIONS.0).unwrap_or_else(|_| OPERATIONS.1.into());
    let mut command = Command::new(&inside).args(["--ignored"]).args(filter);
    command = command.env("RUST_BACKTRACE", "1").env(OPERATIONS.0, operations);
    if let Ok(seed) = std::env::var(SEED) {
        command = command.env(SEED, seed);
    }
    if let Some(sanitizer) = sanitizer {
        let (name, value) = sanitizer.environment();
        command = command.env(name, value);
        if let Some((path, text)) = sanitizer.file() {
            vm.put_file(path, 0o644, text.as_bytes())?;
        }
    }
    let output = vm.capture(&command)?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if sanitizer.is_some() {
        text = symbolized(&text, &full.path);
    }
    let log = vm.kernel_log_since(vm.log_start())?;
    let complaint = (!log.is_clean() && !program.name.starts_with(WARNS)).then_some(log.text);
    if !output.exit.success() {
        text.push_str(&format!("\n({})", output.exit));
    }
    Ok(Report { text, succeeded: output.exit.success(), complaint })
}

/// The programs without their debug information, which is most of what would be copied into the
/// machines. Line numbers in panics stay.
fn stripped(programs: Vec<Program>) -> Result<Vec<Program>> {
    let folder = crate::vm::store::workspace_root().join("target/guest-programs");
    std::fs::create_dir_all(&folder)?;
    let strip = |program: Program| {
        let path = folder.join(&program.name);
        let status = HostCommand::new("strip")
            .arg("--strip-debug")
            .arg("-o")
            .args([&path, &program.path])
            .status()
            .context("cannot run strip (package binutils)")?;
        anyhow::ensure!(status.success(), "strip failed on {}", program.path.display());
        Ok(Program { name: program.name, path })
    };
    programs.into_iter().map(strip).collect()
}
