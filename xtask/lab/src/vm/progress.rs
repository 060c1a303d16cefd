//! Tells the user what takes long, and nothing about what does not.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Work that is under way; it ends when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Slow {
    _end: Sender<()>,
}

/// Prints a line to standard error if the work takes longer than a second.
pub fn slow(text: impl Into<String>) -> Slow {
    let (end, ended) = channel();
    let text = text.into();
    // Without a thread the line is not printed, which is no reason to give up the work.
    drop(std::thread::Builder::new().name("progress".into()).spawn(move || {
        if ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("xtask: {text}");
        }
    }));
    Slow { _end: end }
}
