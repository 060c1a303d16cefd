//! The commands of this workspace: everything that is more than `cargo build`.
//!
//! A subcommand is a module with a `USAGE` text and `run(arguments) -> Result<ExitCode>`, listed
//! in [`main`].

pub mod abi;
pub mod bench;
pub mod capi;
pub mod chaos;
pub mod conformance;
pub mod demo;
pub mod dist;
pub mod facts;
pub mod fuzz;
pub mod size;
pub mod test;
pub mod vm;

use anyhow::Result;
use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

const USAGE: &str = "\
dlm-rs: everything that is more than `cargo build`.

    cargo xtask demo               a lock changing hands, in seconds, on any machine
    cargo xtask test NAME          the tests with this in their name, on this machine and on kernels
    cargo xtask test               everything that must pass, which takes a quarter of an hour

Testing
    test         by name, on one kernel, with a sanitizer, or everything
    facts        what is known of the kernel against the tests that show it
    abi          dlm-proto against the kernel's headers
    conformance  dlm-engine against kernels, by random scripts
    fuzz         any bytes for the decoders and the core, under AddressSanitizer
    chaos        locks on a cluster whose nodes die, freeze and lose their network

Programs in C
    capi         builds libdlm.so.3 and libdlm_lt.so.3, and compares them with Debian's
    dist         lays out what C programs need, and the program dlm, to be installed

Measuring
    bench        what locks and records cost, beside the C libraries
    size         a static program that takes a lock

Virtual machines with a kernel's DLM, one or a cluster of them
    vm run       runs a command there
    vm shell     the same for a person

usage: cargo xtask COMMAND [ARG]...       each COMMAND explains itself with --help
";

/// Exit status for wrong arguments.
const WRONG_USAGE: u8 = 2;

/// Wrong arguments.
#[derive(Debug)]
pub struct Usage(String);

impl Usage {
    /// With what is wrong and how it would be right.
    #[must_use]
    pub fn new(error: &dyn fmt::Display, usage: &str) -> Self {
        Self(format!("{error}\n\n{usage}"))
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Usage {}

/// Runs the command that the arguments ask for, and prints its error if it has one.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match dispatch(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.is::<Usage>() { WRONG_USAGE.into() } else { ExitCode::FAILURE }
        }
    }
}

fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitCode> {
    let mut arguments = arguments.into_iter();
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    match name.to_str() {
        Some("abi") => abi::run(rest),
        Some("bench") => bench::run(rest),
        Some("capi") => capi::run(rest),
        Some("conformance") => conformance::run(rest),
        Some("chaos") => chaos::run(rest),
        Some("demo") => demo::run(rest),
        Some("dist") => dist::run(rest),
        Some("facts") => facts::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("size") => size::run(rest),
        Some("test") => test::run(rest),
        Some("vm") => vm::run(rest),
        Some("" | "help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Usage::new(&format!("no command {}", name.display()), USAGE).into()),
    }
}
