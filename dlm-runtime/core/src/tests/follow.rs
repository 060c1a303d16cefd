//! Writes that follow a write: cancels that came too early, locks that nobody wants, and what
//! was refused.

use super::*;
use crate::Expired;
use crate::alarms::{FIRST_RETRY, SLOWEST_RETRY};

#[test]
fn a_cancel_that_comes_too_early_is_written_behind_its_operation() {
    Rig::each(|mut rig| {
        let token = rig.lock();
        let ticket = rig.out.ticket();
        assert_eq!(rig.cancel(token, false), CancelStep::Left);
        rig.follow_does_nothing(token);
        assert!(rig.call(|core, _| core.accepted(&ticket, Some(LockId(5))).follow));
        rig.follow_writes(token);
        rig.assert_writes(5, LockFlags::CANCEL);
        // One thread writes it, the next one finds nothing to do.
        rig.follow_does_nothing(token);
        assert_eq!(rig.cancel(token, false), CancelStep::Already);
        assert!(!rig.accept(None));
        let report = rig.ended(token, LockStatus::Cancelled);
        assert_eq!((report.ended.mode, report.follow), (None, false));
        rig.settle(token);
        rig.assert_empty();
    });
}

#[test]
fn a_cancel_that_comes_too_late_is_not_written() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        assert_eq!(rig.convert(token, Mode::Pr), Ok(Queueing::Write));
        assert_eq!(rig.cancel(token, false), CancelStep::Left);
        rig.ended(token, LockStatus::Granted);
        assert!(rig.accept(None));
        rig.follow_does_nothing(token);
        // The next conversion is not the one that it was for.
        rig.converting(token, Mode::Ex);
        assert!(!rig.core.view(token).unwrap().is_cancelled);
        rig.follow_does_nothing(token);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
    });
}

#[test]
fn a_cancel_that_was_left_goes_with_an_operation_that_is_refused() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        assert_eq!(rig.convert(token, Mode::Pr), Ok(Queueing::Write));
        assert_eq!(rig.cancel(token, false), CancelStep::Left);
        rig.refuse(EBUSY);
        rig.follow_does_nothing(token);
        assert!(!rig.core.view(token).unwrap().is_cancelled);
    });
}

#[test]
fn a_cancel_of_our_own_that_is_refused_for_now_is_written_again() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        let mut wait = FIRST_RETRY;
        assert_eq!(rig.cancel(token, true), CancelStep::Write);
        for _ in 0..12 {
            assert_eq!(rig.refuse(ENOMEM).user, None);
            rig.follow_does_nothing(token);
            assert_eq!(rig.cancel(token, true), CancelStep::Already);
            assert_eq!(rig.core.next_alarm(), Some(rig.now + wait));
            assert_eq!(rig.expired(), []);
            rig.now += wait;
            assert_eq!(rig.expired(), [Expired::Retry(token)]);
            rig.follow_writes(token);
            rig.assert_writes(5, LockFlags::CANCEL);
            wait = (wait * 2).min(SLOWEST_RETRY);
        }
        rig.accept(None);
        assert_eq!(rig.core.next_alarm(), None);
        assert_eq!(rig.ended(token, LockStatus::Cancelled).ended.mode, None);
    });
}

/// Whoever asked for it is told, and may ask again.
#[test]
fn a_cancel_that_its_caller_hears_of_is_not_written_again() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
        assert!(!rig.refuse(ENOMEM).follow);
        assert_eq!(rig.core.next_alarm(), None);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
        // One that was left to another thread is.
        rig.refuse(ENOMEM);
        let token = rig.lock();
        assert_eq!(rig.cancel(token, false), CancelStep::Left);
        rig.accept(Some(6));
        rig.follow_writes(token);
        rig.refuse(ENOMEM);
        assert!(rig.core.next_alarm().is_some());
    });
}

/// #refused-with-a-warning: the kernel notes a cancel before it asks for the message buffer, and
/// refuses the next one.
#[test]
fn a_cancel_without_a_message_buffer_is_not_written_again() {
    for internal in [false, true] {
        Rig::each(|mut rig| {
            let token = rig.waiting(5);
            assert_eq!(rig.cancel(token, internal), CancelStep::Write);
            rig.refuse(ENOBUFS);
            assert_eq!(rig.cancel(token, internal), CancelStep::Already);
            assert_eq!(rig.core.next_alarm(), None);
            rig.follow_does_nothing(token);
            // It does not end by itself: nothing keeps its unlock from being written.
            assert!(!rig.core.view(token).unwrap().ends_by_itself);
            let released = rig.release(token);
            assert!(matches!(released.follow, Follow::Write));
            rig.assert_writes(5, LockFlags::FORCEUNLOCK);
            // Also where that may overwrite a block: it is marked invalid.
            let token = rig.lock_with(Mode::Ex, LockFlags::VALBLK);
            rig.accept(Some(6));
            assert_eq!(rig.cancel(token, internal), CancelStep::Write);
            rig.refuse(ENOBUFS);
            assert!(matches!(rig.release(token).follow, Follow::Write));
            rig.assert_writes(6, LockFlags::FORCEUNLOCK | LockFlags::IVVALBLK);
        });
    }
}

