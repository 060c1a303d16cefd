//! dlm-runtime on a lock manager that lets calls fail: what is refused is told, what comes late or
//! twice does no harm, what is lost or not understood costs nobody else anything, and nothing
//! panics.

use std::future::{Future as _, IntoFuture as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use dlm_runtime::backend::{
    Backend, Command, Errno, Faulty, Plan, RequestFault, ResultFault, Seeded, on_requests,
    on_results,
};
use dlm_runtime::future::LockFuture;
use dlm_runtime::{Error, Lock, LockStatus, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place, eventually, within};

dlm_tests::everywhere! {
    a_refused_request_is_told_to_its_caller_and_changes_nothing,
    a_dropped_lock_whose_unlock_is_refused_is_unlocked_later,
    a_refused_cancel_leaves_the_request_where_it_is,
    a_read_that_fails_is_told_and_its_result_comes_with_the_next,
    a_delivery_thread_that_cannot_read_ends_the_lockspace_and_tells_everybody,
    results_that_come_twice_or_late_confuse_no_blocking_call,
    results_that_come_twice_or_late_reach_their_callbacks_once,
    a_future_is_woken_by_a_result_that_comes_late,
    a_request_whose_result_is_lost_is_gone_when_it_is_dropped,
    a_request_that_is_held_up_for_long_keeps_its_deadline,
    corrupted_results_are_dropped_or_harm_their_own_lockspace_only,
}

type Broken = Faulty<Arc<dyn Backend>>;

/// A lockspace behind a plan, and the same without.
fn open(place: &Place, name: &str, plan: impl Plan + 'static) -> (Broken, Lockspace, Lockspace) {
    let faulty = Faulty::new(place.backend(), plan);
    let broken = Lockspace::create_on(faulty.clone(), name).unwrap();
    (faulty, broken, place.open(name).unwrap())
}

/// Checks that nothing is left, and releases the lockspace.
fn end(place: &Place, broken: Lockspace, other: &Lockspace) {
    broken.flush_drops().wait(Some(PATIENCE)).unwrap();
    assert_eq!((broken.lock_count(), other.lock_count()), (0, 0));
    assert_eq!(place.locks_of(broken.name()), [""; 0]);
    other.close().unwrap();
    broken.release().unwrap();
}

/// A switch, and a plan that refuses requests while it is on.
fn switch() -> (Arc<AtomicBool>, impl Plan + 'static) {
    let is_on = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&is_on);
    let plan =
        on_requests(move |_, _| theirs.load(SeqCst).then_some(RequestFault::Fail(Errno::ENOBUFS)));
    (is_on, plan)
}

#[track_caller]
fn assert_refused<T>(answer: Result<T, Error>) {
    let error = answer.map(|_| ()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS), "{error}");
}

fn a_refused_request_is_told_to_its_caller_and_changes_nothing(place: &Place) {
    let (is_on, plan) = switch();
    let (faulty, ls, other) = open(place, "ft-refuse", plan);
    let lock = ls.lock("r", Mode::Pr).wait().unwrap();
    is_on.store(true, SeqCst);
    assert_refused(ls.lock("s", Mode::Ex).wait());
    assert_refused(ls.lock("s", Mode::Ex).start(|_| panic!("it was never asked for")));
    assert_refused(lock.convert(Mode::Ex).wait());
    assert_refused(lock.convert(Mode::Ex).start(|_| panic!("it was never asked for")));
    assert_refused(ls.adopt("s", Mode::Ex).take());
    assert_refused(ls.purge(None, None));
    let failed = lock.unlock().wait().unwrap_err();
    assert_eq!(failed.error.raw_os_error(), Some(libc::ENOBUFS), "{failed}");
    let lock = failed.lock;
    assert_eq!((lock.mode(), ls.lock_count()), (Some(Mode::Pr), 1));
    is_on.store(false, SeqCst);
    assert_eq!(lock.convert(Mode::Ex).wait().unwrap().mode, Some(Mode::Ex));
    assert!(other.lock("r", Mode::Cr).no_queue().wait().unwrap_err().would_block());
    lock.unlock().wait().unwrap();
    assert_eq!(ls.dispatch().unwrap(), 0);
    assert_eq!(faulty.injected(), 7);
    end(place, ls, &other);
}

