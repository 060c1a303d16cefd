//! Hands work over gracefully: the worker that holds EX does one unit after the other until a
//! blocking notice says that the other wants to go on. It finishes its unit, stores where the work
//! stands in the lock value block with the conversion from EX to NL, and lines up to get it back.
//!
//! Two workers take turns. Each unit depends on the one before, so that a unit left out, done twice
//! or done from an old state would show in the result.
//!
//! `cargo xtask vm run --add target/debug/examples -- /examples/handover`

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use dlm_runtime::{Lockspace, Mode, ValueBlock};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
usage: handover

Two workers hand the same work over to each other eight times.
";
const LOCKSPACE: &str = "handover";
const TURNS: u64 = 8;

/// Where the work stands. What a successor needs must fit into 32 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    turns: u64,
    units: u64,
    result: u64,
}

impl Progress {
    fn to_block(self) -> Result<ValueBlock> {
        let block = ValueBlock::ZERO.with_u64_at(0, self.turns);
        let block = block.and_then(|block| block.with_u64_at(8, self.units));
        Ok(block.and_then(|block| block.with_u64_at(16, self.result)).ok_or("too long")?)
    }

    fn from_block(block: ValueBlock) -> Result<Self> {
        let word = |offset| block.u64_at(offset).ok_or("too short");
        Ok(Self { turns: word(0)?, units: word(8)?, result: word(16)? })
    }

    /// One unit of work: not to be interrupted.
    fn advance(&mut self) {
        for _ in 0..10_000 {
            self.result = (self.result ^ self.units).wrapping_mul(0x5851_f42d_4c95_7f2d) + 1;
        }
        self.units += 1;
    }
}

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        None => run(),
        Some("-h" | "--help") => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(format!("what is {other}? (--help tells more)").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("handover: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    // Holds nothing, and keeps the lock value block until the result is read.
    let keeper = lockspace.lock("work", Mode::Nl).wait()?;
    let (sender, ends) = channel();
    for name in ["anna", "ben"] {
        let sender = sender.clone();
        thread::spawn(move || _ = sender.send(work(name)));
    }
    drop(sender);
    for end in ends {
        let turns = end?;
        if turns != TURNS / 2 {
            return Err(format!("one of two had {turns} of {TURNS} turns").into());
        }
    }
    let read = keeper.convert(Mode::Pr).read_lvb().wait()?;
    let done = Progress::from_block(read.valid_lvb().ok_or("the progress is lost")?)?;
    let mut alone = Progress { turns: TURNS, ..Progress::default() };
    while alone.units < done.units {
        alone.advance();
    }
    if alone != done || done.units < TURNS {
        return Err(format!("two made {done:?}, one alone would have made {alone:?}").into());
    }
    keeper.unlock().wait()?;
    lockspace.release()?;
    println!("{} units in {TURNS} turns: as if one had done them all", done.units);
    Ok(())
}

/// Works until all turns are over. Returns how many were this worker's.
fn work(name: &str) -> Result<u64> {
    let lockspace = Lockspace::open(LOCKSPACE)?;
    let lock = lockspace.lock("work", Mode::Nl).note_blocking().wait()?;
    let mut turns = 0;
    loop {
        // Stands in line until the other gives way.
        let granted = lock.convert(Mode::Ex).read_lvb().wait()?;
        let block = granted.valid_lvb().ok_or("the other died at work")?;
        let mut progress = Progress::from_block(block)?;
        if progress.turns == TURNS {
            lock.convert(Mode::Nl).wait()?;
            lock.unlock().wait()?;
            return Ok(turns);
        }
        let first = progress.units;
        // At least one unit, so that the work goes on even if both are always in a hurry.
        loop {
            progress.advance();
            // Looks, and does not wait.
            if lock.wait_blocked(Some(Duration::ZERO))?.is_some() {
                break;
            }
        }
        turns += 1;
        progress.turns += 1;
        println!("turn {}: {name} did units {first} to {}", progress.turns, progress.units - 1);
        lock.convert(Mode::Nl).write_lvb(progress.to_block()?).wait()?;
    }
}
