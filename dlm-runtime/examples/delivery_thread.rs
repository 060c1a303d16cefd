//! The first example of libdlm(3): a lockspace of one's own, and a thread that delivers its
//! callbacks.

use std::error::Error;
use std::sync::mpsc::channel;
use std::time::Duration;

use dlm_runtime::{Lockspace, Mode};

fn main() -> Result<(), Box<dyn Error>> {
    let lockspace = Lockspace::create("myLS")?;
    let delivery = lockspace.start_delivery()?;

    let (sender, completions) = channel();
    let lock = lockspace
        .lock("resource", Mode::Ex)
        .on_blocking(|blocking| println!("somebody waits for {}", blocking.mode))
        .start(move |completion| {
            let thread = std::thread::current();
            println!("{} in thread {:?}", completion.status, thread.name().unwrap_or("?"));
            _ = sender.send(completion);
        })?;
    let completion = completions.recv()?;
    if completion.mode != Some(Mode::Ex) || lock.mode() != Some(Mode::Ex) {
        return Err("the lock was not granted".into());
    }

    // The main line may block, with the thread running: it does not depend on it.
    lock.convert(Mode::Nl).wait()?;
    lock.unlock().wait()?;
    delivery.stop(Duration::from_secs(5))?;
    lockspace.release()?;
    println!("done");
    Ok(())
}