fn a_dropped_lock_whose_unlock_is_refused_is_unlocked_later(place: &Place) {
    let (is_on, plan) = switch();
    let (_, ls, other) = open(place, "ft-drop", plan);
    let lock = ls.lock("r", Mode::Ex).wait().unwrap();
    is_on.store(true, SeqCst);
    drop(lock);
    assert_eq!(ls.lock_count(), 1);
    let settled = ls.flush_drops().wait(Some(Duration::from_millis(20)));
    assert!(settled.unwrap_err().is_timed_out());
    assert!(other.lock("r", Mode::Ex).no_queue().wait().unwrap_err().would_block());
    is_on.store(false, SeqCst);
    // Nobody reads: whoever sees to what is left over writes it again.
    let granted = other.lock("r", Mode::Ex).timeout(PATIENCE).wait().unwrap();
    granted.unlock().wait().unwrap();
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    assert_eq!(ls.lock_count(), 0);
    end(place, ls, &other);
}

fn a_refused_cancel_leaves_the_request_where_it_is(place: &Place) {
    let (is_on, plan) = switch();
    let (_, ls, other) = open(place, "ft-cancel", plan);
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let (sender, ended) = channel();
    let lock = ls.lock("r", Mode::Ex).start(move |end| sender.send(end.status).unwrap()).unwrap();
    is_on.store(true, SeqCst);
    assert_refused(lock.cancel());
    is_on.store(false, SeqCst);
    held.unlock().wait().unwrap();
    eventually("it is granted", || {
        ls.dispatch().unwrap();
        ended.try_recv() == Ok(LockStatus::Granted)
    });
    lock.unlock().wait().unwrap();
    end(place, ls, &other);
}

/// A plan in which the next read fails, whenever the number is set.
fn failing_reads() -> (Arc<AtomicUsize>, impl Plan + 'static) {
    let left = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&left);
    let plan = on_results(move |_| {
        let fails = theirs.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        fails.then_some(ResultFault::Fail(Errno::EIO))
    });
    (left, plan)
}

fn a_read_that_fails_is_told_and_its_result_comes_with_the_next(place: &Place) {
    let (fails, plan) = failing_reads();
    let (_, ls, other) = open(place, "ft-read", plan);
    fails.store(1, SeqCst);
    let (sender, ended) = channel();
    let lock = ls.lock("r", Mode::Pr).start(move |end| sender.send(end.status).unwrap()).unwrap();
    let error = ls.dispatch().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    assert_eq!(ls.dispatch().unwrap(), 1);
    assert_eq!(ended.try_recv(), Ok(LockStatus::Granted));
    // A call that cannot wait any more gives up what it was to wait for.
    fails.store(1, SeqCst);
    let error = ls.lock("s", Mode::Ex).wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    ls.flush_drops().wait(Some(PATIENCE)).unwrap();
    other.lock("s", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    lock.unlock().wait().unwrap();
    end(place, ls, &other);
}

fn a_delivery_thread_that_cannot_read_ends_the_lockspace_and_tells_everybody(place: &Place) {
    let (fails, plan) = failing_reads();
    let (_, ls, other) = open(place, "ft-thread", plan);
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let delivery = ls.start_delivery().unwrap();
    let (sender, ended) = channel();
    let lock = ls.lock("r", Mode::Ex).start(move |end| sender.send(end).unwrap()).unwrap();
    let mine = ls.lock("s", Mode::Ex).wait().unwrap();
    let mut future = ls.lock("r", Mode::Pr).into_future();
    let poll = |future: &mut LockFuture<'_>| {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(poll(&mut future).is_pending());
    fails.store(1, SeqCst);
    held.unlock().wait().unwrap();
    eventually("the thread has ended", || !delivery.is_running());
    let told = ended.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(told.status, LockStatus::Other(_)), "{told:?}");
    let Poll::Ready(Err(error)) = poll(&mut future) else { panic!("the future goes on") };
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    assert_eq!((lock.mode(), mine.mode()), (None, None));
    assert!(!lock.is_held());
    drop((lock, mine));
    assert!(!ls.is_open());
    let error = delivery.stop(PATIENCE).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    let error = ls.lock("r", Mode::Ex).wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    end(place, ls, &other);
}

