//! Accounts of callbacks: each must run exactly once, or be dropped with the handle of its lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use dlm_runtime::Completion;

/// How long a completion may take that nothing keeps back any more.
pub(crate) const LOST: Duration = Duration::from_secs(30);

/// What became of all callbacks.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) started: AtomicU64,
    pub(crate) ran: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// Dropped while it was not known yet why they might be.
    suspects: Mutex<Vec<Arc<Ticket>>>,
}

impl Ledger {
    /// How many were dropped although their handles were there. Clears the list.
    pub(crate) fn lost(&self) -> usize {
        let suspects = std::mem::take(&mut *self.suspects.lock().unwrap());
        suspects.iter().filter(|ticket| !ticket.excused.load(Ordering::SeqCst)).count()
    }
}

/// One callback, as it is seen by the thread that started it.
pub(crate) struct Ticket {
    ledger: Arc<Ledger>,
    end: Mutex<Option<Completion>>,
    changed: Condvar,
    /// The handle was dropped, or its lockspace closed: the callback need not run.
    excused: AtomicBool,
}

/// One callback, as it is seen from inside. Dropped when it has run or never will.
pub(crate) struct Stub {
    ticket: Arc<Ticket>,
    ran: bool,
}

impl Ticket {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> (Arc<Self>, Stub) {
        ledger.started.fetch_add(1, Ordering::SeqCst);
        let ticket = Arc::new(Self {
            ledger: Arc::clone(ledger),
            end: Mutex::default(),
            changed: Condvar::new(),
            excused: AtomicBool::new(false),
        });
        (Arc::clone(&ticket), Stub { ticket, ran: false })
    }

    /// From here on the callback may be dropped.
    pub(crate) fn excuse(&self) {
        self.excused.store(true, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) -> Option<Completion> {
        *self.end.lock().unwrap()
    }

    /// Waits a little for the end.
    pub(crate) fn wait(&self, time: Duration) -> Option<Completion> {
        let end = self.end.lock().unwrap();
        *self.changed.wait_timeout_while(end, time, |end| end.is_none()).unwrap().0
    }
}

impl Stub {
    /// The callback runs.
    pub(crate) fn run(mut self, completion: Completion) {
        self.ran = true;
        let before = self.ticket.end.lock().unwrap().replace(completion);
        assert!(before.is_none(), "a callback ran twice");
        self.ticket.changed.notify_all();
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let ledger = &self.ticket.ledger;
        if self.ran {
            ledger.ran.fetch_add(1, Ordering::SeqCst);
        } else {
            ledger.dropped.fetch_add(1, Ordering::SeqCst);
            if !self.ticket.excused.load(Ordering::SeqCst) {
                ledger.suspects.lock().unwrap().push(Arc::clone(&self.ticket));
            }
        }
    }
}

/// A bell for one task: a waker that counts.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

/// Polls a future until it is ready, and only when it was woken. `idle` is run now and then
/// meanwhile: whoever has no delivery thread dispatches there. `None` when no wake came in time.
pub(crate) fn block_on<F: Future + Unpin>(
    mut future: F,
    mut idle: impl FnMut(),
) -> Option<F::Output> {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let std::task::Poll::Ready(output) = std::pin::Pin::new(&mut future).poll(&mut context) {
            return Some(output);
        }
        let start = Instant::now();
        let mut rung = bell.rung.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            if start.elapsed() > LOST {
                return None;
            }
            drop(rung);
            idle();
            rung = bell.rung.lock().unwrap();
            if !*rung {
                rung = bell.changed.wait_timeout(rung, Duration::from_millis(2)).unwrap().0;
            }
        }
    }
}