#[test]
fn a_cancel_after_another_process_has_cancelled_is_not_written_again() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
        rig.refuse(EINVAL);
        assert_eq!(rig.cancel(token, false), CancelStep::Already);
        assert_eq!(rig.ended(token, LockStatus::Cancelled).ended.mode, None);
    });
}

/// The result of what ended it may be unread, or another process has it.
#[test]
fn a_lock_whose_cancel_finds_none_is_gone() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        assert_eq!(rig.cancel(token, true), CancelStep::Write);
        rig.refuse(ENOENT);
        // #stale-id: the id may be another lock's.
        assert_eq!(rig.core.by_id(LockId(5)), None);
        assert_eq!(rig.unlock(token), Err(Rejected::LockGone));
        assert_eq!(number(&rig.ended(token, LockStatus::Cancelled).user), Some(1));
        rig.settle(token);

        let token = rig.waiting(6);
        assert_eq!(rig.cancel(token, true), CancelStep::Write);
        rig.refuse(ENOENT);
        assert_eq!(rig.give_up(token, 0), Some(rig.made));
        assert_eq!(rig.core.left_over(), 1);
        rig.release_removes(token);
        rig.assert_empty();

        // Nobody waits any more.
        let token = rig.waiting(7);
        assert_eq!(rig.cancel(token, true), CancelStep::Write);
        rig.give_up(token, 0);
        rig.refuse(ENOENT);
        assert_eq!(rig.core.left_over(), 0);
        rig.release_removes(token);
        rig.assert_empty();

        // A conversion.
        let token = rig.held(8);
        rig.converting(token, Mode::Pr);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
        rig.refuse(ENOENT);
        assert!(!rig.core.knows_resource(b"disk0"));
        let report = rig.ended(token, LockStatus::Granted);
        assert_eq!((report.ended.mode, rig.core.mode(token)), (None, None));
        rig.settle(token);
        rig.assert_empty();
    });
}

#[test]
fn what_waits_behind_a_lock_that_is_gone_is_told_so() {
    let mut rig = Rig::new(Rules::Checked);
    let token = rig.held(5);
    rig.converting(token, Mode::Pr);
    rig.give_up(token, 1);
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 2 }));
    assert_eq!(rig.cancel(token, true), CancelStep::Write);
    assert!(rig.refuse(ENOENT).follow);
    let Follow::Failed { user, serial, failure } = rig.follow(token) else { panic!() };
    assert_eq!((number(&user), serial), (Some(3), 2));
    assert_eq!(failure, crate::Failure::Rejected(Rejected::LockGone));
    let released = rig.release(token);
    assert!(matches!(released.follow, Follow::Gone(_)));
    rig.assert_empty();
}

#[test]
fn an_end_of_the_lockspace_that_a_cancel_finds_is_the_end() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        assert_eq!(rig.cancel(token, false), CancelStep::Write);
        assert_eq!(number(&rig.refuse(ENODEV).user), Some(1));
        rig.settle(token);
        rig.assert_empty();
    });
}

#[test]
fn a_lock_that_nobody_wants_is_unlocked_and_removed() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        let released = rig.release(token);
        assert!(matches!(released.follow, Follow::Write));
        assert_eq!((released.face, numbers(&released.users)), (Face(Some(1)), [None; 3]));
        rig.assert_writes(5, NONE);
        assert_eq!((rig.core.left_over(), rig.core.expected()), (1, 1));
        assert!(rig.accept(None));
        rig.follow_does_nothing(token);
        assert_eq!((rig.core.left_over(), rig.core.len()), (0, 1));
        assert!(matches!(rig.block(token, Mode::Pr), Received::Nothing));
        let report = rig.ended(token, LockStatus::Unlocked);
        assert_eq!((number(&report.user), report.follow), (None, true));
        assert_eq!(rig.follow_removes(token), Face(None));
        rig.assert_empty();
        assert_eq!(rig.core.counts().unlocks, 1);
        assert_eq!(rig.release(token).face, Face(None));
    });
}

