//! Blocking notices: each is told, and never two at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::sync::Mutex;
use shuttle::sync::mpsc::channel;
use shuttle::thread;

use super::signal::Signal;
use super::stage::{Dispatcher, Runs, Stage, block_on, check, finish_writer};
use crate::threads::lock;
use crate::{Blocking, Lockspace, Mode};

#[test]
fn a_blocking_callback_runs_in_one_thread_at_a_time_and_misses_nothing() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let told = Arc::new(Mutex::new(Vec::new()));
        let strongest = Arc::new(Signal::new().unwrap());
        let callback = {
            let signal = Arc::clone(&strongest);
            let (told, running) = (Arc::clone(&told), AtomicBool::new(false));
            move |Blocking { mode, .. }| {
                assert!(!running.swap(true, Ordering::Relaxed), "it runs twice at a time");
                lock(&told).push(mode);
                thread::yield_now();
                running.store(false, Ordering::Relaxed);
                if mode == Mode::Ex {
                    signal.set();
                }
            }
        };
        let held = lockspace.lock("a", Mode::Ex).on_blocking(callback).wait().unwrap();
        let dispatchers = [Dispatcher::start(&lockspace), Dispatcher::start(&lockspace)];
        // The holder hears of each that is stronger than all before.
        let waiting =
            [Mode::Cr, Mode::Pr, Mode::Ex].map(|mode| other.lock("a", mode).start(|_| {}).unwrap());
        strongest.wait();
        for dispatcher in dispatchers {
            dispatcher.stop().unwrap();
        }
        let notices = lockspace.counters().blocking_notices;
        assert_eq!(u64::try_from(lock(&told).len()), Ok(notices), "a notice was not told");
        drop((waiting, held));
        stage.finish(&[&lockspace, &other]);
    });
}

/// The thread has no other reason to read.
#[test]
fn a_delivery_thread_wakes_for_a_blocking_callback() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let delivery = lockspace.start_delivery().unwrap();
        let (sender, told) = channel();
        let callback = move |Blocking { mode, .. }| _ = sender.send(mode);
        let held = lockspace.lock("a", Mode::Ex).on_blocking(callback).wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| other.lock("a", Mode::Pr).wait().unwrap().unlock().wait().unwrap());
            scope.spawn(|| {
                assert_eq!(told.recv(), Ok(Mode::Pr));
                held.unlock().wait().unwrap();
            });
        });
        delivery.stop(Duration::MAX).unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_lock_may_be_dropped_while_its_blocking_callback_runs() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        let held =
            lockspace.lock("a", Mode::Ex).on_blocking(|_| thread::yield_now()).wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
            scope.spawn(|| drop(held));
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_stream_of_notices_wakes_its_task() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        let held = lockspace.lock("a", Mode::Ex).note_blocking().wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let notice = block_on(held.notices().next()).unwrap();
                assert_eq!(notice.mode, Mode::Pr);
                held.unlock().wait().unwrap();
            });
            scope.spawn(|| other.lock("a", Mode::Pr).wait().unwrap().unlock().wait().unwrap());
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// Drops a lock while its callback is called for several notices. One call may have begun just
/// before, and no other begins.
fn drop_between_calls(lockspace: &Arc<Lockspace>, other: &Lockspace) {
    let (dropped, late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callback = {
        let (dropped, late) = (Arc::clone(&dropped), Arc::clone(&late));
        move |_| {
            thread::yield_now();
            late.fetch_add(usize::from(dropped.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    };
    let held = lockspace.lock("a", Mode::Ex).on_blocking(callback).wait().unwrap();
    let dispatchers = [Dispatcher::start(lockspace), Dispatcher::start(lockspace)];
    let waiting =
        [Mode::Cr, Mode::Pr, Mode::Ex].map(|mode| other.lock("a", mode).start(|_| {}).unwrap());
    drop(held);
    dropped.store(true, Ordering::Relaxed);
    finish_writer(lockspace);
    for dispatcher in dispatchers {
        dispatcher.stop().unwrap();
    }
    drop(waiting);
    assert!(late.load(Ordering::Relaxed) <= 1, "a callback was called after the drop");
}

#[test]
fn a_blocking_callback_is_not_called_again_after_a_drop() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        drop_between_calls(&lockspace, &other);
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_blocking_callback_is_not_called_again_after_a_drop_that_is_written_late() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open_with_writer(), stage.open());
        drop_between_calls(&lockspace, &other);
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_blocking_callback_is_not_called_although_the_writing_thread_is_late() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open_with_writer(), stage.open());
        let runs = Arc::<Runs>::default();
        let callback = {
            let runs = Arc::clone(&runs);
            move |_| runs.note()
        };
        let held = lockspace.lock("a", Mode::Ex).on_blocking(callback).wait().unwrap();
        let waiting = other.lock("a", Mode::Pr).start(|_| {}).unwrap();
        // Nobody dispatches yet, but this thread may come upon the notice.
        lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
        drop(held);
        let dispatcher = Dispatcher::start(&lockspace);
        finish_writer(&lockspace);
        dispatcher.stop().unwrap();
        drop(waiting);
        stage.finish(&[&lockspace, &other]);
        assert_eq!(runs.count(), 0, "a callback of a dropped lock was run");
    });
}
