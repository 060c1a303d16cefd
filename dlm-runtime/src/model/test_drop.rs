//! Dropping what is pending against its completion: nothing held, nothing left, nobody told late.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use dlm_proto::LockFlags;
use shuttle::thread;

use super::stage::{Dispatcher, Runs, Stage, check, finish_writer, poll_once};
use crate::{Lockspace, Mode};

/// Starts requests for a lock that somebody else gives up meanwhile, and drops it.
fn drop_against_grant(stage: &Stage, lockspace: &Arc<Lockspace>) {
    let other = stage.open();
    let held = other.lock("a", Mode::Ex).wait().unwrap();
    let runs = Arc::<Runs>::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let told = Arc::clone(&runs);
            drop(lockspace.lock("a", Mode::Ex).start(move |_| told.note()).unwrap());
        });
        scope.spawn(|| held.unlock().wait().unwrap());
    });
    // Somebody else can have it at once.
    other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    assert!(runs.count() <= 1, "a callback ran twice");
}

#[test]
fn a_request_is_taken_back_while_a_dispatcher_reads() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let dispatcher = Dispatcher::start(&lockspace);
        drop_against_grant(&stage, &lockspace);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_request_is_taken_back_while_a_waiter_reads() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        thread::scope(|scope| {
            scope.spawn(|| drop_against_grant(&stage, &lockspace));
            scope.spawn(|| lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
        });
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_request_is_taken_back_by_the_writing_thread() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open_with_writer();
        let dispatcher = Dispatcher::start(&lockspace);
        drop_against_grant(&stage, &lockspace);
        finish_writer(&lockspace);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

/// Nobody dispatches while this thread has the lock, but it may come upon the completion.
fn drop_before_dispatch(lockspace: &Lockspace) -> Arc<Runs> {
    let held = lockspace.lock("held", Mode::Ex).wait().unwrap();
    let runs = Arc::<Runs>::default();
    let pending = [LockFlags::empty(), LockFlags::NOQUEUE].map(|flags| {
        ["free", "held"].map(|resource| {
            let told = Arc::clone(&runs);
            let request = lockspace.lock(resource, Mode::Ex).flags(flags);
            request.start(move |_| told.note()).unwrap()
        })
    });
    lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    drop((pending, held));
    runs
}

#[test]
fn a_callback_does_not_run_after_its_lock_was_dropped() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let runs = drop_before_dispatch(&lockspace);
        stage.finish(&[&lockspace]);
        assert_eq!(runs.count(), 0, "a callback of a dropped lock was run");
    });
}

#[test]
fn a_callback_does_not_run_although_the_writing_thread_is_late() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open_with_writer();
        let runs = drop_before_dispatch(&lockspace);
        let dispatcher = Dispatcher::start(&lockspace);
        finish_writer(&lockspace);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
        assert_eq!(runs.count(), 0, "a callback of a dropped lock was run");
    });
}

#[test]
fn a_future_that_is_dropped_leaves_nothing() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut future = pin!(lockspace.lock("a", Mode::Ex).into_future());
                if let Poll::Ready(lock) = poll_once(future.as_mut()) {
                    drop(lock.unwrap());
                }
            });
            scope.spawn(|| held.unlock().wait().unwrap());
        });
        other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_conversion_that_is_dropped_leaves_the_lock_in_one_mode() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        let held = other.lock("a", Mode::Pr).wait().unwrap();
        let lock = lockspace.lock("a", Mode::Pr).wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = poll_once(pin!(lock.convert(Mode::Ex).into_future()));
            });
            scope.spawn(|| held.unlock().wait().unwrap());
        });
        while lock.is_in_flight() {
            thread::yield_now();
        }
        lock.unlock().wait().unwrap();
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn an_unlock_that_is_dropped_goes_on() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        thread::scope(|scope| {
            scope.spawn(|| {
                let lock = lockspace.lock("a", Mode::Ex).wait().unwrap();
                let _ = poll_once(pin!(lock.unlock().into_future()));
            });
            scope.spawn(|| other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}
