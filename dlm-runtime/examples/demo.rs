//! Two owners of one resource: one holds it, the other waits; the holder is told, leaves a message
//! in the lock value block and gives way.
//!
//! `cargo xtask demo` runs it with `--engine`, on a lock manager in this process. Without that it
//! uses the kernel's, as `cargo xtask demo --kernel 6.1` does.

use std::error::Error;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use dlm_runtime::engine::Cluster;
use dlm_runtime::{Lockspace, LockspaceOptions, Mode, ValueBlock};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const RESOURCE: &str = "printer";
const MESSAGE: &[u8] = b"tray 2 is empty";

/// Prints who says what, and when.
#[derive(Clone, Copy)]
struct Speaker {
    name: &'static str,
    start: Instant,
}

impl Speaker {
    fn say(self, what: &str) {
        let millis = self.start.elapsed().as_secs_f64() * 1000.0;
        println!("{millis:9.3} ms  {:<6} {what}", self.name);
    }
}

fn main() -> Result<()> {
    let options = match std::env::args().nth(1).as_deref() {
        None => LockspaceOptions::new(),
        Some("--engine") => LockspaceOptions::new().backend(Cluster::default().node(1)),
        Some(_) => return Err("usage: demo [--engine]".into()),
    };
    let start = Instant::now();
    let [anna, ben, main] = ["anna", "ben", "main"].map(|name| Speaker { name, start });

    main.say("creates the lockspace \"demo\"");
    // Each open lockspace is an owner of its own; here both are in one process.
    let annas = options.create("demo")?;
    let bens = options.open("demo")?;

    let (held, anna_holds) = channel();
    let holder = thread::spawn(move || hold(annas, anna, &held));
    anna_holds.recv()?;
    wait_behind(&bens, ben)?;
    let annas = holder.join().map_err(|_| "anna's thread panicked")??;

    bens.close()?;
    annas.release()?;
    main.say("releases the lockspace; nothing is left behind");
    Ok(())
}

/// Anna takes the resource and keeps it until somebody wants it.
fn hold(lockspace: Lockspace, anna: Speaker, held: &Sender<()>) -> Result<Lockspace> {
    let lock = lockspace.lock(RESOURCE, Mode::Ex).with_lvb().note_blocking().wait()?;
    anna.say("holds EX on \"printer\" (exclusive: nobody else may use it)");
    held.send(())?;

    let mode = lock.wait_blocked(None)?.ok_or("without a timeout it ends with a notice")?;
    anna.say(&format!("is told by a blocking AST: somebody waits for {mode}"));
    let block = ValueBlock::from_prefix(MESSAGE).ok_or("the message is too long")?;
    anna.say("writes \"tray 2 is empty\" into the lock value block and unlocks");
    lock.unlock().write_lvb(block).wait()?;
    Ok(lockspace)
}

/// Ben waits until Anna gives way.
fn wait_behind(lockspace: &Lockspace, ben: Speaker) -> Result<()> {
    match lockspace.lock(RESOURCE, Mode::Pr).no_queue().wait() {
        Err(error) if error.would_block() => {
            ben.say("asks for PR (shared) without waiting: refused, it is taken");
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("granted beside an exclusive lock".into()),
    }
    ben.say("asks for PR again, and waits");
    let lock = lockspace.lock(RESOURCE, Mode::Pr).with_lvb().wait()?;
    let lvb = lock.lvb().ok_or("the grant brought no lock value block")?;
    let text = lvb.block.as_ref().split(|&byte| byte == 0).next().unwrap_or_default();
    let state = if lvb.valid { "valid" } else { "NOT valid" };
    ben.say(&format!("is granted PR and reads \"{}\" ({state})", text.escape_ascii()));
    if text != MESSAGE || !lvb.valid {
        return Err("that is not what was written".into());
    }
    lock.unlock().wait()?;
    ben.say("unlocks");
    Ok(())
}
