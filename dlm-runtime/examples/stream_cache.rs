//! A value that readers keep until somebody wants to write it: the notices of a lock as a stream.
//!
//! Each reader is one task that holds PR while it knows the value. A notice says that a writer waits; the
//! task forgets the value, converts to NL, and stands in line for PR behind the writer. All others of its
//! process read from a watch channel, without a lock.
//!
//! `dlm_runtime::cache` does this for many resources, with limits and counters.
//!
//! `cargo run -p dlm-runtime --features engine,tokio --example stream_cache -- --engine`

use dlm_runtime::{BlockingNotices, Lockspace, LockspaceOptions, Mode, ValueBlock};
use tokio::sync::watch;

mod common;
use common::Result;

const LOCKSPACE: &str = "stream_cache";
const RESOURCE: &str = "config";
const READERS: usize = 3;
const VERSIONS: u64 = 5;

fn main() -> Result<()> {
    let options = LockspaceOptions::new().backend(common::backend()?);
    let lockspace = options.create(LOCKSPACE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(share(&lockspace, &options))?;
    drop(runtime);
    lockspace.release()?;
    println!("no reader ever knew an old value");
    Ok(())
}

/// Follows the value, and shows it while it is known. Ends with the lockspace.
async fn follow(space: Lockspace, shown: watch::Sender<Option<u64>>) -> Result<()> {
    tokio::spawn(space.drive_tokio()?);
    let lock = space.lock(RESOURCE, Mode::Nl).with_lvb().note_blocking().await?;
    // The stream owns the lock. Adapters for streams take it, too: it is a `futures_core::Stream`.
    let mut notices = BlockingNotices::new(lock);
    loop {
        // Queued: readers that overtook the writer they gave way to would never let him in.
        let granted = notices.lock().convert(Mode::Pr).queued().read_lvb().await?;
        // A block that is not valid was lost with a node that may have written it.
        let block = granted.valid_lvb().ok_or("the value is lost")?;
        shown.send_replace(block.u64_at(0));
        let notice = notices.next().await;
        shown.send_replace(None);
        if notice.is_none() {
            return Ok(());
        }
        notices.lock().convert(Mode::Nl).await?;
    }
}

async fn share(writer: &Lockspace, options: &LockspaceOptions) -> Result<()> {
    let driver = tokio::spawn(writer.drive_tokio()?);
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let (space, (sender, shown)) = (options.open(LOCKSPACE)?, watch::channel(None));
        readers.push((tokio::spawn(follow(space.clone(), sender)), space, shown));
    }
    let lock = writer.lock(RESOURCE, Mode::Nl).with_lvb().await?;
    for version in 0..=VERSIONS {
        if version > 0 {
            lock.convert(Mode::Ex).await?;
            if readers.iter().any(|(_, _, shown)| shown.borrow().is_some()) {
                return Err("a reader knows a value while it is written".into());
            }
            let block = ValueBlock::ZERO.with_u64_at(0, version).ok_or("too long")?;
            lock.convert(Mode::Nl).write_lvb(block).await?;
        }
        for (_, _, shown) in &mut readers {
            let seen = *shown.wait_for(Option::is_some).await?;
            if seen != Some(version) {
                return Err(format!("{seen:?} was read, {version} was written").into());
            }
        }
    }
    lock.unlock().await?;
    for (reader, space, _) in readers {
        // Its stream ends, and so does the task.
        space.close()?;
        reader.await??;
    }
    driver.abort();
    println!("{READERS} readers knew each of {VERSIONS} versions");
    Ok(())
}
