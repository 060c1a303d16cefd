//! Unlocks: the block they carry, their time, and their refusal.

use super::*;
use crate::UnlockLvb;

const BLOCK: ValueBlock = ValueBlock([7; 32]);

#[test]
fn an_unlock_writes_the_value_block_only_if_it_is_asked_to() {
    Rig::each(|mut rig| {
        let token = rig.held_as(5, Mode::Ex, LockFlags::VALBLK);
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        // The block is not known: it is marked invalid, as the kernel would store these bytes.
        rig.assert_writes(5, LockFlags::IVVALBLK);
        let token = rig.held(6);
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        rig.assert_writes(6, NONE);
        let token = rig.held_as(7, Mode::Ex, LockFlags::VALBLK);
        let unlock = Unlocking { lvb: UnlockLvb::Write(BLOCK), ..Unlocking::default() };
        assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Write));
        let written = Unlock { id: 7, flags: LockFlags::VALBLK, lvb: BLOCK };
        assert_eq!(rig.written(), written);
    });
}

#[test]
fn an_unlock_takes_the_id_from_its_lock_before_it_is_written() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        assert_eq!(rig.core.by_id(LockId(5)), Some(token));
        assert!(rig.core.knows_resource(b"disk0"));
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        assert_eq!(rig.core.by_id(LockId(5)), None);
        assert!(!rig.core.knows_resource(b"disk0"));
        // A refusal gives it back.
        let refused = rig.refuse(EBUSY);
        assert_eq!((number(&refused.user), refused.follow), (Some(2), false));
        assert_eq!(rig.core.by_id(LockId(5)), Some(token));
        assert!(rig.core.knows_resource(b"disk0"));
        assert_eq!((rig.core.mode(token), rig.core.expected()), (Some(Mode::Ex), 1));
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        rig.accept(None);
        assert_eq!(rig.core.counts().unlocks, 1);
        assert_eq!(number(&rig.ended(token, LockStatus::Unlocked).user), Some(3));
        rig.settle(token);
        rig.assert_empty();
    });
}

#[test]
fn an_unlock_of_a_lock_that_is_not_there_finds_it_gone() {
    for errno in [ENOENT, ENODEV, EBADF] {
        Rig::each(|mut rig| {
            let token = rig.held(5);
            assert_eq!(rig.unlock(token), Ok(Queueing::Write));
            let refused = rig.refuse(errno);
            assert_eq!((number(&refused.user), numbers(&refused.lost)), (Some(2), [None, None]));
            assert!(rig.settle(token).is_some());
            rig.assert_empty();
        });
    }
}

/// Over what is in flight, for those whom the kernel lets do that.
fn over(op: crate::Kind) -> (Rig, Token) {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = if op == crate::Kind::Request {
        rig.waiting(5)
    } else {
        let token = rig.held(5);
        rig.converting(token, Mode::Pr);
        token
    };
    assert_eq!(rig.unlock(token), Ok(Queueing::Write));
    rig.assert_writes(5, NONE);
    (rig, token)
}

const BOTH: [crate::Kind; 2] = [crate::Kind::Request, crate::Kind::Convert];

#[test]
fn an_unlock_may_go_over_what_is_in_flight_and_ends_it() {
    for op in BOTH {
        let (mut rig, token) = over(op);
        let [under, unlock] = [rig.made - 1, rig.made];
        rig.accept(None);
        let report = rig.ended(token, LockStatus::Unlocked);
        assert_eq!((report.kind, number(&report.user)), (crate::Kind::Unlock, Some(unlock)));
        let (_, owner, ended) = report.overtaken.unwrap();
        assert_eq!((owner.0, ended.status), (under, LockStatus::Unlocked));
        assert!(rig.settle(token).is_some());
        rig.assert_empty();
    }
}

#[test]
fn what_an_unlock_was_written_over_may_end_first() {
    for op in BOTH {
        let (mut rig, token) = over(op);
        let [under, unlock] = [rig.made - 1, rig.made];
        let serial = rig.serial(token);
        rig.accept(None);
        let report = rig.ended(token, LockStatus::Granted);
        assert_eq!((report.kind, number(&report.user)), (op, Some(under)));
        assert_eq!(report.serial, serial - 1);
        assert!(report.overtaken.is_none());
        // It is being unlocked: its id, and the resource, may be others' any moment.
        assert_eq!(rig.core.by_id(LockId(5)), None);
        assert!(!rig.core.knows_resource(b"disk0"));
        let report = rig.ended(token, LockStatus::Unlocked);
        assert_eq!((report.serial, number(&report.user)), (serial, Some(unlock)));
        assert!(rig.settle(token).is_some());
        rig.assert_empty();
    }
}