/// The lock would stay with the kernel for ever.
#[test]
fn a_refused_unlock_of_a_lock_that_nobody_wants_is_written_again() {
    for errno in [ENOMEM, EBUSY, ENOBUFS, EINVAL, 4, 5] {
        Rig::each(|mut rig| {
            let token = rig.held(5);
            assert!(matches!(rig.release(token).follow, Follow::Write));
            for _ in 0..3 {
                let refused = rig.refuse(errno);
                assert_eq!((number(&refused.user), numbers(&refused.lost)), (None, [None, None]));
                assert_eq!((rig.core.left_over(), rig.core.expected()), (1, 0));
                assert!(rig.core.knows_resource(b"disk0"));
                rig.follow_does_nothing(token);
                rig.now = rig.core.next_alarm().unwrap();
                assert_eq!(rig.expired(), [Expired::Retry(token)]);
                rig.follow_writes(token);
                rig.assert_writes(5, NONE);
            }
            assert!(rig.accept(None));
            assert_eq!(rig.core.left_over(), 0);
            assert!(rig.ended(token, LockStatus::Unlocked).follow);
            rig.follow_removes(token);
            rig.assert_empty();
        });
    }
}

#[test]
fn a_lock_that_nobody_wants_and_nobody_knows_is_gone() {
    for errno in [ENOENT, ENODEV, EBADF] {
        Rig::each(|mut rig| {
            let token = rig.held(5);
            assert!(matches!(rig.release(token).follow, Follow::Write));
            assert!(rig.refuse(errno).follow);
            rig.follow_removes(token);
            rig.assert_empty();
            assert_eq!(rig.core.next_alarm(), None);
        });
    }
}

/// #refused-with-a-warning: the kernel notes FORCEUNLOCK before it asks for the message buffer.
#[test]
fn an_unlock_by_force_is_not_written_twice() {
    for errno in [ENOBUFS, EINVAL] {
        Rig::each(|mut rig| {
            let token = rig.waiting(5);
            let released = rig.release(token);
            assert!(matches!(released.follow, Follow::Write));
            assert_eq!(numbers(&released.users), [Some(1), None, None]);
            rig.assert_writes(5, LockFlags::FORCEUNLOCK);
            rig.refuse(errno);
            rig.now = rig.core.next_alarm().unwrap();
            rig.expired();
            rig.follow_writes(token);
            rig.assert_writes(5, NONE);
        });
    }
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.held(5);
    let unlock = Unlocking { force: true, ..Unlocking::default() };
    for flags in [LockFlags::FORCEUNLOCK, NONE] {
        assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Write));
        rig.assert_writes(5, flags);
        rig.refuse(ENOBUFS);
    }
    // A conversion replaces the flags, but not by its end if it was under way.
    rig.converting(token, Mode::Pr);
    rig.ended(token, LockStatus::Granted);
    rig.converting(token, Mode::Ex);
    for flags in [LockFlags::FORCEUNLOCK, NONE] {
        assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Write));
        rig.assert_writes(5, flags);
        rig.refuse(ENOBUFS);
    }
    rig.ended(token, LockStatus::Granted);
    assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Write));
    rig.assert_writes(5, NONE);
    rig.refuse(ENOBUFS);
    rig.converting(token, Mode::Pr);
    rig.ended(token, LockStatus::Granted);
    assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Write));
    rig.assert_writes(5, LockFlags::FORCEUNLOCK);
}

/// The kernel has the flags of a conversion that it had no message buffer for.
#[test]
fn an_unlock_after_a_conversion_without_a_message_buffer_spoils_no_block() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        let write = Conversion {
            write: Some(ValueBlock([7; 32])),
            ..conversion(Mode::Pr, LockFlags::VALBLK)
        };
        assert_eq!(rig.convert_with(token, &write), Ok(Queueing::Write));
        rig.refuse(ENOBUFS);
        assert!(matches!(rig.release(token).follow, Follow::Write));
        rig.assert_writes(5, LockFlags::IVVALBLK);
        // Nor one after an unlock without one.
        let token = rig.held_as(6, Mode::Ex, LockFlags::VALBLK);
        rig.converting(token, Mode::Pw);
        rig.ended(token, LockStatus::Granted);
        let lvb = crate::UnlockLvb::Write(ValueBlock([7; 32]));
        let unlock = Unlocking { lvb, ..Unlocking::default() };
        assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Write));
        rig.refuse(ENOBUFS);
        assert!(matches!(rig.release(token).follow, Follow::Write));
        rig.assert_writes(6, LockFlags::IVVALBLK);
    });
}

