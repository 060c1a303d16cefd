//! A device that another process has open too: it may have read what was meant for this one.

use super::*;

fn shared() -> (Rig, Token) {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.held(5);
    rig.core.set_shared();
    (rig, token)
}

#[test]
fn the_kernel_says_whether_a_conversion_has_ended() {
    let (mut rig, token) = shared();
    rig.converting(token, Mode::Pr);
    assert_eq!(rig.convert(token, Mode::Cr), Ok(Queueing::Write));
    assert_eq!((rig.serial(token), rig.core.expected()), (2, 2));
    // It has not: all is as before.
    let refused = rig.refuse(EBUSY);
    assert_eq!((number(&refused.user), numbers(&refused.lost)), (Some(3), [None, None]));
    assert_eq!((rig.serial(token), rig.core.expected()), (1, 2));
    assert_eq!(rig.cancel(token, false), CancelStep::Write);
    rig.accept(None);
    assert_eq!(rig.convert(token, Mode::Cr), Ok(Queueing::Write));
    rig.refuse(EBUSY);
    // #refused-with-a-warning: it was cancelled.
    assert_eq!(rig.cancel(token, false), CancelStep::Already);
    let report = rig.ended(token, LockStatus::Granted);
    assert_eq!((number(&report.user), report.serial), (Some(2), 1));
    assert_eq!((rig.core.mode(token), rig.core.expected()), (Some(Mode::Pr), 1));
}

/// Hands out the owner of a lost conversion.
#[track_caller]
fn lost(rig: &mut Rig, token: Token) -> (Option<u32>, u64) {
    let Follow::Failed { user, serial, failure } = rig.follow(token) else { panic!() };
    assert_eq!(failure, crate::Failure::Lost);
    (number(&user), serial)
}

#[test]
fn whoever_waits_for_a_result_that_another_process_has_read_is_told() {
    let (mut rig, token) = shared();
    rig.converting(token, Mode::Pr);
    for serial in 2..5 {
        assert_eq!(rig.convert(token, Mode::Cr), Ok(Queueing::Write));
        assert!(rig.accept(None));
        // He is the one before this one. Until he is told nothing takes his place.
        assert_eq!(rig.convert(token, Mode::Nl), Err(Rejected::InFlight));
        let before = rig.made - 2;
        assert_eq!(lost(&mut rig, token), (Some(before), serial - 1));
        rig.follow_does_nothing(token);
        rig.made -= 1;
    }
    let report = rig.ended(token, LockStatus::Granted);
    assert_eq!((number(&report.user), report.serial), (Some(rig.made), 4));
    assert_eq!(rig.core.expected(), 1);
}

#[test]
fn he_is_told_also_if_the_next_result_is_read_before_its_write_returns() {
    let (mut rig, token) = shared();
    rig.converting(token, Mode::Pr);
    assert_eq!(rig.convert(token, Mode::Cr), Ok(Queueing::Write));
    let report = rig.ended(token, LockStatus::Granted);
    assert_eq!((number(&report.user), report.serial), (Some(3), 2));
    assert!(report.overtaken.is_none() && report.follow);
    assert_eq!(lost(&mut rig, token), (Some(2), 1));
    assert!(!rig.accept(None));
    assert_eq!(rig.unlock(token), Ok(Queueing::Write));
}

#[test]
fn a_lock_that_is_dropped_hands_out_the_owner_of_what_is_lost() {
    let (mut rig, token) = shared();
    rig.converting(token, Mode::Pr);
    rig.convert(token, Mode::Cr).unwrap();
    assert!(rig.accept(None));
    let released = rig.release(token);
    assert_eq!(numbers(&released.users), [Some(3), Some(2), None]);
    assert!(matches!(released.follow, Follow::Write));
}

#[test]
fn an_unlock_goes_over_a_request_whose_end_is_not_known() {
    let (mut rig, _) = shared();
    let token = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
    let request = rig.out.ticket();
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 1 }));
    assert!(rig.call(|core, _| core.accepted(&request, Some(LockId(6))).follow));
    rig.follow_writes(token);
    rig.assert_writes(6, NONE);
    assert_eq!(rig.unlock(token), Err(Rejected::LockGone));
    rig.follow_does_nothing(token);
    let refused = rig.refuse(ENOENT);
    assert_eq!(number(&refused.user), Some(3));
    assert_eq!(numbers(&refused.lost), [Some(2), None]);
    assert!(rig.settle(token).is_some());
}

/// #stale-id: the id of what is being unlocked may be another lock's.
#[test]
fn nothing_goes_over_an_unlock() {
    let (mut rig, token) = shared();
    rig.unlock(token).unwrap();
    rig.accept(None);
    assert_eq!(rig.unlock(token), Err(Rejected::LockGone));
    assert_eq!(rig.convert(token, Mode::Nl), Err(Rejected::LockGone));
}

