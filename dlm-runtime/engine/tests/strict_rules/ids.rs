//! Lock ids, and the time in which they are valid.

use super::*;

#[test]
fn an_id_that_was_never_given() {
    for request in [convert(7, Mode::Ex, NONE), unlock(7, NONE), unlock(7, LockFlags::CANCEL)] {
        let mut it = Program::new();
        it.granted(1, Mode::Pr, NONE);
        it.begin(&request).unwrap_err();
        it.reported(Violation::UnknownLock(id(7)), "#id-never-given");
    }
}

#[test]
fn an_id_is_given_up_as_its_unlock_is_written() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    let unlocking = it.begin(&unlock(1, NONE)).unwrap();
    it.unlock(1, NONE).unwrap_err();
    it.reported(Violation::EndedLock(id(1)), "#stale-id");
    it.0.end_write(unlocking, Ok(0));
    assert_eq!(it.convert(1, Mode::Ex, NONE), Err(Violation::EndedLock(id(1))));
    it.read(1, LockStatus::Unlocked);
    assert_eq!(it.cancel(1), Err(Violation::EndedLock(id(1))));
}

#[test]
fn an_unlock_that_is_refused_leaves_the_lock_unless_there_is_none() {
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.whole(&unlock(1, NONE), Err(Errno::EBUSY)).unwrap();
    it.whole(&unlock(1, NONE), Err(Errno(12))).unwrap();
    it.whole(&unlock(1, NONE), Err(Errno::ENOENT)).unwrap();
    it.clean();
    it.unlock(1, NONE).unwrap_err();
    it.reported(Violation::EndedLock(id(1)), "#stale-id");
}

#[test]
fn the_id_of_a_request_that_failed() {
    for status in [LockStatus::Again, LockStatus::Cancelled, LockStatus::Deadlock] {
        let mut it = Program::new();
        it.request(1, Mode::Ex, NONE);
        it.read(1, status);
        it.cancel(1).unwrap_err();
        it.reported(Violation::EndedLock(id(1)), "#stale-id");
    }
}

#[test]
fn a_request_that_ends_by_itself_is_awaited() {
    let requests = [
        unlock(1, FORCE),
        unlock(1, LockFlags::CANCEL),
        unlock(1, NONE),
        convert(1, Mode::Nl, NONE),
    ];
    for request in requests {
        let mut it = Program::new();
        it.request(1, Mode::Ex, LockFlags::NOQUEUE);
        it.begin(&request).unwrap_err();
        it.reported(Violation::PerhapsEnded(id(1)), "#stale-id");
        it.read(1, LockStatus::Granted);
        it.unlock(1, NONE).unwrap();
    }
}

#[test]
fn a_request_that_is_cancelled_is_awaited() {
    let mut it = Program::new();
    it.request(1, Mode::Ex, NONE);
    it.cancel(1).unwrap();
    it.unlock(1, FORCE).unwrap_err();
    it.reported(Violation::PerhapsEnded(id(1)), "#stale-id");
    it.read(1, LockStatus::Granted);
    it.unlock(1, FORCE).unwrap();
}

#[test]
fn an_id_that_another_lock_has_by_now() {
    let mut it = Program::new();
    it.granted(1, Mode::Ex, NONE);
    // Somebody else has unlocked lock 1; lock 2 gets its id.
    it.whole(&lock(2, Mode::Ex, NONE), Ok(1)).unwrap();
    it.unlock(1, NONE).unwrap_err();
    let [owner, sender] = [2, 1].map(|n| cookies(n).completion_param);
    it.reported(Violation::OtherLock { lock: id(1), owner, sender }, "#stale-id");
}

