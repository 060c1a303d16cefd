//! C programs on a real kernel, with Debian's libraries and with ours.

use anyhow::{Context, Result, bail};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as HostCommand;
use std::time::Duration;

use super::Row;
use super::debian::Debian;
use super::link::LIBRARIES;
use crate::vm::apt::output;
use crate::vm::store::{remove_all, workspace_root};
use crate::vm::{Command, Output, Vm, VmOptions};

/// For one program; each has an alarm of its own at ten seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// For all programs in one machine.
const MACHINE_LIMIT: Duration = Duration::from_secs(300);

/// Where they are in the guest.
const FOLDER: &str = "/capi";

/// What is expected, by the folder of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Defect,
    Ours,
}

const KINDS: [(&str, Kind); 3] =
    [("same", Kind::Same), ("defects", Kind::Defect), ("ours", Kind::Ours)];

/// A program for one of the libraries.
#[derive(Debug)]
struct Program {
    kind: Kind,
    source: PathBuf,
    library: &'static str,
    /// LIBRARY-SOURCE.
    name: String,
}

pub(super) fn run(
    ours: &Path,
    debian: &Debian,
    kernels: &[&str],
    filter: Option<&str>,
    report: &mut dyn FnMut(&Row),
) -> Result<()> {
    let programs = all(filter)?;
    let folder = ours.join("programs");
    let [their, our] = ["debian", "ours"].map(|who| folder.join(who));
    remove_all(&folder)?;
    for (folder, libraries) in [(&their, debian.libraries.as_path()), (&our, ours)] {
        fs::create_dir_all(folder.join("lib"))?;
        for name in LIBRARIES {
            let file = format!("{name}.so.3");
            fs::copy(libraries.join(&file), folder.join("lib").join(file))?;
        }
    }
    for program in &programs {
        compile(program, debian, &their)?;
        fs::copy(their.join(&program.name), our.join(&program.name))?;
    }
    for kernel in kernels {
        let (our, their) = (Machine::start(kernel, &our)?, Machine::start(kernel, &their)?);
        for program in &programs {
            let verdict = judge(program, &our, &their)?;
            let (complaint, note) = match verdict {
                Ok(note) => (None, note),
                Err(complaint) => (Some(complaint), String::new()),
            };
            report(&Row { what: format!("{} on {kernel}", program.name), complaint, note });
        }
    }
    Ok(())
}

/// The programs: the comment at the head of a source says `Libraries:` and for which.
fn all(filter: Option<&str>) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for (folder, kind) in KINDS {
        let folder = workspace_root().join("tests/c").join(folder);
        let mut sources = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            sources.push(entry?.path());
        }
        sources.sort();
        for source in sources {
            let text = fs::read_to_string(&source)?;
            let named = text.lines().find_map(|line| line.trim().strip_prefix("* Libraries: "));
            let named = named.with_context(|| format!("{}: for what?", source.display()))?;
            let stem = source.file_stem().unwrap_or_default().to_string_lossy();
            for library in LIBRARIES {
                let name = format!("{library}-{stem}");
                let is_wanted = filter.is_none_or(|filter| name.contains(filter));
                if is_wanted && named.split_whitespace().any(|word| word == library) {
                    programs.push(Program { kind, source: source.clone(), library, name });
                }
            }
        }
    }
    if programs.is_empty() {
        bail!("no such program in tests/c");
    }
    Ok(programs)
}

fn compile(program: &Program, debian: &Debian, folder: &Path) -> Result<()> {
    let mut compiler = HostCommand::new("cc");
    compiler.args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]);
    if program.library == LIBRARIES[0] {
        compiler.args(["-D_REENTRANT", "-DTHREADED"]);
    }
    compiler.arg("-I").arg(workspace_root().join("tests/c")).arg("-I").arg(&debian.headers);
    compiler.arg("-o").arg(folder.join(&program.name)).arg(&program.source);
    compiler.arg("-L").arg(&debian.libraries).arg(program.library.replacen("lib", "-l", 1));
    output(compiler.args(["-pthread", "-ldl"])).map(|_| ())
}

struct Machine {
    vm: Vm,
    /// How far the kernel's log was looked at.
    seen: Cell<u64>,
}

impl Machine {
    fn start(kernel: &str, folder: &Path) -> Result<Self> {
        let options =
            VmOptions { kernel: kernel.into(), time_limit: MACHINE_LIMIT, ..VmOptions::default() };
        let vm = Vm::start(&options)?;
        vm.add_dir(folder, FOLDER)?;
        let seen = Cell::new(vm.log_start());
        Ok(Self { vm, seen })
    }

    /// Runs a program. Returns its output, and what the kernel complained of.
    fn run(&self, program: &Program) -> Result<(Output, Option<String>)> {
        let command = Command::new(format!("{FOLDER}/{}", program.name)).limit(LIMIT);
        let output = self.vm.capture(&command)?;
        let log = self.vm.kernel_log_since(self.seen.get())?;
        self.seen.set(log.next);
        Ok((output, (!log.is_clean()).then_some(log.text)))
    }
}

/// Runs it with both libraries, as its kind wants it. Returns what is wrong, or else how a defect of
/// Debian's shows.
fn judge(
    program: &Program,
    our: &Machine,
    their: &Machine,
) -> Result<std::result::Result<String, String>> {
    let (ours, log) = our.run(program)?;
    let text = String::from_utf8_lossy(&ours.stdout);
    if !ours.exit.success() {
        let stderr = String::from_utf8_lossy(&ours.stderr);
        return Ok(Err(format!("with ours: {}\n{text}{stderr}", ours.exit)));
    }
    if let Some(log) = log {
        return Ok(Err(format!("with ours the kernel complained:\n{log}")));
    }
    if program.kind == Kind::Ours {
        return Ok(Ok(String::new()));
    }
    let (theirs, _) = their.run(program)?;
    let stdout = String::from_utf8_lossy(&theirs.stdout);
    let stderr = String::from_utf8_lossy(&theirs.stderr);
    Ok(match program.kind {
        Kind::Defect if theirs.exit.success() => {
            Err("Debian's has no such defect: it succeeds".into())
        }
        Kind::Defect => {
            let line = stderr.lines().next().unwrap_or_default();
            let line = line.rsplit_once('/').map_or(line, |(_, name)| name);
            Ok(format!("Debian's: {} {line}", theirs.exit))
        }
        _ if !theirs.exit.success() => {
            Err(format!("with Debian's: {}\n{stdout}{stderr}", theirs.exit))
        }
        _ if stdout != text => Err(format!("with ours:\n{text}with Debian's:\n{stdout}")),
        _ => Ok(String::new()),
    })
}
