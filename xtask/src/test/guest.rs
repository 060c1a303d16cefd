//! The tests on a real kernel, in virtual machines.
//!
//! Each module of a test program gets a process and a machine of its own, which cost half a second,
//! so that no lockspace that one leaves behind is met by the next, and a complaint of the kernel
//! has few possible causes.

use anyhow::{Context, Result};
use std::io::Write;
use std::process::Command as HostCommand;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::cluster;
use super::file_system;
use super::named::{means, tests_of};
use super::sanitizer::{Sanitizer, symbolized};
use super::tally::Tally;
use super::udev;
use dlm_lab::cargo::{self, Program};
use dlm_lab::vm::{Command, Vm, VmOptions};

/// For one module. Most take a second, some a minute; a busy machine needs many times that.
const LIMIT: Duration = Duration::from_secs(900);

/// The stress test.
const STRESS: &str = "isolated::stress";

/// How many operations it does here, unless this variable says otherwise. By itself it does ten
/// times as many, which takes a minute.
const OPERATIONS: (&str, &str) = ("DLM_OPERATIONS", "10000");

/// The variables that are passed on: the second is what random choices follow from.
const PASSED_ON: [&str; 2] = [OPERATIONS.0, "DLM_SEED"];

/// The tests that show how the kernel warns; elsewhere a warning is a failure.
const WARNS: &str = "isolated::warns";

/// Those of the examples, which are put beside them.
const USES_EXAMPLES: &str = "isolated::examples";

/// Those of the program `dlm`, which is put beside them, too.
const USES_TOOL: &str = "isolated::tool";

/// Those that want udev in their machine.
const WANTS_UDEV: &str = "isolated::udev_permissions";
/// Those that want ocfs2.
const WANTS_OCFS2: &str = "isolated::file_system";

/// All examples, those that need a feature, too.
pub(super) const EXAMPLES: [&str; 6] =
    ["build", "-p", "dlm-runtime", "--examples", "--features", "engine,tokio"];

/// The program `dlm`.
const TOOL: [&str; 5] = ["build", "-p", "dlm-cli", "--bin", "dlm"];

/// Tests of one module of a program.
struct Unit<'a> {
    /// Of program and module.
    name: String,
    program: &'a Program,
    /// The program with its debug information.
    full: &'a Program,
    tests: Vec<String>,
}

/// What one unit came to.
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
    let full = match sanitizer {
        Some(sanitizer) => sanitizer.build()?,
        None => cargo::build(&["test", "--no-run", "-p", "dlm-tests", "--tests"])?,
    };
    let full: Vec<_> = full.into_iter().filter(|it| it.name != cluster::PROGRAM).collect();
    let tests = stripped(full.clone())?;
    let mut units = Vec::new();
    for (program, full) in tests.iter().zip(&full) {
        units.extend(units_of(program, full, filter)?);
    }
    units.retain(|unit| sanitizer.is_none_or(|_| Sanitizer::covers(&unit.name)));
    let beside = |unit: &str, build: &[&str]| match units.iter().any(|it| it.name == unit) {
        true => stripped(cargo::build(build)?),
        false => Ok(Vec::new()),
    };
    let examples = beside(USES_EXAMPLES, &EXAMPLES)?;
    let tool = beside(USES_TOOL, &TOOL)?;
    let tally = Mutex::new(tally);
    std::thread::scope(|scope| {
        // The kernels side by side, the units one after the other.
        for kernel in kernels {
            let (units, examples, tool, tally) = (&units, &examples, &tool, &tally);
            scope.spawn(move || {
                for unit in units {
                    let beside = match unit.name.as_str() {
                        USES_EXAMPLES => &examples[..],
                        USES_TOOL => &tool[..],
                        _ => &[],
                    };
                    one(&Run { kernel, unit, beside, sanitizer }, tally);
                }
            });
        }
    });
    Ok(())
}

/// The tests of a program that want a kernel, by their modules: those with the filter in their
/// name, of which the program's is the beginning.
fn units_of<'a>(
    program: &'a Program,
    full: &'a Program,
    filter: Option<&str>,
) -> Result<Vec<Unit<'a>>> {
    let mut units: Vec<Unit<'_>> = Vec::new();
    for test in tests_of(program, &["--ignored"])? {
        let name = format!("{}::{}::{test}", program.package, program.name);
        if filter.is_some_and(|filter| !means(filter, &name)) {
            continue;
        }
        // A test that is in no module is a unit by itself.
        let module = test.split_once("::").map_or(test.as_str(), |(module, _)| module);
        let name = format!("{}::{module}", program.name);
        match units.iter_mut().find(|unit| unit.name == name) {
            Some(unit) => unit.tests.push(test),
            None => units.push(Unit { name, program, full, tests: vec![test] }),
        }
    }
    Ok(units)
}

/// One unit on one kernel.
struct Run<'a> {
    kernel: &'a str,
    unit: &'a Unit<'a>,
    /// What is put beside the program.
    beside: &'a [Program],
    sanitizer: Option<Sanitizer>,
}

/// Runs one unit on one kernel and shows and counts what came out.
fn one(run: &Run<'_>, tally: &Mutex<&mut Tally>) {
    let Run { kernel, unit, .. } = *run;
    let what = format!("{} on {kernel}", unit.name);
    let start = Instant::now();
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

fn in_machine(run: &Run<'_>) -> Result<Report> {
    let Run { kernel, unit, beside, sanitizer } = *run;
    let Unit { program, full, tests, .. } = unit;
    let time_limit = if sanitizer.is_some() { 3 * LIMIT } else { LIMIT };
    let options = VmOptions { kernel: kernel.into(), time_limit, ..VmOptions::default() };
    let vm = Vm::start(&options)?;
    let inside = format!("/bin/{}", program.name);
    vm.add_program(&program.path, &inside)?;
    for example in beside {
        vm.add_program(&example.path, format!("/examples/{}", example.name))?;
    }
    if unit.name == WANTS_UDEV {
        udev::add(&vm)?;
    }
    if unit.name == WANTS_OCFS2 {
        file_system::add(&vm)?;
    }
    let mut command = Command::new(&inside).args(["--ignored", "--exact"]).args(tests);
    command = command.env("RUST_BACKTRACE", "1");
    if unit.name == STRESS {
        command = command.env(OPERATIONS.0, OPERATIONS.1);
    }
    for name in PASSED_ON {
        if let Ok(value) = std::env::var(name) {
            command = command.env(name, value);
        }
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
    let complaint = (!log.is_clean() && unit.name != WARNS).then_some(log.text);
    if !output.exit.success() {
        text.push_str(&format!("\n({})", output.exit));
    }
    Ok(Report { text, succeeded: output.exit.success(), complaint })
}

/// The programs without their debug information, which is most of what would be copied into the
/// machines. Line numbers in panics stay.
fn stripped(programs: Vec<Program>) -> Result<Vec<Program>> {
    let folder = dlm_lab::vm::store::workspace_root().join("target/guest-programs");
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
        Ok(Program { path, ..program })
    };
    programs.into_iter().map(strip).collect()
}
