//! The end of a lockspace can be seen: by its locks, by [`Lockspace::is_open`], and by who awaits
//! [`Lockspace::closed`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use dlm_proto::RemoveFlags;
use dlm_runtime::backend::{Errno, Faulty, ResultFault, on_results};
use dlm_runtime::engine::{Cluster, Profile};
use dlm_runtime::{Error, ErrorKind, Lock, LockStatus, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place, eventually};

dlm_tests::everywhere! {
    a_close_is_seen_by_locks_and_by_who_awaits_it,
    a_removal_is_seen_by_locks_callbacks_and_who_awaits_it,
    a_read_error_is_seen_by_locks_and_by_who_awaits_it,
}

/// Counts wake-ups.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Somebody who awaits the end.
struct Awaiting<'a> {
    future: Pin<Box<dyn Future<Output = Error> + 'a>>,
    count: Arc<Count>,
}

impl<'a> Awaiting<'a> {
    #[track_caller]
    fn new(ls: &'a Lockspace) -> Self {
        assert!(ls.is_open());
        let mut this = Self { future: Box::pin(ls.closed()), count: Arc::default() };
        assert!(this.poll().is_pending());
        this
    }

    fn poll(&mut self) -> Poll<Error> {
        let waker = Waker::from(Arc::clone(&self.count));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// What it is told, once it is woken.
    #[track_caller]
    fn told(mut self) -> Error {
        eventually("it is woken", || self.count.0.load(SeqCst) > 0);
        match self.poll() {
            Poll::Ready(error) => error,
            Poll::Pending => panic!("woken for nothing"),
        }
    }
}

#[track_caller]
fn assert_gone(ls: &Lockspace, locks: &[&Lock]) {
    assert!(!ls.is_open());
    for lock in locks {
        assert_eq!((lock.mode(), lock.is_held(), lock.is_in_flight()), (None, false, false));
    }
}

fn a_close_is_seen_by_locks_and_by_who_awaits_it(place: &Place) {
    let (other, ls) = place.open_twice("ve-close");
    let held = other.lock("s", Mode::Ex).wait().unwrap();
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    let pending = ls.lock("s", Mode::Ex).start(|_| panic!("given up by the close")).unwrap();
    assert!(lock.is_held() && !pending.is_held());
    let awaiting = Awaiting::new(&ls);
    ls.close().unwrap();
    assert!(matches!(awaiting.told().kind, ErrorKind::Closed));
    assert_gone(&ls, &[&lock, &pending]);
    assert!(other.is_open() && held.is_held());
    held.unlock().wait().unwrap();
    other.release().unwrap();
}

fn a_removal_is_seen_by_locks_callbacks_and_who_awaits_it(place: &Place) {
    let (other, ls) = place.open_twice("ve-remove");
    let held = other.lock("s", Mode::Ex).wait().unwrap();
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    let delivery = ls.start_delivery().unwrap();
    let (sender, ended) = channel();
    let request = ls.lock("s", Mode::Ex);
    let pending = request.start(move |end| sender.send(end).unwrap()).unwrap();
    let awaiting = Awaiting::new(&ls);
    // A grant would be as good an end: the holder's device stays open.
    let (backend, minor) = (place.backend(), ls.minor());
    let remover = thread::spawn(move || backend.remove(minor, RemoveFlags::FORCEFREE));
    assert!(matches!(awaiting.told().kind, ErrorKind::Removed));
    let end = ended.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(end.status, LockStatus::Other(_)) && end.mode.is_none(), "{end:?}");
    assert_gone(&ls, &[&lock, &pending]);
    assert!(matches!(delivery.stop(PATIENCE).unwrap_err().kind, ErrorKind::Removed));
    eventually("the holder learns of it", || other.dispatch().is_err());
    assert_gone(&other, &[&held]);
    eventually("the removal ends", || remover.is_finished());
    remover.join().unwrap().unwrap();
}

fn a_read_error_is_seen_by_locks_and_by_who_awaits_it(place: &Place) {
    let is_on = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&is_on);
    let plan =
        on_results(move |_| (theirs.load(SeqCst) > 0).then_some(ResultFault::Fail(Errno::EIO)));
    let ls = Lockspace::create_on(Faulty::new(place.backend(), plan), "ve-read").unwrap();
    let other = place.open("ve-read").unwrap();
    let held = other.lock("s", Mode::Ex).wait().unwrap();
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    let delivery = ls.start_delivery().unwrap();
    let (sender, ended) = channel();
    let request = ls.lock("s", Mode::Ex);
    let pending = request.start(move |end| sender.send(end.mode).unwrap()).unwrap();
    let awaiting = Awaiting::new(&ls);
    is_on.store(1, SeqCst);
    held.unlock().wait().unwrap();
    let error = awaiting.told();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(None));
    assert_gone(&ls, &[&lock, &pending]);
    assert_eq!(delivery.stop(PATIENCE).unwrap_err().raw_os_error(), Some(libc::EIO));
    // The kernel has released what was held.
    other.lock("r", Mode::Ex).timeout(PATIENCE).wait().unwrap().unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

#[test]
fn the_crash_of_a_node_is_seen_by_its_locks() {
    for profile in [Profile::Linux6_1, Profile::Linux6_12] {
        let cluster: Cluster =
            dlm_runtime::engine::ClusterOptions::new().profile(profile).nodes(2).start();
        let ls = Lockspace::create_on(cluster.node(1), "ve-crash").unwrap();
        let two = Lockspace::create_on(cluster.node(2), "ve-crash").unwrap();
        let lock = ls.lock("r", Mode::Ex).wait().unwrap();
        let delivery = ls.start_delivery().unwrap();
        let awaiting = Awaiting::new(&ls);
        cluster.node(1).crash();
        let error = awaiting.told();
        assert_gone(&ls, &[&lock]);
        assert!(delivery.stop(PATIENCE).is_err(), "{error}");
        two.lock("r", Mode::Ex).timeout(PATIENCE).wait().unwrap().unlock().wait().unwrap();
        assert!(two.is_open());
        two.close().unwrap();
    }
}
