//! `cargo xtask size`: how small dlm-proto and dlm-sys are when embedded, and that nothing is
//! linked in with them that such a program cannot have.

pub mod build;
pub mod sections;
pub mod symbols;

use anyhow::Result;
use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use build::{Built, Programs};
use dlm_lab::vm::{Command, Exit, Vm, VmOptions, kernels};
use sections::Sizes;
use symbols::Shares;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask size [--kernel NAME | --no-run]

Builds a static program without std and C library that takes a DLM lock, and the same in C. Prints
their sizes, which crate the code of the first is from, and what it must not contain (panics,
formatting, allocation), and runs them on real kernels, in virtual machines. Another program, which
goes through everything that dlm-proto does with records, must not contain it either. A third one
takes its lock with dlm-core, which needs an allocator and no std: otherwise it is not linked.

    --kernel NAME   only on this one: 6.1, 6.12, 5.10 or 7, or all of these
    --no-run        on none

The exit status is 1 if something forbidden is in it, if it is too big, or if one did not run.
";

/// The program has to fit into this, stripped.
pub const LIMIT: u64 = 32 * 1024;

/// Booting included; the programs take milliseconds.
const TIME: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Debug)]
pub struct Report {
    sizes: Vec<(&'static str, Sizes)>,
    shares: Shares,
    forbidden: Vec<String>,
}

impl Report {
    /// Measures programs.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub fn of(programs: &Programs) -> Result<Self> {
        let sizes = |built: &Built| Ok((built.what, Sizes::of(&built.stripped)?));
        Ok(Self {
            sizes: programs.all().map(sizes).collect::<Result<_>>()?,
            shares: symbols::shares(&programs.rust)?,
            forbidden: [&programs.rust, &programs.records]
                .into_iter()
                .map(symbols::forbidden)
                .collect::<Result<Vec<_>>>()?
                .concat(),
        })
    }

    /// Whether the Rust program is small enough and neither has anything in it that is forbidden.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let small = self.sizes.first().is_some_and(|(_, rust)| rust.file < LIMIT);
        small && self.forbidden.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:24}{:>10}{:>9}{:>9}{:>9}", "program", "stripped", "text", "data", "bss")?;
        for (what, Sizes { file, text, data, bss, .. }) in &self.sizes {
            writeln!(f, "{what:24}{file:10}{text:9}{data:9}{bss:9}")?;
        }
        let mut shares: Vec<_> = self.shares.iter().collect();
        shares.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
        writeln!(f, "\ncode of the first, by the crate of its source:")?;
        for (name, bytes) in shares {
            writeln!(f, "{name:24}{bytes:10}")?;
        }
        if let Some((_, rust)) = self.sizes.first() {
            writeln!(f, "{:24}{:10}", "sum", rust.code)?;
            writeln!(f, "\nsize: {} bytes, below {LIMIT} wanted", rust.file)?;
        }
        if self.forbidden.is_empty() {
            return writeln!(f, "panics, formatting, allocation, C library: none");
        }
        writeln!(f, "forbidden and linked in:")?;
        self.forbidden.iter().try_for_each(|name| writeln!(f, "    {name}"))
    }
}

/// Runs each program on a kernel, prints how it ended, and tells whether all did as they should
/// and the kernel had nothing to complain about.
///
/// # Errors
///
/// When the virtual machine fails.
pub fn run_on(kernel: &str, programs: &Programs) -> Result<bool> {
    let vm =
        Vm::start(&VmOptions { kernel: kernel.into(), time_limit: TIME, ..VmOptions::default() })?;
    let mut good = true;
    for program in programs.all() {
        let inside = format!("/bin/{}", program.name);
        vm.add_program(&program.stripped, &inside)?;
        let exit = vm.capture(&Command::new(&inside))?.exit;
        println!("{} on {kernel}: {exit}", program.what);
        good &= exit == Exit::Code(0);
    }
    let log = vm.kernel_log_since(vm.log_start())?;
    if !log.is_clean() {
        println!("the kernel complained:\n{}", log.text);
        good = false;
    }
    Ok(good)
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps it from building or running.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(kernels) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    for kernel in &kernels {
        drop(dlm_lab::vm::prepare(kernel)?);
    }
    let programs = build::build()?;
    let report = Report::of(&programs)?;
    println!("{report}");
    let mut good = report.is_good();
    for kernel in &kernels {
        good &= run_on(kernel, &programs)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The kernels to run on, or `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Vec<&'static str>>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut chosen = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("kernel") if chosen.is_none() => {
                let name = kernels::named_or_all(&parser.value()?.string()?)?;
                chosen = Some(kernels::chosen(Some(&name)));
            }
            Long("no-run") if chosen.is_none() => chosen = Some(Vec::new()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(chosen.unwrap_or_else(|| kernels::chosen(None))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_to_run_on_can_be_chosen() {
        let parse = |words: &[&str]| parse(words.iter().map(OsString::from).collect());
        assert_eq!(parse(&[]).unwrap().unwrap().len(), kernels::chosen(None).len());
        assert_eq!(parse(&["--kernel", "6.12"]).unwrap().unwrap(), ["6.12"]);
        assert!(parse(&["--no-run"]).unwrap().unwrap().is_empty());
        assert!(parse(&["--help"]).unwrap().is_none());
        for bad in [&["--kernel", "9"][..], &["x"], &["--no-run", "--kernel", "6.1"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn too_big_or_forbidden_is_not_good() {
        let report = |file, forbidden: &[&str]| Report {
            sizes: vec![("x", Sizes { file, ..Sizes::default() })],
            shares: Shares::new(),
            forbidden: forbidden.iter().map(ToString::to_string).collect(),
        };
        assert!(report(LIMIT - 1, &[]).is_good());
        assert!(!report(LIMIT, &[]).is_good());
        let bad = report(1, &["core::panicking::panic_fmt"]);
        assert!(!bad.is_good());
        assert!(bad.to_string().contains("linked in:\n    core::panicking::panic_fmt\n"));
    }
}