#[test]
fn an_id_that_another_lock_has_by_now_is_the_other_lock_s() {
    let mut it = Program::new();
    it.request(1, Mode::Ex, LockFlags::NOQUEUE);
    // Lock 1 was refused, which nobody has read; lock 2 gets its id.
    it.whole(&lock(2, Mode::Ex, NONE), Ok(1)).unwrap();
    it.whole(&Request::Deadlock { lock: id(1), flags: LockFlags::CANCEL }, Ok(0)).unwrap();
    it.read(1, LockStatus::Again);
    it.clean();
    it.unlock(1, FORCE).unwrap_err();
    let [owner, sender] = [2, 1].map(|n| cookies(n).completion_param);
    it.reported(Violation::OtherLock { lock: id(1), owner, sender }, "#stale-id");
}

#[test]
fn writes_for_a_lock_keep_their_order() {
    // The cancel could come after the unlock, and hit another lock.
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    it.convert(1, Mode::Ex, NONE).unwrap();
    let cancelling = it.begin(&unlock(1, LockFlags::CANCEL)).unwrap();
    it.read(1, LockStatus::Granted);
    it.unlock(1, FORCE).unwrap_err();
    it.reported(Violation::WriteUnreturned(id(1)), "#stale-id");
    let late = Violation::WriteUnreturned(id(1));
    assert_eq!(it.convert(1, Mode::Nl, NONE), Err(late));
    assert_eq!(it.whole(&Request::Purge { node: NodeId(0), pid: 42 }, Ok(0)), Err(late));
    it.0.end_write(cancelling, Ok(0));
    it.unlock(1, FORCE).unwrap();

    // A cancel could come before the conversion that it is for.
    let mut it = Program::new();
    it.granted(1, Mode::Pr, NONE);
    let converting = it.begin(&convert(1, Mode::Ex, NONE)).unwrap();
    it.cancel(1).unwrap_err();
    it.reported(Violation::WriteUnreturned(id(1)), "#stale-id");
    // When its completion was read it has come.
    it.read(1, LockStatus::Granted);
    it.unlock(1, NONE).unwrap();
    it.0.end_write(converting, Ok(0));
}

#[test]
fn nothing_ends_a_lock_before_its_lock_returns() {
    let enders = [
        unlock(1, NONE),
        unlock(1, FORCE),
        unlock(1, LockFlags::CANCEL),
        Request::Deadlock { lock: id(1), flags: LockFlags::CANCEL },
    ];
    for ender in enders {
        let mut it = Program::new();
        let locking = it.begin(&lock(1, Mode::Ex, NONE)).unwrap();
        it.read(1, LockStatus::Granted);
        it.begin(&ender).unwrap_err();
        it.reported(Violation::LockUnreturned(id(1)), "#ended-before-its-write-returned");
        it.0.end_write(locking, Ok(1));
        it.whole(&ender, Ok(0)).unwrap();
    }
}

#[test]
fn even_if_the_id_is_guessed() {
    let mut it = Program::new();
    let _locking = it.begin(&lock(1, Mode::Ex, NONE)).unwrap();
    it.unlock(1, FORCE).unwrap_err();
    it.reported(Violation::LockUnreturned(id(1)), "#ended-before-its-write-returned");
}

#[test]
fn a_conversion_does_not_end_a_lock() {
    let mut it = Program::new();
    let locking = it.begin(&lock(1, Mode::Pr, NONE)).unwrap();
    it.read(1, LockStatus::Granted);
    it.convert(1, Mode::Nl, NONE).unwrap();
    it.0.end_write(locking, Ok(1));
    it.read(1, LockStatus::Granted);
    it.unlock(1, NONE).unwrap();
    it.clean();
}

#[test]
fn first_requests_if_asked_for() {
    let mut it = Program::new();
    let together = [it.begin(&lock(1, Mode::Ex, NONE)), it.begin(&lock(2, Mode::Ex, NONE))];
    assert!(together.iter().all(Result::is_ok));

    let mut it = Program::new();
    it.0 = it.0.first_requests_apart();
    let first = it.begin(&lock(1, Mode::Cr, NONE)).unwrap();
    it.begin(&lock(2, Mode::Cr, NONE)).unwrap_err();
    it.reported(
        Violation::FirstRequests(dlm_proto::ResourceName::new(b"r").unwrap()),
        "#two-resources-of-one-name",
    );
    it.0.end_write(first, Ok(1));
    // The resource exists as long as the lock does.
    let both = [it.begin(&lock(2, Mode::Cr, NONE)), it.begin(&lock(3, Mode::Cr, NONE))];
    assert!(both.iter().all(Result::is_ok));
}

