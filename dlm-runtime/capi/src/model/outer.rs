//! The outermost frame of a call in a schedule, in place of the modules `border` and `frame`.

use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

use dlm_runtime::driver::{Ready, Source};
use dlm_runtime::model::{Signal, Sources};

use crate::errno::Errno;
use crate::face::Session;
use crate::task::{Ask, Progress, Task};
use crate::turn::{Turn, TurnStep};

/// What is to be polled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Polled(Sources);

impl Polled {
    pub(crate) fn new(sources: &[Source<'_>]) -> Self {
        Self(Sources::new(sources))
    }

    fn wait(&self, until: Option<Instant>) -> nix::Result<Ready> {
        self.0.wait(until)
    }
}

/// Where a thread sleeps until another one wakes it.
#[derive(Debug)]
pub(crate) struct Semaphore(Signal);

impl Semaphore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Signal::new().expect("nothing to fail")))
    }

    fn sleep(&self, until: Option<Instant>) {
        self.0.take(until);
    }
}

impl Wake for Semaphore {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
}

/// Sees a call through.
pub(super) fn see_through<T: 'static>(progress: Progress<T>) -> Result<T, Errno> {
    see_through_unless(progress, || false).expect("nobody leaves")
}

/// The same, unless the thread is left where it would sleep, or in an AST: `None`.
pub(super) fn see_through_unless<T: 'static>(
    progress: Progress<T>,
    leaves: impl FnMut() -> bool,
) -> Option<Result<T, Errno>> {
    match progress {
        Progress::Ended(value) => Some(Ok(value)),
        Progress::GoesOn(task) => run(*task, leaves),
    }
}

/// Goes on with a task until it has ended, or the thread is left: then it is dropped.
pub(super) fn run<T: 'static>(
    mut task: Task<T>,
    mut leaves: impl FnMut() -> bool,
) -> Option<Result<T, Errno>> {
    loop {
        let ask = match task.advance() {
            Err(end) => return Some(end),
            Ok(ask) => ask,
        };
        if let Ask::Call(ast) = ask {
            // SAFETY: an AST of these scenarios always returns.
            unsafe { ast.call() };
        }
        if leaves() {
            return None;
        }
        match ask {
            Ask::Call(_) => {}
            Ask::Poll(polled, until) => task.polled(polled.wait(until)),
            Ask::Sleep(until) => task.semaphore().sleep(until),
        }
    }
}

/// Runs a turn of `dlm_dispatch`, unless the thread is left in an AST: then it is dropped.
pub(super) fn see_turn_through(
    session: Arc<Session>,
    mut leaves: impl FnMut() -> bool,
) -> Option<Result<usize, Errno>> {
    let (mut turn, mut ast) = match Turn::begin(session) {
        Ok(begun) => begun,
        Err(end) => return see_through_unless(end, leaves),
    };
    loop {
        // SAFETY: an AST of these scenarios always returns.
        unsafe { ast.call() };
        if leaves() {
            return None;
        }
        match turn.advance() {
            TurnStep::Call(next) => ast = next,
            TurnStep::End(end) => {
                drop(turn);
                return see_through_unless(end, leaves);
            }
        }
    }
}
