//! The rules, one by one.

use super::*;

const NONE: StatusFlags = StatusFlags::empty();
const BLOCK: ValueBlock = ValueBlock([7; 32]);
const VALBLK: LockFlags = LockFlags::VALBLK;
const FORCE: LockFlags = LockFlags::FORCEUNLOCK;

fn requested(mode: Mode, flags: LockFlags) -> LockState {
    let mut state = LockState::default();
    state.request(mode, flags, 0);
    state.note_id(LockId(1));
    state
}

fn end(state: &mut LockState, status: LockStatus, lvb: Option<&ValueBlock>) -> Ended {
    let Completed::Op(_, ended) = state.complete(status, NONE, lvb) else { unreachable!() };
    ended
}

fn held(mode: Mode, flags: LockFlags, lvb: Option<&ValueBlock>) -> LockState {
    let mut state = requested(mode, flags);
    assert_eq!(end(&mut state, LockStatus::Granted, lvb).mode, Some(mode));
    state
}

fn convert(state: &mut LockState, mode: Mode, flags: LockFlags, write: Option<ValueBlock>) {
    let flags = flags | LockFlags::CONVERT;
    state.begin_convert(Operation { kind: Kind::Convert, mode, flags }, write, 0);
}

/// A conversion that the kernel has accepted.
fn converting(state: &mut LockState, mode: Mode, flags: LockFlags, write: Option<ValueBlock>) {
    convert(state, mode, flags, write);
    state.accepted(Kind::Convert);
}

fn unlock(state: &mut LockState) -> LockFlags {
    let flags = state.unlock_flags(LockFlags::empty());
    state.begin_unlock(flags);
    flags
}

#[test]
fn an_idle_lock_is_told_from_one_that_is_busy_or_gone() {
    assert_eq!(requested(Mode::Pr, LockFlags::empty()).idle_mode(), Err(Rejected::InFlight));
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    assert_eq!(state.idle_mode(), Ok(Mode::Pr));
    converting(&mut state, Mode::Ex, LockFlags::empty(), None);
    assert_eq!(state.idle_mode(), Err(Rejected::InFlight));
    assert_eq!(end(&mut state, LockStatus::Granted, None).mode, Some(Mode::Ex));
    unlock(&mut state);
    assert_eq!(state.idle_mode(), Err(Rejected::LockGone));
    assert_eq!(end(&mut state, LockStatus::Unlocked, None).mode, None);
    assert_eq!(state.idle_mode(), Err(Rejected::LockGone));
    assert_eq!(state.release(), Release::Gone);
}

#[test]
fn each_conversion_may_be_cancelled_anew() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    for _ in 0..2 {
        converting(&mut state, Mode::Ex, LockFlags::empty(), None);
        assert_eq!(state.cancel(), Cancel::None);
        state.set_cancel(Cancel::Sent);
        let ended = end(&mut state, LockStatus::Cancelled, None);
        assert_eq!(ended.mode, Some(Mode::Pr));
    }
}

#[test]
fn what_ends_by_itself_is_awaited() {
    let noqueue = requested(Mode::Ex, LockFlags::NOQUEUE);
    assert!(noqueue.ends_by_itself());
    assert_eq!(noqueue.release(), Release::Await);
    // The id of a request that was cancelled may be another lock's.
    let mut state = requested(Mode::Ex, LockFlags::empty());
    assert!(!state.ends_by_itself());
    state.set_cancel(Cancel::Wanted(CancelKind::Plain));
    assert!(!state.ends_by_itself());
    state.set_cancel(Cancel::Sent);
    assert!(state.ends_by_itself());
    assert_eq!(state.release(), Release::Await);
    // A conversion leaves the lock there, and its cancel has to be answered first.
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    converting(&mut state, Mode::Ex, LockFlags::NOQUEUE, None);
    assert_eq!(state.release(), Release::Unlock(FORCE, ValueBlock::ZERO));
    state.set_cancel(Cancel::Sent);
    assert!(!state.ends_by_itself());
    assert_eq!(state.release(), Release::Await);
    end(&mut state, LockStatus::Granted, None);
    assert_eq!(state.release(), Release::Unlock(LockFlags::empty(), ValueBlock::ZERO));
    assert_eq!(unlock(&mut state), FORCE);
}

#[test]
fn an_unlock_behind_a_late_cancel_is_forced_until_the_next_conversion() {
    let late = || {
        let mut state = held(Mode::Pr, LockFlags::empty(), None);
        converting(&mut state, Mode::Ex, LockFlags::empty(), None);
        state.set_cancel(Cancel::Sent);
        end(&mut state, LockStatus::Granted, None);
        state
    };
    assert_eq!(unlock(&mut late()), FORCE);
    let mut state = late();
    // One that the kernel refuses changes nothing.
    convert(&mut state, Mode::Ex, LockFlags::empty(), None);
    state.refused(Refusal::Later);
    assert_eq!(unlock(&mut state), FORCE);
    state.refused(Refusal::Later);
    converting(&mut state, Mode::Ex, LockFlags::empty(), None);
    end(&mut state, LockStatus::Granted, None);
    assert_eq!(unlock(&mut state), LockFlags::empty());
}

