//! Conversions: what they carry, what a refusal takes back, and their turn.

use super::*;

const BLOCK: ValueBlock = ValueBlock([7; 32]);

#[derive(Debug, PartialEq, Eq)]
struct Converted {
    id: u32,
    mode: Mode,
    flags: LockFlags,
    xid: u64,
    lvb: ValueBlock,
    notices: bool,
}

fn written(rig: &Rig) -> Converted {
    let Request::Lock(lock) = Request::decode(Abi::V6_64, rig.out.bytes()).unwrap() else {
        panic!("no conversion")
    };
    Converted {
        id: lock.lock.0,
        mode: lock.mode.known().unwrap(),
        flags: lock.flags - LockFlags::CONVERT,
        xid: lock.xid,
        lvb: *lock.lvb,
        notices: lock.cookies.blocking_addr != 0,
    }
}

#[test]
fn a_conversion_repeats_what_the_kernel_would_forget() {
    Rig::each(|mut rig| {
        let name = &name("disk0");
        let new = NewLock { name, mode: Mode::Pr, flags: NONE, xid: 9, notices: true };
        let token = rig.try_lock(&new).unwrap();
        rig.accept(Some(5));
        rig.ended(token, LockStatus::Granted);
        let plain = Converted {
            id: 5,
            mode: Mode::Ex,
            flags: NONE,
            xid: 9,
            lvb: ValueBlock::ZERO,
            notices: true,
        };
        assert_eq!(rig.convert(token, Mode::Ex), Ok(Queueing::Write));
        assert_eq!(written(&rig), plain);
        rig.accept(None);
        rig.ended(token, LockStatus::Granted);
        let other = Conversion { xid: Some(4), notices: Some(false), ..conversion(Mode::Pr, NONE) };
        assert_eq!(rig.convert_with(token, &other), Ok(Queueing::Write));
        assert_eq!(written(&rig), Converted { mode: Mode::Pr, xid: 4, notices: false, ..plain });
        rig.accept(None);
        rig.ended(token, LockStatus::Granted);
        assert_eq!(rig.convert(token, Mode::Ex), Ok(Queueing::Write));
        assert_eq!(written(&rig), Converted { xid: 4, notices: false, ..plain });
    });
    let mut rig = Rig::new(Rules::Checked);
    let token = rig.held(5);
    for persistent in [true, false] {
        let kept = Conversion { persistent, ..conversion(Mode::Ex, NONE) };
        assert_eq!(rig.convert_with(token, &kept), Ok(Queueing::Write));
        assert_eq!(written(&rig).flags, LockFlags::PERSISTENT);
        rig.accept(None);
        rig.ended(token, LockStatus::Granted);
        assert!(rig.core.view(token).unwrap().is_persistent);
    }
}

/// #carried-block-becomes-the-block: what a conversion carries is all that is left of the block if
/// the master dies.
#[test]
fn a_conversion_carries_the_block_that_is_known() {
    Rig::each(|mut rig| {
        let token = rig.lock_with(Mode::Ex, LockFlags::VALBLK);
        rig.accept(Some(5));
        let granted = rig.completion(token, LockStatus::Granted);
        let Received::Ended(report) = rig.receive(&LockResult { lvb: Some(&BLOCK), ..granted })
        else {
            panic!()
        };
        assert_eq!(report.ended.moved, crate::Moved::Read);
        assert_eq!(rig.core.lvb(token).unwrap().block, BLOCK);
        assert_eq!(rig.convert(token, Mode::Pr), Ok(Queueing::Write));
        assert_eq!(written(&rig).lvb, BLOCK);
        rig.accept(None);
        let report = rig.ended(token, LockStatus::Granted);
        assert_eq!(report.ended.moved, crate::Moved::Nothing);
        rig.converting(token, Mode::Ex);
        rig.ended(token, LockStatus::Granted);
        let other = ValueBlock([9; 32]);
        let write = Conversion { write: Some(other), ..conversion(Mode::Pr, LockFlags::VALBLK) };
        assert_eq!(rig.convert_with(token, &write), Ok(Queueing::Write));
        assert_eq!(written(&rig).lvb, other);
    });
}

