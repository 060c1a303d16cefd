//! The rules, one by one.

use super::*;

const NONE: StatusFlags = StatusFlags::empty();
const BLOCK: ValueBlock = ValueBlock([7; 32]);

fn held(mode: Mode, flags: LockFlags, lvb: Option<&ValueBlock>) -> LockState {
    let mut state = LockState::requested(mode, flags, 0);
    state.note_id(LockId(1));
    let ended = state.complete(LockStatus::Granted, NONE, lvb).unwrap();
    assert_eq!(ended.mode, Some(mode));
    state
}

#[test]
fn one_operation_at_a_time() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
    let again = state.begin_convert(Mode::Nl, LockFlags::CONVERT, None);
    assert!(matches!(again, Err(ErrorKind::InFlight)));
    assert!(matches!(state.begin_unlock(), Err(ErrorKind::InFlight)));
    let ended = state.complete(LockStatus::Granted, NONE, None).unwrap();
    assert_eq!(ended.mode, Some(Mode::Ex));
    state.begin_unlock().unwrap();
    assert!(matches!(state.begin_unlock(), Err(ErrorKind::LockGone)));
    assert_eq!(state.complete(LockStatus::Unlocked, NONE, None).unwrap().mode, None);
}

#[test]
fn one_cancel_per_operation_and_none_for_an_idle_lock() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    let cancel = |state: &mut LockState| state.begin_cancel(CancelKind::Plain);
    assert!(matches!(cancel(&mut state), Err(ErrorKind::NothingToCancel)));
    for _ in 0..2 {
        state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
        assert_eq!(state.written(), None);
        assert_eq!(cancel(&mut state).unwrap(), Some(LockId(1)));
        assert!(state.is_cancelling());
        state.cancel_written();
        assert!(matches!(cancel(&mut state), Err(ErrorKind::NothingToCancel)));
        let ended = state.complete(LockStatus::Cancelled, NONE, None).unwrap();
        assert_eq!(ended.mode, Some(Mode::Pr));
    }
}

#[test]
fn a_noqueue_request_is_neither_cancelled_nor_forced() {
    let mut state = LockState::requested(Mode::Ex, LockFlags::NOQUEUE, 0);
    let cancelled = state.begin_cancel(CancelKind::Plain);
    assert!(matches!(cancelled, Err(ErrorKind::NothingToCancel)));
    assert_eq!(state.begin_forced_unlock(), Forced::Await);
}

#[test]
fn a_cancel_that_comes_before_the_write_is_left_to_the_writer() {
    let mut state = LockState::requested(Mode::Ex, LockFlags::empty(), 0);
    assert_eq!(state.begin_cancel(CancelKind::Deadlock).unwrap(), None);
    assert!(!state.is_cancelling());
    state.note_id(LockId(3));
    assert_eq!(state.written(), Some(CancelKind::Deadlock));
    assert!(state.is_cancelling());
    state.cancel_written();
    assert_eq!(state.written(), None);
    // One that has ended by then is not cancelled.
    let mut state = LockState::requested(Mode::Ex, LockFlags::empty(), 0);
    state.begin_cancel(CancelKind::Plain).unwrap();
    state.complete(LockStatus::Granted, NONE, None).unwrap();
    assert_eq!(state.written(), None);
}

#[test]
fn a_cancelled_request_is_not_forced_as_its_id_may_be_anothers() {
    let mut state = LockState::requested(Mode::Ex, LockFlags::empty(), 0);
    state.note_id(LockId(3));
    state.written();
    state.begin_cancel(CancelKind::Plain).unwrap();
    assert_eq!(state.begin_forced_unlock(), Forced::Await);
    // A conversion leaves the lock there.
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
    state.written();
    state.begin_cancel(CancelKind::Plain).unwrap();
    let written = Forced::Write(LockId(1), LockFlags::FORCEUNLOCK, ValueBlock::ZERO);
    assert_eq!(state.begin_forced_unlock(), written);
}

#[test]
fn an_unlock_behind_a_late_cancel_is_forced_until_the_next_conversion() {
    let force = LockFlags::FORCEUNLOCK;
    let convert = |state: &mut LockState| {
        state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
        state.written();
    };
    let late = || {
        let mut state = held(Mode::Pr, LockFlags::empty(), None);
        convert(&mut state);
        state.begin_cancel(CancelKind::Plain).unwrap();
        state.complete(LockStatus::Granted, NONE, None).unwrap();
        state
    };
    assert_eq!(late().begin_unlock().unwrap(), (LockId(1), force));
    let written = Forced::Write(LockId(1), force, ValueBlock::ZERO);
    assert_eq!(late().begin_forced_unlock(), written);
    let mut state = late();
    // One that the kernel refuses changes nothing.
    state.begin_convert(Mode::Ex, LockFlags::CONVERT, None).unwrap();
    state.abort(&ErrorKind::InFlight);
    assert_eq!(state.unlock_force(), force);
    convert(&mut state);
    state.complete(LockStatus::Granted, NONE, None).unwrap();
    assert_eq!(state.begin_unlock().unwrap(), (LockId(1), LockFlags::empty()));
}

