//! Locks that stay: what it costs to take one that is there, and what one needs.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

use super::choice::Choice;
use super::file::ResultFile;
use super::guest::check_log;
use super::library::{FOLDER, Library};
use super::race::{OPERATIONS, SECOND, Turn, number, printed};
use super::samples::Samples;
use super::waits::{STRACE, calls};
use dlm_lab::vm::{Command, Vm, VmOptions};

/// The row.
pub(super) const ROW: &str = "cache";

const LIMIT: Duration = Duration::from_secs(600);

/// Pairs in each turn, of locks that stay and of others.
const PAIRS: u32 = 200_000;
const DIRECT_PAIRS: u32 = 2_000;
const ROUNDS: usize = 9;

/// So many, and twice as many, to count system calls: first requests yield the processor, now more and now
/// less often.
const TRACED_PAIRS: u32 = 2_000_000;

/// Threads, of which each takes so many locks.
const THREADS: [u32; 3] = [1, 2, 4];
const EACH: u32 = 100_000;
/// Whether each has a resource of its own, or all have one.
const WHOSE: [&str; 2] = ["own", "shared"];

/// What takes the lock and releases it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// As `locks` calls it.
    Cached(&'static str),
    /// Without a cache, and the row for it.
    Direct(Library, &'static str),
}

/// The first is the least that a lock costs, and the first of C what the others are compared with.
const ALL: [What; 7] = [
    What::Cached("compare-and-swap"),
    What::Cached("cached-ex"),
    What::Cached("cached-pr"),
    What::Cached("cached-by-name"),
    What::Direct(Library::Runtime, "blocking"),
    What::Direct(Library::LibdlmLt, "blocking"),
    What::Direct(Library::Libdlm, "blocking-with-thread"),
];

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::Cached(name) => name,
            Self::Direct(library, _) => library.name(),
        }
    }

    const fn pairs(self) -> u32 {
        match self {
            Self::Cached(_) => PAIRS,
            Self::Direct(..) => DIRECT_PAIRS,
        }
    }

    fn command(self, pairs: u32) -> Command {
        match self {
            Self::Cached(name) => locks(&[name, ROW, &pairs.to_string()]),
            Self::Direct(library, row) => library.command(row, pairs),
        }
    }
}

fn locks(words: &[&str]) -> Command {
    Command::new(format!("{FOLDER}/locks")).args(words)
}

/// What one of them costs.
#[derive(Debug, Default)]
struct Lane {
    /// Nanoseconds of a pair, or instructions.
    costs: Samples,
    allocations: Option<f64>,
}

/// Measures and prints, and adds the rows to the file.
pub(super) fn run(choice: &Choice, folder: &Path, file: &mut ResultFile) -> Result<()> {
    let vm = start(choice, folder, true)?;
    println!("Linux {}, {ROW}: instructions of a lock and its unlock, one processor", vm.kernel());
    file.add(race(&vm, true, 1)?)?;
    file.add([memory(&vm)?])?;
    file.add([system_calls(&vm)?])?;
    check_log(&vm)?;
    drop(vm);
    if !choice.quick {
        let vm = start(choice, folder, false)?;
        let kernel = vm.kernel();
        println!("Linux {kernel}, {ROW}: nanoseconds of a lock and its unlock, two processors");
        file.add(race(&vm, false, ROUNDS)?)?;
        file.add(threads(&vm)?)?;
        check_log(&vm)?;
    }
    Ok(())
}

fn start(choice: &Choice, folder: &Path, icount: bool) -> Result<Vm> {
    let (kernel, cpus) = (choice.kernel.clone(), if icount { 1 } else { 2 });
    let options = VmOptions { kernel, time_limit: LIMIT, cpus, icount, ..VmOptions::default() };
    let vm = Vm::start(&options)?;
    vm.add_dir(folder, FOLDER)?;
    Ok(vm)
}

