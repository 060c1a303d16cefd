//! Conversions.

use dlm_proto::{LockFlags, LockId, LockStatus, Mode, StatusFlags};
use dlm_sys::Errno;
use dlm_tests::{Lockspace, Session};

const NONE: LockFlags = LockFlags::empty();

/// Two PR locks on `r`, and the conversion of the first to EX, which waits.
fn queued_conversion(first: &Session<'_>, second: &Session<'_>) -> (LockId, LockId) {
    let a = first.granted("r", Mode::Pr, NONE, 1);
    let b = second.granted("r", Mode::Pr, NONE, 2);
    first.convert(a, Mode::Ex, NONE, 1);
    first.none();
    second.next().blocks(2, Mode::Ex);
    (a, b)
}

/// Shows #lone-lock-converts-freely.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn every_conversion_of_a_lone_lock_is_granted() {
    let space = Lockspace::new("convert");
    let (session, other) = (space.open(), space.open());
    let lock = session.granted("r", Mode::Nl, NONE, 1);
    for from in Mode::ALL {
        for to in Mode::ALL {
            session.converted(lock, from, NONE, 2);
            let result = session.converted(lock, to, NONE, 3);
            assert_eq!((result.lock, result.flags), (lock, StatusFlags::empty()), "{from} to {to}");
            assert_eq!(other.mode_on("r"), to, "{from} to {to}");
        }
    }
    session.none();
}

/// Shows #busy-lock-is-not-converted.
/// Shows #words-are-stored-before-checks.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_waiting_lock_is_not_converted_but_takes_the_words() {
    let space = Lockspace::new("convert");
    let (holder, other) = (space.open(), space.open());
    let held = holder.granted("r", Mode::Ex, NONE, 1);
    let waiting = other.waiting("r", Mode::Pr, NONE, 2);
    assert_eq!(other.try_convert(waiting, Mode::Cr, NONE, 3), Err(Errno::EBUSY));
    other.none();
    holder.unlock(held, 1);
    assert_eq!(other.next().completes(3, LockStatus::Granted).lock, waiting);
    assert_eq!(holder.next().blocks(1, Mode::Pr).lock, held);
    holder.next().completes(1, LockStatus::Unlocked);
    assert_eq!(holder.mode_on("r"), Mode::Pr);
}

/// Shows #busy-lock-is-not-converted.
/// Shows #words-are-stored-before-checks.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_converting_lock_is_not_converted_but_takes_the_words() {
    let space = Lockspace::new("convert");
    let (first, second) = (space.open(), space.open());
    let (a, b) = queued_conversion(&first, &second);
    assert_eq!(first.try_convert(a, Mode::Nl, NONE, 3), Err(Errno::EBUSY));
    first.none();
    second.unlocked(b, 2);
    assert_eq!(first.next().completes(3, LockStatus::Granted).lock, a);
    assert_eq!(second.mode_on("r"), Mode::Ex);
}

/// Shows #refused-conversion-keeps-its-mode.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_blocked_noqueue_conversion_fails_and_keeps_the_mode() {
    let space = Lockspace::new("convert");
    let (first, second) = (space.open(), space.open());
    let a = first.granted("r", Mode::Pr, NONE, 1);
    let b = second.granted("r", Mode::Pr, NONE, 2);
    first.convert(a, Mode::Ex, LockFlags::NOQUEUE, 3);
    assert_eq!(first.next().completes(3, LockStatus::Again).lock, a);
    second.none();
    second.unlocked(b, 2);
    assert_eq!(second.mode_on("r"), Mode::Pr);
    first.converted(a, Mode::Ex, LockFlags::NOQUEUE, 4);
}

/// Shows #refused-conversion-keeps-its-mode.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_failing_conversion_notifies_the_holder_if_asked() {
    let space = Lockspace::new("convert");
    let (first, second) = (space.open(), space.open());
    let a = first.granted("r", Mode::Pr, NONE, 1);
    second.granted("r", Mode::Pr, NONE, 2);
    first.convert(a, Mode::Ex, LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST, 1);
    first.next().completes(1, LockStatus::Again);
    second.next().blocks(2, Mode::Ex);
    second.none();
}

/// Shows #quecvt-pairs.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn quecvt_of_a_lone_lock_is_granted_at_once() {
    let space = Lockspace::new("convert");
    let session = space.open();
    let pairs = Mode::ALL.into_iter().flat_map(|from| Mode::ALL.map(|to| (from, to)));
    for (from, to) in pairs.filter(|&(from, to)| from.allows_quecvt(to)) {
        let lock = session.granted("r", from, NONE, 1);
        session.converted(lock, to, LockFlags::QUECVT, 2);
        session.unlock(lock, 2);
        session.next().completes(2, LockStatus::Unlocked);
    }
}

