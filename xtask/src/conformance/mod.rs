//! `cargo xtask conformance`: whether dlm-engine is like the kernel.

mod output;

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dlm_lab::cargo::{self, Program};
use dlm_lab::vm::NoReply;
use dlm_lab::vm::kernels;
use dlm_lab::vm::{Command, Event, Exit, Vm, VmOptions};
use output::Output;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask conformance [--scripts N] [--seed S] [--kernel NAME]

Makes random scripts of lock operations and does each step on dlm-engine and on a real kernel, in
virtual machines with each of the kernels side by side: what write returns, every byte that read
returns, what poll says, and the queues must be the same. A script that comes out differently is
made as short as it can be and shown as a scenario (tests/scenarios/README.md) of what the kernel
does.

    --scripts N     how many (default 20000)
    --seed S        what the first script follows from, the next from S + 1 and so on; printed, and
                    else taken from the clock
    --kernel NAME   only on this kernel: 6.1, 6.12, 5.10 or 7, or all of these
";

const SCRIPTS: u64 = 20_000;

/// Scripts in each run of all tests, and the seed of the first: always the same, so that a change
/// that breaks nothing does not fail.
const BRIEFLY: (u64, u64) = (2000, 1);

/// A machine that does not do so many scripts a second is stuck, however busy it is.
const SLOWEST: u64 = 10;

/// Starting, and finding the shortest of scripts.
const EXTRA: Duration = Duration::from_secs(300);

/// What to run.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    scripts: u64,
    seed: Option<u64>,
    kernel: Option<String>,
}

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps it from building or running. A difference
/// makes an exit status of 1.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Some(choice) = parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let kernels = kernels::chosen(choice.kernel.as_deref());
    for kernel in &kernels {
        drop(dlm_lab::vm::prepare(kernel)?);
    }
    let seed = choice.seed.unwrap_or_else(clock_seed);
    let mut good = true;
    for (kernel, found) in on_all(&kernels, choice.scripts, seed)? {
        for line in found.with_context(|| format!("on {kernel}"))? {
            println!("FAILED  on {kernel}: {line}");
            good = false;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is wrong on each kernel, if anything: a line for each finding, with the command that
/// repeats it.
pub type Findings<'k> = Vec<(&'k str, Result<Vec<String>>)>;

/// Runs some scripts on these kernels, the same ones each time.
///
/// # Errors
///
/// What keeps it from building.
pub fn briefly<'k>(kernels: &[&'k str]) -> Result<Findings<'k>> {
    let (scripts, seed) = BRIEFLY;
    on_all(kernels, scripts, seed)
}

/// The kernels side by side.
fn on_all<'k>(kernels: &[&'k str], scripts: u64, seed: u64) -> Result<Findings<'k>> {
    let arguments = ["build", "--release", "-p", "dlm-tests", "--bin", "conformance"];
    let built = cargo::build(&arguments)?;
    let program = built.first().context("cargo built no program")?;
    println!("{scripts} scripts from seed {seed}");
    Ok(std::thread::scope(|scope| {
        let start = |kernel: &&'k str| {
            let kernel = *kernel;
            (kernel, scope.spawn(move || on(kernel, program, scripts, seed)))
        };
        let running: Vec<_> = kernels.iter().map(start).collect();
        running
            .into_iter()
            .map(|(kernel, thread)| {
                let panicked = || Err(anyhow::anyhow!("its thread panicked"));
                (kernel, thread.join().unwrap_or_else(|_| panicked()))
            })
            .collect()
    }))
}

/// On one kernel. The lines tell what is wrong.
fn on(kernel: &str, program: &Program, scripts: u64, seed: u64) -> Result<Vec<String>> {
    let time_limit = EXTRA + Duration::from_secs(scripts / SLOWEST);
    let options = VmOptions { kernel: kernel.into(), time_limit, ..VmOptions::default() };
    let vm = Vm::start(&options)?;
    vm.add_program(&program.path, "/bin/conformance")?;
    let command = Command::new("/bin/conformance").args([scripts.to_string(), seed.to_string()]);
    let mut output = Output::new(kernel);
    let exit = watch(&vm, &command, Instant::now() + time_limit, &mut output);
    output.end();
    let exit = exit.with_context(|| {
        let last = output.seed().unwrap_or(seed);
        format!("it was at seed {last} or soon after: {}", again(kernel, scripts, seed))
    })?;
    let mut found: Vec<_> = output
        .found()
        .iter()
        .map(|seed| format!("seed {seed}: {}", again(kernel, 1, *seed)))
        .collect();
    if !exit.success() && found.is_empty() {
        found.push(format!("{exit}: {}", again(kernel, scripts, seed)));
    }
    let log = vm.kernel_log_since(vm.log_start())?;
    if !log.is_clean() {
        println!("{kernel}: the kernel complained:\n{}", log.text);
        found.push(format!("the kernel complained: {}", again(kernel, scripts, seed)));
    }
    Ok(found)
}

/// The command that does these scripts on this kernel.
fn again(kernel: &str, scripts: u64, seed: u64) -> String {
    format!("cargo xtask conformance --kernel {kernel} --scripts {scripts} --seed {seed}")
}

/// Runs it, showing what it says.
fn watch(vm: &Vm, command: &Command, until: Instant, output: &mut Output<'_>) -> Result<Exit> {
    let job = vm.spawn(command)?;
    loop {
        match job.next(until) {
            Ok(Event::Exit(exit)) => return Ok(exit),
            Ok(Event::Stdout(bytes) | Event::Stderr(bytes)) => output.show(&bytes),
            Err(NoReply::Gone) => bail!("the virtual machine has ended"),
            Err(NoReply::TimeUp) => bail!("it is stuck"),
        }
    }
}

/// Another one in each run, short enough to be copied by hand.
fn clock_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) * 1000
}

/// `None` when help was asked for.
fn parse(arguments: Vec<OsString>) -> Result<Option<Choice>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut choice = Choice { scripts: SCRIPTS, seed: None, kernel: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("scripts") => choice.scripts = parser.value()?.parse()?,
            Long("seed") => choice.seed = Some(parser.value()?.parse()?),
            Long("kernel") => {
                choice.kernel = Some(kernels::named_or_all(&parser.value()?.string()?)?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if choice.scripts == 0 {
        return Err("--scripts 0 shows nothing".into());
    }
    Ok(Some(choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_seed_and_kernel_can_be_chosen() {
        let parse = |words: &str| parse(words.split_whitespace().map(OsString::from).collect());
        let wanted = Choice { scripts: 20_000, seed: None, kernel: None };
        assert_eq!(parse("").unwrap().unwrap(), wanted);
        let wanted = Choice { scripts: 5, seed: Some(7), kernel: Some("6.12".into()) };
        assert_eq!(parse("--scripts 5 --seed 7 --kernel 6.12").unwrap().unwrap(), wanted);
        assert!(parse("--help").unwrap().is_none());
        for bad in ["--scripts", "--scripts 0", "--scripts x", "--kernel 9", "5", "--x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
