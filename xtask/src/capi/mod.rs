//! `cargo xtask capi`: the libraries for C programs.

mod compare;
mod debian;
mod link;
mod programs;
mod static_programs;
mod tool;

use anyhow::Result;
use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use debian::Debian;
use dlm_lab::vm::kernels;
use dlm_lab::vm::provision;
use dlm_lab::vm::store::Store;

pub use link::build;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask capi [--build | --host | --kernel NAME] [--valgrind | --address] [FILTER]

Builds libdlm.so.3 and libdlm_lt.so.3, with their static archives, into target/c; compares what
they export, their sonames, versions and structs with Debian's packages (libdlm3, libdlm-dev); and
runs the C programs of tests/c, on this machine with these libraries on dlm-engine, and in virtual
machines with Debian's libraries and with these; there also Debian's dlm_tool on these, and static
programs:

    tests/c/parity      must succeed with both, and print the same
    tests/c/libdlm_bugs must succeed with these, and not with Debian's
    tests/c/ours        must succeed with these; what Debian's do is undefined
    tests/c/static      must succeed as static programs

    --build         only builds them
    --host          only what runs on this machine
    --kernel NAME   only this kernel: 6.1, 6.12, 5.10 or 7, or all of these
    --valgrind      on this machine, under valgrind, which must find no error and no leak
    --address       on this machine, libraries and programs built with AddressSanitizer
    FILTER          only programs with this in their name
";

/// One check and what came of it.
#[derive(Debug)]
pub struct Row {
    /// What was checked.
    pub what: String,
    /// What is wrong.
    pub complaint: Option<String>,
    /// What else is worth to be known.
    pub note: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.complaint {
            None if self.note.is_empty() => writeln!(f, "ok    {}", self.what),
            None => writeln!(f, "ok    {} ({})", self.what, self.note),
            Some(complaint) => writeln!(f, "WRONG {}\n{}", self.what, complaint.trim_end()),
        }
    }
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps the checks from running.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(choice) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    if choice.build_only {
        println!("{}", build()?.display());
        return Ok(ExitCode::SUCCESS);
    }
    let kernels = match choice.kernel.as_deref() {
        None if choice.host_only => Vec::new(),
        kernel => kernels::chosen(kernel),
    };
    let mut wrong = 0;
    let mut report = |row: &Row| {
        print!("{row}");
        wrong += usize::from(row.complaint.is_some());
    };
    let host = choice.kernel.is_none().then_some(choice.host);
    check(host, &kernels, choice.filter.as_deref(), &mut report)?;
    println!("{wrong} wrong");
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How programs run on this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Host {
    /// As they are.
    #[default]
    Plain,
    /// Under valgrind.
    Valgrind,
    /// Built with AddressSanitizer, as the libraries.
    Address,
}

/// The names of the C programs with this in them.
///
/// # Errors
///
/// When the sources cannot be read.
pub fn programs_named(filter: &str) -> Result<Vec<String>> {
    programs::named(filter)
}

/// Builds the libraries and checks them, on this machine unless `host` is `None`.
///
/// # Errors
///
/// What keeps the checks from running.
pub fn check(
    host: Option<Host>,
    kernels: &[&str],
    filter: Option<&str>,
    report: &mut dyn FnMut(&Row),
) -> Result<()> {
    let address = host == Some(Host::Address);
    let ours = link::build_for(address)?;
    let debian = Debian::fetch()?;
    let compiled = programs::compile(&ours, &debian, filter, address)?;
    if let Some(host) = host {
        if host == Host::Valgrind {
            provision::ensure_for_counting(&Store::open()?)?;
        }
        let differences = compare::differences(&ours, &debian)?;
        let complaint = (!differences.is_empty()).then(|| differences.join("\n"));
        let what = "exports, versions, sonames and structs".into();
        report(&Row { what, complaint, note: String::new() });
        programs::run_on_engine(&compiled, host, report)?;
    }
    if kernels.is_empty() {
        return Ok(());
    }
    let beside = match filter {
        None => Some((tool::Tool::fetch(&ours)?, static_programs::StaticPrograms::build(&ours)?)),
        Some(_) => None,
    };
    let beside = beside.as_ref().map(|(tool, statics)| (tool, statics));
    programs::run_on_kernels(&compiled, kernels, beside, report)
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    build_only: bool,
    host_only: bool,
    kernel: Option<String>,
    host: Host,
    filter: Option<String>,
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Choice>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut choice = Choice::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("build") => choice.build_only = true,
            Long("host") => choice.host_only = true,
            Long("kernel") => {
                choice.kernel = Some(kernels::named_or_all(&parser.value()?.string()?)?);
            }
            Long("valgrind") => choice.host = Host::Valgrind,
            Long("address") => choice.host = Host::Address,
            Value(filter) if choice.filter.is_none() => choice.filter = Some(filter.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let is_plain = choice.host == Host::Plain;
    if !is_plain && (choice.kernel.is_some() || choice.build_only) {
        return Err("--valgrind and --address are for what runs on this machine".into());
    }
    choice.host_only |= !is_plain;
    Ok(Some(choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_can_be_chosen() {
        let parse = |words: &str| parse(words.split_whitespace().map(OsString::from).collect());
        assert_eq!(parse("").unwrap().unwrap(), Choice::default());
        let choice = parse("--kernel 6.12 wait").unwrap().unwrap();
        assert_eq!(
            (choice.kernel.as_deref(), choice.filter.as_deref()),
            (Some("6.12"), Some("wait"))
        );
        assert!(parse("--build").unwrap().unwrap().build_only);
        assert!(parse("--host").unwrap().unwrap().host_only);
        assert!(parse("-h").unwrap().is_none());
        let choice = parse("--valgrind many").unwrap().unwrap();
        assert!(choice.host == Host::Valgrind && choice.host_only);
        assert_eq!(parse("--address").unwrap().unwrap().host, Host::Address);
        for bad in ["--kernel 9", "a b", "--x", "--valgrind --kernel 6.1", "--valgrind --build"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