#[test]
fn an_unlock_outlives_the_grant_that_it_was_written_over() {
    let mut state = requested(Mode::Ex, LockFlags::empty());
    assert_eq!(state.release(), Release::Unlock(FORCE, ValueBlock::ZERO));
    state.begin_unlock(FORCE);
    assert_eq!(state.release(), Release::Await);
    let Completed::Under(op, ended) = state.complete(LockStatus::Granted, NONE, None) else {
        unreachable!()
    };
    assert_eq!((op.kind, ended.mode), (Kind::Request, Some(Mode::Ex)));
    // Only once.
    assert_eq!(state.complete(LockStatus::Granted, NONE, None), Completed::Nothing);
    assert_eq!(end(&mut state, LockStatus::Unlocked, None).mode, None);
}

#[test]
fn an_unlock_ends_with_the_request_that_it_was_written_over() {
    for status in [LockStatus::Again, LockStatus::Cancelled, LockStatus::Deadlock] {
        let mut state = requested(Mode::Ex, LockFlags::empty());
        state.begin_unlock(FORCE);
        let Completed::Both(op, ended) = state.complete(status, NONE, None) else { unreachable!() };
        assert_eq!((op.kind, ended.status, ended.mode), (Kind::Request, status, None));
        assert_eq!((state.op(), state.release()), (None, Release::Gone));
    }
    // A conversion that fails leaves the lock to the unlock.
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    converting(&mut state, Mode::Ex, LockFlags::empty(), None);
    state.begin_unlock(FORCE);
    let completed = state.complete(LockStatus::Cancelled, NONE, None);
    assert!(matches!(completed, Completed::Under(_, Ended { mode: Some(Mode::Pr), .. })));
    assert_eq!(state.release(), Release::Await);
    // The unlock's own completion is all that comes of a request that waits.
    let mut state = requested(Mode::Ex, LockFlags::empty());
    state.begin_unlock(LockFlags::empty());
    assert_eq!(end(&mut state, LockStatus::Unlocked, None).mode, None);
}

#[test]
fn a_refused_unlock_leaves_what_it_was_written_over() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    converting(&mut state, Mode::Ex, LockFlags::empty(), None);
    let op = state.op();
    unlock(&mut state);
    state.refused(Refusal::Later);
    assert_eq!((state.op(), state.granted()), (op, Some(Mode::Pr)));
    assert_eq!(end(&mut state, LockStatus::Granted, None).mode, Some(Mode::Ex));
    unlock(&mut state);
    state.refused(Refusal::Later);
    assert_eq!(state.idle_mode(), Ok(Mode::Ex));
}

#[test]
fn an_unlock_that_is_not_to_write_carries_the_block_that_is_there() {
    let keep = UnlockLvb::Keep;
    let state = held(Mode::Ex, VALBLK, Some(&BLOCK));
    assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), BLOCK));
    let state = held(Mode::Ex, LockFlags::empty(), None);
    assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), ValueBlock::ZERO));
    // That of a reader is nobody's, unless the master dies now.
    let state = held(Mode::Pr, VALBLK, Some(&BLOCK));
    assert_eq!(state.unlock_lvb(keep), (LockFlags::empty(), BLOCK));
}

#[test]
fn an_unlock_writes_only_where_the_kernel_would() {
    let check = |mode, flags| held(mode, flags, None).check_unlock_lvb(UnlockLvb::Write(BLOCK));
    assert!(check(Mode::Ex, VALBLK).is_ok());
    assert!(check(Mode::Pw, VALBLK).is_ok());
    assert!(check(Mode::Pr, VALBLK).is_err());
    assert!(check(Mode::Ex, LockFlags::empty()).is_err());
    let mut state = held(Mode::Ex, LockFlags::empty(), None);
    converting(&mut state, Mode::Ex, VALBLK, Some(BLOCK));
    end(&mut state, LockStatus::Granted, None);
    assert!(state.check_unlock_lvb(UnlockLvb::Write(BLOCK)).is_ok());
    let idle = held(Mode::Ex, LockFlags::empty(), None);
    assert!(idle.check_unlock_lvb(UnlockLvb::Invalidate).is_ok());
}

