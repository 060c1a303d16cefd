//! `cargo xtask test`: everything that must pass.

mod cluster;
mod depends;
mod embedded;
mod file_system;
mod guest;
mod host;
mod libraries;
mod named;
mod packages;
mod programs;
mod sanitizer;
mod tally;
mod udev;

use anyhow::Result;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use dlm_lab::arch::{self, Machine};
use dlm_lab::vm::kernels;
use named::Places;
use sanitizer::Sanitizer;
use tally::Tally;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask test [--host | --kernel KERNEL | --arch MACHINE] [NAME]
       cargo xtask test --sanitizer SANITIZER [--kernel KERNEL] [NAME]

With NAME: runs the tests with this in their name, wherever they can run, and says in a line what
that was. A name is any part of

    PACKAGE::PROGRAM::MODULE::FUNCTION   of tests in Rust: dlm-tests::kernel::close::a_killed_pr...
    NAME of tests/scenarios/NAME.dlm     on the kernels and on dlm-engine
    LIBRARY-NAME of tests/c/*/NAME.c     on the kernels and on dlm-engine: libdlm_lt-lvb
    model::NAME                          of the schedules, Rust and C, in a build of their own

A NAME with :: begins where one of these parts does.

Without NAME: runs everything that must pass: format, lints, documentation, tests on this machine, the
packages as crates.io would have them, the runtime under chosen schedules (more of them with the
variable DLM_SCHEDULES), rounds of chaos on the engine, the fuzzers for a few seconds each, the kernel's headers against ours, random scripts on
dlm-engine and the kernels, and the static program, the tests and the examples that need a kernel's
DLM, in virtual machines with each of the kernels; and clusters of three of them.

What is missing for that is installed and fetched first.

    --host          only what runs on this machine
    --kernel KERNEL only the tests that run on this kernel: 6.1, 6.12, 5.10 or 7, or all of these
    --arch MACHINE  only the tests that need no kernel's DLM, built for this machine with Debian's
                    compiler and run under emulation: s390x (big endian), aarch64, powerpc64le or
                    i686 (32 bit). Their names with this in it, if a NAME is given
    --sanitizer SANITIZER
                    only the tests of dlm-runtime that run on a kernel, built with this sanitizer:
                    address, or thread, which needs the standard library's sources
                    (rustup component add rust-src)

The stress test prints the command that repeats its choices, with the variables DLM_SEED and
DLM_OPERATIONS.
";

/// What to run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    host_only: bool,
    kernel: Option<String>,
    name: Option<String>,
    sanitizer: Option<Sanitizer>,
    machine: Option<&'static Machine>,
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps the tests from running. Tests that fail make
/// an exit status of 1.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(choice) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let start = Instant::now();
    let mut tally = Tally::default();
    if let Some(machine) = choice.machine {
        host::run_for(machine, choice.name.as_deref(), &mut tally)?;
        println!("\nfor {}, in {:.0} s", machine.name, start.elapsed().as_secs_f64());
        print!("{tally}");
        return Ok(tally.exit_code());
    }
    let kernels = match choice.kernel.as_deref() {
        None if choice.host_only => Vec::new(),
        kernel => kernels::chosen(kernel),
    };
    let named = match (&choice.name, choice.sanitizer) {
        (Some(name), None) => {
            let places = Places { host: choice.kernel.is_none(), kernels: &kernels };
            Some(named::run(name, places, &mut tally)?)
        }
        _ => None,
    };
    if let Some(what) = named {
        println!("\nran {what}, in {:.0} s", start.elapsed().as_secs_f64());
        print!("{tally}");
        return Ok(tally.exit_code());
    }
    // First what a fresh machine lacks, so that a run does not fail for it half an hour later.
    for kernel in &kernels {
        drop(dlm_lab::cluster::image::prepare(kernel)?);
    }
    let everything = choice.name.is_none() && choice.sanitizer.is_none();
    if choice.kernel.is_none() && everything {
        host::run(&mut tally)?;
    }
    if everything {
        embedded::run(choice.kernel.is_none(), &kernels, &mut tally)?;
        libraries::run(choice.kernel.is_none(), &kernels, None, &mut tally);
    }
    if everything && !kernels.is_empty() {
        conformance(&kernels, &mut tally);
    }
    guest::run(&kernels, choice.name.as_deref(), choice.sanitizer, &mut tally)?;
    if choice.sanitizer.is_none() {
        cluster::run(&kernels, None, &mut tally)?;
    }
    println!("\nin {:.0} s", start.elapsed().as_secs_f64());
    print!("{tally}");
    Ok(tally.exit_code())
}

/// Random scripts on engine and kernel.
fn conformance(kernels: &[&str], tally: &mut Tally) {
    println!("=== conformance: cargo xtask conformance, some scripts on each kernel");
    match crate::conformance::briefly(kernels) {
        Ok(answers) => {
            for (kernel, answer) in answers {
                let what = format!("conformance on {kernel}");
                match answer {
                    Ok(found) if found.is_empty() => tally.check(&what, true),
                    Ok(found) => {
                        for line in found {
                            tally.fail(format!("{what}: {line}"));
                        }
                    }
                    Err(error) => tally.fail(format!("{what}: {error:#}")),
                }
            }
        }
        Err(error) => tally.fail(format!("conformance: {error:#}")),
    }
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Choice>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut choice = Choice::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("host") => choice.host_only = true,
            Long("kernel") => {
                choice.kernel = Some(kernels::named_or_all(&parser.value()?.string()?)?);
            }
            Long("sanitizer") => {
                choice.sanitizer = Some(Sanitizer::named(&parser.value()?.string()?)?);
            }
            Long("arch") => {
                let name = parser.value()?.string()?;
                choice.machine = Some(arch::named(&name).map_err(|error| error.to_string())?);
            }
            Value(name) if choice.name.is_none() => choice.name = Some(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    if choice.host_only && (choice.kernel.is_some() || choice.sanitizer.is_some()) {
        return Err("--host leaves no test on a kernel to choose".into());
    }
    if choice.machine.is_some()
        && (choice.host_only || choice.kernel.is_some() || choice.sanitizer.is_some())
    {
        return Err("--arch has no kernel or sanitizer to choose".into());
    }
    Ok(Some(choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_run_can_be_chosen() {
        let parse = |words: &str| parse(words.split_whitespace().map(OsString::from).collect());
        assert_eq!(parse("").unwrap().unwrap(), Choice::default());
        let choice = parse("--kernel 6.12 noqueue").unwrap().unwrap();
        assert_eq!(choice.kernel.as_deref(), Some("6.12"));
        assert_eq!(choice.name.as_deref(), Some("noqueue"));
        let choice = parse("--host close").unwrap().unwrap();
        assert!(choice.host_only && choice.name.as_deref() == Some("close"));
        let choice = parse("--sanitizer thread stress").unwrap().unwrap();
        assert_eq!(choice.sanitizer, Some(Sanitizer::Thread));
        assert_eq!(parse("--arch s390x").unwrap().unwrap().machine, arch::named("s390x").ok());
        for bad in ["--arch vax", "--arch i686 --kernel 6.1", "--arch i686 --host"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for bad in ["--host --sanitizer thread", "--sanitizer x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for bad in ["--host --kernel 6.1", "--kernel", "--kernel 9", "a b", "--x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
