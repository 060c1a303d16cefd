//! The end of a lockspace: everybody hears of it, and nobody waits on.

use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use shuttle::thread;

use super::stage::{Dispatcher, Stage, block_on, check, poll_with};
use crate::{Error, ErrorKind, Lock, Lockspace, Mode};

fn is_closed(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Closed)
}

/// Waits for a lock that somebody else holds for ever.
fn wait_in_vain(lockspace: &Lockspace) -> Result<Lock, Error> {
    lockspace.lock("held", Mode::Ex).wait()
}

#[test]
fn closing_ends_all_waits() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("held", Mode::Ex).wait().unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert!(is_closed(&wait_in_vain(&lockspace).unwrap_err())));
            }
            scope.spawn(|| lockspace.close().unwrap());
        });
        held.unlock().wait().unwrap();
        drop(lockspace);
        stage.finish(&[&other]);
    });
}

#[test]
fn closing_ends_a_delivery_thread_and_a_dispatcher() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("held", Mode::Ex).wait().unwrap();
        let delivery = lockspace.start_delivery().unwrap();
        let dispatcher = Dispatcher::start(&lockspace);
        let started = lockspace.lock("held", Mode::Ex).start(|_| {}).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| assert!(is_closed(&wait_in_vain(&lockspace).unwrap_err())));
            scope.spawn(|| lockspace.close().unwrap());
        });
        assert!(dispatcher.join().is_err_and(|error| is_closed(&error)));
        assert!(delivery.stop(Duration::MAX).is_err_and(|error| is_closed(&error)));
        drop(started);
        held.unlock().wait().unwrap();
        drop(lockspace);
        stage.finish(&[&other]);
    });
}

#[test]
fn closing_ends_futures() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("held", Mode::Ex).wait().unwrap();
        let noted = lockspace.lock("noted", Mode::Ex).note_blocking().wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let result = block_on(lockspace.lock("held", Mode::Ex).into_future());
                assert!(is_closed(&result.unwrap_err()));
            });
            scope.spawn(|| assert_eq!(block_on(noted.notices().next()), None));
            scope.spawn(|| lockspace.close().unwrap());
        });
        drop(noted);
        held.unlock().wait().unwrap();
        drop(lockspace);
        stage.finish(&[&other]);
    });
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        // Past the hook, which takes a panic for a failure of the scenario.
        resume_unwind(Box::new(()));
    }
}

#[test]
fn a_waker_that_panics_keeps_the_end_from_nobody() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("held", Mode::Ex).wait().unwrap();
        let noted = lockspace.lock("noted", Mode::Ex).note_blocking().wait().unwrap();
        let mut pending = pin!(lockspace.lock("held", Mode::Ex).into_future());
        let mut ended = pin!(lockspace.closed());
        let mut notices = noted.notices();
        let mut notice = pin!(notices.next());
        let waker = Waker::from(Arc::new(Panics));
        assert!(poll_with(pending.as_mut(), &waker).is_pending());
        assert!(poll_with(ended.as_mut(), &waker).is_pending());
        assert!(poll_with(notice.as_mut(), &waker).is_pending());
        thread::scope(|scope| {
            scope.spawn(|| assert!(is_closed(&wait_in_vain(&lockspace).unwrap_err())));
            scope.spawn(|| {
                let result = block_on(lockspace.lock("held", Mode::Ex).into_future());
                assert!(is_closed(&result.unwrap_err()));
            });
            scope.spawn(|| assert!(is_closed(&block_on(lockspace.closed()))));
            scope.spawn(|| lockspace.close().unwrap());
        });
        assert_eq!(lockspace.counters().callback_panics, 3);
        held.unlock().wait().unwrap();
        stage.finish(&[&other]);
    });
}

#[test]
fn a_removal_ends_all_waits() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("held", Mode::Ex).wait().unwrap();
        let delivery = lockspace.start_delivery().unwrap();
        let space = &stage.space;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let error = wait_in_vain(&lockspace).unwrap_err();
                    assert!(matches!(error.kind, ErrorKind::Removed), "{error}");
                });
            }
            scope.spawn(|| space.remove());
        });
        // An error if the thread saw it before it was told to stop.
        let _ = delivery.stop(Duration::MAX);
        drop((held, lockspace));
        other.close().unwrap();
        stage.finish(&[]);
    });
}
