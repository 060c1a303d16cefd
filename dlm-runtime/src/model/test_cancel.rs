//! Cancels and deadlines against grants: a lock or an error, never both, and nothing left behind.

use std::sync::Arc;
use std::time::Duration;

use dlm_proto::LockStatus;
use shuttle::sync::mpsc::channel;
use shuttle::thread;

use super::clock::{advance, while_time_passes};
use super::stage::{Dispatcher, Exclusive, Stage, block_on, check, is_timeout};
use crate::threads::now;
use crate::{ErrorKind, Mode};

const PATIENCE: Duration = Duration::from_secs(1);

#[test]
fn a_deadline_ends_with_the_lock_or_with_an_error() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        let (exclusive, at) = (Exclusive::default(), now() + PATIENCE);
        thread::scope(|scope| {
            scope.spawn(|| match lockspace.lock("a", Mode::Ex).deadline(at).wait() {
                Ok(lock) => {
                    exclusive.work();
                    lock.unlock().wait().unwrap();
                }
                result => assert!(is_timeout(&result), "{result:?}"),
            });
            scope.spawn(|| {
                exclusive.work();
                held.unlock().wait().unwrap();
            });
            scope.spawn(|| advance(PATIENCE));
        });
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn followers_keep_their_deadlines_too() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        let at = now() + PATIENCE;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let result = lockspace.lock("a", Mode::Ex).deadline(at).wait();
                    assert!(is_timeout(&result), "{result:?}");
                });
            }
            scope.spawn(|| advance(PATIENCE));
        });
        held.unlock().wait().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_conversion_that_is_late_leaves_the_lock_in_one_mode() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Pr).wait().unwrap();
        let lock = lockspace.lock("a", Mode::Pr).wait().unwrap();
        let at = now() + PATIENCE;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mode = match lock.convert(Mode::Ex).deadline(at).wait() {
                    Ok(_) => Mode::Ex,
                    Err(error) => {
                        assert!(matches!(error.kind, ErrorKind::TimedOut(_)), "{error}");
                        Mode::Pr
                    }
                };
                assert_eq!(lock.mode(), Some(mode));
            });
            scope.spawn(|| held.unlock().wait().unwrap());
            scope.spawn(|| advance(PATIENCE));
        });
        lock.unlock().wait().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_cancel_by_another_thread_ends_a_request_once() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        let dispatcher = Dispatcher::start(&lockspace);
        let (sender, ended) = channel();
        let told = move |completion| sender.send(completion).unwrap();
        let lock = lockspace.lock("a", Mode::Ex).start(told).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| match lock.cancel() {
                Ok(()) => {}
                Err(error) => assert!(
                    matches!(error.kind, ErrorKind::NothingToCancel | ErrorKind::LockGone),
                    "{error}"
                ),
            });
            scope.spawn(|| held.unlock().wait().unwrap());
        });
        let completion = ended.recv().unwrap();
        match completion.status {
            LockStatus::Granted => assert_eq!(lock.mode(), Some(Mode::Ex)),
            LockStatus::Cancelled => assert_eq!(lock.mode(), None),
            status => panic!("{status}"),
        }
        drop(lock);
        assert!(ended.recv().is_err(), "the callback was run twice");
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// The id of the lock that the late cancel is meant for goes to the next lock at once.
#[test]
fn a_late_cancel_does_not_hit_the_next_lock() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        let dispatcher = Dispatcher::start(&lockspace);
        let (sender, ended) = channel();
        let told = move |completion: crate::Completion| sender.send(completion.status).unwrap();
        let request = lockspace.lock("a", Mode::Ex).deadline(now() + PATIENCE);
        let lock = request.start(told).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| advance(PATIENCE));
            scope.spawn(|| held.unlock().wait().unwrap());
            scope.spawn(|| {
                let status = ended.recv().unwrap();
                assert!(matches!(status, LockStatus::Granted | LockStatus::TimedOut), "{status}");
                drop(lock);
                lockspace.lock("b", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
            });
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// Whoever enforces it may do so while the request is still being written.
#[test]
fn a_deadline_that_passes_before_the_request_is_written_is_kept() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open_with_writer(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        let dispatcher = Dispatcher::start(&lockspace);
        let at = now() + PATIENCE;
        thread::scope(|scope| {
            scope.spawn(|| {
                let result = block_on(lockspace.lock("a", Mode::Ex).deadline(at).into_future());
                assert!(is_timeout(&result), "{result:?}");
            });
            scope.spawn(|| advance(PATIENCE));
        });
        held.unlock().wait().unwrap();
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_shared_lock_is_cancelled_and_converted_by_two_threads() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Pr).wait().unwrap();
        let lock = Arc::new(lockspace.lock("a", Mode::Nl).wait().unwrap());
        // A cancel that comes too late may have to be answered before the next conversion.
        let beside = || {
            thread::scope(|scope| {
                scope.spawn(|| _ = lock.cancel());
                scope.spawn(|| {
                    let first = lock.convert(Mode::Ex).no_queue().wait();
                    assert!(first.is_err_and(|error| error.would_block()));
                    // The cancel was meant for what was in flight when it was called.
                    match lock.convert(Mode::Pr).wait() {
                        Ok(_) => assert_eq!(lock.mode(), Some(Mode::Pr)),
                        Err(error) => assert_eq!(error.status(), Some(LockStatus::Cancelled)),
                    }
                });
            });
        };
        while_time_passes(beside);
        drop((lock, held));
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_deadline_that_was_kept_does_not_cancel_the_next_conversion() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        let held = other.lock("a", Mode::Pr).wait().unwrap();
        let lock = lockspace.lock("a", Mode::Nl).wait().unwrap();
        let (sender, ended) = channel();
        let told = move |completion: crate::Completion| sender.send(completion.status).unwrap();
        lock.convert(Mode::Cr).deadline(now() + PATIENCE).start(told).unwrap();
        assert_eq!(ended.recv(), Ok(LockStatus::Granted));
        thread::scope(|scope| {
            scope.spawn(|| advance(PATIENCE));
            scope.spawn(|| lock.convert(Mode::Ex).wait().unwrap());
            scope.spawn(|| held.unlock().wait().unwrap());
        });
        lock.unlock().wait().unwrap();
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// Until another node has answered a cancel that came too late, it refuses the next conversion.
#[test]
fn a_conversion_behind_a_late_cancel_waits_for_the_answer() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        stage.space.keep_elsewhere("a");
        let held = other.lock("a", Mode::Pr).wait().unwrap();
        let lock = lockspace.lock("a", Mode::Pr).wait().unwrap();
        let dispatcher = Dispatcher::start(&lockspace);
        while_time_passes(|| {
            thread::scope(|scope| {
                scope.spawn(|| held.unlock().wait().unwrap());
                scope.spawn(|| {
                    let (sender, told) = channel();
                    let up = lock.convert(Mode::Ex);
                    up.start(move |end| sender.send(end.status).unwrap()).unwrap();
                    let _ = lock.cancel();
                    told.recv().unwrap();
                    lock.convert(Mode::Cr).wait().unwrap();
                    assert_eq!(lock.mode(), Some(Mode::Cr));
                    lock.unlock().wait().unwrap();
                });
            });
        });
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}
