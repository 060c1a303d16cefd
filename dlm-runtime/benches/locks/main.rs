//! Pairs of an uncontended EX lock and its unlock: by this crate, by the two crates under it, and
//! by the least that any program can do. `cargo xtask bench` runs this on a real kernel, beside
//! `libdlm.c`, which does the same work with the C library.
//!
//! `locks LIBRARY ROW COUNT` does COUNT pairs and prints what they cost, see `measure.rs`. `locks
//! beside COUNT` does COUNT with each of three libraries in turns, and `locks THREADS own|shared COUNT`
//! with a cache in each of so many threads. `locks fight LIBRARY` does what it can while
//! other nodes do the same. `locks memory` prints how big a lock in flight is, and `locks cache-memory`
//! how big a resource is in a cache. `locks stay` and `locks keep` keep a lockspace, and a resource, in a
//! cluster. Without these it lists what it can do.

mod allocator;
mod beside;
mod c_library;
mod cached;
mod cluster;
mod codec;
mod device;
mod fight;
mod floor;
mod measure;
mod ours;
mod waits;

use std::error::Error;
use std::process::ExitCode;

use floor::{CLibrary, DlmSys, Watched};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Each run has the lockspace for itself, and removes it.
const LOCKSPACE: &str = "bench";

/// The resource of rows that have one lock at a time.
const RESOURCE: &[u8] = b"resource";

/// Locks in flight at a time, on as many resources.
const BATCH: usize = 1000;

/// The resources of a batch.
fn names() -> Vec<Vec<u8>> {
    (0..BATCH).map(|number| format!("resource-{number:04}").into_bytes()).collect()
}

type Row = (&'static str, &'static str, fn(usize) -> Result<()>);

const ROWS: &[Row] = &[
    ("floor", "blocking", floor::blocking::<CLibrary>),
    ("floor", "blocking-with-thread", floor::blocking_with_thread::<CLibrary>),
    ("floor", "poll-dispatch", floor::polling::<CLibrary>),
    // What is there is read without a poll.
    ("floor", "waiting-dispatch", floor::blocking::<CLibrary>),
    ("floor", "in-flight", floor::in_flight::<CLibrary>),
    // What has completed at once needs no waiting for.
    ("floor", "futures", floor::blocking::<CLibrary>),
    ("floor-inline", "blocking", floor::blocking::<DlmSys>),
    ("floor-inline", "blocking-with-thread", floor::blocking_with_thread::<DlmSys>),
    ("floor-inline", "poll-dispatch", floor::polling::<DlmSys>),
    ("floor-inline", "in-flight", floor::in_flight::<DlmSys>),
    ("floor-watched", "poll-dispatch", floor::polling::<Watched>),
    ("floor-watched", "in-flight", floor::in_flight::<Watched>),
    ("dlm-sys", "blocking", codec::blocking),
    ("dlm-sys", "poll-dispatch", codec::polling),
    ("dlm-sys", "in-flight", codec::in_flight),
    ("dlm-runtime", "blocking", ours::blocking),
    ("dlm-runtime-guarded", "blocking", ours::blocking_guarded),
    ("dlm-runtime-unguarded", "blocking", ours::blocking_unguarded),
    ("dlm-runtime", "blocking-with-thread", ours::blocking_with_thread),
    ("dlm-runtime", "poll-dispatch", ours::poll_and_dispatch),
    ("dlm-runtime", "waiting-dispatch", ours::waiting_dispatch),
    ("dlm-runtime", "in-flight", ours::in_flight),
    ("dlm-runtime", "futures", ours::futures),
    ("compare-and-swap", "cache", cached::compare_and_swap),
    ("cached-ex", "cache", cached::exclusive),
    ("cached-pr", "cache", cached::shared),
    ("cached-by-name", "cache", cached::by_name),
    ("dlm-runtime", "waits", waits::waits),
    ("dlm-runtime", "handover", cluster::handover),
    ("dlm-runtime", "value-exchange", cluster::value_exchange),
];

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["memory"] => ours::memory(),
        ["cache-memory"] => cached::memory(),
        [threads, whose @ ("own" | "shared"), count] => {
            let numbers = number(threads).and_then(|threads| Ok((threads, number(count)?)));
            numbers.and_then(|(threads, count)| cached::threads(threads, *whose == "own", count))
        }
        ["fight", library] => fight::fight(library),
        ["stay"] => cluster::stay(false),
        ["keep"] => cluster::stay(true),
        ["beside", count] => number(count).and_then(beside::beside),
        [library, row, count] => run(library, row, count),
        _ => {
            ROWS.iter().for_each(|(library, row, _)| println!("{library} {row}"));
            Ok(())
        }
    };
    if let Err(error) = done {
        eprintln!("locks: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(library: &str, row: &str, count: &str) -> Result<()> {
    let found = ROWS.iter().find(|(l, r, _)| (*l, *r) == (library, row));
    let (_, _, work) = found.ok_or_else(|| format!("{library} has no row {row}"))?;
    work(number(count)?)
}

fn number(count: &str) -> Result<usize> {
    Ok(count.parse()?)
}
