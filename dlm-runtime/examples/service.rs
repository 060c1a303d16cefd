//! A service under tokio: workers that want the same lock again and again, and stop when they are told to.
//!
//! Whatever a worker waits for, it waits for the stop as well, by `tokio::select!`. A request whose future
//! loses is taken back by its drop, so a worker that stands in line leaves it at once.
//!
//! `cargo run -p dlm-runtime --features engine,tokio --example service -- --engine`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use dlm_runtime::{Lockspace, LockspaceOptions, sync};
use tokio::sync::watch;
use tokio::time::sleep;

mod common;
use common::Result;

const LOCKSPACE: &str = "service";
const WORKERS: u32 = 5;
/// The service is stopped after so many jobs.
const JOBS: u32 = 20;

/// The place where the jobs lie that only one worker may do at a time.
#[derive(Default)]
struct Jobs {
    is_busy: AtomicBool,
    done: AtomicU32,
}

impl Jobs {
    async fn work(&self) -> Result<()> {
        if self.is_busy.swap(true, Ordering::SeqCst) {
            return Err("two workers at a time".into());
        }
        sleep(Duration::from_millis(1)).await;
        self.is_busy.store(false, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn main() -> Result<()> {
    // With background writes the executor goes on even while the cluster holds requests up.
    let options = LockspaceOptions::new().backend(common::backend()?).background_writes();
    let lockspace = options.create(LOCKSPACE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(&options))?;
    // Refused if a worker had left a lock behind. It blocks, so it is done outside of the runtime.
    lockspace.release()?;
    println!("nothing is left behind");
    Ok(())
}

async fn serve(options: &LockspaceOptions) -> Result<()> {
    let jobs = Arc::new(Jobs::default());
    let (stop, stopped) = watch::channel(false);
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        // Each open lockspace is a party of its own, as on a node of its own.
        let worker = worker(options.open(LOCKSPACE)?, Arc::clone(&jobs), stopped.clone());
        workers.push(tokio::spawn(worker));
    }
    while jobs.done.load(Ordering::SeqCst) < JOBS && !workers.iter().any(|it| it.is_finished()) {
        sleep(Duration::from_millis(1)).await;
    }
    stop.send(true)?;
    for worker in workers {
        println!("a worker has done {} jobs", worker.await??);
    }
    Ok(())
}

/// Works until it is stopped, and tells how many jobs it has done.
async fn worker(space: Lockspace, jobs: Arc<Jobs>, mut stop: watch::Receiver<bool>) -> Result<u32> {
    let driver = tokio::spawn(space.drive_tokio()?);
    let turn = sync::Mutex::new(&space, "jobs", ());
    let mut done = 0;
    loop {
        let guard = tokio::select! {
            guard = turn.lock() => guard?,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        // A job that was begun is done to its end, unless the lock is lost.
        tokio::select! {
            outcome = jobs.work() => outcome?,
            why = space.closed() => return Err(why.into()),
        }
        guard.unlock().await?;
        done += 1;
    }
    // Requests that were taken back are answered in the background.
    space.flush_drops().await?;
    driver.abort();
    Ok(done)
}
