//! Futures in a program that reads no results: they end all the same, and callbacks stay for whoever
//! dispatches.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dlm_runtime::{Lock, Lockspace, Mode};
use dlm_tests::{PATIENCE, Place, block_on, eventually, within};

dlm_tests::everywhere! {
    a_future_ends_although_nobody_reads,
    a_deadline_of_a_future_is_kept_although_nobody_reads,
    a_stream_tells_notices_although_nobody_reads,
    the_removal_is_told_although_nobody_reads,
    futures_go_on_when_those_who_read_have_gone,
    callbacks_are_left_to_those_who_dispatch,
    a_thread_that_waits_reads_for_a_task_and_has_it_woken,
}

/// A task that waits for an exclusive lock until `held` is unlocked.
fn granted_after(ls: &Lockspace, held: Lock) {
    let before = ls.lock_count();
    let theirs = ls.clone();
    let task = thread::spawn(move || block_on(theirs.lock("r", Mode::Ex).into_future()).unwrap());
    eventually("it waits", || ls.lock_count() == before + 1);
    held.unlock().wait().unwrap();
    let lock = within(move || task.join().unwrap()).expect("the task is woken");
    block_on(lock.unlock().into_future()).unwrap();
}

fn a_future_ends_although_nobody_reads(place: &Place) {
    let (ls, other) = place.open_twice("nr-future");
    for _ in 0..3 {
        granted_after(&ls, other.lock("r", Mode::Ex).wait().unwrap());
    }
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_deadline_of_a_future_is_kept_although_nobody_reads(place: &Place) {
    let (ls, other) = place.open_twice("nr-late");
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let request = ls.lock("r", Mode::Ex).timeout(Duration::from_millis(20));
    assert!(block_on(request.into_future()).unwrap_err().is_timed_out());
    held.unlock().wait().unwrap();
    block_on(ls.flush_drops()).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_stream_tells_notices_although_nobody_reads(place: &Place) {
    let (ls, other) = place.open_twice("nr-stream");
    let lock = ls.lock("r", Mode::Ex).note_blocking().wait().unwrap();
    let task = thread::spawn(move || (block_on(lock.notices().next()), lock));
    let waiting = other.lock("r", Mode::Pr).start(|_| ()).unwrap();
    let (notice, lock) = within(move || task.join().unwrap()).expect("the notice comes");
    assert_eq!(notice.unwrap().mode, Mode::Pr);
    drop((waiting, lock));
    other.close().unwrap();
    ls.release().unwrap();
}

fn the_removal_is_told_although_nobody_reads(place: &Place) {
    let (ls, other) = place.open_twice("nr-removed");
    let theirs = ls.clone();
    let task = thread::spawn(move || block_on(theirs.closed()));
    other.force_release().unwrap();
    let why = within(move || task.join().unwrap()).expect("the end is told");
    assert!(why.is_removed(), "{why}");
    ls.close().unwrap();
}

fn futures_go_on_when_those_who_read_have_gone(place: &Place) {
    let (ls, other) = place.open_twice("nr-gone");
    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let delivery = ls.start_delivery().unwrap();
    let theirs = ls.clone();
    let task = thread::spawn(move || block_on(theirs.lock("r", Mode::Ex).into_future()).unwrap());
    eventually("it waits", || ls.lock_count() == 1);
    delivery.stop(PATIENCE).unwrap();
    held.unlock().wait().unwrap();
    let lock = within(move || task.join().unwrap()).expect("the task is woken");
    lock.unlock().wait().unwrap();

    let held = other.lock("r", Mode::Ex).wait().unwrap();
    let driver = ls.drive_async_io().unwrap();
    let theirs = ls.clone();
    let task = thread::spawn(move || block_on(theirs.lock("r", Mode::Ex).into_future()).unwrap());
    eventually("it waits", || ls.lock_count() == 1);
    drop(driver);
    held.unlock().wait().unwrap();
    within(move || task.join().unwrap()).expect("the task is woken").unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn callbacks_are_left_to_those_who_dispatch(place: &Place) {
    let (ls, other) = place.open_twice("nr-callback");
    let ran_in = Arc::new(std::sync::Mutex::new(None));
    let has_run = Arc::new(AtomicBool::new(false));
    let (told, seen) = (Arc::clone(&ran_in), Arc::clone(&has_run));
    let callback = ls.lock("c", Mode::Ex).start(move |_| {
        *told.lock().unwrap() = Some(thread::current().id());
        seen.store(true, Ordering::SeqCst);
    });
    granted_after(&ls, other.lock("r", Mode::Ex).wait().unwrap());
    assert!(!has_run.load(Ordering::SeqCst), "nobody has dispatched");
    assert_eq!(ls.dispatch().unwrap(), 1);
    assert_eq!(*ran_in.lock().unwrap(), Some(thread::current().id()));
    callback.unwrap().unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_thread_that_waits_reads_for_a_task_and_has_it_woken(place: &Place) {
    let (ls, other) = place.open_twice("nr-waiter");
    let blocked = other.lock("s", Mode::Ex).wait().unwrap();
    let theirs = ls.clone();
    let waiter = thread::spawn(move || theirs.lock("s", Mode::Ex).wait().unwrap());
    eventually("it waits", || ls.lock_count() == 1);
    for _ in 0..20 {
        granted_after(&ls, other.lock("r", Mode::Ex).wait().unwrap());
    }
    blocked.unlock().wait().unwrap();
    within(move || waiter.join().unwrap()).expect("it is granted").unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}