/// Repeats an unlock until it is taken.
fn insist(mut lock: Lock) {
    while let Err(failed) = lock.unlock().wait() {
        assert_eq!(failed.error.raw_os_error(), Some(libc::ENOBUFS), "{failed}");
        lock = failed.lock;
    }
}

fn results_that_come_twice_or_late_confuse_no_blocking_call(place: &Place) {
    let plan = Seeded::new(1)
        .refusals(20, Errno::ENOBUFS)
        .delays(20, Duration::from_millis(1))
        .late_results(5, Duration::from_millis(2))
        .duplicates(5);
    let (faulty, ls, other) = open(place, "ft-late", plan);
    let (inside, sections) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for worker in 0..4 {
            let (ls, inside, sections) = (&ls, &inside, &sections);
            scope.spawn(move || {
                for round in 0..100 {
                    let name = if round % 2 == 0 { "shared".into() } else { format!("{worker}") };
                    let lock = match ls.lock(&name, Mode::Ex).wait() {
                        Ok(lock) => lock,
                        Err(error) => {
                            assert_refused::<()>(Err(error));
                            continue;
                        }
                    };
                    if name == "shared" {
                        assert!(!inside.swap(true, SeqCst), "two at the same time");
                        sections.fetch_add(1, SeqCst);
                        inside.store(false, SeqCst);
                    }
                    insist(lock);
                }
            });
        }
    });
    assert!(sections.load(SeqCst) > 150 && faulty.injected() > 100);
    end(place, ls, &other);
}

fn results_that_come_twice_or_late_reach_their_callbacks_once(place: &Place) {
    const COUNT: usize = 500;
    let plan = Seeded::new(2).late_results(3, Duration::from_millis(20)).duplicates(3);
    let (faulty, ls, other) = open(place, "ft-calls", plan);
    let delivery = ls.start_delivery().unwrap();
    let calls: Arc<Vec<AtomicUsize>> = Arc::new((0..COUNT).map(|_| AtomicUsize::new(0)).collect());
    let locks: Vec<_> = (0..COUNT)
        .map(|n| {
            let calls = Arc::clone(&calls);
            let count = move |_| _ = calls[n].fetch_add(1, SeqCst);
            ls.lock(format!("r{n}"), Mode::Ex).start(count).unwrap()
        })
        .collect();
    let all = || calls.iter().map(|count| count.load(SeqCst)).sum::<usize>();
    eventually("each callback ran", || all() >= COUNT);
    for lock in locks {
        lock.unlock().wait().unwrap();
    }
    assert!(calls.iter().all(|count| count.load(SeqCst) == 1));
    assert!(faulty.injected() > 300);
    assert_eq!(delivery.callback_panics(), 0);
    delivery.stop(PATIENCE).unwrap();
    end(place, ls, &other);
}

fn a_future_is_woken_by_a_result_that_comes_late(place: &Place) {
    let plan = on_results(|_| Some(ResultFault::Delay(Duration::from_millis(30))));
    let (_, ls, other) = open(place, "ft-future", plan);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let driver = tokio::spawn(ls.drive_tokio().unwrap());
        let lock = ls.lock("r", Mode::Ex).await.unwrap();
        assert_eq!(lock.mode(), Some(Mode::Ex));
        lock.unlock().await.unwrap();
        driver.abort();
    });
    drop(runtime);
    end(place, ls, &other);
}