#[test]
fn a_forced_unlock_outlives_the_grant_that_it_raced_with() {
    let mut state = LockState::requested(Mode::Ex, LockFlags::empty(), 0);
    state.note_id(LockId(4));
    let written = Forced::Write(LockId(4), LockFlags::FORCEUNLOCK, ValueBlock::ZERO);
    assert_eq!(state.begin_forced_unlock(), written);
    assert_eq!(state.begin_forced_unlock(), Forced::Await);
    assert_eq!(state.complete(LockStatus::Granted, NONE, None), None);
    assert_eq!(state.complete(LockStatus::Unlocked, NONE, None).unwrap().mode, None);
}

#[test]
fn an_unlock_that_is_not_to_write_carries_the_block_that_is_there() {
    let keep = UnlockLvb::Keep;
    let state = held(Mode::Ex, LockFlags::VALBLK, Some(&BLOCK));
    assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), BLOCK));
    let state = held(Mode::Ex, LockFlags::empty(), None);
    assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), ValueBlock::ZERO));
    // That of a reader is nobody's, unless the master dies now.
    let state = held(Mode::Pr, LockFlags::VALBLK, Some(&BLOCK));
    assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), BLOCK));
}

#[test]
fn an_unlock_writes_only_where_the_kernel_would() {
    let check = |mode, flags| held(mode, flags, None).check_unlock_lvb(UnlockLvb::Write(BLOCK));
    assert!(check(Mode::Ex, LockFlags::VALBLK).is_ok());
    assert!(check(Mode::Pw, LockFlags::VALBLK).is_ok());
    assert!(check(Mode::Pr, LockFlags::VALBLK).is_err());
    assert!(check(Mode::Ex, LockFlags::empty()).is_err());
    let mut state = held(Mode::Ex, LockFlags::empty(), None);
    state.begin_convert(Mode::Ex, LockFlags::CONVERT | LockFlags::VALBLK, Some(BLOCK)).unwrap();
    state.complete(LockStatus::Granted, NONE, None).unwrap();
    assert!(state.check_unlock_lvb(UnlockLvb::Write(BLOCK)).is_ok());
    let idle = held(Mode::Ex, LockFlags::empty(), None);
    assert!(idle.check_unlock_lvb(UnlockLvb::Invalidate).is_ok());
}

#[test]
fn an_invalid_block_stays_invalid_when_nobody_wrote_it() {
    let mut state = LockState::requested(Mode::Ex, LockFlags::VALBLK, 0);
    let ended =
        state.complete(LockStatus::Granted, StatusFlags::VALNOTVALID, Some(&BLOCK)).unwrap();
    assert_eq!(state.completion(ended).lvb, Some(Lvb { block: BLOCK, valid: false }));
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep).0, LockFlags::IVVALBLK);
    assert_eq!(state.unlock_lvb(UnlockLvb::Write(BLOCK)), (LockFlags::VALBLK, BLOCK));
}

#[test]
fn a_block_counts_only_if_the_operation_asked_for_it_and_the_modes_read_it() {
    let mut state = held(Mode::Nl, LockFlags::VALBLK, Some(&BLOCK));
    let echo = ValueBlock::ZERO;
    state.begin_convert(Mode::Pr, LockFlags::CONVERT, None).unwrap();
    assert!(!state.complete(LockStatus::Granted, NONE, Some(&echo)).unwrap().moved);
    let flags = LockFlags::CONVERT | LockFlags::VALBLK;
    state.begin_convert(Mode::Nl, flags, None).unwrap();
    assert!(!state.complete(LockStatus::Granted, NONE, Some(&echo)).unwrap().moved);
    state.begin_convert(Mode::Ex, flags, None).unwrap();
    let ended = state.complete(LockStatus::Granted, NONE, Some(&BLOCK)).unwrap();
    assert_eq!(state.completion(ended).lvb, Some(Lvb::new(BLOCK)));
    let written = ValueBlock([9; 32]);
    state.begin_convert(Mode::Pr, flags, Some(written)).unwrap();
    let ended = state.complete(LockStatus::Granted, NONE, None).unwrap();
    assert_eq!(state.completion(ended).lvb, Some(Lvb::new(written)));
}