/// #carried-block-becomes-the-block, and if the resource has no block the kernel would take it for
/// that.
#[test]
fn a_block_that_is_not_stored_is_not_carried() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.held_as(5, Mode::Nl, NONE);
    let given = |mode, flags| Conversion { write: Some(BLOCK), ..conversion(mode, flags) };
    for (mode, flags, lvb) in [
        (Mode::Pr, LockFlags::VALBLK, ValueBlock::ZERO),
        (Mode::Ex, NONE, ValueBlock::ZERO),
        (Mode::Pr, LockFlags::VALBLK, BLOCK),
    ] {
        assert_eq!(rig.convert_with(token, &given(mode, flags)), Ok(Queueing::Write));
        assert_eq!(written(&rig).lvb, lvb, "{mode}");
        rig.accept(None);
        let moved = rig.ended(token, LockStatus::Granted).ended.moved;
        assert_eq!(moved == crate::Moved::Written, lvb == BLOCK);
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_it_is_begun() {
    Rig::each(|mut rig| {
        let token = rig.held_as(5, Mode::Ex, LockFlags::VALBLK);
        let try_ = |rig: &mut Rig, mode, flags| {
            let answer = rig.convert_with(token, &conversion(mode, flags));
            assert!(answer.is_ok() || rig.core.view(token).unwrap().op.is_none());
            matches!(answer, Err(Rejected::Illegal(_)))
        };
        assert!(try_(&mut rig, Mode::Pr, LockFlags::FORCEUNLOCK));
        // #refused-with-a-warning: the kernel refuses it with a warning.
        assert!(try_(&mut rig, Mode::Pr, LockFlags::QUECVT));
        if rig.core.rules == Rules::Checked {
            assert!(try_(&mut rig, Mode::Pr, LockFlags::VALBLK));
            assert!(try_(&mut rig, Mode::Pr, LockFlags::ALTPR));
            let read = Conversion { write: Some(BLOCK), ..conversion(Mode::Pr, LockFlags::VALBLK) };
            assert_eq!(rig.convert_with(token, &read), Ok(Queueing::Write));
        } else {
            assert!(!try_(&mut rig, Mode::Pr, LockFlags::VALBLK));
        }
    });
}

/// #refused-with-a-warning: a remote master calls CW what this node's kernel calls PR.
#[test]
fn an_alternate_mode_counts_as_what_the_kernel_takes_it_for() {
    Rig::each(|mut rig| {
        let token = rig.lock_with(Mode::Pr, LockFlags::ALTPR | LockFlags::ALTCW);
        rig.accept(Some(5));
        let granted = rig.completion(token, LockStatus::Granted);
        rig.receive(&LockResult { flags: StatusFlags::ALTMODE, ..granted });
        assert_eq!(rig.core.mode(token), Some(Mode::Cw));
        let up = |mode| conversion(mode, LockFlags::QUECVT);
        assert!(matches!(rig.convert_with(token, &up(Mode::Pr)), Err(Rejected::Illegal(_))));
        assert_eq!(rig.convert_with(token, &up(Mode::Ex)), Ok(Queueing::Write));
    });
}

/// #refused-with-a-warning: what the kernel refuses with a warning depends on the mode that it has
/// for the lock.
#[test]
fn a_mode_that_is_not_known_for_certain_counts_as_both() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.held_as(5, Mode::Pr, NONE);
    let deadlock = conversion(Mode::Ex, LockFlags::CONVDEADLK);
    assert_eq!(rig.convert_with(token, &deadlock), Ok(Queueing::Write));
    rig.accept(None);
    assert_eq!(rig.ended(token, LockStatus::Cancelled).ended.mode, Some(Mode::Nl));
    let up = |mode| conversion(mode, LockFlags::QUECVT);
    assert!(matches!(rig.convert_with(token, &up(Mode::Pr)), Err(Rejected::Illegal(_))));
    assert_eq!(rig.convert_with(token, &up(Mode::Ex)), Ok(Queueing::Write));
    rig.accept(None);
    rig.ended(token, LockStatus::Granted);
    // A remote master's alternate mode.
    rig.converting(token, Mode::Nl);
    rig.ended(token, LockStatus::Granted);
    let alternate = conversion(Mode::Ex, LockFlags::ALTPR);
    assert_eq!(rig.convert_with(token, &alternate), Ok(Queueing::Write));
    rig.accept(None);
    let granted = rig.completion(token, LockStatus::Granted);
    let received = rig.receive(&LockResult { flags: StatusFlags::ALTMODE, ..granted });
    assert!(matches!(received, Received::Ended(_)));
    assert_eq!(rig.core.mode(token), Some(Mode::Pr));
    assert!(matches!(rig.convert_with(token, &up(Mode::Ex)), Err(Rejected::Illegal(_))));
    // #alternate-granted-twice: a lock that would end up without a mode.
    assert!(matches!(rig.convert_with(token, &alternate), Err(Rejected::Illegal(_))));
}