fn a_request_whose_result_is_lost_is_gone_when_it_is_dropped(place: &Place) {
    const COUNT: usize = 200;
    let (faulty, ls, other) = open(place, "ft-lost", Seeded::new(3).drops(3));
    let ran = Arc::new(AtomicUsize::new(0));
    let locks: Vec<_> = (0..COUNT)
        .map(|n| {
            let ran = Arc::clone(&ran);
            let count = move |_| _ = ran.fetch_add(1, SeqCst);
            ls.lock(format!("r{n}"), Mode::Ex).start(count).unwrap()
        })
        .collect();
    while ls.dispatch().unwrap() > 0 {}
    let lost = usize::try_from(faulty.injected()).unwrap();
    assert_eq!(ran.load(SeqCst) + lost, COUNT);
    assert!(lost > 30);
    faulty.set_active(false);
    drop(locks);
    end(place, ls, &other);
}

fn a_request_that_is_held_up_for_long_keeps_its_deadline(place: &Place) {
    let plan = on_requests(|command, _| {
        (command == Command::Lock).then_some(RequestFault::Delay(Duration::from_millis(50)))
    });
    let (_, ls, other) = open(place, "ft-held", plan);
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let error = ls.lock("r", Mode::Ex).timeout(Duration::from_millis(5)).wait().unwrap_err();
    assert!(error.is_timed_out(), "{error}");
    // Granted all the same is granted.
    let lock = ls.lock("s", Mode::Ex).timeout(Duration::from_millis(5)).wait().unwrap();
    lock.unlock().wait().unwrap();
    held.unlock().wait().unwrap();
    end(place, ls, &other);
}

fn corrupted_results_are_dropped_or_harm_their_own_lockspace_only(place: &Place) {
    // Of some results whatever chance hits, and of each result each byte.
    for seed in 0..20 {
        let at = Arc::new(Mutex::new(0));
        let each = on_results(move |bytes| {
            let mut at = at.lock().unwrap();
            *at += 1;
            Some(ResultFault::Corrupt { at: *at % bytes.len(), mask: 1 << (seed % 8) })
        });
        if seed < 8 {
            corrupt(place, each);
        } else {
            corrupt(place, Seeded::new(seed).corruptions(3).duplicates(5).drops(5));
        }
    }
}

fn corrupt(place: &Place, plan: impl Plan + 'static) {
    let (faulty, ls, other) = open(place, "ft-corrupt", plan);
    // An id that was corrupted may be that of any lock of the lockspace.
    let beside = place.create("ft-beside").unwrap();
    let held = beside.lock("held", Mode::Ex).wait().unwrap();
    let delivery = ls.start_delivery().unwrap();
    let mut locks = Vec::new();
    for n in 0..100 {
        let request = ls.lock(format!("r{}", n % 40), Mode::Ex).with_lvb().on_blocking(|_| ());
        locks.push(request.start(|_| ()).unwrap());
        if n % 3 == 0 {
            drop(locks.swap_remove(n % locks.len()));
        }
        if let Some(lock) = locks.get(n / 2) {
            // Refused, if what was understood of its results makes no sense for that.
            let _ = lock.convert(Mode::Cr).start(|_| ());
        }
    }
    assert!(faulty.injected() > 10);
    assert_eq!(delivery.callback_panics(), 0);
    faulty.set_active(false);
    drop(locks);
    let closed = within(move || {
        ls.close().unwrap();
        ls
    });
    let ls = closed.expect("the lockspace is closed");
    assert!(delivery.stop(PATIENCE).unwrap_err().is_closed());
    assert_eq!(place.locks_of(ls.name()), [""; 0]);
    assert_eq!(place.locks_of(beside.name()).len(), 1);
    held.unlock().wait().unwrap();
    beside.release().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}
