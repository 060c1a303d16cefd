//! `cargo xtask vm ...`

use anyhow::{Context, Result};
use dlm_lab::cluster::{self, Cluster, MOST_NODES, shell};
use dlm_lab::vm::{Command, Exit, Input, Kind, Trouble, Vm, VmOptions, kernels};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask vm run [--nodes N [--on I]] [OPTION]... -- COMMAND [ARG]...
       cargo xtask vm shell [--nodes N] [OPTION]...

Runs a command in a virtual machine with its own Linux kernel and DLM, where it may create
lockspaces: a cluster of one node. Input and output are passed through, and so is the exit
status (128 + N for signal N; 124 when the time limit strikes, 125 when a machine fails). Of a
cluster it is that of the first node where the command failed.

With `shell`, a shell takes lines from the input; on a cluster there is one on each node, nodes can be
switched off, frozen and cut off, and @help tells how.

    --nodes N       a cluster of N machines (1 to 7) on a network of their own, with corosync,
                    dlm_controld and fencing, and a disk that they share, /dev/vda; the command
                    runs on each node, its number in the variable NODE and before each line of its
                    output
    --on I          of a cluster, only on node I, which also has the input
    --kernel NAME   6.1 (default), 6.12, 5.10 or 7
    --add DIR       puts the folder DIR into the machine as /NAME, NAME being its last part;
                    programs in it find their shared libraries (may be given several times)
    --time SECONDS  time limit of the machine, default 300, and 7200 for a shell
";

/// As `timeout(1)`.
const TIME_LIMIT: u8 = 124;
/// As programs that run other programs use it for their own failures.
const FAILED: u8 = 125;

/// What `vm run` was asked for.
#[derive(Debug)]
struct Run {
    options: VmOptions,
    /// How many nodes, and on which one to run; no cluster without.
    nodes: Option<u8>,
    on: Option<u8>,
    /// A shell in place of the command.
    shell: bool,
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
    let done = match run.nodes {
        Some(nodes) => in_cluster(&run, nodes),
        None => in_machine(&run),
    };
    match done {
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
    let exit = vm.run(&run.command()?.input(Input::Inherit))?;
    run.explain(&exit);
    warn(&vm, "the kernel")?;
    Ok(exit)
}

fn in_cluster(run: &Run, nodes: u8) -> Result<Exit> {
    let VmOptions { kernel, time_limit, .. } = run.options.clone();
    let options = cluster::Options { kernel, time_limit, nodes, ..cluster::Options::default() };
    let cluster = Cluster::start(&options)?;
    for folder in &run.add {
        let name = guest_name(folder)?;
        cluster.add_dir(folder, &name)?;
    }
    if run.shell {
        shell::serve(&cluster, std::io::stdin().lock())?;
        return Ok(Exit::Code(0));
    }
    let command = run.command()?;
    let exit = match run.on {
        Some(node) => {
            let command = command.env("NODE", node.to_string()).input(Input::Inherit);
            cluster.node(node)?.run(&command).map_err(|error| cluster.explain(&error))?
        }
        None => cluster.run_on_each(&command)?,
    };
    run.explain(&exit);
    for number in cluster.numbers() {
        // One that was switched off has nothing to say any more.
        if let Ok(vm) = cluster.node(number) {
            warn(&vm, &format!("the kernel of node {number}"))?;
        }
    }
    Ok(exit)
}

impl Run {
    fn command(&self) -> Result<Command> {
        let mut words = self.command.iter();
        let program = words.next().context("no command")?;
        Ok(Command::new(program).args(words))
    }

    fn explain(&self, exit: &Exit) {
        if let (Exit::NotStarted(_, why), Some(program)) = (exit, self.command.first()) {
            eprintln!("xtask: {}: {why}", program.display());
        }
    }
}

fn warn(vm: &Vm, who: &str) -> Result<()> {
    let log = vm.kernel_log_since(vm.log_start())?;
    if !log.is_clean() {
        eprintln!("xtask: warning: {who} complained:\n{}", log.text);
    }
    Ok(())
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
    let (options, add, command) = (VmOptions::default(), Vec::new(), Vec::new());
    let mut run = Run { options, nodes: None, on: None, shell: false, add, command };
    match parser.next()? {
        Some(Value(name)) if name == "run" => {}
        Some(Value(name)) if name == "shell" => {
            run.shell = true;
            run.options.time_limit = Duration::from_secs(7200);
            // Without a terminal it shows its prompt only if told to.
            run.command = vec!["sh".into(), "-i".into()];
        }
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
            Long("nodes") => {
                let nodes = parser.value()?.parse()?;
                if !(1..=MOST_NODES).contains(&nodes) {
                    return Err(format!("a cluster here has 1 to {MOST_NODES} nodes").into());
                }
                run.nodes = Some(nodes);
            }
            Long("on") => run.on = Some(parser.value()?.parse()?),
            Long("time") => {
                let seconds: u32 = parser.value()?.parse()?;
                if seconds == 0 {
                    return Err("the time limit must be at least 1 second".into());
                }
                run.options.time_limit = Duration::from_secs(seconds.into());
            }
            // After the command's name everything is the command's.
            Value(program) if !run.shell => {
                run.command.push(program);
                run.command.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if run.on.is_some_and(|node| node == 0 || run.nodes.is_none_or(|nodes| node > nodes)) {
        return Err("--on wants the number of a node of the cluster".into());
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
        let run = parsed("run --nodes 3 --on 2 ls").unwrap().unwrap();
        assert_eq!((run.nodes, run.on), (Some(3), Some(2)));
        let run = parsed("shell --nodes 2").unwrap().unwrap();
        assert!(run.shell && run.nodes == Some(2));
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
            "run --nodes 0 -- ls",
            "run --nodes 8 -- ls",
            "run --on 1 -- ls",
            "run --nodes 2 --on 3 -- ls",
            "run --nodes 2 --on 0 -- ls",
            "shell ls",
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
