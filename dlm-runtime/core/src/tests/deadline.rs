//! Deadlines, and the alarms that have no purpose any more.

use std::time::Duration;

use super::*;
use crate::Expired;

fn at(seconds: u64) -> Time {
    Duration::from_secs(seconds)
}

#[test]
fn alarms_come_in_the_order_of_their_time() {
    Rig::each(|mut rig| {
        let tokens = [rig.waiting(5), rig.waiting(6), rig.waiting(7)];
        for (token, seconds) in tokens.into_iter().zip([3, 1, 2]) {
            rig.core.set_deadline(at(seconds), token, 0);
        }
        let due = |token| Expired::Deadline { token, serial: 0 };
        assert_eq!(rig.core.next_alarm(), Some(at(1)));
        assert_eq!(rig.expired(), []);
        rig.now = at(1);
        assert_eq!(rig.expired(), [due(tokens[1])]);
        assert_eq!(rig.core.next_alarm(), Some(at(2)));
        rig.now = at(9);
        assert_eq!(rig.expired(), [due(tokens[2]), due(tokens[0])]);
        assert_eq!((rig.core.next_alarm(), rig.expired()), (None, std::vec![]));
    });
}

#[test]
fn a_deadline_is_for_one_operation() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        rig.core.set_deadline(at(1), token, 0);
        rig.ended(token, LockStatus::Granted);
        rig.converting(token, Mode::Pr);
        rig.now = at(1);
        assert_eq!(rig.expired(), []);
        rig.core.set_deadline(at(2), token, 1);
        rig.ended(token, LockStatus::Granted);
        rig.unlock(token).unwrap();
        rig.accept(None);
        rig.ended(token, LockStatus::Unlocked);
        rig.settle(token);
        let other = rig.waiting(5);
        assert_eq!(other.index(), token.index());
        rig.now = at(2);
        assert_eq!(rig.expired(), []);
    });
}

/// What a driver does at a deadline: cancel, read, give up.
#[test]
fn an_operation_that_is_overdue_is_cancelled_and_ends_as_timed_out() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        for (status, told) in [
            (LockStatus::Cancelled, LockStatus::TimedOut),
            (LockStatus::Granted, LockStatus::Granted),
        ] {
            rig.converting(token, Mode::Pr);
            let serial = rig.serial(token);
            rig.core.set_deadline(rig.now, token, serial);
            assert_eq!(rig.expired(), [Expired::Deadline { token, serial }]);
            rig.core.mark_timed_out(token, serial);
            rig.core.mark_timed_out(token, serial - 1);
            assert_eq!(rig.cancel(token, true), CancelStep::Write);
            rig.accept(None);
            assert_eq!(rig.ended(token, status).ended.status, told);
        }
        // It is about that operation alone.
        rig.converting(token, Mode::Ex);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
        rig.accept(None);
        assert_eq!(rig.ended(token, LockStatus::Cancelled).ended.status, LockStatus::Cancelled);
    });
}

#[test]
fn what_waits_for_its_turn_has_a_deadline_too() {
    let mut rig = Rig::new(Rules::Checked);
    let token = rig.held(5);
    rig.converting(token, Mode::Pr);
    rig.give_up(token, 1);
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 2 }));
    rig.core.set_deadline(at(1), token, 2);
    rig.now = at(1);
    assert_eq!(rig.expired(), [Expired::Deadline { token, serial: 2 }]);
    let step = rig.call(|core, out| core.cancel(token, Some(2), CancelKind::Plain, true, out));
    assert_eq!(step, CancelStep::Nothing);
    assert_eq!(rig.give_up(token, 2), Some(3));
    // The lock is the handle's again, or is released with it.
    assert!(matches!(rig.release(token).follow, Follow::Write));
    rig.assert_writes(5, LockFlags::FORCEUNLOCK);
}

#[test]
fn alarms_without_a_purpose_are_cleared_out() {
    Rig::each(|mut rig| {
        let kept = rig.waiting(4);
        rig.core.set_deadline(at(5000), kept, 0);
        for id in 0..1000 {
            let token = rig.waiting(5 + id);
            rig.core.set_deadline(at(1000 + u64::from(id)), token, 0);
            rig.ended(token, LockStatus::Again);
            rig.settle(token);
        }
        assert!(rig.core.alarms.len() < 80, "{}", rig.core.alarms.len());
        rig.now = at(9000);
        assert_eq!(rig.expired(), [Expired::Deadline { token: kept, serial: 0 }]);
    });
}

#[test]
fn time_does_not_overflow() {
    Rig::each(|mut rig| {
        rig.now = Duration::MAX;
        let token = rig.held(5);
        rig.release(token);
        rig.refuse(ENOMEM);
        assert_eq!(rig.expired(), [Expired::Retry(token)]);
        rig.follow_writes(token);
    });
}
