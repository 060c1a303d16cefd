//! Locks in a loop of mio: one thread that serves commands and lock callbacks, and never blocks.
//!
//! The lockspace is one more source of events. When it is readable, `dispatch` runs what is due; mio polls
//! edge-triggered, which is all right as one `dispatch` reads all that was there.
//!
//! `cargo run -p dlm-runtime --features engine --example mio_loop -- --engine`

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use dlm_runtime::{BlockedLock, Completion, Lock, Lockspace, LockspaceOptions, Mode};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

mod common;
use common::Result;

const LOCKSPACE: &str = "mio_loop";
const LOCKS: Token = Token(0);
const COMMANDS: Token = Token(1);

/// What a client may ask of the server.
enum Command {
    /// Lock a resource, and say when it is granted.
    Lock(&'static str, Sender<String>),
    Quit,
}

struct Server {
    space: Lockspace,
    commands: Receiver<Command>,
    locks: HashMap<&'static str, Lock>,
}

impl Server {
    fn run(mut self, mut poll: Poll) -> Result<()> {
        let lockspace = self.space.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&lockspace), LOCKS, Interest::READABLE)?;
        let mut events = Events::with_capacity(8);
        loop {
            poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    LOCKS => _ = self.space.dispatch()?,
                    _ => {
                        if self.obey()? {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Takes all commands. Tells whether one was to quit.
    fn obey(&mut self) -> Result<bool> {
        while let Ok(command) = self.commands.try_recv() {
            let Command::Lock(name, client) = command else { return Ok(true) };
            let granted = client.clone();
            let granted = move |completion: Completion| {
                _ = granted.send(format!("{name}: {}", completion.status));
            };
            if let Some(lock) = self.locks.get(name) {
                // It has given way, and stands in line again.
                lock.convert(Mode::Ex).start(granted)?;
                continue;
            }
            let request = self.space.lock(name, Mode::Ex);
            let lock = request.on_blocking_with(move |lock| give_way(name, lock, &client));
            self.locks.insert(name, lock.start(granted)?);
        }
        Ok(false)
    }
}

/// The blocking callback: somebody else waits. The conversion is sent, and not waited for.
fn give_way(name: &str, lock: &BlockedLock, client: &Sender<String>) {
    _ = client.send(format!("{name}: {} is wanted", lock.wanted()));
    if let Err(error) = lock.convert(Mode::Nl).start(|_| {}) {
        _ = client.send(format!("{name}: {error}"));
    }
}

fn main() -> Result<()> {
    let options = LockspaceOptions::new().backend(common::backend()?);
    let (lockspace, rival) = (options.create(LOCKSPACE)?, options.open(LOCKSPACE)?);
    let (poll, (sender, commands)) = (Poll::new()?, channel());
    let waker = Arc::new(Waker::new(poll.registry(), COMMANDS)?);
    let server = Server { space: lockspace.clone(), commands, locks: HashMap::new() };
    let server = thread::spawn(move || server.run(poll));

    let (answer, answers) = channel();
    let ask = |command| -> Result<()> {
        sender.send(command)?;
        Ok(waker.wake()?)
    };
    for name in ["disk0", "disk1"] {
        ask(Command::Lock(name, answer.clone()))?;
        expect(&answers, &format!("{name}: granted"))?;
    }
    // Waits in this thread, until the loop has given way.
    let held = rival.lock("disk1", Mode::Pr).wait()?;
    expect(&answers, "disk1: PR is wanted")?;
    // Is granted when the rival lets go: the loop goes on meanwhile.
    ask(Command::Lock("disk1", answer))?;
    held.unlock().wait()?;
    expect(&answers, "disk1: granted")?;
    ask(Command::Quit)?;
    server.join().map_err(|_| "the server panicked")??;

    rival.close()?;
    lockspace.release()?;
    println!("done");
    Ok(())
}

fn expect(answers: &Receiver<String>, wanted: &str) -> Result<()> {
    let answer = answers.recv()?;
    println!("{answer}");
    if answer == wanted { Ok(()) } else { Err(format!("{wanted:?} was expected").into()) }
}
