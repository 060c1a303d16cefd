//! Work that nodes of a cluster do together. This program runs on each of them; on a node of its own,
//! which nobody measures, it keeps the resource, and is its master. `libdlm.c` does the same.

use std::io::{Read, Write};

use dlm_runtime::{Lock, Lockspace, LockspaceOptions, Mode, ValueBlock};

use crate::{LOCKSPACE, RESOURCE, Result, measure_after, ours};

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

/// Locks and unlocks whose master is another node.
pub(crate) fn cross_node(count: usize) -> Result<()> {
    let lockspace = Lockspace::open(LOCKSPACE)?;
    measure_after(WARM_UP, count, &mut |count| ours::pairs(&lockspace, count))?;
    Ok(lockspace.close()?)
}

/// Takes turns with another node: each holds the lock until a notice tells that the other wants it.
/// Whoever has the last turn waits for nobody.
fn take_turns(count: usize, turn: &mut dyn FnMut(bool) -> Result<()>) -> Result<()> {
    let mut left = WARM_UP + count;
    measure_after(WARM_UP, count, &mut |count| {
        for _ in 0..count {
            left -= 1;
            turn(left == 0)?;
        }
        Ok(())
    })
}

fn give_way(lock: &Lock, last: bool) -> Result<()> {
    if !last {
        lock.wait_blocked(None)?;
    }
    Ok(())
}

/// The lock goes from node to node.
pub(crate) fn handover(count: usize) -> Result<()> {
    let lockspace = Lockspace::open(LOCKSPACE)?;
    take_turns(count, &mut |last| {
        let lock = lockspace.lock(RESOURCE, Mode::Ex).note_blocking().wait()?;
        give_way(&lock, last)?;
        Ok(lock.unlock()?)
    })?;
    Ok(lockspace.close()?)
}

/// A number in the value block goes with it, and each node adds one.
pub(crate) fn value_exchange(count: usize) -> Result<()> {
    let lockspace = Lockspace::open(LOCKSPACE)?;
    let lock = lockspace.lock(RESOURCE, Mode::Nl).with_lvb().note_blocking().wait()?;
    let mut written = 0;
    take_turns(count, &mut |last| {
        let lvb = lock.convert(Mode::Ex).read_lvb().wait()?.lvb.ok_or("no value block")?;
        let value = lvb.if_valid().and_then(|block| block.u64_at(0)).ok_or("no valid number")?;
        if written != 0 && value != written + 1 {
            return Err(format!("{value} follows {written}").into());
        }
        give_way(&lock, last)?;
        written = value + 1;
        let block = ValueBlock::ZERO.with_u64_at(0, written).ok_or("the block is too short")?;
        lock.convert(Mode::Nl).write_lvb(block).wait()?;
        Ok(())
    })?;
    lock.unlock()?;
    Ok(lockspace.close()?)
}
