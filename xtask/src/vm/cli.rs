//! `cargo xtask vm ...`

use crate::vm::{Command, Exit, Input, Kind, Trouble, Vm, VmOptions, kernels};
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask vm run [--kernel NAME] [--add DIR]... [--time SECONDS] -- COMMAND [ARG]...

Runs a command in a virtual machine with its own Linux kernel and DLM, where it may create
lockspaces: a cluster of one node. Input and output are passed through, and so is the exit
status (128 + N for signal N; 124 when the time limit strikes, 125 when the machine fails).

    --kernel NAME   6.1 (default) or 6.12
    --add DIR       puts the folder DIR into the machine as /NAME, NAME being its last part;
                    programs in it find their shared libraries (may be given several times)
    --time SECONDS  time limit of the machine, default 300
";

/// As `timeout(1)`.
const TIME_LIMIT: u8 = 124;
/// As programs that run other programs use it for their own failures.
const FAILED: u8 = 125;

/// What `vm run` was asked for.
#[derive(Debug)]
struct Run {
    options: VmOptions,
    add: Vec<PathBuf>,
    command: Vec<OsString>,
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let run = match parse(arguments).map_err(|e| crate::Usage::new(&e, USAGE))? {
        Some(run) => run,
        None => {
            print!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    match in_machine(&run) {
        Ok(exit) => Ok(exit.shell_code().into()),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            let kind = error.downcast_ref::<Trouble>().map(|trouble| trouble.kind);
            Ok(if kind == Some(Kind::TimeLimit) { TIME_LIMIT } else { FAILED }.into())
        }
    }
}

fn in_machine(run: &Run) -> Result<Exit> {
    let vm = Vm::start(&run.options)?;
    for folder in &run.add {
        vm.add_dir(folder, guest_name(folder)?)?;
    }
    let mut words = run.command.iter();
    let program = words.next().context("no command")?;
    let command = Command::new(program).args(words).input(Input::Inherit);
    let exit = vm.run(&command)?;
    if let Exit::NotStarted(_, why) = &exit {
        eprintln!("xtask: {}: {why}", program.display());
    }
    let log = vm.kernel_log_since(vm.log_start())?;
    if !log.is_clean() {
        eprintln!("xtask: warning: the kernel complained:\n{}", log.text);
    }
    Ok(exit)
}

/// `target/foo` becomes `/foo`.
fn guest_name(folder: &Path) -> Result<PathBuf> {
    let full = folder.canonicalize().with_context(|| format!("no folder {}", folder.display()))?;
    // The name as given counts when it has one, also if it is a link.
    let name = folder.file_name().or(full.file_name());
    Ok(Path::new("/").join(name.with_context(|| format!("{} has no name", folder.display()))?))
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Run>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut run = Run { options: VmOptions::default(), add: Vec::new(), command: Vec::new() };
    match parser.next()? {
        Some(Value(name)) if name == "run" => {}
        Some(Short('h') | Long("help")) => return Ok(None),
        Some(other) => return Err(other.unexpected()),
        None => return Err("vm what?".into()),
    }
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("kernel") => {
                run.options.kernel = kernels::named(&parser.value()?.string()?)?;
            }
            Long("add") => {
                let folder = PathBuf::from(parser.value()?);
                if !folder.is_dir() {
                    return Err(format!("{} is not a folder", folder.display()).into());
                }
                run.add.push(folder);
            }
            Long("time") => {
                let seconds: u32 = parser.value()?.parse()?;
                if seconds == 0 {
                    return Err("the time limit must be at least 1 second".into());
                }
                run.options.time_limit = Duration::from_secs(seconds.into());
            }
            // After the command's name everything is the command's.
            Value(program) => {
                run.command.push(program);
                run.command.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if run.command.first().is_none_or(|program| program == OsStr::new("")) {
        return Err("no command".into());
    }
    Ok(Some(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Option<Run>, lexopt::Error> {
        parse(words.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let run = parsed("run --kernel 6.12 --time 7 --add /tmp --add=/usr -- ls -l --add x");
        let run = run.unwrap().unwrap();
        assert_eq!(run.options.kernel, "6.12");
        assert_eq!(run.options.time_limit, Duration::from_secs(7));
        assert_eq!(run.add, [Path::new("/tmp"), Path::new("/usr")]);
        assert_eq!(run.command, ["ls", "-l", "--add", "x"]);
        let run = parsed("run sh -- -c").unwrap().unwrap();
        assert_eq!(run.command, ["sh", "--", "-c"]);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for words in [
            "",
            "walk",
            "run",
            "run --",
            "run --kernel 9 -- ls",
            "run --time 0 -- ls",
            "run --time x -- ls",
            "run --add /nonexistent -- ls",
            "run --what -- ls",
        ] {
            assert!(parsed(words).is_err(), "{words}");
        }
        assert!(parsed("run --help").unwrap().is_none());
    }

    #[test]
    fn a_folder_keeps_its_last_name() {
        assert_eq!(guest_name(Path::new("/usr/lib/")).unwrap(), Path::new("/lib"));
        assert!(guest_name(Path::new("/")).is_err());
        let here = std::env::current_dir().unwrap();
        let name = Path::new("/").join(here.file_name().unwrap());
        assert_eq!(guest_name(Path::new(".")).unwrap(), name);
    }
}
