//! Conversion deadlocks, and the command that cancels a deadlock's victim.

use dlm_proto::{LockFlags, LockId, LockStatus, Mode, Request, StatusFlags};
use dlm_sys::{Accepted, Errno};
use dlm_tests::{Lockspace, Session};

const NONE: LockFlags = LockFlags::empty();

/// Two PR locks on `r`; the first waits for its conversion to `mode`.
fn converting(first: &Session<'_>, second: &Session<'_>, mode: Mode) -> (LockId, LockId) {
    let a = first.granted("r", Mode::Pr, NONE, 1);
    let b = second.granted("r", Mode::Pr, NONE, 2);
    first.convert(a, mode, NONE, 1);
    first.none();
    second.next().blocks(2, mode);
    (a, b)
}

fn deadlock(session: &Session<'_>, lock: LockId) -> Result<Accepted, Errno> {
    session.send(&Request::Deadlock { lock, flags: LockFlags::CANCEL })
}

/// Shows #conversion-deadlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_second_of_two_conversions_to_ex_fails_and_keeps_its_mode() {
    let space = Lockspace::new("deadlock");
    let (first, second, third) = (space.open(), space.open(), space.open());
    let (a, b) = converting(&first, &second, Mode::Ex);
    second.convert(b, Mode::Ex, NONE, 2);
    assert_eq!(second.next().completes(2, LockStatus::Deadlock).lock, b);
    assert_eq!(third.mode_on("r"), Mode::Pr);
    first.none();
    second.unlocked(b, 2);
    assert_eq!(first.next().completes(1, LockStatus::Granted).lock, a);
}

/// Shows #convdeadlk-demotes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn convdeadlk_demotes_the_second_and_tells_it_when_granted() {
    let space = Lockspace::new("deadlock");
    let (first, second) = (space.open(), space.open());
    let (a, b) = converting(&first, &second, Mode::Ex);
    second.convert(b, Mode::Ex, LockFlags::CONVDEADLK, 2);
    second.none();
    first.next().completes(1, LockStatus::Granted).with_flags(StatusFlags::empty());
    first.next().blocks(1, Mode::Ex);
    first.unlocked(a, 1);
    let result = second.next().completes(2, LockStatus::Granted);
    assert_eq!((result.lock, result.flags), (b, StatusFlags::DEMOTED));
}

/// Shows #convdeadlk-demotes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_cancelled_demoted_conversion_leaves_nl_and_says_nothing() {
    let space = Lockspace::new("deadlock");
    let (first, second, third) = (space.open(), space.open(), space.open());
    let (a, b) = converting(&first, &second, Mode::Ex);
    second.convert(b, Mode::Ex, LockFlags::CONVDEADLK, 2);
    first.next().completes(1, LockStatus::Granted);
    first.next().blocks(1, Mode::Ex);
    second.cancel(b, 2);
    second.next().completes(2, LockStatus::Cancelled).with_flags(StatusFlags::empty());
    first.unlocked(a, 1);
    assert_eq!(third.mode_on("r"), Mode::Nl);
    second.none();
    second.unlocked(b, 2);
}

/// Shows #nodlckwt-waits.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn nodlckwt_waits_and_is_notified_of_its_own_mode_when_the_queues_are_looked_at_again() {
    let space = Lockspace::new("deadlock");
    let (first, second, third) = (space.open(), space.open(), space.open());
    let other = third.granted("r", Mode::Nl, NONE, 3);
    // PW at first, so that a notice for EX is a higher one.
    let (a, b) = converting(&first, &second, Mode::Pw);
    second.convert(b, Mode::Ex, LockFlags::NODLCKWT, 2);
    second.none();
    third.unlocked(other, 3);
    second.next().blocks(2, Mode::Ex);
    second.none();
    first.none();
    // Both wait until somebody gives in.
    first.cancel(a, 1);
    first.next().completes(1, LockStatus::Cancelled);
    second.none();
    first.unlock(a, 1);
    second.next().completes(2, LockStatus::Granted).with_flags(StatusFlags::empty());
}

/// Shows #noqueue-comes-before-deadlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn noqueue_knows_no_deadlock() {
    let space = Lockspace::new("deadlock");
    let (first, second, third) = (space.open(), space.open(), space.open());
    let (a, b) = converting(&first, &second, Mode::Ex);
    second.convert(b, Mode::Ex, LockFlags::NOQUEUE, 2);
    second.next().completes(2, LockStatus::Again);
    assert_eq!(third.mode_on("r"), Mode::Pr);
    second.unlocked(b, 2);
    assert_eq!(first.next().completes(1, LockStatus::Granted).lock, a);
}

/// Shows #deadlock-command.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_waiting_request_ends_with_the_status_of_a_deadlock() {
    let space = Lockspace::new("deadlock");
    let (holder, other) = (space.open(), space.open());
    holder.granted("r", Mode::Ex, NONE, 1);
    let lock = other.waiting("r", Mode::Pr, NONE, 2);
    assert_eq!(deadlock(&other, lock), Ok(Accepted::Done));
    assert_eq!(other.next().completes(2, LockStatus::Deadlock).lock, lock);
    assert_eq!(other.try_unlock(lock, NONE, 2), Err(Errno::ENOENT));
    assert_eq!(deadlock(&other, lock), Err(Errno::ENOENT));
    other.none();
}

/// Shows #deadlock-command.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_waiting_conversion_ends_so_too_and_keeps_its_mode() {
    let space = Lockspace::new("deadlock");
    let (first, second, third) = (space.open(), space.open(), space.open());
    let (a, b) = converting(&first, &second, Mode::Ex);
    assert_eq!(deadlock(&first, a), Ok(Accepted::Done));
    first.next().completes(1, LockStatus::Deadlock);
    assert_eq!(third.mode_on("r"), Mode::Pr);
    second.unlocked(b, 2);
    first.none();
    assert_eq!(third.mode_on("r"), Mode::Pr);
}

/// Shows #deadlock-command.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_granted_lock_is_left_alone() {
    let space = Lockspace::new("deadlock");
    let (session, other) = (space.open(), space.open());
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    assert_eq!(deadlock(&session, lock), Ok(Accepted::Done));
    session.none();
    assert_eq!(other.mode_on("r"), Mode::Ex);
    session.unlocked(lock, 1);
}

/// Shows #deadlock-command.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn other_flags_than_those_of_an_unlock_are_refused() {
    let space = Lockspace::new("deadlock");
    let session = space.open();
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    for flags in
        [LockFlags::NOQUEUE, LockFlags::CONVERT, LockFlags::CANCEL | LockFlags::FORCEUNLOCK]
    {
        let request = Request::Deadlock { lock, flags };
        assert_eq!(session.send(&request), Err(Errno::EINVAL), "{flags:?}");
    }
    session.none();
    session.unlocked(lock, 1);
}