/// #unlock-without-a-buffer, #carried-block-becomes-the-block: the kernel would store nothing, and
/// take it for the block if the master dies.
#[test]
fn a_block_that_is_not_stored_is_not_carried() {
    let write = UnlockLvb::Write(BLOCK);
    let nothing = (LockFlags::empty(), ValueBlock::ZERO);
    assert_eq!(held(Mode::Cr, VALBLK, None).unlock_lvb(write), nothing);
    assert_eq!(held(Mode::Ex, LockFlags::empty(), None).unlock_lvb(write), nothing);
    assert_eq!(held(Mode::Ex, VALBLK, None).unlock_lvb(write), (VALBLK, BLOCK));
    // Granted by now, it would.
    assert_eq!(requested(Mode::Ex, VALBLK).unlock_lvb(write), (VALBLK, BLOCK));
    let mut state = held(Mode::Cr, VALBLK, None);
    converting(&mut state, Mode::Ex, VALBLK, None);
    assert_eq!(state.unlock_lvb(write), (VALBLK, BLOCK));
    // Whether an orphan has a block is not known.
    let mut state = LockState::default();
    state.adopt(Mode::Ex, LockFlags::empty());
    assert_eq!(state.unlock_lvb(write), (VALBLK, BLOCK));
    assert!(state.check_unlock_lvb(write).is_err());
}

#[test]
fn an_invalid_block_stays_invalid_when_nobody_wrote_it() {
    let mut state = requested(Mode::Ex, VALBLK);
    let completed = state.complete(LockStatus::Granted, StatusFlags::VALNOTVALID, Some(&BLOCK));
    assert!(matches!(completed, Completed::Op(_, Ended { moved: Moved::Read, .. })));
    assert_eq!(state.known_lvb(), Some(Lvb { block: BLOCK, valid: false }));
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep).0, LockFlags::IVVALBLK);
    assert_eq!(state.unlock_lvb(UnlockLvb::Write(BLOCK)), (VALBLK, BLOCK));
}

#[test]
fn a_block_counts_only_if_the_operation_asked_for_it_and_the_modes_read_it() {
    let mut state = held(Mode::Nl, VALBLK, Some(&BLOCK));
    let echo = ValueBlock::ZERO;
    converting(&mut state, Mode::Pr, LockFlags::empty(), None);
    assert_eq!(end(&mut state, LockStatus::Granted, Some(&echo)).moved, Moved::Nothing);
    converting(&mut state, Mode::Nl, VALBLK, None);
    assert_eq!(end(&mut state, LockStatus::Granted, Some(&echo)).moved, Moved::Nothing);
    converting(&mut state, Mode::Ex, VALBLK, None);
    assert_eq!(end(&mut state, LockStatus::Granted, Some(&BLOCK)).moved, Moved::Read);
    assert_eq!(state.known_lvb(), Some(Lvb::new(BLOCK)));
    let written = ValueBlock([9; 32]);
    converting(&mut state, Mode::Pr, VALBLK, Some(written));
    assert_eq!(end(&mut state, LockStatus::Granted, None).moved, Moved::Written);
    assert_eq!(state.known_lvb(), Some(Lvb::new(written)));
}

#[test]
fn a_cancelled_conversion_that_could_be_demoted_is_taken_as_null() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    converting(&mut state, Mode::Ex, LockFlags::CONVDEADLK, None);
    assert_eq!(end(&mut state, LockStatus::Cancelled, None).mode, Some(Mode::Nl));
    assert!(state.is_uncertain() && state.other_modes().eq([Mode::Pr]));
    converting(&mut state, Mode::Pr, LockFlags::empty(), None);
    end(&mut state, LockStatus::Granted, None);
    assert!(!state.is_uncertain() && state.other_modes().next().is_none());
    // As the victim of a deadlock, too.
    converting(&mut state, Mode::Ex, LockFlags::CONVDEADLK, None);
    assert_eq!(end(&mut state, LockStatus::Deadlock, None).mode, Some(Mode::Nl));
}

#[test]
fn an_unlock_never_writes_an_old_block() {
    let invalidates = (LockFlags::IVVALBLK, ValueBlock::ZERO);
    let convert = |state: &mut LockState, mode, flags, status| {
        converting(state, mode, flags, None);
        end(state, status, None);
    };
    // From CR others could write until PW was granted; the flag then comes with a refusal.
    let mut state = held(Mode::Cr, VALBLK, Some(&BLOCK));
    convert(&mut state, Mode::Pw, LockFlags::empty(), LockStatus::Granted);
    convert(&mut state, Mode::Ex, VALBLK, LockStatus::Again);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), invalidates);
    // From PR they could not.
    let mut state = held(Mode::Pr, VALBLK, Some(&BLOCK));
    convert(&mut state, Mode::Pw, LockFlags::empty(), LockStatus::Granted);
    convert(&mut state, Mode::Ex, VALBLK, LockStatus::Again);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::empty(), BLOCK));
    // A lock that perhaps was demoted, and perhaps still writes when it is unlocked.
    let mut state = held(Mode::Pw, VALBLK, Some(&BLOCK));
    convert(&mut state, Mode::Ex, VALBLK | LockFlags::CONVDEADLK, LockStatus::Cancelled);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::empty(), BLOCK));
    // One that has invalidated it itself.
    let mut state = held(Mode::Ex, VALBLK, Some(&BLOCK));
    convert(&mut state, Mode::Ex, LockFlags::IVVALBLK, LockStatus::Granted);
    convert(&mut state, Mode::Pw, VALBLK, LockStatus::Again);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), invalidates);
}