#[test]
fn a_released_request_is_unlocked_when_it_is_granted_all_the_same() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        assert!(matches!(rig.release(token).follow, Follow::Write));
        rig.assert_writes(5, LockFlags::FORCEUNLOCK);
        rig.accept(None);
        let report = rig.ended(token, LockStatus::Granted);
        assert_eq!((number(&report.user), report.ended.mode), (None, Some(Mode::Ex)));
        rig.follow_does_nothing(token);
        assert!(rig.ended(token, LockStatus::Unlocked).follow);
        rig.follow_removes(token);
        rig.assert_empty();

        let token = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
        rig.accept(Some(6));
        assert!(matches!(rig.release(token).follow, Follow::Nothing));
        assert_eq!(rig.core.left_over(), 1);
        assert!(rig.ended(token, LockStatus::Granted).follow);
        rig.follow_writes(token);
        rig.assert_writes(6, NONE);
        rig.accept(None);
        assert!(rig.ended(token, LockStatus::Unlocked).follow);
        rig.follow_removes(token);
        rig.assert_empty();
    });
}

/// A forced unlock would overwrite a block that is not known.
#[test]
fn a_released_request_that_reads_a_block_is_cancelled() {
    Rig::each(|mut rig| {
        for granted in [false, true] {
            let token = rig.lock_with(Mode::Ex, LockFlags::VALBLK);
            rig.accept(Some(5));
            assert!(matches!(rig.release(token).follow, Follow::Write));
            rig.assert_writes(5, LockFlags::CANCEL);
            assert!(rig.accept(None));
            rig.follow_does_nothing(token);
            assert_eq!(rig.core.left_over(), 1);
            let status = if granted { LockStatus::Granted } else { LockStatus::Cancelled };
            assert!(rig.ended(token, status).follow);
            if granted {
                rig.follow_writes(token);
                rig.assert_writes(5, LockFlags::FORCEUNLOCK | LockFlags::IVVALBLK);
                rig.accept(None);
                rig.ended(token, LockStatus::Unlocked);
            }
            rig.follow_removes(token);
            rig.assert_empty();
        }
    });
}

#[test]
fn a_request_that_is_given_up_is_released() {
    for cancelled in [false, true] {
        Rig::each(|mut rig| {
            let token = rig.waiting(5);
            let owner = rig.made;
            if cancelled {
                assert_eq!(rig.cancel(token, true), CancelStep::Write);
                rig.accept(None);
            }
            assert_eq!(rig.give_up(token, 0), Some(owner));
            assert_eq!(rig.give_up(token, 0), None);
            assert_eq!(rig.core.left_over(), 1);
            assert_eq!(rig.unlock(token), Err(Rejected::LockGone));
            if cancelled {
                rig.follow_does_nothing(token);
            } else {
                rig.follow_writes(token);
                rig.assert_writes(5, LockFlags::FORCEUNLOCK);
                rig.accept(None);
            }
            // The grant that comes late is held by nobody.
            let report = rig.ended(token, LockStatus::Granted);
            assert_eq!((number(&report.user), report.follow), (None, true));
            if cancelled {
                rig.follow_writes(token);
                rig.assert_writes(5, LockFlags::FORCEUNLOCK);
                rig.accept(None);
            }
            rig.ended(token, LockStatus::Unlocked);
            assert_eq!(rig.core.left_over(), 0);
            assert_eq!(rig.release_removes(token), Face(Some(owner)));
            rig.assert_empty();
        });
    }
}

#[test]
fn a_request_that_is_given_up_while_it_is_written_is_released_by_its_writer() {
    for errno in [None, Some(ENOMEM)] {
        Rig::each(|mut rig| {
            let token = rig.lock();
            assert_eq!(rig.give_up(token, 0), Some(1));
            rig.follow_does_nothing(token);
            if let Some(errno) = errno {
                let refused = rig.refuse(errno);
                assert_eq!(number(&refused.user), None);
                assert_eq!(rig.release_removes(token), Face(Some(1)));
                rig.assert_empty();
                return;
            }
            assert!(rig.accept(Some(5)));
            rig.follow_writes(token);
            rig.assert_writes(5, LockFlags::FORCEUNLOCK);
        });
    }
}

#[test]
fn conversions_and_unlocks_that_are_given_up_go_on() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        rig.converting(token, Mode::Pr);
        assert_eq!(rig.give_up(token, 0), None);
        assert_eq!(rig.give_up(token, 1), Some(2));
        rig.follow_does_nothing(token);
        let report = rig.ended(token, LockStatus::Granted);
        assert_eq!((number(&report.user), rig.core.mode(token)), (None, Some(Mode::Pr)));
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        rig.accept(None);
        assert_eq!(rig.give_up(token, 2), Some(3));
        assert_eq!(rig.core.left_over(), 0);
        let report = rig.ended(token, LockStatus::Unlocked);
        assert_eq!((number(&report.user), report.follow), (None, false));
        assert!(rig.settle(token).is_some());
        rig.assert_empty();
    });
}

