//! An end of a lock that is asked for while the `write` of its request has not returned: it is
//! written after that (#ended-before-its-write-returned; the monitor of the device refuses it
//! otherwise).

use std::pin::pin;
use std::sync::Arc;

use dlm_core::CancelKind;
use shuttle::sync::mpsc::channel;
use shuttle::thread;

use super::stage::{Dispatcher, Stage, block_on, check, finish_writer, poll_once};
use crate::{BlockedLock, Error, ErrorKind, Lock, Lockspace, Mode};

/// The lock of a lockspace that has one, for who knows it by its number only, as callers of the C
/// libraries do.
fn only_lock(lockspace: &Lockspace) -> Option<Lock> {
    let driver = lockspace.driver();
    let token = driver.state().core.tokens().first().copied()?;
    Some(Lock::lent(Arc::clone(driver), token))
}

#[test]
fn a_completion_callback_unlocks_before_the_write_has_returned() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let dispatchers = [(); 2].map(|()| Dispatcher::start(&lockspace));
        let (sender, ended) = channel();
        let inner = Arc::clone(&lockspace);
        let told = move |_| {
            only_lock(&inner).unwrap().unlock().wait().unwrap();
            sender.send(()).unwrap();
        };
        let lock = lockspace.lock("a", Mode::Ex).start(told).unwrap();
        ended.recv().unwrap();
        assert_eq!(lock.mode(), None);
        drop(lock);
        for dispatcher in dispatchers {
            dispatcher.stop().unwrap();
        }
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_request_is_cancelled_before_its_write_has_returned() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| match lockspace.lock("a", Mode::Ex).wait() {
                Ok(lock) => lock.unlock().wait().unwrap(),
                Err(error) => assert!(error.status().is_some(), "{error}"),
            });
            scope.spawn(|| {
                while let Some(lock) = only_lock(&lockspace) {
                    if lock.cancel().is_ok() {
                        break;
                    }
                    thread::yield_now();
                }
            });
            scope.spawn(|| held.unlock().wait().unwrap());
        });
        stage.finish(&[&lockspace, &other]);
    });
}

/// Another owner wants what is locked in these ways, and a blocking callback gives way.
fn give_way(stage: Stage, lockspace: &Arc<Lockspace>, unlock: fn(&BlockedLock)) {
    let other = stage.open();
    let dispatchers = [(); 2].map(|()| Dispatcher::start(lockspace));
    thread::scope(|scope| {
        scope.spawn(|| {
            let request = lockspace.lock("a", Mode::Ex).on_blocking_with(unlock);
            drop(request.wait().unwrap());
        });
        scope.spawn(|| {
            let request = lockspace.lock("a", Mode::Ex).on_blocking_with(unlock);
            drop(block_on(request.into_future()).unwrap());
        });
        scope.spawn(|| other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
    });
    finish_writer(lockspace);
    for dispatcher in dispatchers {
        dispatcher.stop().unwrap();
    }
    stage.finish(&[lockspace, &other]);
}

fn unlock(lock: &BlockedLock) {
    if let Err(error) = lock.unlock_wait() {
        assert!(is_second(&error), "{error}");
    }
}

/// The owner was faster, or has not taken the grant yet.
fn is_second(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::LockGone | ErrorKind::InFlight)
}

#[test]
fn a_blocking_callback_unlocks_before_the_write_has_returned() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        give_way(stage, &lockspace, unlock);
    });
}

#[test]
fn a_blocking_callback_unlocks_what_the_writing_thread_requests() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open_with_writer();
        give_way(stage, &lockspace, unlock);
    });
}

/// The conversion waits for the write of the request, and is then written by whoever that was.
#[test]
fn a_future_waits_behind_a_write() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        give_way(stage, &lockspace, |lock| match block_on(lock.convert(Mode::Nl).into_future()) {
            Ok(_) => assert_eq!(lock.mode(), Some(Mode::Nl)),
            Err(error) => assert!(is_second(&error), "{error}"),
        });
    });
}

#[test]
fn a_future_is_dropped_before_its_request_has_returned() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open_with_writer(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        for mode in [Mode::Ex, Mode::Pr] {
            let request = lockspace.lock("a", mode).with_lvb();
            drop(poll_once(pin!(request.into_future())));
        }
        other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
        finish_writer(&lockspace);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// With the cancel of a deadline, say.
#[test]
fn a_cancel_that_is_wanted_early_is_written_by_the_writer() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let error = lockspace.lock("a", Mode::Ex).wait().unwrap_err();
                assert!(error.status().is_some(), "{error}");
            });
            scope.spawn(|| {
                let driver = lockspace.driver();
                let wants = || {
                    let mut state = driver.state();
                    let token = state.core.tokens().first().copied()?;
                    state.core.want_cancel(token, 0, CancelKind::Plain).then_some(token)
                };
                loop {
                    if let Some(token) = wants() {
                        return driver.follow_up(token);
                    }
                    thread::yield_now();
                }
            });
        });
        held.unlock().wait().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}
