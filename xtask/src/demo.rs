//! `cargo xtask demo`

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use dlm_lab::cargo;
use dlm_lab::vm::{Command, Vm, VmOptions, kernels};

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask demo [--kernel NAME]

Shows two owners of one lock: one holds it, the other waits; the holder is told, writes the lock
value block and unlocks; the waiter is granted the lock and reads it. The lock manager is
dlm-engine, in the process itself.

    --kernel NAME   the same program on a real kernel in a virtual machine: 6.1, 6.12, 5.10 or 7
";

const BUILD: [&str; 7] =
    ["build", "-p", "dlm-runtime", "--example", "demo", "--features", "engine"];

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; whatever keeps the demo from running.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(kernel) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let built = cargo::build(&BUILD)?;
    let demo = &built.first().context("cargo built no demo")?.path;
    match kernel {
        Some(kernel) => on_kernel(demo, kernel),
        None => on_engine(demo),
    }
}

fn on_engine(demo: &Path) -> Result<ExitCode> {
    println!("On dlm-engine, which does as Linux 6.12:");
    let status = std::process::Command::new(demo).arg("--engine").status();
    let status = status.with_context(|| format!("cannot run {}", demo.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn on_kernel(demo: &Path, kernel: String) -> Result<ExitCode> {
    let vm = Vm::start(&VmOptions { kernel, ..VmOptions::default() })?;
    vm.add_program(demo, "/bin/demo")?;
    println!("On Linux {}, with its own dlm module:", vm.kernel());
    Ok(vm.run(&Command::new("/bin/demo"))?.shell_code().into())
}

/// On which kernel, if on one. `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Option<String>>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut kernel = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("kernel") => kernel = Some(kernels::named(&parser.value()?.string()?)?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_can_be_chosen_from_those_there_are() {
        let parse = |words: &[&str]| parse(words.iter().map(OsString::from).collect());
        assert_eq!(parse(&["--kernel", "6.12"]).unwrap().unwrap().as_deref(), Some("6.12"));
        assert_eq!(parse(&[]).unwrap(), Some(None));
        assert!(parse(&["--kernel", "9"]).is_err());
        assert!(parse(&["6.1"]).is_err());
        assert!(parse(&["--help"]).unwrap().is_none());
    }
}
