//! Flags and operations, and one operation at a time.

use super::*;

#[test]
fn a_persistent_request_that_may_wait_is_left_by_a_close() {
    let mut it = Program::new();
    it.request(1, Mode::Ex, LockFlags::PERSISTENT);
    assert!(it.0.close().is_err());
    it.reported(Violation::WaitingPersistent(id(1)), "#waiting-persistent-orphan");
}

#[test]
fn persistent_locks_that_are_held_gone_or_refused_may_be_left() {
    let mut it = Program::new();
    it.granted(1, Mode::Ex, LockFlags::PERSISTENT);
    it.request(2, Mode::Ex, LockFlags::PERSISTENT);
    it.cancel(2).unwrap();
    it.read(2, LockStatus::Cancelled);
    it.request(3, Mode::Ex, LockFlags::PERSISTENT | LockFlags::NOQUEUE);
    it.granted(4, Mode::Pr, NONE);
    it.convert(4, Mode::Ex, LockFlags::PERSISTENT).unwrap();
    it.0.close().unwrap();
    it.clean();
}

#[test]
fn forceunlock_belongs_to_unlocks() {
    for request in [
        lock(1, Mode::Ex, FORCE),
        convert(9, Mode::Ex, FORCE),
        lock(1, Mode::Ex, FORCE | LockFlags::ORPHAN),
    ] {
        let mut it = Program::new();
        it.granted(9, Mode::Pr, NONE);
        it.begin(&request).unwrap_err();
        it.reported(Violation::ForceOnLock, "#force-on-a-request");
    }
}

#[test]
fn an_orphan_is_adopted_without_expedite() {
    let mut it = Program::new();
    it.begin(&lock(1, Mode::Nl, LockFlags::ORPHAN | LockFlags::EXPEDITE)).unwrap_err();
    it.reported(Violation::ExpediteOnOrphan, "#expedite-on-an-orphan");
    it.whole(&lock(1, Mode::Nl, LockFlags::EXPEDITE), Ok(1)).unwrap();
}

#[test]
fn one_cancel_for_an_operation() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    // With nothing to cancel it does nothing.
    it.cancel(1).unwrap();
    it.cancel(1).unwrap();
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.cancel(1).unwrap();
    it.read(1, LockStatus::Cancelled);
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.cancel(1).unwrap();
    it.clean();
    it.cancel(1).unwrap_err();
    it.reported(Violation::SecondCancel(id(1)), "#refused-with-a-warning");
}

#[test]
fn no_cancel_after_one_that_took_effect() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.whole(&Request::Deadlock { lock: id(1), flags: LockFlags::CANCEL }, Ok(0)).unwrap();
    it.read(1, LockStatus::Deadlock);
    it.clean();
    it.cancel(1).unwrap_err();
    it.reported(Violation::SecondCancel(id(1)), "#refused-with-a-warning");
}

/// The kernel marks the lock before it finds that there is no message buffer.
#[test]
fn a_cancel_or_force_refused_for_want_of_a_buffer_has_marked_the_lock() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.whole(&unlock(1, LockFlags::CANCEL), Err(Errno(12))).unwrap();
    it.whole(&unlock(1, LockFlags::CANCEL), Err(Errno::ENOBUFS)).unwrap();
    it.clean();
    it.cancel(1).unwrap_err();
    it.reported(Violation::SecondCancel(id(1)), "#refused-with-a-warning");

    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.whole(&unlock(1, FORCE), Err(Errno(12))).unwrap();
    it.whole(&unlock(1, FORCE), Err(Errno::ENOBUFS)).unwrap();
    it.clean();
    it.unlock(1, FORCE).unwrap_err();
    it.reported(Violation::SecondForce(id(1)), "#refused-with-a-warning");
    it.unlock(1, NONE).unwrap();

    // A conversion replaces the flags, if the kernel gets to that.
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.whole(&unlock(1, FORCE), Err(Errno::ENOBUFS)).unwrap();
    it.whole(&convert(1, Mode::Ex, NONE), Err(Errno(12))).unwrap();
    it.clean();
    it.unlock(1, FORCE).unwrap_err();
    it.reported(Violation::SecondForce(id(1)), "#refused-with-a-warning");
    for answer in [Ok(0), Err(Errno::ENOBUFS)] {
        let mut it = Program::new();
        it.granted(1, Mode::Pr, NONE);
        it.whole(&unlock(1, FORCE), Err(Errno::ENOBUFS)).unwrap();
        it.whole(&convert(1, Mode::Ex, NONE), answer).unwrap();
        it.unlock(1, FORCE).unwrap();
        it.clean();
    }
}

