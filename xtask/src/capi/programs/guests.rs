//! C programs on real kernels, with Debian's libraries and with ours.
//!
//! For each kernel there are two machines, one for either, and all of them run at the same time:
//! most of the time goes to bugs of the originals that are waits without end.

use anyhow::{Result, anyhow};
use std::cell::Cell;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Kind, Program, Programs, SECONDS};
use crate::capi::{Row, static_programs, tool};
use dlm_lab::vm::{Command, Output, Vm, VmOptions};

/// Seconds for a program that shows a bug, with the library that has it: that is often a hang.
const PATIENCE_WITH_BUG: u32 = 4;

/// More than the seconds after which a program gives up by itself.
const LIMIT: Duration = Duration::from_secs(300);

/// For all programs in one machine, of which two minutes are usual.
const MACHINE_LIMIT: Duration = Duration::from_secs(3600);

/// Where they are in the guest.
const FOLDER: &str = "/capi";

/// What a program did, and what the kernel complained of.
type Done = (Output, Option<String>);

/// Runs them on each kernel, and with `beside` what else is to be tried there.
pub(in crate::capi) fn run(
    programs: &Programs,
    kernels: &[&str],
    beside: Option<(&tool::Tool, &static_programs::StaticPrograms)>,
    report: &mut dyn FnMut(&Row),
) -> Result<()> {
    let rows = thread::scope(|scope| {
        let on_kernel = |kernel| scope.spawn(move || on_kernel(programs, kernel, beside));
        let running: Vec<_> = kernels.iter().map(|kernel| on_kernel(*kernel)).collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended.map(|rows| rows.map_err(|_| anyhow!("a thread has panicked"))?).collect::<Vec<_>>()
    });
    for rows in rows {
        rows?.iter().for_each(&mut *report);
    }
    Ok(())
}

fn on_kernel(
    programs: &Programs,
    kernel: &str,
    beside: Option<(&tool::Tool, &static_programs::StaticPrograms)>,
) -> Result<Vec<Row>> {
    let on_kernels = || programs.all.iter().filter(|program| program.only_on_engine.is_none());
    let (ours, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| -> Result<Vec<Option<Done>>> {
            let machine = Machine::start(kernel, &programs.theirs)?;
            let run = |program: &Program| match program.kind {
                Kind::Parity => machine.run(program, None).map(Some),
                Kind::LibdlmBug => machine.run(program, Some(PATIENCE_WITH_BUG)).map(Some),
                Kind::Ours => Ok(None),
            };
            on_kernels().map(run).collect()
        });
        let ours = || -> Result<_> {
            let machine = Machine::start(kernel, &programs.ours)?;
            let done = on_kernels().map(|program| machine.run(program, None));
            let done = done.collect::<Result<Vec<_>>>()?;
            let mut rows = Vec::new();
            if let Some((tool, statics)) = beside {
                rows.push(tool.run(&machine.vm)?);
                rows.extend(statics.run(&machine.vm)?);
            }
            Ok((done, rows))
        };
        let ours = ours();
        (ours, theirs.join().unwrap_or_else(|_| Err(anyhow!("a thread has panicked"))))
    });
    let ((ours, beside), theirs) = (ours?, theirs?);
    let mut rows = Vec::new();
    for ((program, ours), theirs) in on_kernels().zip(ours).zip(theirs) {
        let (complaint, note) = match judge(program.kind, &ours, theirs.as_ref()) {
            Ok(note) => (None, note),
            Err(complaint) => (Some(complaint), String::new()),
        };
        rows.push(Row { what: format!("{} on {kernel}", program.name), complaint, note });
    }
    rows.extend(beside);
    Ok(rows)
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

    fn run(&self, program: &Program, seconds: Option<u32>) -> Result<Done> {
        let mut command = Command::new(format!("{FOLDER}/{}", program.name)).limit(LIMIT);
        if let Some(seconds) = seconds {
            command = command.env(SECONDS, seconds.to_string());
        }
        let output = self.vm.capture(&command)?;
        let log = self.vm.kernel_log_since(self.seen.get())?;
        self.seen.set(log.next);
        Ok((output, (!log.is_clean()).then_some(log.text)))
    }
}

/// Whether a program did what its kind wants. Returns what is wrong, or else how a defect of
/// Debian's shows.
fn judge(kind: Kind, ours: &Done, theirs: Option<&Done>) -> Result<String, String> {
    let (ours, log) = ours;
    let text = String::from_utf8_lossy(&ours.stdout);
    if !ours.exit.success() {
        let stderr = String::from_utf8_lossy(&ours.stderr);
        return Err(format!("with ours: {}\n{text}{stderr}", ours.exit));
    }
    if let Some(log) = log {
        return Err(format!("with ours the kernel complained:\n{log}"));
    }
    let Some((theirs, _)) = theirs else { return Ok(String::new()) };
    let stdout = String::from_utf8_lossy(&theirs.stdout);
    let stderr = String::from_utf8_lossy(&theirs.stderr);
    match kind {
        Kind::LibdlmBug if theirs.exit.success() => {
            Err("Debian's has no such defect: it succeeds".into())
        }
        Kind::LibdlmBug => {
            let line = stderr.lines().next().unwrap_or_default();
            let line = line.rsplit_once('/').map_or(line, |(_, name)| name);
            Ok(format!("Debian's: {} {line}", theirs.exit))
        }
        _ if !theirs.exit.success() => {
            Err(format!("with Debian's: {}\n{stdout}{stderr}", theirs.exit))
        }
        _ if stdout != text => Err(format!("with ours:\n{text}with Debian's:\n{stdout}")),
        _ => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dlm_lab::vm::Exit;

    fn done(code: i32, stdout: &str) -> Done {
        (
            Output { exit: Exit::Code(code), stdout: stdout.into(), stderr: b"/x/a.c:3: b".into() },
            None,
        )
    }

    #[test]
    fn programs_are_judged_by_their_kind() {
        let (good, bad, other) = (done(0, "a"), done(1, "a"), done(0, "b"));
        assert_eq!(judge(Kind::Parity, &good, Some(&good)), Ok(String::new()));
        assert!(judge(Kind::Parity, &good, Some(&bad)).is_err());
        assert!(judge(Kind::Parity, &good, Some(&other)).is_err());
        assert!(judge(Kind::Parity, &bad, Some(&bad)).is_err());
        assert!(judge(Kind::LibdlmBug, &good, Some(&good)).is_err());
        let shown = judge(Kind::LibdlmBug, &good, Some(&bad)).unwrap();
        assert!(shown.ends_with("a.c:3: b"), "{shown}");
        assert_eq!(judge(Kind::Ours, &good, None), Ok(String::new()));
        let complained = (good.0, Some("BUG".to_owned()));
        assert!(judge(Kind::Ours, &complained, None).is_err());
    }
}