/// Shows #quecvt-waits-its-turn.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn quecvt_waits_behind_a_queued_conversion_and_others_overtake_it() {
    let space = Lockspace::new("convert");
    let (first, second, third) = (space.open(), space.open(), space.open());
    let (_, b) = queued_conversion(&first, &second);
    let c = third.granted("r", Mode::Nl, LockFlags::EXPEDITE, 3);
    third.convert(c, Mode::Cr, LockFlags::QUECVT, 3);
    third.none();
    let d = third.granted("r", Mode::Nl, LockFlags::EXPEDITE, 4);
    third.converted(d, Mode::Cr, NONE, 4);
    // Granted beside PR, it is in the way of the waiting EX.
    third.next().blocks(4, Mode::Ex);
    // The queue moves: EX is granted when both holders are gone, and the conversion behind it not.
    third.unlocked(d, 4);
    second.unlocked(b, 2);
    first.next().completes(1, LockStatus::Granted);
    third.none();
}

/// Shows #quecvt-waits-its-turn.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn quecvt_is_granted_after_the_conversion_before_it() {
    let space = Lockspace::new("convert");
    let (first, second, third) = (space.open(), space.open(), space.open());
    let (a, _) = queued_conversion(&first, &second);
    let c = third.granted("r", Mode::Nl, LockFlags::EXPEDITE, 3);
    third.convert(c, Mode::Cr, LockFlags::QUECVT, 3);
    third.none();
    first.cancel(a, 1);
    first.next().completes(1, LockStatus::Cancelled);
    third.next().completes(3, LockStatus::Granted);
}

/// Shows #conversions-overtake-requests.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_conversion_overtakes_waiting_requests() {
    let space = Lockspace::new("convert");
    let (holder, waiter) = (space.open(), space.open());
    let lock = holder.granted("r", Mode::Pr, NONE, 1);
    waiter.waiting("r", Mode::Ex, NONE, 2);
    holder.next().blocks(1, Mode::Ex);
    holder.converted(lock, Mode::Ex, NONE, 1);
    waiter.none();
    // Still blocked, which a fresh grant tells anew.
    holder.next().blocks(1, Mode::Ex);
    holder.converted(lock, Mode::Nl, NONE, 1);
    waiter.next().completes(2, LockStatus::Granted);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_down_conversion_grants_what_it_makes_room_for() {
    let space = Lockspace::new("down");
    let (holder, reader, writer) = (space.open(), space.open(), space.open());
    let lock = holder.granted("r", Mode::Ex, NONE, 1);
    reader.waiting("r", Mode::Pr, NONE, 2);
    writer.waiting("r", Mode::Ex, NONE, 3);
    holder.convert(lock, Mode::Pr, NONE, 1);
    reader.next().completes(2, LockStatus::Granted);
    writer.none();
}

/// Shows #conversions-that-are-refused.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unknown_lock_is_not_converted() {
    let space = Lockspace::new("convert");
    let session = space.open();
    let gone = session.granted("r", Mode::Ex, NONE, 1);
    session.unlocked(gone, 1);
    for lock in [LockId(0), gone, LockId(0x1234), LockId(u32::MAX)] {
        let answer = session.try_convert(lock, Mode::Nl, NONE, 2);
        assert_eq!(answer, Err(Errno::ENOENT), "lock {lock}");
    }
    session.none();
}

/// Shows #conversions-that-are-refused.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn flags_of_new_requests_and_contradictions_are_refused() {
    let space = Lockspace::new("convert");
    let (session, other) = (space.open(), space.open());
    let lock = session.granted("r", Mode::Pr, NONE, 1);
    for (mode, flags) in [
        (Mode::Nl, LockFlags::EXPEDITE),
        (Mode::Ex, LockFlags::EXPEDITE),
        (Mode::Ex, LockFlags::CANCEL),
        (Mode::Ex, LockFlags::CONVDEADLK | LockFlags::NOQUEUE),
    ] {
        let answer = session.try_convert(lock, mode, flags, 2);
        assert_eq!(answer, Err(Errno::EINVAL), "{mode} {flags:?}");
    }
    session.none();
    assert_eq!(other.mode_on("r"), Mode::Pr);
    // Refused, they have left the words of the refused ones all the same.
    other.lock("r", Mode::Ex, LockFlags::NOQUEUE | LockFlags::NOQUEUEBAST, 3);
    session.next().blocks(2, Mode::Ex);
}
