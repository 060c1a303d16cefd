//! A thread that writes requests for those who must not block.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::threads::mpsc::{Sender, channel};
use crate::threads::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs in their order. The thread ends when this is dropped and its jobs are done.
pub(crate) struct Writer(Sender<Job>);

impl Writer {
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, jobs) = channel::<Job>();
        thread::Builder::new().name("dlm-writer".into()).spawn(move || {
            for job in jobs {
                // What is foreign in a job is guarded in it; this is for the thread's own life.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                    std::mem::forget(payload);
                }
            }
        })?;
        Ok(Self(sender))
    }

    pub(crate) fn push(&self, job: impl FnOnce() + Send + 'static) {
        // The thread outlives the sender.
        let _ = self.0.send(Box::new(job));
    }
}
