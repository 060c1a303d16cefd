//! Unlocks and cancels.

use dlm_proto::{Cookies, LockFlags, LockId, LockStatus, Mode, Request, UnlockRequest};
use dlm_sys::Errno;
use dlm_tests::{Lockspace, Session, cookies};

const NONE: LockFlags = LockFlags::empty();

fn converting(first: &Session<'_>, second: &Session<'_>) -> (LockId, LockId) {
    let a = first.granted("r", Mode::Pr, NONE, 1);
    let b = second.granted("r", Mode::Pr, NONE, 2);
    first.convert(a, Mode::Ex, NONE, 1);
    first.none();
    second.next().blocks(2, Mode::Ex);
    (a, b)
}

/// Shows #unlock-ends-the-id.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unlock_completes_and_a_second_one_finds_nothing() {
    let space = Lockspace::new("unlock");
    let session = space.open();
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    session.unlock(lock, 1);
    let result = session.next().completes(1, LockStatus::Unlocked);
    assert_eq!((result.lock, result.lvb), (lock, None));
    assert_eq!(session.try_unlock(lock, NONE, 1), Err(Errno::ENOENT));
    assert_eq!(session.try_cancel(lock, 1), Err(Errno::ENOENT));
    session.none();
}

/// Shows #unlock-ends-the-id.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn every_mode_is_unlocked() {
    let space = Lockspace::new("unlock");
    let (session, other) = (space.open(), space.open());
    for mode in Mode::ALL {
        let lock = session.granted("r", mode, NONE, 1);
        session.unlocked(lock, 1);
        assert_eq!(other.mode_on("r"), Mode::Nl, "{mode}");
    }
}

/// Shows #words-of-an-unlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unlock_takes_the_lksb_always_and_the_parameter_unless_zero() {
    let space = Lockspace::new("unlock");
    let session = space.open();
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    session.send(&Request::Unlock(UnlockRequest::new(lock, Cookies::default()))).unwrap();
    let result = session.next();
    assert_eq!((result.lock, result.status), (lock, LockStatus::Unlocked));
    let old = cookies(1);
    assert_eq!((result.addr, result.param), (old.completion_addr, old.completion_param));
    assert_eq!(result.lksb, 0);

    let lock = session.granted("r", Mode::Ex, NONE, 1);
    session.unlock(lock, 2);
    let (result, new) = (session.next(), cookies(2));
    assert_eq!(result.addr, old.completion_addr);
    assert_eq!((result.param, result.lksb), (new.completion_param, new.lksb));
}

/// Shows #waiting-lock-is-unlocked.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_waiting_request_is_unlocked_and_completes_once() {
    let space = Lockspace::new("unlock");
    let (holder, other) = (space.open(), space.open());
    let held = holder.granted("r", Mode::Ex, NONE, 1);
    let lock = other.waiting("r", Mode::Pr, NONE, 2);
    assert_eq!(other.unlocked(lock, 2).lock, lock);
    holder.next().blocks(1, Mode::Pr);
    holder.unlocked(held, 1);
    other.none();
}

/// Shows #converting-lock-is-unlocked.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_converting_lock_is_unlocked_and_completes_once() {
    let space = Lockspace::new("unlock");
    let (first, second) = (space.open(), space.open());
    let (a, b) = converting(&first, &second);
    assert_eq!(first.unlocked(a, 1).lock, a);
    first.none();
    assert_eq!(first.mode_on("r"), Mode::Pr);
    second.unlocked(b, 2);
    first.none();
}

/// Shows #unlock-during-an-operation.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn forceunlock_of_a_lock_at_rest_is_an_unlock() {
    let space = Lockspace::new("unlock");
    let session = space.open();
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    session.try_unlock(lock, LockFlags::FORCEUNLOCK, 1).unwrap();
    assert_eq!(session.next().completes(1, LockStatus::Unlocked).lock, lock);
    assert_eq!(session.try_unlock(lock, LockFlags::FORCEUNLOCK, 1), Err(Errno::ENOENT));
}

