//! `cargo xtask demo`

use anyhow::{Context, Result};
use std::ffi::OsString;
use std::process::ExitCode;

use crate::cargo;
use crate::vm::{Command, Vm, VmOptions, kernels};

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask demo [--kernel NAME]

Shows two owners of one lock on a real kernel, in a virtual machine: one holds it, the other
waits; the holder is told, writes the lock value block and unlocks; the waiter is granted the
lock and reads it.

    --kernel NAME   6.1 (default) or 6.12
";

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; whatever keeps the demo from running.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(options) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let built = cargo::build(&["build", "-p", "dlm-runtime", "--example", "demo"])?;
    let demo = built.first().context("cargo built no demo")?;
    let vm = Vm::start(&options)?;
    vm.add_program(&demo.path, "/bin/demo")?;
    println!("On Linux {}, with its own dlm module:", vm.kernel());
    Ok(vm.run(&Command::new("/bin/demo"))?.shell_code().into())
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<VmOptions>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut options = VmOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("kernel") => options.kernel = kernels::named(&parser.value()?.string()?)?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_can_be_chosen_from_those_there_are() {
        let parse = |words: &[&str]| parse(words.iter().map(OsString::from).collect());
        assert_eq!(parse(&["--kernel", "6.12"]).unwrap().unwrap().kernel, "6.12");
        assert_eq!(parse(&[]).unwrap().unwrap().kernel, "6.1");
        assert!(parse(&["--kernel", "9"]).is_err());
        assert!(parse(&["6.1"]).is_err());
        assert!(parse(&["--help"]).unwrap().is_none());
    }
}