#[test]
fn quecvt_gives_nothing_up() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Nl, LockFlags::QUECVT).unwrap_err();
    it.reported(
        Violation::IllegalQuecvt { lock: id(1), from: Mode::Pr, to: Mode::Nl },
        "#refused-with-a-warning",
    );
}

#[test]
fn an_alternate_mode_that_is_held() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Ex, LockFlags::ALTPR | LockFlags::NOQUEUE).unwrap();
    it.read(1, LockStatus::Again);
    it.convert(1, Mode::Ex, LockFlags::ALTCW).unwrap();
    it.read(1, LockStatus::Cancelled);
    it.clean();
    it.convert(1, Mode::Ex, LockFlags::ALTPR).unwrap_err();
    it.reported(
        Violation::AlternateHeld { lock: id(1), mode: Mode::Pr },
        "#alternate-granted-twice",
    );
}

#[test]
fn one_operation_at_a_time() {
    for second in [convert(1, Mode::Nl, NONE), unlock(1, NONE)] {
        let mut it = Program::new();
        it.request(1, Mode::Ex, NONE);
        it.begin(&second).unwrap_err();
        it.reported(Violation::Overlap(id(1)), "#words-are-stored-before-checks");

        let mut it = Program::new();
        it.granted(1, Mode::Pr, NONE);
        it.convert(1, Mode::Ex, NONE).unwrap();
        it.begin(&second).unwrap_err();
        it.reported(Violation::Overlap(id(1)), "#words-are-stored-before-checks");
        // One that is refused is not in flight.
        it.read(1, LockStatus::Granted);
        it.whole(&convert(1, Mode::Ex, NONE), Err(Errno::EBUSY)).unwrap();
        it.whole(&second, Ok(0)).unwrap();
    }
}

#[test]
fn an_unlock_over_what_is_in_flight_if_that_is_allowed() {
    let mut it = Program::new();
    it.0 = it.0.overlaps_allowed();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.whole(&unlock(1, NONE), Err(Errno::EBUSY)).unwrap();
    it.begin(&convert(1, Mode::Nl, NONE)).unwrap_err();
    it.reported(Violation::Overlap(id(1)), "#words-are-stored-before-checks");
    it.unlock(1, NONE).unwrap();
}

#[test]
fn a_cancel_that_took_effect_is_answered() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Ex, NONE).unwrap();
    let cancelling = it.begin(&unlock(1, LockFlags::CANCEL)).unwrap();
    it.read(1, LockStatus::Cancelled);
    // It has come, although its thread has not returned.
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.0.end_write(cancelling, Ok(0));
    it.cancel(1).unwrap();
    it.read(1, LockStatus::Cancelled);
    it.unlock(1, NONE).unwrap();
    it.clean();
}

#[test]
fn an_unlock_behind_a_cancel_that_came_too_late_is_one_by_force() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Ex, NONE).unwrap();
    it.cancel(1).unwrap();
    it.read(1, LockStatus::Granted);
    it.unlock(1, NONE).unwrap_err();
    it.reported(Violation::CancelUnanswered(id(1)), "#words-are-stored-before-checks");
    // Unless that is refused and may not be repeated.
    it.whole(&unlock(1, FORCE), Err(Errno::ENOBUFS)).unwrap();
    it.unlock(1, NONE).unwrap();
}