#[test]
fn a_cancelled_conversion_that_could_be_demoted_is_taken_as_null() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    let flags = LockFlags::CONVERT | LockFlags::CONVDEADLK;
    state.begin_convert(Mode::Ex, flags, None).unwrap();
    let ended = state.complete(LockStatus::Cancelled, NONE, None).unwrap();
    assert_eq!(ended.mode, Some(Mode::Nl));
    assert!(state.is_uncertain());
    state.begin_convert(Mode::Pr, LockFlags::CONVERT, None).unwrap();
    state.complete(LockStatus::Granted, NONE, None).unwrap();
    assert!(!state.is_uncertain());
    // As the victim of a deadlock, too.
    state.begin_convert(Mode::Ex, flags, None).unwrap();
    let ended = state.complete(LockStatus::Deadlock, NONE, None).unwrap();
    assert_eq!(ended.mode, Some(Mode::Nl));
}

#[test]
fn an_unlock_never_writes_an_old_block() {
    let invalidates = (LockFlags::IVVALBLK, ValueBlock::ZERO);
    let convert = |state: &mut LockState, mode, flags, status| {
        state.begin_convert(mode, LockFlags::CONVERT | flags, None).unwrap();
        state.complete(status, NONE, None).unwrap();
    };
    // From CR others could write until PW was granted; the flag then comes with a refusal.
    let mut state = held(Mode::Cr, LockFlags::VALBLK, Some(&BLOCK));
    convert(&mut state, Mode::Pw, LockFlags::empty(), LockStatus::Granted);
    convert(&mut state, Mode::Ex, LockFlags::VALBLK, LockStatus::Again);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), invalidates);
    // From PR they could not.
    let mut state = held(Mode::Pr, LockFlags::VALBLK, Some(&BLOCK));
    convert(&mut state, Mode::Pw, LockFlags::empty(), LockStatus::Granted);
    convert(&mut state, Mode::Ex, LockFlags::VALBLK, LockStatus::Again);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::empty(), BLOCK));
    // A lock that perhaps was demoted, and perhaps still writes when it is unlocked.
    let mut state = held(Mode::Pw, LockFlags::VALBLK, Some(&BLOCK));
    let flags = LockFlags::VALBLK | LockFlags::CONVDEADLK;
    convert(&mut state, Mode::Ex, flags, LockStatus::Cancelled);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::empty(), BLOCK));
}

#[test]
fn a_forced_unlock_never_overwrites_a_block_that_is_not_known() {
    let valblk = LockFlags::VALBLK;
    let mut state = LockState::requested(Mode::Ex, valblk, 0);
    assert_eq!(state.begin_forced_unlock(), Forced::Cancel);
    let mut state = held(Mode::Pw, LockFlags::empty(), None);
    state.begin_convert(Mode::Ex, LockFlags::CONVERT | valblk, None).unwrap();
    assert_eq!(state.begin_forced_unlock(), Forced::Cancel);
    let forced = |block| Forced::Write(LockId(1), LockFlags::FORCEUNLOCK, block);
    let mut state = held(Mode::Pr, valblk, Some(&BLOCK));
    state.begin_convert(Mode::Ex, LockFlags::CONVERT | valblk, None).unwrap();
    assert_eq!(state.begin_forced_unlock(), forced(BLOCK));
    let written = ValueBlock([9; 32]);
    let mut state = held(Mode::Ex, valblk, Some(&BLOCK));
    state.begin_convert(Mode::Pw, LockFlags::CONVERT | valblk, Some(written)).unwrap();
    assert_eq!(state.begin_forced_unlock(), forced(written));
}

#[test]
fn a_lock_that_the_kernel_does_not_know_is_gone() {
    let error = |errno| {
        let call = dlm_sys::Call::Submit(dlm_proto::Command::Unlock);
        ErrorKind::Device(dlm_sys::Error::os(call, errno))
    };
    let mut state = held(Mode::Ex, LockFlags::empty(), None);
    state.begin_unlock().unwrap();
    state.abort(&error(Errno::EBUSY));
    assert_eq!(state.granted(), Some(Mode::Ex));
    state.begin_unlock().unwrap();
    state.abort(&error(Errno::ENOENT));
    assert_eq!((state.granted(), state.begin_forced_unlock()), (None, Forced::Gone));
}

#[test]
fn alternate_modes_are_told_apart() {
    let (pr, cw) = (LockFlags::ALTPR, LockFlags::ALTCW);
    for (mode, asked, wanted) in [
        (Mode::Ex, pr, Mode::Pr),
        (Mode::Ex, cw, Mode::Cw),
        (Mode::Ex, pr | cw, Mode::Pr),
        (Mode::Pr, pr | cw, Mode::Cw),
    ] {
        let mut state = LockState::requested(mode, asked, 0);
        let ended = state.complete(LockStatus::Granted, StatusFlags::ALTMODE, None).unwrap();
        assert_eq!(ended.mode, Some(wanted));
    }
}

#[test]
fn a_completion_without_an_operation_is_nothing() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    assert_eq!(state.complete(LockStatus::Unlocked, NONE, None), None);
    assert_eq!(state.granted(), Some(Mode::Pr));
}
