//! Waiting for a notice in a call, and callbacks that are lent their lock.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;

use super::stage::{Dispatcher, Exclusive, Stage, check};
use crate::{ErrorKind, Lockspace, Mode};

#[test]
fn a_thread_that_waits_for_a_notice_is_woken_whoever_reads_it() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = lockspace.lock("a", Mode::Ex).note_blocking().wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(held.wait_blocked(None).unwrap(), Some(Mode::Pr));
                // It stays so until a grant.
                assert_eq!(held.wait_blocked(None).unwrap(), Some(Mode::Pr));
                held.convert(Mode::Nl).wait().unwrap();
                assert_eq!(held.wait_blocked(Some(Duration::ZERO)).unwrap(), None);
                held.unlock().wait().unwrap();
            });
            // May read the notice, and lead at the device.
            scope.spawn(|| lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
            scope.spawn(|| other.lock("a", Mode::Pr).wait().unwrap().unlock().wait().unwrap());
        });
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn threads_that_wait_for_notices_disturb_no_waiter() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let exclusive = Exclusive::default();
        let a = lockspace.lock("a", Mode::Ex).note_blocking().wait().unwrap();
        let b = lockspace.lock("b", Mode::Ex).note_blocking().wait().unwrap();
        thread::scope(|scope| {
            for held in [a, b] {
                scope.spawn(|| {
                    held.wait_blocked(None).unwrap().unwrap();
                    held.unlock().wait().unwrap();
                });
            }
            scope.spawn(|| exclusive.pass(&lockspace));
            scope.spawn(|| exclusive.pass(&lockspace));
            scope.spawn(|| {
                for name in ["a", "b"] {
                    other.lock(name, Mode::Ex).wait().unwrap().unlock().wait().unwrap();
                }
            });
        });
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn waiting_for_a_notice_ends_with_the_lockspace() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        let held = lockspace.lock("a", Mode::Ex).note_blocking().wait().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let error = held.wait_blocked(None).unwrap_err();
                assert!(error.is_closed(), "{error}");
            });
            scope.spawn(|| lockspace.close().unwrap());
        });
        drop((held, lockspace));
        stage.finish(&[]);
    });
}

/// Another owner wants what is held, by a lock whose callback gives way.
fn want(other: &Lockspace) {
    other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
}

#[test]
fn a_callback_gives_way_with_the_lock_that_it_is_lent() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        let held = lockspace
            .lock("a", Mode::Ex)
            .on_blocking_with(|lock| {
                assert_eq!((lock.mode(), lock.wanted()), (Some(Mode::Ex), Mode::Ex));
                lock.convert(Mode::Nl).wait().unwrap();
            })
            .wait()
            .unwrap();
        want(&other);
        // The callback has returned then.
        dispatcher.stop().unwrap();
        assert_eq!(held.mode(), Some(Mode::Nl));
        held.unlock().wait().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// With a third party that may be given the id of the lock as soon as that is gone.
fn drop_while_lent(stage: &Stage, lockspace: &Arc<Lockspace>) {
    let other = stage.open();
    let dispatcher = Dispatcher::start(lockspace);
    let held = lockspace
        .lock("a", Mode::Ex)
        .on_blocking_with(|lock| match lock.convert(Mode::Nl).wait() {
            Ok(_) => assert_eq!(lock.mode(), Some(Mode::Nl)),
            Err(error) => assert!(matches!(error.kind, ErrorKind::LockGone), "{error}"),
        })
        .wait()
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(|| want(&other));
        scope.spawn(|| drop(held));
        scope.spawn(|| lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
    });
    dispatcher.stop().unwrap();
    assert_eq!(other.locks(), [], "what it had was unlocked");
}

#[test]
fn an_owner_may_drop_what_a_callback_converts() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open();
        drop_while_lent(&stage, &lockspace);
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn an_owner_may_drop_what_a_callback_converts_by_the_writing_thread() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open_with_writer();
        drop_while_lent(&stage, &lockspace);
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_callback_and_the_owner_may_unlock_at_the_same_time() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        let gone = |kind: &ErrorKind| matches!(kind, ErrorKind::InFlight | ErrorKind::LockGone);
        let held = lockspace
            .lock("a", Mode::Ex)
            .on_blocking_with(move |lock| {
                if let Err(error) = lock.unlock_wait() {
                    assert!(gone(&error.kind), "{error}");
                }
            })
            .wait()
            .unwrap();
        thread::scope(|scope| {
            scope.spawn(|| want(&other));
            scope.spawn(move || {
                if let Err(error) = held.unlock().wait() {
                    assert!(gone(&error.error.kind), "{error}");
                }
            });
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn who_waits_for_a_notice_learns_that_the_callback_has_unlocked() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        let held = lockspace
            .lock("a", Mode::Ex)
            .on_blocking_with(|lock| lock.unlock_wait().unwrap())
            .wait()
            .unwrap();
        thread::scope(|scope| {
            scope.spawn(|| want(&other));
            scope.spawn(|| {
                // The notice is seen first, or the end.
                while held.wait_blocked(None).is_ok() {
                    thread::yield_now();
                }
                assert_eq!(held.mode(), None);
            });
        });
        drop(held);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// The lock is granted, also if the thread that waits for it has not woken.
#[test]
fn a_callback_gives_way_before_the_owner_has_woken() {
    for unlocks in [false, true] {
        check(move || {
            let stage = Stage::new();
            let (lockspace, other) = (stage.open(), stage.open());
            let dispatcher = Dispatcher::start(&lockspace);
            thread::scope(|scope| {
                scope.spawn(|| want(&other));
                scope.spawn(|| {
                    let request = lockspace.lock("a", Mode::Ex).on_blocking_with(move |lock| {
                        if unlocks {
                            lock.unlock_wait().unwrap();
                        } else if lock.mode() == Some(Mode::Ex) {
                            lock.convert(Mode::Nl).wait().unwrap();
                        }
                    });
                    let lock = request.wait().unwrap();
                    // Until the other has had it.
                    while lock.mode() == Some(Mode::Ex) && lock.blocked().is_some() {
                        thread::yield_now();
                    }
                    drop(lock);
                });
            });
            dispatcher.stop().unwrap();
            stage.finish(&[&lockspace, &other]);
        });
    }
}
