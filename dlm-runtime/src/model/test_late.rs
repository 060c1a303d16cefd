//! Deadlines when nobody answers: the call returns at its time, and what is left is seen to by others.

use std::pin::pin;
use std::time::Duration;

use dlm_proto::LockStatus;
use shuttle::sync::mpsc::channel;
use shuttle::thread;

use super::clock::while_time_passes;
use super::stage::{Dispatcher, Stage, block_on, check, is_timeout, poll_once};
use crate::{Completion, Error, ErrorKind, Lock, Lockspace, Mode};

const PATIENCE: Duration = Duration::from_secs(1);

fn is_late(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::TimedOut(_))
}

/// Somebody else has a lock, and then the node of its master stands still.
fn freeze_holder(stage: &Stage, other: &Lockspace, mode: Mode) -> Lock {
    stage.space.keep_elsewhere("a");
    let held = other.lock("a", mode).wait().unwrap();
    stage.space.freeze(true);
    held
}

/// Waits until somebody else can have the lock. Nobody reads for the lockspace meanwhile.
fn is_free_again(other: &Lockspace) {
    other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap();
}

#[test]
fn a_request_that_nobody_answers_ends_at_its_deadline_and_is_taken_back() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = freeze_holder(&stage, &other, Mode::Ex);
        while_time_passes(|| {
            let result = lockspace.lock("a", Mode::Ex).timeout(PATIENCE).wait();
            assert!(is_timeout(&result), "{result:?}");
        });
        stage.space.freeze(false);
        held.unlock().wait().unwrap();
        is_free_again(&other);
        stage.finish(&[&lockspace, &other]);
    });
}

/// The cancel comes too late, as the request is granted as soon as its master wakes.
#[test]
fn a_late_grant_is_unlocked_by_a_thread_of_its_own() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        stage.space.keep_elsewhere("a");
        stage.space.freeze(true);
        while_time_passes(|| {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let request = lockspace.lock("a", Mode::Pr).with_lvb();
                        assert!(is_timeout(&request.timeout(PATIENCE).wait()));
                    });
                }
            });
        });
        stage.space.freeze(false);
        is_free_again(&other);
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_callback_is_told_at_the_deadline_that_nobody_answers() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = freeze_holder(&stage, &other, Mode::Ex);
        let dispatcher = Dispatcher::start(&lockspace);
        let (sender, ended) = channel();
        let told = move |completion: Completion| sender.send(completion.status).unwrap();
        let lock = lockspace.lock("a", Mode::Ex).timeout(PATIENCE).start(told).unwrap();
        while_time_passes(|| assert_eq!(ended.recv(), Ok(LockStatus::TimedOut)));
        dispatcher.stop().unwrap();
        stage.space.freeze(false);
        held.unlock().wait().unwrap();
        // Also while its handle is there.
        is_free_again(&other);
        assert_eq!(lock.mode(), None);
        assert!(ended.recv().is_err(), "the callback was run twice");
        drop(lock);
        stage.finish(&[&lockspace, &other]);
    });
}

/// The conversions behind it wait for its end.
#[test]
fn a_conversion_waits_for_one_that_was_given_up() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let lock = {
            stage.space.keep_elsewhere("a");
            lockspace.lock("a", Mode::Pr).wait().unwrap()
        };
        let held = freeze_holder(&stage, &other, Mode::Pr);
        while_time_passes(|| {
            let error = lock.convert(Mode::Ex).timeout(PATIENCE).wait().unwrap_err();
            assert!(is_late(&error), "{error}");
        });
        assert_eq!(lock.mode(), Some(Mode::Pr));
        thread::scope(|scope| {
            scope.spawn(|| assert!(lock.convert(Mode::Nl).wait().unwrap().is_granted()));
            scope.spawn(|| stage.space.freeze(false));
            scope.spawn(|| held.unlock().wait().unwrap());
        });
        assert_eq!(lock.mode(), Some(Mode::Nl));
        lock.unlock().wait().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_conversion_waits_for_the_cancel_of_a_future_that_was_dropped() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Pr).wait().unwrap();
        let lock = lockspace.lock("a", Mode::Pr).wait().unwrap();
        assert!(poll_once(pin!(lock.convert(Mode::Ex).into_future())).is_pending());
        lock.convert(Mode::Cr).wait().unwrap();
        assert_eq!(lock.mode(), Some(Mode::Cr));
        lock.unlock().wait().unwrap();
        held.unlock().wait().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn an_unlock_that_nobody_answers_ends_at_its_deadline_and_goes_on() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        stage.space.keep_elsewhere("a");
        let lock = lockspace.lock("a", Mode::Ex).wait().unwrap();
        stage.space.freeze(true);
        while_time_passes(|| {
            let failed = lock.unlock().timeout(PATIENCE).wait().unwrap_err();
            assert!(is_late(&failed.error), "{}", failed.error);
            drop(failed.lock);
        });
        stage.space.freeze(false);
        is_free_again(&other);
        stage.finish(&[&lockspace, &other]);
    });
}

/// The lockspace is stopped: no write of the request, its cancel or its unlock returns.
#[test]
fn a_future_ends_at_its_deadline_while_its_write_is_held_up() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open_with_writer(), stage.open());
        let dispatcher = Dispatcher::start(&lockspace);
        stage.space.stop(true);
        while_time_passes(|| {
            let request = lockspace.lock("a", Mode::Ex).timeout(PATIENCE);
            let result = block_on(request.into_future());
            assert!(is_timeout(&result), "{result:?}");
        });
        stage.space.stop(false);
        is_free_again(&other);
        dispatcher.stop().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// Something is left over, and a thread that sees to it sleeps.
fn leave_over(stage: &Stage, lockspace: &Lockspace) {
    stage.space.keep_elsewhere("a");
    stage.space.freeze(true);
    while_time_passes(|| {
        assert!(is_timeout(&lockspace.lock("a", Mode::Ex).timeout(PATIENCE).wait()));
    });
}

#[test]
fn a_lockspace_is_closed_while_something_is_left_over() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        leave_over(&stage, &lockspace);
        thread::scope(|scope| {
            scope.spawn(|| lockspace.close().unwrap());
            scope.spawn(|| stage.space.freeze(false));
        });
        is_free_again(&other);
        drop(lockspace);
        stage.finish(&[&other]);
    });
}

#[test]
fn the_last_handle_is_dropped_while_something_is_left_over() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        leave_over(&stage, &lockspace);
        // The request is with its master, whose answer would find nobody.
        drop(lockspace);
        stage.space.freeze(false);
        is_free_again(&other);
        stage.finish(&[&other]);
    });
}