#[test]
fn a_forked_child_goes_on_with_locks_that_its_parent_was_writing_for() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.held(5);
    rig.convert(token, Mode::Pr).unwrap();
    let (users, faces) = rig.call(|core, _| core.set_child(PROCESS + 1));
    assert!(users.is_empty() && faces.is_empty());
    assert_eq!(rig.unlock(token), Ok(Queueing::Write));
    let Request::Unlock(unlock) = Request::decode(Abi::V6_64, rig.out.bytes()).unwrap() else {
        panic!()
    };
    assert_eq!(unlock.cookies.lksb, u64::from(PROCESS + 1));
    rig.accept(None);
    // Its result is the child's.
    assert!(matches!(rig.complete(token, LockStatus::Unlocked), Received::Dropped));
    let lksb = u64::from(PROCESS + 1);
    let result = LockResult { lksb, ..rig.completion(token, LockStatus::Unlocked) };
    assert!(matches!(rig.receive(&result), Received::Ended(_)));
}

#[test]
fn a_conversion_goes_over_a_request_whose_grant_another_process_has_read() {
    let (mut rig, _) = shared();
    let token = rig.waiting(6);
    assert_eq!(rig.convert(token, Mode::Pr), Ok(Queueing::Write));
    assert_eq!(rig.core.mode(token), None);
    // It waits: all is as before.
    let refused = rig.refuse(EBUSY);
    assert_eq!((number(&refused.user), numbers(&refused.lost)), (Some(3), [None, None]));
    assert_eq!(rig.core.mode(token), None);
    assert_eq!(rig.convert(token, Mode::Pr), Ok(Queueing::Write));
    assert!(rig.accept(None));
    assert_eq!(rig.core.mode(token), Some(Mode::Ex));
    assert_eq!(lost(&mut rig, token), (Some(2), 0));
    let report = rig.ended(token, LockStatus::Granted);
    assert_eq!((number(&report.user), report.ended.mode), (Some(4), Some(Mode::Pr)));
}

#[test]
fn a_conversion_over_a_request_that_was_refused_finds_no_lock() {
    let (mut rig, _) = shared();
    let token = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
    rig.accept(Some(6));
    assert_eq!(rig.convert(token, Mode::Pr), Ok(Queueing::Write));
    let refused = rig.refuse(ENOENT);
    assert_eq!((number(&refused.user), numbers(&refused.lost)), (Some(3), [Some(2), None]));
    assert!(rig.settle(token).is_some());
}

#[test]
fn a_forked_child_leaves_to_its_parent_what_that_was_about_to_do() {
    let mut rig = Rig::new(Rules::AsAsked);
    let held = rig.held(5);
    rig.convert(held, Mode::Pr).unwrap();
    let queued = rig.unlock(held).unwrap();
    assert!(matches!(queued, Queueing::Queued { .. }));
    let being_written = rig.lock();
    let released = rig.waiting(6);
    rig.release(released);
    let waiting = rig.waiting(7);
    rig.core.set_deadline(Time::ZERO, waiting, 0);
    let (users, faces) = rig.call(|core, _| core.set_child(PROCESS + 1));
    let mut users: Vec<_> = users.iter().map(|user| user.0).collect();
    users.sort_unstable();
    // The unlock, and the request that is being written.
    assert_eq!((users, faces.len()), ([3, 4].into(), 2));
    assert!(rig.core.view(being_written).is_none() && rig.core.view(released).is_none());
    assert_eq!(rig.expired(), []);
    let mut left = Vec::new();
    rig.core.for_each_user(|user| left.push(user.0));
    assert_eq!(left, [2, 6]);
    rig.follow_does_nothing(held);
    assert_eq!((rig.core.left_over(), rig.core.released()), (0, 0));
}

#[test]
fn a_request_has_been_granted_if_the_kernel_has_taken_a_conversion_of_it() {
    let (mut rig, _) = shared();
    let token = rig.waiting(6);
    let conversion = conversion(Mode::Pr, LockFlags::NOQUEUE);
    assert_eq!(rig.convert_with(token, &conversion), Ok(Queueing::Write));
    // The result is read before the write returns.
    let report = rig.ended(token, LockStatus::Again);
    assert_eq!((report.ended.mode, rig.core.mode(token)), (Some(Mode::Ex), Some(Mode::Ex)));
    assert_eq!(lost(&mut rig, token), (Some(2), 0));
    assert!(!rig.accept(None));
    assert_eq!(rig.core.mode(token), Some(Mode::Ex));
}

#[test]
fn a_forked_child_expects_nothing_of_what_its_parent_was_about_to_do() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.lock();
    assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 1 }));
    let (users, faces) = rig.call(|core, _| core.set_child(PROCESS + 1));
    assert_eq!((users.len(), faces.len()), (2, 1));
    rig.assert_empty();
}
