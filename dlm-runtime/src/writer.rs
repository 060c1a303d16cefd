//! A thread that writes requests for those who must not block.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sync::mpsc::{Sender, channel};
use crate::sync::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs in their order. The thread ends when this is dropped and its jobs are done.
pub(crate) struct Writer(Sender<Job>);

impl Writer {
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, jobs) = channel::<Job>();
        thread::Builder::new().name("dlm-writer".into()).spawn(move || {
            for job in jobs {
                // A waker that panics harms itself only.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self(sender))
    }

    pub(crate) fn push(&self, job: impl FnOnce() + Send + 'static) {
        // The thread outlives the sender.
        let _ = self.0.send(Box::new(job));
    }
}