#[test]
fn an_unlock_ends_with_a_request_that_fails_under_it() {
    let (mut rig, token) = over(crate::Kind::Request);
    rig.core.mark_timed_out(token, 0);
    rig.accept(None);
    let report = rig.ended(token, LockStatus::Cancelled);
    assert_eq!((report.kind, number(&report.user)), (crate::Kind::Unlock, Some(2)));
    assert_eq!((report.serial, report.ended.status), (1, LockStatus::Unlocked));
    let (_, owner, ended) = report.overtaken.unwrap();
    assert_eq!((owner.0, ended.status), (1, LockStatus::Cancelled));
    assert!(rig.settle(token).is_some());
    rig.assert_empty();
}

#[test]
fn what_an_unlock_was_written_over_goes_on_if_that_is_refused() {
    for op in BOTH {
        let (mut rig, token) = over(op);
        let [under, unlock] = [rig.made - 1, rig.made];
        let serial = rig.serial(token) - 1;
        let refused = rig.refuse(EBUSY);
        assert_eq!((number(&refused.user), numbers(&refused.lost)), (Some(unlock), [None, None]));
        // By its own number, or its deadline would find nothing.
        assert_eq!(rig.serial(token), serial);
        assert_eq!(rig.core.by_id(LockId(5)), Some(token));
        rig.core.mark_timed_out(token, serial);
        let step =
            rig.call(|core, out| core.cancel(token, Some(serial), CancelKind::Plain, true, out));
        assert_eq!(step, CancelStep::Write);
        rig.accept(None);
        let report = rig.ended(token, LockStatus::Cancelled);
        assert_eq!((report.serial, number(&report.user)), (serial, Some(under)));
        assert_eq!(report.ended.status, LockStatus::TimedOut);
    }
}

/// The owner of what it was written over is told, too.
#[test]
fn an_unlock_over_something_finds_the_lock_gone() {
    for op in BOTH {
        let (mut rig, token) = over(op);
        let [under, unlock] = [rig.made - 1, rig.made];
        let refused = rig.refuse(ENOENT);
        assert_eq!(number(&refused.user), Some(unlock));
        assert_eq!(numbers(&refused.lost), [Some(under), None]);
        assert!(rig.settle(token).is_some());
        rig.assert_empty();
    }
}

/// #refused-with-a-warning, #stale-id: what ends by itself is not unlocked, as its id may be
/// another lock's.
#[test]
fn an_unlock_does_not_go_over_what_ends_by_itself() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
    rig.accept(Some(5));
    assert_eq!(rig.unlock(token), Err(Rejected::InFlight));
    // While the request is written it waits.
    let token = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 1 }));
    assert!(rig.accept(Some(6)));
    rig.follow_does_nothing(token);
    assert!(rig.ended(token, LockStatus::Again).follow);
    let Follow::Failed { user, failure, .. } = rig.follow(token) else { panic!() };
    assert_eq!(number(&user), Some(4));
    assert_eq!(failure, crate::Failure::Rejected(Rejected::LockGone));
    assert!(rig.settle(token).is_some());
    // A request that was cancelled.
    let token = rig.waiting(7);
    assert_eq!(rig.cancel(token, false), CancelStep::Write);
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 1 }));
    assert!(rig.accept(None));
    rig.follow_does_nothing(token);
    assert!(rig.ended(token, LockStatus::Granted).follow);
    rig.follow_writes(token);
    rig.assert_writes(7, LockFlags::FORCEUNLOCK);
}

/// The kernel forgets one that is behind a conversion and its cancel when the master dies.
#[test]
fn an_unlock_waits_for_the_end_of_a_conversion_that_is_cancelled() {
    for status in [LockStatus::Granted, LockStatus::Cancelled] {
        let mut rig = Rig::new(Rules::AsAsked);
        let token = rig.held(5);
        rig.converting(token, Mode::Pr);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
        rig.accept(None);
        assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 2 }));
        rig.follow_does_nothing(token);
        assert!(rig.ended(token, status).follow);
        rig.follow_writes(token);
        rig.assert_writes(5, LockFlags::FORCEUNLOCK);
    }
}