#[test]
fn a_purge_of_the_own_thread_takes_all_locks() {
    let purge = |node, pid| Request::Purge { node: NodeId(node), pid };
    for mine in [purge(0, 42), purge(3, 42)] {
        let mut it = Program::new();
        it.granted(1, Mode::Pr, NONE);
        for other in [purge(0, 0), purge(0, 41), purge(2, 42)] {
            it.whole(&other, Ok(0)).unwrap();
        }
        it.whole(&mine, Err(Errno(12))).unwrap();
        it.convert(1, Mode::Nl, NONE).unwrap();
        it.read(1, LockStatus::Granted);
        let locking = it.begin(&lock(2, Mode::Cr, NONE)).unwrap();
        it.begin(&mine).unwrap_err();
        it.reported(Violation::LockUnreturned(id(0)), "#ended-before-its-write-returned");
        it.0.end_write(locking, Err(Errno(12)));
        it.whole(&mine, Ok(0)).unwrap();
        assert_eq!(it.unlock(1, NONE), Err(Violation::EndedLock(id(1))));
    }
}

/// The id of a request that was cancelled is free before its result is read (6.12), and DEADLOCK
/// carries no words.
#[test]
fn the_lock_that_has_not_ended_has_the_id() {
    let deadlock = Request::Deadlock { lock: id(1), flags: LockFlags::CANCEL };
    // It may be the first one to hear of it.
    let mut it = Program::new();
    let first = it.begin(&lock(1, Mode::Ex, LockFlags::NOQUEUE)).unwrap();
    it.whole(&lock(2, Mode::Ex, NONE), Ok(1)).unwrap();
    it.0.end_write(first, Ok(1));
    it.whole(&deadlock, Ok(0)).unwrap();
    it.clean();
    let mut it = Program::new();
    let first = it.begin(&lock(1, Mode::Ex, NONE)).unwrap();
    let second = it.begin(&lock(2, Mode::Ex, NONE)).unwrap();
    it.0.end_write(first, Ok(1));
    it.cancel(1).unwrap();
    it.0.end_write(second, Ok(1));
    it.whole(&deadlock, Ok(0)).unwrap();
    it.clean();
    it.whole(&deadlock, Ok(0)).unwrap_err();
    it.reported(Violation::SecondCancel(id(1)), "#refused-with-a-warning");
}

#[test]
fn a_lock_that_is_refused_never_was() {
    let mut it = Program::new();
    it.whole(&lock(1, Mode::Ex, LockFlags::PERSISTENT), Err(Errno(12))).unwrap();
    it.0.close().unwrap();
    it.unlock(1, NONE).unwrap_err();
    it.reported(Violation::UnknownLock(id(1)), "#id-never-given");
}

#[test]
fn a_request_that_failed_before_its_lock_returned() {
    let mut it = Program::new();
    let locking = it.begin(&lock(1, Mode::Ex, LockFlags::NOQUEUE)).unwrap();
    it.read(1, LockStatus::Again);
    it.0.end_write(locking, Ok(1));
    it.unlock(1, NONE).unwrap_err();
    it.reported(Violation::EndedLock(id(1)), "#stale-id");
    // The id is another lock's next.
    it.whole(&lock(2, Mode::Ex, NONE), Ok(1)).unwrap();
    let unlock = UnlockRequest::new(id(1), cookies(2)).with(FORCE);
    it.whole(&Request::Unlock(unlock), Ok(0)).unwrap();
}
