//! Work that nodes of a cluster do together. This program runs on each of them; on a node of its own,
//! which nobody measures, it keeps the resource, and is its master. `libdlm.c` does the same.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use dlm_runtime::{CompletionHandler, Lock, Lockspace, LockspaceOptions, Mode, ValueBlock};

use crate::measure::measure_after;
use crate::ours::{Tally, handler, wait};
use crate::{LOCKSPACE, RESOURCE, Result};

/// Pairs or turns before the clock starts.
const WARM_UP: usize = 20;

/// Joins the lockspace, and has the resource with its value block if it is to keep that, until the
/// input ends.
pub(crate) fn stay(keeps: bool) -> Result<()> {
    let lockspace = LockspaceOptions::new().open_or_create(LOCKSPACE)?;
    let kept = |_| lockspace.lock(RESOURCE, Mode::Nl).with_lvb().wait();
    let lock = keeps.then_some(()).map(kept).transpose()?;
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(lock);
    Ok(lockspace.close()?)
}

/// Takes turns with another node: each holds the lock until a notice tells that the other wants it.
/// Whoever has the last turn waits for nobody.
fn take_turns(party: &Party, count: usize, turn: &mut dyn FnMut(bool) -> Result<()>) -> Result<()> {
    let mut left = WARM_UP + count;
    measure_after(WARM_UP, count, &mut |count| {
        for _ in 0..count {
            left -= 1;
            party.tally.blocked.store(0, Ordering::Relaxed);
            turn(left == 0)?;
        }
        Ok(())
    })
}

/// A node's part in turns, with callbacks.
struct Party {
    lockspace: Lockspace,
    tally: &'static Tally,
    handler: CompletionHandler,
}

impl Party {
    fn new() -> Result<Self> {
        let tally = Tally::new();
        Ok(Self { lockspace: Lockspace::open(LOCKSPACE)?, tally, handler: handler(tally) })
    }

    /// Asks for the lock, and waits until it is granted.
    fn lock(&self, mode: Mode, with_lvb: bool) -> Result<Lock> {
        let tally = self.tally;
        let request = self.lockspace.lock(RESOURCE, mode);
        let request = if with_lvb { request.with_lvb() } else { request };
        let request = request.on_blocking(|_| _ = tally.blocked.fetch_add(1, Ordering::Relaxed));
        let lock = request.start_with(&self.handler, 0)?;
        self.wait(&tally.granted)?;
        Ok(lock)
    }

    fn give_way(&self, last: bool) -> Result<()> {
        if last { Ok(()) } else { self.wait(&self.tally.blocked) }
    }

    fn wait(&self, count: &AtomicUsize) -> Result<()> {
        wait(&self.lockspace, count, 1)
    }

    fn leave(self) -> Result<()> {
        Ok(self.lockspace.close()?)
    }
}

/// The lock goes from node to node.
pub(crate) fn handover(count: usize) -> Result<()> {
    let party = Party::new()?;
    take_turns(&party, count, &mut |last| {
        let lock = party.lock(Mode::Ex, false)?;
        party.give_way(last)?;
        lock.unlock().start_with(&party.handler, 0)?;
        party.wait(&party.tally.unlocked)
    })?;
    party.leave()
}

/// A number in the value block goes with it, and each node adds one.
pub(crate) fn value_exchange(count: usize) -> Result<()> {
    let party = Party::new()?;
    let lock = party.lock(Mode::Nl, true)?;
    let mut written = 0;
    take_turns(&party, count, &mut |last| {
        lock.convert(Mode::Ex).read_lvb().start_with(&party.handler, 0)?;
        party.wait(&party.tally.granted)?;
        let value = lock.valid_lvb().and_then(|block| block.u64_at(0)).ok_or("no valid number")?;
        if written != 0 && value != written + 1 {
            return Err(format!("{value} follows {written}").into());
        }
        party.give_way(last)?;
        written = value + 1;
        let block = ValueBlock::ZERO.with_u64_at(0, written).ok_or("the block is too short")?;
        lock.convert(Mode::Nl).write_lvb(block).start_with(&party.handler, 0)?;
        party.wait(&party.tally.granted)
    })?;
    lock.unlock().wait()?;
    party.leave()
}