#[test]
fn an_unlock_behind_a_cancel_is_forced_until_a_conversion_is_accepted() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        rig.converting(token, Mode::Pr);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
        rig.accept(None);
        rig.ended(token, LockStatus::Granted);
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        rig.assert_writes(5, LockFlags::FORCEUNLOCK);
        rig.refuse(ENOMEM);
        rig.converting(token, Mode::Ex);
        rig.ended(token, LockStatus::Granted);
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        rig.assert_writes(5, NONE);
    });
}

#[test]
fn whether_an_unlock_that_waited_may_write_is_seen_when_its_turn_comes() {
    let mut rig = Rig::new(Rules::Checked);
    let token = rig.held_as(5, Mode::Ex, LockFlags::VALBLK);
    rig.converting(token, Mode::Pr);
    rig.give_up(token, 1);
    let unlock = Unlocking { lvb: UnlockLvb::Write(BLOCK), ..Unlocking::default() };
    assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Queued { serial: 2 }));
    assert!(rig.ended(token, LockStatus::Granted).follow);
    // The kernel would not store it.
    let Follow::Failed { user, failure, .. } = rig.follow(token) else { panic!() };
    assert_eq!(number(&user), Some(3));
    assert!(matches!(failure, crate::Failure::Rejected(Rejected::Illegal(_))));
    assert_eq!(rig.core.mode(token), Some(Mode::Pr));
}

#[test]
fn who_waits_for_what_an_unlock_was_written_over_can_give_up() {
    for op in BOTH {
        let (mut rig, token) = over(op);
        let [under, unlock] = [rig.made - 1, rig.made];
        let serial = rig.serial(token);
        assert!(rig.core.user_mut(token, serial - 1).is_some());
        rig.core.set_deadline(Time::ZERO, token, serial - 1);
        let overdue = crate::Expired::Deadline { token, serial: serial - 1 };
        assert_eq!(rig.expired(), [overdue]);
        assert_eq!(rig.give_up(token, serial - 1), Some(under));
        assert_eq!(rig.give_up(token, serial - 1), None);
        // A request that nobody waits for is released if the unlock is refused.
        let refused = rig.refuse(EBUSY);
        assert_eq!(number(&refused.user), Some(unlock));
        assert_eq!(refused.follow, op == crate::Kind::Request);
        // What is left of either must be read by somebody.
        assert_eq!(rig.core.left_over(), 1);
        if refused.follow {
            rig.follow_writes(token);
            rig.assert_writes(5, LockFlags::FORCEUNLOCK);
        }
    }
}

#[test]
fn an_unlock_can_wait_for_a_request_that_ends_by_itself() {
    let mut rig = Rig::new(Rules::AsAsked);
    for (status, is_held) in [(LockStatus::Granted, true), (LockStatus::Again, false)] {
        let token = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
        rig.accept(Some(5));
        assert_eq!(rig.unlock(token), Err(Rejected::InFlight));
        let unlock = Unlocking { waits: true, ..Unlocking::default() };
        assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Queued { serial: 1 }));
        let made = rig.made;
        assert_eq!(rig.unlock_with(token, &unlock), Err(Rejected::InFlight));
        rig.follow_does_nothing(token);
        assert!(rig.ended(token, status).follow);
        if is_held {
            rig.follow_writes(token);
            rig.assert_writes(5, NONE);
            rig.accept(None);
            assert_eq!(number(&rig.ended(token, LockStatus::Unlocked).user), Some(made));
        } else {
            let Follow::Failed { user, failure, .. } = rig.follow(token) else { panic!() };
            assert_eq!(number(&user), Some(made));
            assert_eq!(failure, crate::Failure::Rejected(Rejected::LockGone));
        }
        assert!(rig.settle(token).is_some());
    }
    rig.assert_empty();
}

#[test]
fn a_conversion_that_was_given_up_is_waited_for_until_an_unlock_goes_over_it() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.held(5);
    rig.converting(token, Mode::Pr);
    rig.give_up(token, 1);
    assert_eq!(rig.core.left_over(), 1);
    assert_eq!(rig.unlock(token), Ok(Queueing::Write));
    assert_eq!(rig.core.left_over(), 0);
    rig.refuse(EBUSY);
    assert_eq!(rig.core.left_over(), 1);
}