/// All of them, in turns.
fn race(vm: &Vm, counts: bool, rounds: usize) -> Result<Vec<Value>> {
    let mut lanes = ALL.map(|what| (what, Lane::default()));
    for _ in 0..rounds {
        for (what, lane) in &mut lanes {
            let printed = printed(vm, what.command(what.pairs()))?;
            let turn = Turn::of(&printed, f64::from(what.pairs() * OPERATIONS))?;
            let turn = if counts { turn.at_the_tenth(&printed)? } else { turn };
            lane.costs.add(turn.cost * f64::from(OPERATIONS));
            lane.allocations = turn.allocations.map(|count| count * f64::from(OPERATIONS));
        }
    }
    let costs = |what: What| lanes.iter().find(|(other, _)| *other == what).map(|it| &it.1.costs);
    let [least, .., c, _] = ALL;
    let (least, c) = costs(least).zip(costs(c)).context("no lanes")?;
    println!("{:21}{:>11}{:>9}{:>11}{:>13}", "", "cost", "to CAS", "to C", "allocations");
    let mut rows = Vec::new();
    for (what, lane) in &lanes {
        let (name, cost) = (what.name(), lane.costs.median());
        let (to_least, to_c) = (1.0 / lane.costs.speed_beside(least), lane.costs.speed_beside(c));
        let allocations = lane.allocations.map(|count| format!("{count:.3}")).unwrap_or_default();
        println!("{name:21}{cost:11.1}{to_least:9.2}{to_c:11.3}{allocations:>13}");
        rows.push(json!({
            "row": ROW,
            "library": name,
            "clock": if counts { "icount" } else { "wall" },
            "kernel": vm.kernel(),
            "cost_per_pair": cost,
            "times_compare_and_swap": to_least,
            "ratio_to_c": to_c,
            "allocations_per_pair": lane.allocations,
        }));
    }
    println!();
    Ok(rows)
}

/// How big a resource is.
fn memory(vm: &Vm) -> Result<Value> {
    let printed = printed(vm, locks(&["cache-memory"]))?;
    let bytes = |key| number(&printed, key).with_context(|| format!("no {key} in:\n{printed}"));
    let (known, held) = (bytes("known")?, bytes("held")?);
    println!("A resource has {known} bytes on the heap when it is known, {held} when it is held.");
    Ok(json!({ "row": "cache-memory", "known_bytes": known, "held_bytes": held }))
}

/// The system calls of locks that stay: the difference between many and twice as many has nothing of what
/// the beginning and the end cost.
fn system_calls(vm: &Vm) -> Result<Value> {
    let count = |pairs: u32| {
        let (program, pairs) = (format!("{FOLDER}/locks"), pairs.to_string());
        let words = [&*program, "cached-ex", ROW, &pairs];
        let [strace, options @ ..] = STRACE;
        calls(vm, Command::new(strace).args(options.iter().chain(&words)))
    };
    let (once, twice) = (count(TRACED_PAIRS)?, count(2 * TRACED_PAIRS)?);
    let more = |(name, count): (&String, &f64)| {
        let more = count - once.get(name).copied().unwrap_or(0.0);
        (more != 0.0).then(|| format!("{name} {more:+}"))
    };
    let more: Vec<_> = twice.iter().filter_map(more).collect();
    let all: f64 = twice.values().sum::<f64>() - once.values().sum::<f64>();
    let each = all / f64::from(TRACED_PAIRS);
    println!(
        "{TRACED_PAIRS} more pairs of cached-ex: {all:+} system calls ({})\n",
        more.join(", ")
    );
    Ok(
        json!({ "row": "cache-system-calls", "library": "cached-ex", "system_calls_per_pair": each }),
    )
}

/// Pairs a second of all threads together, in turns.
fn threads(vm: &Vm) -> Result<Vec<Value>> {
    println!("pairs a second of so many threads, and beside one on its own resource");
    let kinds = WHOSE.iter().flat_map(|whose| THREADS.map(|count| (count, *whose)));
    let mut lanes: Vec<_> = kinds.map(|kind| (kind, Samples::default())).collect();
    for _ in 0..ROUNDS {
        for ((threads, whose), samples) in &mut lanes {
            let words = [&*threads.to_string(), whose, &EACH.to_string()];
            let printed = printed(vm, locks(&words))?;
            let figure = |key| number(&printed, key).with_context(|| format!("no {key}"));
            samples.add(figure("ns")? / figure("pairs")?);
        }
    }
    let (_, alone) = lanes.first().context("no lanes")?;
    let mut rows = Vec::new();
    for ((threads, whose), samples) in &lanes {
        let (pairs, ratio) = (SECOND / samples.median(), samples.speed_beside(alone));
        println!("{threads} on {whose:8}{pairs:12.0}{ratio:9.2}");
        rows.push(json!({
            "row": "cache-threads",
            "kernel": vm.kernel(),
            "threads": threads,
            "resources": whose,
            "pairs_per_s": pairs,
            "ratio_to_one": ratio,
        }));
    }
    println!();
    Ok(rows)
}