#[test]
fn a_refused_conversion_leaves_the_lock_as_it_was() {
    for errno in [EINVAL, ENOMEM, EBUSY] {
        Rig::each(|mut rig| {
            let token = rig.held(5);
            let before = (rig.core.view(token), rig.core.expected());
            let other = Conversion { notices: Some(false), ..conversion(Mode::Pr, NONE) };
            assert_eq!(rig.convert_with(token, &other), Ok(Queueing::Write));
            assert_eq!(rig.core.expected(), 1);
            let refused = rig.refuse(errno);
            assert_eq!((number(&refused.user), numbers(&refused.lost)), (Some(2), [None, None]));
            assert!(!refused.follow);
            let now = rig.core.view(token).map(|view| crate::LockView { serial: 0, ..view });
            assert_eq!((now, rig.core.expected()), before);
            assert_eq!(rig.unlock(token), Ok(Queueing::Write));
            assert_eq!(rig.core.counts().conversions, 0);
        });
    }
}

#[test]
fn a_lock_that_the_kernel_does_not_know_is_gone() {
    for errno in [ENOENT, ENODEV, EBADF] {
        Rig::each(|mut rig| {
            let token = rig.held(5);
            assert_eq!(rig.convert(token, Mode::Pr), Ok(Queueing::Write));
            assert_eq!(number(&rig.refuse(errno).user), Some(2));
            assert_eq!((rig.core.mode(token), rig.core.by_id(LockId(5))), (None, None));
            assert!(!rig.core.knows_resource(b"disk0"));
            assert_eq!(rig.settle(token), Some(Face(Some(1))));
            rig.assert_empty();
        });
    }
}

#[test]
fn a_conversion_waits_for_the_end_of_one_that_was_given_up() {
    for status in [LockStatus::Granted, LockStatus::Cancelled, LockStatus::Unlocked] {
        let mut rig = Rig::new(Rules::Checked);
        let token = rig.held_as(5, Mode::Nl, NONE);
        rig.converting(token, Mode::Ex);
        assert_eq!(rig.give_up(token, 1), Some(2));
        assert_eq!(rig.give_up(token, 1), None);
        assert_eq!(rig.convert(token, Mode::Pr), Ok(Queueing::Queued { serial: 2 }));
        assert_eq!(rig.convert(token, Mode::Pr), Err(Rejected::InFlight));
        assert_eq!(rig.unlock(token), Err(Rejected::InFlight));
        rig.follow_does_nothing(token);
        assert!(rig.core.view(token).unwrap().has_queued);
        let report = rig.ended(token, status);
        assert_eq!((number(&report.user), report.serial, report.follow), (None, 1, true));
        // Nothing of ours is removed while somebody waits for it.
        assert_eq!(rig.settle(token), None);
        if status == LockStatus::Unlocked {
            let Follow::Failed { user, serial, failure } = rig.follow(token) else { panic!() };
            assert_eq!((number(&user), serial), (Some(3), 2));
            assert_eq!(failure, crate::Failure::Rejected(Rejected::LockGone));
            assert!(rig.settle(token).is_some());
            rig.assert_empty();
            continue;
        }
        rig.follow_writes(token);
        assert_eq!((written(&rig).mode, rig.out.ticket().serial), (Mode::Pr, 2));
        rig.accept(None);
        let report = rig.ended(token, LockStatus::Granted);
        assert_eq!((number(&report.user), report.serial), (Some(3), 2));
        assert_eq!(rig.core.expected(), 1);
    }
}

#[test]
fn whether_a_conversion_that_waited_makes_sense_is_seen_when_its_turn_comes() {
    let mut rig = Rig::new(Rules::Checked);
    let token = rig.held_as(5, Mode::Nl, NONE);
    rig.converting(token, Mode::Ex);
    rig.give_up(token, 1);
    let up = conversion(Mode::Ex, LockFlags::QUECVT);
    assert_eq!(rig.convert_with(token, &up), Ok(Queueing::Queued { serial: 2 }));
    rig.ended(token, LockStatus::Granted);
    let Follow::Failed { user, failure, .. } = rig.follow(token) else { panic!() };
    assert_eq!(number(&user), Some(3));
    assert!(matches!(failure, crate::Failure::Rejected(Rejected::Illegal(_))));
    assert_eq!((rig.core.mode(token), rig.core.expected()), (Some(Mode::Ex), 1));
}

#[test]
fn what_waits_for_its_turn_can_be_given_up() {
    let mut rig = Rig::new(Rules::Checked);
    let token = rig.held(5);
    rig.converting(token, Mode::Nl);
    rig.give_up(token, 1);
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 2 }));
    assert!(rig.core.user_mut(token, 2).is_some());
    assert_eq!(rig.give_up(token, 2), Some(3));
    assert_eq!(rig.core.expected(), 2);
    assert!(!rig.ended(token, LockStatus::Granted).follow);
    rig.follow_does_nothing(token);
    assert_eq!(rig.core.mode(token), Some(Mode::Nl));
}
