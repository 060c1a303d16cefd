//! The system calls of a thread whose lock has to wait.

use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::choice::Choice;
use super::guest::check_log;
use super::library::{FOLDER, Library};
use super::race::{Row, printed};
use dlm_lab::vm::{Command, Vm, VmOptions};

/// The row. `locks` and `libdlm` have a thread that holds the lock until the first one sleeps, and
/// which strace leaves alone.
pub(super) const ROW: &str = "waits";

const LIBRARIES: Row = Row {
    name: ROW,
    libraries: &[
        Library::Runtime,
        Library::LibdlmLt,
        Library::CapiLt,
        Library::Libdlm,
        Library::Capi,
    ],
};

/// Pairs. Counted twice, with this many and with twice as many: the difference is free of what
/// starting a program costs.
const PAIRS: u32 = 100;

const LIMIT: Duration = Duration::from_secs(300);

/// Where strace leaves its table.
const TABLE: &str = "/tmp/calls";
pub(super) const STRACE: [&str; 7] = ["strace", "-c", "-U", "calls,name", "-o", TABLE, "--"];

pub(super) type Counts = BTreeMap<String, f64>;

/// Counts and prints, and returns the rows for the file.
pub(super) fn run(choice: &Choice, folder: &Path) -> Result<Vec<Value>> {
    let kernel = choice.kernel.clone();
    let vm = Vm::start(&VmOptions { kernel, time_limit: LIMIT, cpus: 2, ..VmOptions::default() })?;
    vm.add_dir(folder, FOLDER)?;
    println!("Linux {}, system calls of a lock that has to wait and its unlock", vm.kernel());
    let mut rows = Vec::new();
    for library in choice.libraries_of(&LIBRARIES) {
        let (once, twice) = (count(&vm, library, PAIRS)?, count(&vm, library, 2 * PAIRS)?);
        let before = |name| once.get(name).copied().unwrap_or(0.0);
        let calls = twice.iter().map(|(name, n)| (name, (n - before(name)) / f64::from(PAIRS)));
        let calls: BTreeMap<_, _> = calls.filter(|(_, count)| *count != 0.0).collect();
        let all: f64 = calls.values().sum();
        let each: Vec<_> = calls.iter().map(|(name, n)| format!("{name} {n:.2}")).collect();
        println!("{:21}{all:6.2}   {}", library.name(), each.join(", "));
        rows.push(json!({
            "row": ROW,
            "library": library.name(),
            "kernel": vm.kernel(),
            "system_calls_per_pair": all,
            "system_calls": calls,
        }));
    }
    println!();
    check_log(&vm)?;
    Ok(rows)
}

/// The system calls of the first thread in all its life.
fn count(vm: &Vm, library: Library, pairs: u32) -> Result<Counts> {
    calls(vm, library.command_behind(&STRACE, ROW, pairs))
}

/// The system calls of a command behind [`STRACE`].
pub(super) fn calls(vm: &Vm, command: Command) -> Result<Counts> {
    printed(vm, command)?;
    let table = printed(vm, Command::new("cat").arg(TABLE))?;
    let counts = counts(&table);
    if counts.is_empty() {
        bail!("strace counted nothing:\n{table}");
    }
    Ok(counts)
}

/// The lines `NUMBER NAME` of a table. The last one has the sum.
fn counts(table: &str) -> Counts {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (count, name) = (words.next()?.parse().ok()?, words.next()?);
        (name != "total").then(|| (name.to_owned(), count))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_understood() {
        let table = "    calls syscall\n--------- --------\n      300 write\n        2 poll\n\
                     --------- --------\n      302 total\n";
        let counts = counts(table);
        assert_eq!(counts.len(), 2);
        assert_eq!(counts["write"], 300.0);
    }
}
