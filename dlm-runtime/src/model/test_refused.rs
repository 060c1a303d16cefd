//! Refusals for a while, after which the request is written again.

use std::time::Duration;

use dlm_proto::{LockFlags, Request};
use dlm_sys::Errno;
use shuttle::thread;

use super::clock::while_time_passes;
use super::stage::{Stage, check, is_timeout};
use crate::{Lockspace, Mode};

const PATIENCE: Duration = Duration::from_secs(1);

fn is_cancel(request: &Request<'_>) -> bool {
    matches!(request, Request::Unlock(unlock) if unlock.flags.contains(LockFlags::CANCEL))
}

fn is_unlock(request: &Request<'_>) -> bool {
    matches!(request, Request::Unlock(_)) && !is_cancel(request)
}

/// Drops locks whose first unlocks are refused. Nobody else reads or dispatches.
fn drop_refused(stage: &Stage, lockspace: &Lockspace, errno: Errno) {
    let other = stage.open();
    stage.space.refuse(2, errno, is_unlock);
    drop(lockspace.lock("a", Mode::Ex).wait().unwrap());
    drop(lockspace.lock("b", Mode::Ex).with_lvb().start(|_| {}).unwrap());
    while_time_passes(|| lockspace.flush_drops().wait(None).unwrap());
    assert!(!stage.space.refuses(), "not written again");
    assert_eq!(lockspace.lock_count(), 0);
    for name in ["a", "b"] {
        other.lock(name, Mode::Ex).wait().unwrap().unlock().wait().unwrap();
    }
}

#[test]
fn a_refused_unlock_of_a_dropped_lock_is_written_again() {
    for errno in [Errno::ENOMEM, Errno::ENOBUFS] {
        let scenario = move || {
            let stage = Stage::new();
            let lockspace = stage.open();
            drop_refused(&stage, &lockspace, errno);
            stage.finish(&[&lockspace]);
        };
        check(scenario);
    }
}

#[test]
fn a_refused_unlock_of_the_writing_thread_is_written_again() {
    check(|| {
        let stage = Stage::new();
        let lockspace = stage.open_with_writer();
        drop_refused(&stage, &lockspace, Errno::ENOMEM);
        stage.finish(&[&lockspace]);
    });
}

#[test]
fn a_refused_unlock_is_written_again_although_nobody_calls() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        stage.space.refuse(2, Errno::ENOMEM, is_unlock);
        drop(lockspace.lock("a", Mode::Ex).wait().unwrap());
        assert!(stage.space.refuses(), "written again before time has passed");
        // Of the other one's own unlock the refusals may be, too.
        while_time_passes(|| drop(other.lock("a", Mode::Ex).wait().unwrap()));
        while_time_passes(|| other.flush_drops().wait(None).unwrap());
        stage.finish(&[&lockspace, &other]);
    });
}

#[test]
fn a_refused_cancel_of_a_deadline_is_written_again() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        stage.space.refuse(2, Errno::ENOMEM, is_cancel);
        while_time_passes(|| {
            assert!(is_timeout(&lockspace.lock("a", Mode::Ex).timeout(PATIENCE).wait()));
        });
        // The lock is still held, and nobody waits for it any more.
        while_time_passes(|| {
            while lockspace.lock_count() > 0 {
                thread::yield_now();
            }
        });
        assert!(!stage.space.refuses(), "not written again");
        held.unlock().wait().unwrap();
        stage.finish(&[&lockspace, &other]);
    });
}

/// The kernel would refuse a second one for ever, with a warning.
#[test]
fn a_cancel_that_found_no_buffer_is_not_written_again() {
    check(|| {
        let stage = Stage::new();
        let (lockspace, other) = (stage.open(), stage.open());
        let held = other.lock("a", Mode::Ex).wait().unwrap();
        stage.space.refuse(1, Errno::ENOBUFS, is_cancel);
        while_time_passes(|| {
            assert!(is_timeout(&lockspace.lock("a", Mode::Ex).timeout(PATIENCE).wait()));
        });
        held.unlock().wait().unwrap();
        while_time_passes(|| other.lock("a", Mode::Ex).wait().unwrap().unlock().wait().unwrap());
        stage.finish(&[&lockspace, &other]);
    });
}