#[test]
fn the_release_of_a_lock_never_overwrites_a_block_that_is_not_known() {
    let forced = |block| Release::Unlock(FORCE, block);
    let state = requested(Mode::Ex, VALBLK);
    assert_eq!(state.release(), Release::Cancel);
    let state = requested(Mode::Pr, VALBLK);
    assert_eq!(state.release(), forced(ValueBlock::ZERO));
    let mut state = held(Mode::Pw, LockFlags::empty(), None);
    converting(&mut state, Mode::Ex, VALBLK, None);
    assert_eq!(state.release(), Release::Cancel);
    state.set_cancel(Cancel::Sent);
    assert_eq!(state.release(), Release::Await);
    let mut state = held(Mode::Pr, VALBLK, Some(&BLOCK));
    converting(&mut state, Mode::Ex, VALBLK, None);
    assert_eq!(state.release(), forced(BLOCK));
    let written = ValueBlock([9; 32]);
    let mut state = held(Mode::Ex, VALBLK, Some(&BLOCK));
    converting(&mut state, Mode::Pw, VALBLK, Some(written));
    assert_eq!(state.release(), forced(written));
    // Nor does an unlock that is written over it.
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::empty(), written));
    let mut state = held(Mode::Pw, LockFlags::empty(), None);
    converting(&mut state, Mode::Ex, VALBLK, None);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::IVVALBLK, ValueBlock::ZERO));
    let mut state = held(Mode::Ex, VALBLK, None);
    converting(&mut state, Mode::Pw, LockFlags::empty(), None);
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::empty(), ValueBlock::ZERO));
    // What an idle lock would write, its release does not write either.
    let state = held(Mode::Ex, VALBLK, Some(&BLOCK));
    assert_eq!(state.release(), Release::Unlock(LockFlags::empty(), BLOCK));
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
        let mut state = requested(mode, asked);
        let completed = state.complete(LockStatus::Granted, StatusFlags::ALTMODE, None);
        assert!(matches!(completed, Completed::Op(_, Ended { mode, .. }) if mode == Some(wanted)));
        // What a remote master calls CW there, the kernel here calls PR.
        assert!(state.other_modes().eq((mode == Mode::Pr).then_some(Mode::Pr)));
    }
}

#[test]
fn a_completion_without_an_operation_is_nothing() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    for status in [LockStatus::Unlocked, LockStatus::Granted, LockStatus::Cancelled] {
        assert_eq!(state.complete(status, NONE, None), Completed::Nothing);
        assert_eq!(state.granted(), Some(Mode::Pr));
    }
}

#[test]
fn an_adopted_orphan_is_held_without_a_completion() {
    let mut state = LockState::default();
    state.adopt(Mode::Ex, VALBLK);
    state.note_id(LockId(9));
    assert_eq!((state.idle_mode(), state.id()), (Ok(Mode::Ex), LockId(9)));
    // Its block is not known, and its unlock would write one.
    assert_eq!(state.unlock_lvb(UnlockLvb::Keep), (LockFlags::IVVALBLK, ValueBlock::ZERO));
    assert!(!state.is_persistent());
}

#[test]
fn an_id_is_not_learned_any_more_when_the_lock_is_being_unlocked() {
    let mut state = held(Mode::Pr, LockFlags::empty(), None);
    unlock(&mut state);
    state.note_id(LockId(2));
    assert_eq!(state.id(), LockId(1));
}

#[test]
fn a_conversion_repeats_what_the_kernel_would_forget() {
    let mut state = requested(Mode::Pr, LockFlags::PERSISTENT);
    assert!(state.is_persistent());
    end(&mut state, LockStatus::Granted, None);
    // Also one that failed has replaced the lock's flags.
    converting(&mut state, Mode::Ex, LockFlags::NOQUEUE, None);
    end(&mut state, LockStatus::Again, None);
    assert!(!state.is_persistent());
    converting(&mut state, Mode::Ex, LockFlags::PERSISTENT, None);
    end(&mut state, LockStatus::Granted, None);
    assert!(state.is_persistent());
}
