//! An edge-triggered poller: one event and one dispatch are enough, however much is due.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use dlm_runtime::{Lock, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

dlm_tests::everywhere! {
    one_event_of_an_edge_triggered_epoll_and_one_dispatch_are_enough,
    one_dispatch_for_each_event_is_enough_for_tokio,
    what_comes_during_a_callback_fires_the_descriptor_anew,
}

/// More than any dispatch reads for fairness' sake.
const COUNT: usize = 1_000;

/// Starts requests, and counts their completions.
fn start(ls: &Lockspace, done: &Arc<AtomicUsize>) -> Vec<Lock> {
    let start = |n| {
        let done = Arc::clone(done);
        let count = move |_| _ = done.fetch_add(1, SeqCst);
        ls.lock(format!("r{n}"), Mode::Ex).start(count).unwrap()
    };
    (0..COUNT).map(start).collect()
}

/// An epoll that tells of a lockspace once for each change.
struct Edge(OwnedFd);

impl Edge {
    fn of(ls: &Lockspace) -> Self {
        // SAFETY: epoll_create1 has no precondition.
        let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(set >= 0);
        // SAFETY: the descriptor is new, and nobody else's.
        let set = unsafe { OwnedFd::from_raw_fd(set) };
        let events = (libc::EPOLLIN | libc::EPOLLET).cast_unsigned();
        let mut event = libc::epoll_event { events, u64: 0 };
        let fd = ls.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open, and the event is valid for the call.
        let added =
            unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        assert_eq!(added, 0);
        Self(set)
    }

    /// Whether there is an event within that many milliseconds.
    fn fires(&self, patience: i32) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: there is room for the one event that is asked for.
        unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, patience) == 1 }
    }
}

fn one_event_of_an_edge_triggered_epoll_and_one_dispatch_are_enough(place: &Place) {
    let ls = place.create("edge-epoll").unwrap();
    let edge = Edge::of(&ls);
    let done = Arc::new(AtomicUsize::new(0));
    let locks = start(&ls, &done);
    while done.load(SeqCst) < COUNT {
        assert!(edge.fires(5_000), "no event, and {} of {COUNT} ran", done.load(SeqCst));
        ls.dispatch().unwrap();
    }
    drop(locks);
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    // Another round: the descriptor goes off again.
    while edge.fires(0) {
        ls.dispatch().unwrap();
    }
    done.store(0, SeqCst);
    let locks = start(&ls, &done);
    while done.load(SeqCst) < COUNT {
        assert!(edge.fires(5_000), "no event, and {} of {COUNT} ran", done.load(SeqCst));
        ls.dispatch().unwrap();
    }
    drop(locks);
    ls.release().unwrap();
}

/// A lockspace for tokio.
struct Polled<'a>(&'a Lockspace);

impl AsRawFd for Polled<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

fn one_dispatch_for_each_event_is_enough_for_tokio(place: &Place) {
    let ls = place.create("edge-tokio").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        // SAFETY: the lockspace lives longer than `polled`, and keeps its descriptor as long as it lives.
        let polled = unsafe { AsyncFd::register_with_interest(Polled(&ls), Interest::READABLE) };
        let polled = polled.unwrap();
        let locks = start(&ls, &done);
        while done.load(SeqCst) < COUNT {
            let ready = tokio::time::timeout(PATIENCE, polled.readable()).await;
            let ran = done.load(SeqCst);
            let mut ready = ready.unwrap_or_else(|_| panic!("no event, {ran} ran")).unwrap();
            ready.clear_ready();
            ls.dispatch().unwrap();
        }
        drop(locks);
    });
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    ls.release().unwrap();
}

fn what_comes_during_a_callback_fires_the_descriptor_anew(place: &Place) {
    const STEPS: usize = 50;
    let ls = Arc::new(place.create("edge-chain").unwrap());
    let edge = Edge::of(&ls);
    let done = Arc::new(AtomicUsize::new(0));
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    // Each callback starts the next request.
    fn next(ls: &Arc<Lockspace>, kept: &Arc<std::sync::Mutex<Vec<Lock>>>, done: &Arc<AtomicUsize>) {
        let (theirs, locks, count) = (Arc::clone(ls), Arc::clone(kept), Arc::clone(done));
        let go_on = move |_| {
            if count.fetch_add(1, SeqCst) + 1 < STEPS {
                next(&theirs, &locks, &count);
            }
        };
        let request = ls.lock(format!("r{}", done.load(SeqCst)), Mode::Ex);
        let lock = request.start(go_on).unwrap();
        kept.lock().unwrap().push(lock);
    }
    next(&ls, &kept, &done);
    while done.load(SeqCst) < STEPS {
        assert!(edge.fires(5_000), "no event, and {} of {STEPS} ran", done.load(SeqCst));
        ls.dispatch().unwrap();
    }
    kept.lock().unwrap().clear();
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    Arc::into_inner(ls).unwrap().release().unwrap();
}