/// The unlock ends the lock as well as its release would; if it cannot, its owner is told.
#[test]
fn an_unlock_that_waits_ends_a_request_that_is_given_up() {
    for status in [LockStatus::Granted, LockStatus::Cancelled] {
        let mut rig = Rig::new(Rules::AsAsked);
        let token = rig.waiting(5);
        assert_eq!(rig.cancel(token, true), CancelStep::Write);
        assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 1 }));
        assert!(rig.accept(None));
        rig.follow_does_nothing(token);
        assert_eq!(rig.give_up(token, 0), Some(1));
        rig.follow_does_nothing(token);
        assert!(rig.ended(token, status).follow);
        if status == LockStatus::Granted {
            rig.follow_writes(token);
            rig.assert_writes(5, LockFlags::FORCEUNLOCK);
            assert!(rig.accept(None));
            assert_eq!(rig.core.left_over(), 0);
            assert_eq!(number(&rig.ended(token, LockStatus::Unlocked).user), Some(2));
        } else {
            let Follow::Failed { user, failure, .. } = rig.follow(token) else { panic!() };
            assert_eq!(number(&user), Some(2));
            assert_eq!(failure, crate::Failure::Rejected(Rejected::LockGone));
        }
        rig.release_removes(token);
        rig.assert_empty();
    }
}

#[test]
fn an_unlock_that_is_refused_for_a_request_that_was_given_up_leaves_it_to_be_released() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.waiting(5);
    assert_eq!(rig.cancel(token, true), CancelStep::Write);
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 1 }));
    rig.accept(None);
    rig.give_up(token, 0);
    rig.ended(token, LockStatus::Granted);
    rig.follow_writes(token);
    let refused = rig.refuse(EBUSY);
    assert_eq!((number(&refused.user), refused.follow), (Some(2), true));
    assert_eq!(rig.core.left_over(), 1);
    rig.follow_writes(token);
    rig.accept(None);
    rig.ended(token, LockStatus::Unlocked);
    rig.release_removes(token);
    rig.assert_empty();
}

#[test]
fn the_release_of_a_lock_hands_out_all_that_was_kept_for_it() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.held(5);
    rig.converting(token, Mode::Pr);
    assert_eq!(rig.cancel(token, true), CancelStep::Write);
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 2 }));
    let released = rig.release(token);
    assert!(matches!(released.follow, Follow::Nothing));
    assert_eq!(numbers(&released.users), [Some(2), None, Some(3)]);
    assert!(rig.accept(None));
    rig.follow_does_nothing(token);
    assert!(rig.ended(token, LockStatus::Granted).follow);
    rig.follow_writes(token);
    rig.assert_writes(5, LockFlags::FORCEUNLOCK);

    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.held(5);
    rig.converting(token, Mode::Pr);
    assert_eq!(rig.unlock(token), Ok(Queueing::Write));
    let released = rig.release(token);
    assert_eq!(numbers(&released.users), [Some(3), Some(2), None]);
    assert_eq!(rig.core.left_over(), 1);
    // The unlock that is under way ends it.
    assert!(rig.accept(None));
    rig.follow_does_nothing(token);
    assert_eq!(rig.core.left_over(), 0);
    assert!(rig.ended(token, LockStatus::Unlocked).follow);
    rig.follow_removes(token);
    rig.assert_empty();
}

#[test]
fn what_was_refused_for_now_does_not_hold_up_what_comes_after_it() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        rig.converting(token, Mode::Pr);
        assert_eq!(rig.cancel(token, true), CancelStep::Write);
        rig.refuse(ENOMEM);
        rig.ended(token, LockStatus::Granted);
        // Not before the alarm, but at once.
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        rig.assert_writes(5, NONE);
        rig.accept(None);
        rig.now += SLOWEST_RETRY;
        assert_eq!(rig.expired(), [Expired::Retry(token)]);
        rig.follow_does_nothing(token);
    });
}

#[test]
fn two_threads_that_follow_write_one_after_the_other() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        rig.converting(token, Mode::Pr);
        rig.release(token);
        rig.assert_writes(5, LockFlags::FORCEUNLOCK);
        let first = rig.out.clone();
        rig.follow_does_nothing(token);
        assert_eq!(rig.out.bytes(), first.bytes());
    });
}
