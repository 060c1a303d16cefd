//! Finds the locks of a program that has crashed, adopts them, and removes what is left.
//!
//! A persistent lock survives its owner: it stays on the node as an orphan and goes on protecting
//! what the owner had begun, until a successor adopts it and cleans up. An orphan is found by its
//! resource, in whichever mode it holds. Nothing lists orphans, so a program must know its names.
//!
//! The crash is real: this program starts itself as a second process, and kills it.
//!
//! `cargo xtask vm run --add target/debug/examples -- /examples/adopt`

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitCode, Stdio};

use dlm_runtime::{Lock, Lockspace, Mode};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
usage: adopt

A process takes persistent locks and is killed; another adopts them.
";
const LOCKSPACE: &str = "adopt";
/// What the second process locks.
const LOCKS: [(&str, Mode); 3] =
    [("volume", Mode::Ex), ("snapshot", Mode::Pr), ("scratch", Mode::Ex)];

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        None => run(),
        Some("--crash") => hold(),
        Some("-h" | "--help") => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(format!("what is {other}? (--help tells more)").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("adopt: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The second process: takes its locks, makes them persistent, and is killed.
fn hold() -> Result<()> {
    let lockspace = Lockspace::open(LOCKSPACE)?;
    let mut held = Vec::new();
    for (name, mode) in LOCKS {
        let lock = lockspace.lock(name, mode).wait()?;
        lock.persist()?;
        held.push(lock);
    }
    println!("ready");
    // Until the end of its input, which does not come before the kill.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Err("nobody killed it".into())
}

fn run() -> Result<()> {
    let lockspace = Lockspace::create(LOCKSPACE)?;
    crash()?;
    println!("the owner is dead");

    for (name, mode) in LOCKS {
        expect_taken(&lockspace, name, mode)?;
    }
    let volume = adopt(&lockspace, "volume")?.ok_or("volume is lost")?;
    let snapshot = adopt(&lockspace, "snapshot")?.ok_or("snapshot is lost")?;
    if (volume.mode(), snapshot.mode()) != (Some(Mode::Ex), Some(Mode::Pr)) {
        return Err("the orphans have other modes than their owner gave them".into());
    }
    if adopt(&lockspace, "volume")?.is_some() || adopt(&lockspace, "unknown")?.is_some() {
        return Err("adopted what was not there".into());
    }
    // They are locks like any other now: clean up what they protect, and unlock.
    snapshot.unlock().wait()?;
    volume.unlock().wait()?;

    // What nobody adopts is removed, all of this lockspace's orphans on this node.
    expect_taken(&lockspace, "scratch", Mode::Ex)?;
    lockspace.purge(None, None)?;
    for (name, _) in LOCKS {
        lockspace.lock(name, Mode::Ex).no_queue().wait()?.unlock().wait()?;
    }
    // Would be refused if a lock or an orphan were left.
    lockspace.release()?;
    println!("adopted 2 orphans, purged the rest");
    Ok(())
}

/// Starts the second process, waits until it has its locks, and kills it.
fn crash() -> Result<()> {
    let mut owner = Command::new(std::env::current_exe()?)
        .arg("--crash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(owner.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    // Its locks have become orphans when it has been waited for. `wait` would close its input.
    let input = owner.stdin.take();
    owner.kill()?;
    owner.wait()?;
    drop(input);
    if line == "ready\n" { Ok(()) } else { Err("the owner did not get its locks".into()) }
}

/// Adopts an orphan in whichever mode it holds, or returns `None` if there is none.
fn adopt(lockspace: &Lockspace, name: &str) -> Result<Option<Lock>> {
    match lockspace.adopt_any(name).take() {
        Ok(lock) => {
            println!("adopted {name} in mode {:?}", lock.mode());
            Ok(Some(lock))
        }
        Err(error) if error.is_no_orphan() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that an orphan protects its resource.
fn expect_taken(lockspace: &Lockspace, name: &str, mode: Mode) -> Result<()> {
    match lockspace.lock(name, Mode::Ex).no_queue().wait() {
        Err(error) if error.would_block() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(format!("{mode} on {name} did not survive its owner").into()),
    }
}
