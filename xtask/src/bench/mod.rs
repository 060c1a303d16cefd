//! `cargo xtask bench`

mod beside;
mod cache;
mod choice;
mod cluster;
mod codec;
mod engine;
mod fight;
mod file;
mod guest;
mod libdlm;
mod library;
mod race;
mod samples;
mod waits;

use anyhow::Result;
use std::ffi::OsString;
use std::process::ExitCode;

use choice::Choice;
use dlm_lab::vm::provision;
use dlm_lab::vm::store::Store;
use file::ResultFile;

/// How to use it.
pub const USAGE: &str = "\
usage: cargo xtask bench [--kernel NAME] [--quick] [--only NAME]...

Measures what this workspace costs, and writes target/bench.json after each reading:

    codec                 encoding and decoding a record, on this machine
    engine                a lock and its unlock on dlm-engine, beside 10 to 100,000 others

and, in virtual machines with a real DLM, uncontended EX locks and their unlocks, which are an
operation each:

    blocking              the thread waits for each
    blocking-with-thread  the same while another thread exists: the one that runs callbacks
    poll-dispatch         with callbacks: request, poll, dispatch
    waiting-dispatch      with callbacks: request, one call that waits and dispatches
    in-flight             1,000 locks under way, then their 1,000 unlocks
    futures               awaited in one task; C, which has none, polls and dispatches

by these:

    floor                 writes prepared requests and reads results, by the C library's functions
    floor-inline          the same by the system calls of dlm-sys
    floor-watched         as the floor, with the device in an epoll set, and that is polled
    dlm-sys               the same, and encodes and decodes each record
    dlm-runtime           this crate
    dlm-runtime-guarded   the same with first requests kept apart, as it is by itself since 6.10
    dlm-runtime-unguarded the same with them not kept apart
    libdlm_lt             the C library without threads
    libdlm                the C library with its thread
    our-libdlm_lt         the same program with our library
    our-libdlm_lt-unguarded   the same with first requests not kept apart
    our-libdlm            the same program with our library

They are measured in instructions, on one processor: the number for an operation in the chunk of ten
pairs at the tenth percentile, which repeats to 0.1 % (in-flight: of 1,000 pairs, and 1 %), and how
many that is over the floor in the same row. And in wall time, on two processors. Then:

    waits                 the system calls of a thread whose lock has to wait, and of its unlock

    cache                 locks that stay, by dlm_runtime::cache: instructions of a lock and its unlock
                          beside a compare-and-swap loop that nobody disturbs, and beside locks that do
                          not stay; wall time with one, two and four threads; memory, system calls

And between the nodes of a cluster of three, in wall time; a third node is master of the resource:

    cross-node            locks and unlocks, an operation each, by dlm-runtime, libdlm_lt and
                          our-libdlm_lt in one process, which take turns pair by pair
    handover              two nodes hold a lock in turn, each until a blocking AST tells that the other
                          wants it; each change of the holder is an operation
    value-exchange        the same by conversions, with a number in the value block
    fight                 two nodes, and then three, take and release one lock as often as they can, by
                          a cache, by dlm-runtime and by libdlm_lt: how often, the longest wait, and the
                          part of the node that had it least
    cluster               these four

    --only NAME     only this row or this library, beside the floor (may be given several times)
    --kernel NAME   6.1 (default), 6.12, 5.10 or 7
    --quick         one round, no wall time but between nodes, and there fewer rounds
";

/// The rows that need no virtual machine.
const CODEC: &str = "codec";
const ENGINE: &str = "engine";

/// Runs the subcommand.
///
/// # Errors
///
/// [`crate::Usage`] for wrong arguments; what keeps it from measuring.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let choice = Choice::parse(arguments).map_err(|error| crate::Usage::new(&error, USAGE))?;
    let Some(choice) = choice else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let mut file = ResultFile::create()?;
    if choice.has(CODEC) {
        provision::ensure_for_counting(&Store::open()?)?;
        file.add(codec::run()?)?;
    }
    if choice.has(ENGINE) {
        file.add(engine::run(choice.quick)?)?;
    }
    let in_guest = guest::ROWS.iter().map(|row| row.name).chain([waits::ROW, cache::ROW]);
    if in_guest.into_iter().any(|row| choice.has(row)) {
        guest::run(&choice, &mut file)?;
    }
    if cluster::rows().any(|row| choice.has(row)) {
        cluster::run(&choice, &mut file)?;
    }
    println!("Written to target/bench.json.");
    Ok(ExitCode::SUCCESS)
}