/// Shows #flags-refused-on-an-unlock.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn flags_that_are_not_an_unlocks_are_refused() {
    let space = Lockspace::new("unlock");
    let (session, other) = (space.open(), space.open());
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    let known =
        LockFlags::CANCEL | LockFlags::VALBLK | LockFlags::IVVALBLK | LockFlags::FORCEUNLOCK;
    let single = (0..32).map(|bit| LockFlags::from_bits_retain(1 << bit));
    let refused = single.filter(|&flag| !known.contains(flag));
    for flags in refused.chain([LockFlags::CANCEL | LockFlags::FORCEUNLOCK]) {
        assert_eq!(session.try_unlock(lock, flags, 1), Err(Errno::EINVAL), "{flags:?}");
    }
    session.none();
    assert_eq!(other.mode_on("r"), Mode::Ex);
    session.unlocked(lock, 1);
}

/// Shows #cancelled-request.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_cancelled_request_completes_so_and_its_id_is_dead() {
    let space = Lockspace::new("unlock");
    let (holder, other) = (space.open(), space.open());
    let held = holder.granted("r", Mode::Ex, NONE, 1);
    let lock = other.waiting("r", Mode::Pr, NONE, 2);
    other.cancel(lock, 2);
    assert_eq!(other.next().completes(2, LockStatus::Cancelled).lock, lock);
    assert_eq!(other.try_unlock(lock, NONE, 2), Err(Errno::ENOENT));
    holder.next().blocks(1, Mode::Pr);
    holder.unlocked(held, 1);
    other.none();
}

/// Shows #cancelled-request.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_cancel_lets_those_behind_it_through() {
    let space = Lockspace::new("unlock");
    let (holder, writer, reader) = (space.open(), space.open(), space.open());
    holder.granted("r", Mode::Pr, NONE, 1);
    let lock = writer.waiting("r", Mode::Ex, NONE, 2);
    reader.waiting("r", Mode::Pr, NONE, 3);
    writer.cancel(lock, 2);
    writer.next().completes(2, LockStatus::Cancelled);
    reader.next().completes(3, LockStatus::Granted);
}

/// Shows #cancelled-conversion.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_cancelled_conversion_keeps_its_mode_and_can_be_made_and_cancelled_again() {
    let space = Lockspace::new("unlock");
    let (first, second) = (space.open(), space.open());
    let (a, b) = converting(&first, &second);
    for round in 0..3 {
        first.cancel(a, 1);
        let result = first.next().completes(1, LockStatus::Cancelled);
        assert_eq!(result.lock, a, "round {round}");
        assert_eq!(first.mode_on("r"), Mode::Pr, "round {round}");
        first.convert(a, Mode::Ex, NONE, 1);
        first.none();
    }
    second.unlocked(b, 2);
    first.next().completes(1, LockStatus::Granted);
}

/// Shows #cancel-with-nothing-to-cancel.
/// Shows #words-are-stored-before-checks.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_cancel_of_a_granted_lock_does_nothing_but_take_its_words() {
    let space = Lockspace::new("unlock");
    let (session, other) = (space.open(), space.open());
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    session.cancel(lock, 2);
    session.none();
    assert_eq!(other.mode_on("r"), Mode::Ex);
    other.lock("r", Mode::Ex, LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST, 3);
    let (notice, first, second) = (session.next(), cookies(1), cookies(2));
    assert_eq!((notice.addr, notice.param), (first.blocking_addr, first.blocking_param));
    assert_eq!(notice.lksb, second.lksb);
    session.unlock(lock, 0);
    assert_eq!(session.next().status, LockStatus::Unlocked);
}

/// Shows #cancel-with-nothing-to-cancel.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_cancel_that_did_nothing_does_not_prevent_the_next() {
    let space = Lockspace::new("unlock");
    let (first, second) = (space.open(), space.open());
    let lock = first.granted("r", Mode::Ex, NONE, 1);
    first.cancel(lock, 1);
    first.cancel(lock, 1);
    first.none();
    first.converted(lock, Mode::Pr, NONE, 1);
    first.cancel(lock, 1);
    second.granted("r", Mode::Pr, NONE, 2);
    first.convert(lock, Mode::Ex, NONE, 1);
    first.cancel(lock, 1);
    first.next().completes(1, LockStatus::Cancelled);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unknown_lock_is_neither_unlocked_nor_cancelled() {
    let space = Lockspace::new("unknown");
    let session = space.open();
    for lock in [LockId(0), LockId(0x1234), LockId(u32::MAX)] {
        for flags in [NONE, LockFlags::CANCEL, LockFlags::FORCEUNLOCK] {
            let answer = session.try_unlock(lock, flags, 1);
            assert_eq!(answer, Err(Errno::ENOENT), "lock {lock}, {flags:?}");
        }
    }
    session.none();
}
