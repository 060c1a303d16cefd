//! Waiting, always with an end.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long anything may take. Generous: the machine may be emulated, and busy with much else.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What ends at a deadline of its own, a small part of a second, or at once, has ended by then also on a
/// busy machine. It is half of the patience that the library has with others without a deadline.
pub const PROMPT: Duration = Duration::from_secs(5);

/// Waits until `condition` holds, for things that nothing announces.
///
/// # Panics
///
/// If it does not within [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "after {PATIENCE:?} still not true: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `work` in a thread of its own and returns what it returned, or `None` if it is not done
/// within [`PATIENCE`]. The thread then stays behind.
pub fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, answer) = channel();
    thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = done.send(work());
    });
    answer.recv_timeout(PATIENCE).ok()
}

/// Waits in this thread for a future: the smallest executor there is.
///
/// # Panics
///
/// If nobody wakes it within [`PATIENCE`].
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    struct Bell(Thread, AtomicBool);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.1.store(true, SeqCst);
            self.0.unpark();
        }
    }
    let bell = Arc::new(Bell(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&bell));
    let (mut future, start) = (pin!(future.into_future()), Instant::now());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        // Looking again unasked would hide that nobody wakes it.
        while !bell.1.swap(false, SeqCst) {
            assert!(start.elapsed() < PATIENCE, "nobody woke the task");
            thread::park_timeout(PATIENCE);
        }
    }
}
