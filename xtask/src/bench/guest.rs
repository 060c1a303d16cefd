//! Locks in virtual machines with a real DLM.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choice::Choice;
use super::file::ResultFile;
use super::library::{FOLDER, Library};
use super::race::{Clock, Race, Row, number, printed};
use super::{cache, libdlm, waits};
use dlm_lab::cargo;
use dlm_lab::vm::progress::slow;
use dlm_lab::vm::store::workspace_root;
use dlm_lab::vm::{Command, Vm, VmOptions};

use Library::{
    Capi, CapiLt, CapiLtUnguarded, Floor, FloorInline, FloorWatched, Libdlm, LibdlmLt, Runtime,
    RuntimeGuarded, RuntimeUnguarded, Sys,
};

/// Those that dispatch what a descriptor tells of.
const DISPATCHED: &[Library] = &[
    Floor,
    FloorInline,
    FloorWatched,
    Sys,
    Runtime,
    LibdlmLt,
    CapiLt,
    CapiLtUnguarded,
    Libdlm,
    Capi,
];

/// The rows. `locks` and `libdlm`, the programs in `dlm-runtime/benches`, know them by these names.
///
/// libdlm can wait for a lock only with its thread, and libdlm_lt has none.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "blocking",
        libraries: &[
            Floor,
            FloorInline,
            Sys,
            Runtime,
            RuntimeGuarded,
            RuntimeUnguarded,
            LibdlmLt,
            CapiLt,
            CapiLtUnguarded,
        ],
    },
    Row { name: "blocking-with-thread", libraries: &[Floor, FloorInline, Runtime, Libdlm, Capi] },
    Row { name: "poll-dispatch", libraries: DISPATCHED },
    Row { name: "waiting-dispatch", libraries: &[Floor, Runtime] },
    Row { name: "in-flight", libraries: DISPATCHED },
    Row { name: "futures", libraries: &[Floor, Runtime, LibdlmLt] },
];

/// The longest that the measurements in one machine may take. Usual is a minute.
const LIMIT: Duration = Duration::from_secs(900);

/// A way to take the time, and the machine for it.
struct Reading {
    title: &'static str,
    clock: Clock,
    cpus: u32,
    icount: bool,
}

/// Counted time repeats, so a few rounds show that it does; wall time takes its quality from their
/// number.
const COUNTED: Reading = Reading {
    title: "instructions, one processor",
    clock: Clock { name: "icount", counts_instructions: true, rounds: 5, pairs: 5000 },
    cpus: 1,
    icount: true,
};
const WALL: Reading = Reading {
    title: "wall time, two processors",
    clock: Clock { name: "wall", counts_instructions: false, rounds: 15, pairs: 5000 },
    cpus: 2,
    icount: false,
};

/// Measures and prints, and adds the rows to the file.
pub(super) fn run(choice: &Choice, file: &mut ResultFile) -> Result<()> {
    // First what a fresh machine lacks: compilers are among it.
    drop(dlm_lab::vm::prepare(&choice.kernel)?);
    let folder = programs()?;
    if ROWS.iter().any(|row| choice.has(row.name)) {
        if choice.quick {
            let clock = Clock { rounds: 1, ..COUNTED.clock };
            read(&Reading { clock, ..COUNTED }, choice, &folder, file)?;
        } else {
            read(&COUNTED, choice, &folder, file)?;
            read(&WALL, choice, &folder, file)?;
        }
    }
    if choice.has(waits::ROW) {
        file.add(waits::run(choice, &folder)?)?;
    }
    if choice.has(cache::ROW) {
        cache::run(choice, &folder, file)?;
    }
    Ok(())
}

/// Builds the programs, into one folder.
pub(super) fn programs() -> Result<PathBuf> {
    let folder = workspace_root().join("target/bench");
    let _slow = slow("building the benchmark's programs");
    libdlm::build(&folder)?;
    let built = cargo::build(&["bench", "--no-run", "-p", "dlm-runtime", "--bench", "locks"])?;
    let locks = &built.first().context("cargo built no benchmark")?.path;
    std::fs::copy(locks, folder.join("locks"))
        .with_context(|| format!("cannot copy {}", locks.display()))?;
    Ok(folder)
}

/// Takes one reading of the rows, in a machine of its own.
fn read(reading: &Reading, choice: &Choice, folder: &Path, file: &mut ResultFile) -> Result<()> {
    let Reading { title, clock, cpus, icount } = *reading;
    let kernel = choice.kernel.clone();
    let options = VmOptions { kernel, time_limit: LIMIT, cpus, icount, ..VmOptions::default() };
    let vm = Vm::start(&options)?;
    vm.add_dir(folder, FOLDER)?;
    println!("Linux {}, {title}; medians of {} rounds", vm.kernel(), clock.rounds);
    println!("{}", clock.head());
    for row in ROWS.iter().filter(|row| choice.has(row.name)) {
        let race = Race::run(&vm, row.name, &choice.libraries_of(row), clock)?;
        print!("{race}");
        file.add(race.json(vm.kernel()))?;
    }
    println!();
    // The size is the same by any clock.
    if icount && choice.has("in-flight") {
        file.add([memory(&vm)?])?;
    }
    check_log(&vm)
}

/// Fails if the kernel had something to complain about.
pub(super) fn check_log(vm: &Vm) -> Result<()> {
    let log = vm.kernel_log_since(vm.log_start())?;
    if !log.is_clean() {
        bail!("the kernel complained, so these numbers mean nothing:\n{}", log.text);
    }
    Ok(())
}

/// How big a lock in flight is.
fn memory(vm: &Vm) -> Result<Value> {
    let printed = printed(vm, Command::new(format!("{FOLDER}/locks")).arg("memory"))?;
    let bytes = |key| number(&printed, key).with_context(|| format!("no {key} in:\n{printed}"));
    let (heap, handle) = (bytes("heap")?, bytes("handle")?);
    println!("A lock in flight has {heap} bytes on the heap, and a handle of {handle}.\n");
    Ok(json!({
        "row": "lock-in-flight",
        "library": "dlm-runtime",
        "heap_bytes": heap,
        "handle_bytes": handle,
    }))
}
