//! Threads that wait in blocking calls, and the hand-over between them.

use std::time::Duration;

use shuttle::thread;

use super::clock::advance;
use super::stage::{Dispatcher, Exclusive, Stage, check, is_timeout};
use crate::threads::now;
use crate::{Lockspace, Mode};

fn lock_and_unlock(lockspace: &Lockspace, resource: &str) {
    lockspace.lock(resource, Mode::Ex).wait().unwrap().unlock().wait().unwrap();
}

#[test]
fn two_waiters_end_whichever_completes_first() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        thread::scope(|scope| {
            scope.spawn(|| lock_and_unlock(&lockspace, "a"));
            scope.spawn(|| lock_and_unlock(&lockspace, "b"));
        });
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn three_waiters_end_whichever_completes_first() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        thread::scope(|scope| {
            for resource in ["a", "b"] {
                let lockspace = &lockspace;
                scope.spawn(move || lock_and_unlock(lockspace, resource));
            }
            scope.spawn(|| lock_and_unlock(&lockspace, "c"));
        });
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn waiters_for_one_resource_pass_it_on() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let exclusive = Exclusive::default();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| exclusive.pass(&lockspace));
            }
        });
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_waiter_ends_although_a_dispatcher_reads_its_completion() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let dispatcher = Dispatcher::start(&lockspace);
        thread::scope(|scope| {
            scope.spawn(|| lock_and_unlock(&lockspace, "a"));
            scope.spawn(|| lock_and_unlock(&lockspace, "b"));
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace]);
    });
}

/// One of the waiting threads gives up, maybe the one that sleeps at the device.
#[test]
fn a_waiter_takes_over_from_one_that_gives_up() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("held", Mode::Ex).wait().unwrap();
        let at = now() + Duration::from_secs(1);
        thread::scope(|scope| {
            scope.spawn(|| {
                let result = lockspace.lock("held", Mode::Ex).deadline(at).wait();
                assert!(is_timeout(&result), "{result:?}");
            });
            scope.spawn(|| advance(Duration::from_secs(1)));
            scope.spawn(|| lock_and_unlock(&lockspace, "free"));
        });
        held.unlock().wait().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn conversions_of_a_shared_lock_end() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let shared = lockspace.lock("a", Mode::Nl).wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| lock_and_unlock(&lockspace, "b"));
            scope.spawn(|| {
                for mode in [Mode::Ex, Mode::Nl] {
                    shared.convert(mode).wait().unwrap();
                }
            });
        });
        shared.unlock().wait().unwrap();
        stage.finish(&[&lockspace]);
    });
}
