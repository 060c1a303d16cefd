//! Locks in tokio: many tasks, with timeouts and cancellation, in one thread.
//!
//! One spawned task drives the lockspace: it reads results and wakes the tasks that wait for them.
//! A future that is dropped, by an abort, a `select` or a `timeout`, takes its request back.
//!
//! `cargo build -p dlm-runtime --features tokio --examples`, and then
//! `cargo xtask vm run --add target/debug/examples -- /examples/tokio_tasks`

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dlm_runtime::{LockspaceOptions, Mode};
use tokio::task::yield_now;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Lockspace = Arc<dlm_runtime::Lockspace>;

const USAGE: &str = "\
usage: tokio_tasks

Tasks wait for a lock: some give up, some are aborted, and some take turns.
";
const TASKS: u32 = 20;
const PATIENCE: Duration = Duration::from_millis(20);

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
            eprintln!("tokio_tasks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // With background writes the executor goes on even while the cluster holds requests up.
    let lockspace = LockspaceOptions::new().background_writes().create("tokio_tasks")?;
    let lockspace = Arc::new(lockspace);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tasks(&lockspace))?;
    drop(runtime);
    // Blocks, and so it is done outside of the runtime.
    Arc::into_inner(lockspace).ok_or("a task is left")?.release()?;
    println!("nothing is left behind");
    Ok(())
}

async fn tasks(lockspace: &Lockspace) -> Result<()> {
    let driver = tokio::spawn(lockspace.drive_tokio()?);
    let held = lockspace.lock("printer", Mode::Ex).await?;
    give_up(lockspace).await?;
    abort(lockspace).await?;
    held.unlock().await?;
    take_turns(lockspace).await?;

    // The unlocks of dropped locks are answered in the background.
    lockspace.flush_drops().await?;
    driver.abort();
    match driver.await {
        Err(aborted) if aborted.is_cancelled() => Ok(()),
        Ok(error) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}

/// Two ways to give up: a deadline of the request, and tokio's timeout around its future.
async fn give_up(lockspace: &Lockspace) -> Result<()> {
    let tasks = spawn(lockspace, |lockspace, n| async move {
        if n % 2 == 0 {
            let answer = lockspace.lock("printer", Mode::Pr).timeout(PATIENCE).await;
            answer.is_err_and(|error| error.is_timed_out())
        } else {
            let request = lockspace.lock("printer", Mode::Pr);
            tokio::time::timeout(PATIENCE, request.into_future()).await.is_err()
        }
    });
    for task in tasks {
        if !task.await? {
            return Err("a task did not run out of time".into());
        }
    }
    println!("{TASKS} tasks gave up");
    Ok(())
}

/// Tasks are aborted while they stand in line.
async fn abort(lockspace: &Lockspace) -> Result<()> {
    let before = lockspace.counters().requests;
    let tasks = spawn(lockspace, |lockspace, _| async move {
        lockspace.lock("printer", Mode::Ex).await.is_ok()
    });
    while lockspace.counters().requests < before + u64::from(TASKS) {
        yield_now().await;
    }
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        match task.await {
            Err(aborted) if aborted.is_cancelled() => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err("a task was granted what another holds".into()),
        }
    }
    println!("{TASKS} tasks were aborted");
    Ok(())
}

/// Tasks increment a counter, one step at a time, under the lock.
async fn take_turns(lockspace: &Lockspace) -> Result<()> {
    let counter = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&counter);
    let tasks = spawn(lockspace, move |lockspace, _| {
        let counter = Arc::clone(&theirs);
        async move {
            let Ok(lock) = lockspace.lock("printer", Mode::Ex).await else { return false };
            let seen = counter.load(Ordering::Relaxed);
            // Lets the others run: without the lock they would see the same number.
            yield_now().await;
            counter.store(seen + 1, Ordering::Relaxed);
            lock.unlock().await.is_ok()
        }
    });
    for task in tasks {
        if !task.await? {
            return Err("a task did not get its turn".into());
        }
    }
    match counter.load(Ordering::Relaxed) {
        TASKS => println!("{TASKS} tasks took turns"),
        count => return Err(format!("{TASKS} tasks counted to {count}").into()),
    }
    Ok(())
}

/// Starts many tasks that do the same.
fn spawn<F>(
    lockspace: &Lockspace,
    mut each: impl FnMut(Lockspace, u32) -> F,
) -> Vec<tokio::task::JoinHandle<bool>>
where
    F: Future<Output = bool> + Send + 'static,
{
    (0..TASKS).map(|n| tokio::spawn(each(Arc::clone(lockspace), n))).collect()
}
