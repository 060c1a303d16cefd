//! New locks: what is checked and written, and that nothing else is before the write has returned.

use super::*;

fn request(rig: &Rig) -> (Vec<u8>, Mode, LockFlags, Cookies, u64) {
    let Request::Lock(lock) = Request::decode(Abi::V6_64, rig.out.bytes()).unwrap() else {
        panic!("no lock request")
    };
    (lock.name.to_vec(), lock.mode.known().unwrap(), lock.flags, lock.cookies, lock.xid)
}

#[test]
fn a_request_is_written_as_it_is_asked_for() {
    Rig::each(|mut rig| {
        let name = &name("disk7");
        let flags = LockFlags::NOQUEUE | LockFlags::VALBLK;
        let new = NewLock { name, mode: Mode::Pr, flags, xid: 9, notices: false };
        let token = rig.try_lock(&new).unwrap();
        let words = Cookies::for_token(token, PROCESS).with_blocking(false);
        assert_eq!(request(&rig), (b"disk7".to_vec(), Mode::Pr, flags, words, 9));
        assert!(rig.out.ticket().is_new_lock() && !rig.out.ticket().is_cancel());
        // Its result is all that can be there to read.
        assert_eq!((rig.core.len(), rig.core.expected()), (1, 1));
        let other = rig.lock();
        assert_eq!(request(&rig).3, Cookies::for_token(other, PROCESS));
        assert_eq!((rig.core.len(), rig.core.expected()), (2, 3));
        assert_eq!(**rig.core.name(token).unwrap(), *b"disk7");
    });
}

#[test]
fn an_owner_is_handed_out_with_the_end_of_the_request_and_the_face_when_the_lock_is_gone() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        let report = rig.ended(token, LockStatus::Cancelled);
        assert_eq!((report.kind, report.ended.mode), (crate::Kind::Request, None));
        assert_eq!(number(&report.user), Some(1));
        assert!(!report.follow);
        assert_eq!(rig.settle(token), Some(Face(Some(1))));
        assert_eq!(rig.settle(token), None);
        rig.assert_empty();
        assert_eq!((rig.core.counts().requests, rig.core.counts().refusals), (1, 1));
    });
}

#[test]
fn a_refused_request_leaves_nothing() {
    for errno in [ENOENT, EINVAL, ENOMEM, EBUSY, ENODEV, ENOBUFS] {
        Rig::each(|mut rig| {
            let token = rig.lock();
            let refused = rig.refuse(errno);
            assert_eq!((number(&refused.user), numbers(&refused.lost)), (Some(1), [None, None]));
            assert!(!refused.follow);
            assert_eq!(rig.settle(token), Some(Face(Some(1))));
            rig.assert_empty();
            assert_eq!(rig.core.counts().requests, 0);
        });
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_taken() {
    let name = &name("disk0");
    let with = |flags| NewLock { name, mode: Mode::Ex, flags, xid: 0, notices: true };
    Rig::each(|mut rig| {
        // Harm (#force-on-a-request), and what is another call.
        for flags in [LockFlags::FORCEUNLOCK, LockFlags::CONVERT, LockFlags::ORPHAN] {
            let refused = rig.try_lock(&with(flags));
            assert!(matches!(refused, Err(Rejected::Illegal(_))), "{flags:?}");
        }
        rig.assert_empty();
    });
    // The kernel decides of the rest for those who ask for it.
    for flags in [LockFlags::PERSISTENT, LockFlags::QUECVT, LockFlags::TIMEOUT] {
        let refused = Rig::new(Rules::Checked).try_lock(&with(flags));
        assert!(matches!(refused, Err(Rejected::Illegal(_))), "{flags:?}");
        assert!(Rig::new(Rules::AsAsked).try_lock(&with(flags)).is_ok(), "{flags:?}");
    }
}

#[test]
fn a_lockspace_that_is_about_to_be_closed_takes_no_persistent_requests() {
    let name = &name("disk0");
    let with = |flags| NewLock { name, mode: Mode::Ex, flags, xid: 0, notices: true };
    let mut rig = Rig::new(Rules::AsAsked);
    rig.call(|core, _| core.begin_end());
    assert_eq!(rig.try_lock(&with(LockFlags::PERSISTENT)), Err(Rejected::Ended));
    rig.assert_empty();
    assert!(rig.try_lock(&with(NONE)).is_ok());
}

/// #ended-before-its-write-returned: a lock that ends before the write of its request has returned
/// crashes the kernel.
#[test]
fn nothing_is_written_for_a_lock_before_its_request_has_returned() {
    Rig::each(|mut rig| {
        let token = rig.lock();
        let ticket = rig.out.ticket();
        assert_eq!(rig.cancel(token, false), CancelStep::Left);
        assert_eq!(rig.cancel(token, false), CancelStep::Already);
        // Another thread reads the grant, and unlocks at once.
        let report = rig.ended(token, LockStatus::Granted);
        assert!(!report.follow);
        assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 1 }));
        rig.follow_does_nothing(token);
        assert_eq!(rig.core.expected(), 2);
        let follow = rig.call(|core, _| core.accepted(&ticket, Some(LockId(1))).follow);
        assert!(follow);
        // The cancel came too late: it would hit what the lock does next.
        rig.follow_writes(token);
        rig.assert_writes(1, NONE);
        assert_eq!(rig.out.ticket().serial, 1);
        assert!(!rig.accept(None));
        let report = rig.ended(token, LockStatus::Unlocked);
        assert_eq!((number(&report.user), report.serial), (Some(2), 1));
        assert_eq!(rig.settle(token), Some(Face(Some(1))));
        rig.assert_empty();
    });
}

#[test]
fn a_handle_that_is_dropped_while_the_request_is_written_leaves_the_unlock_to_the_writer() {
    for is_read in [false, true] {
        Rig::each(|mut rig| {
            let token = rig.lock();
            let ticket = rig.out.ticket();
            if is_read {
                assert!(!rig.ended(token, LockStatus::Granted).follow);
            }
            let released = rig.release(token);
            assert!(matches!(released.follow, Follow::Nothing));
            assert_eq!(numbers(&released.users), [(!is_read).then_some(1), None, None]);
            assert_eq!((released.face, rig.core.left_over()), (Face(Some(1)), 1));
            assert!(rig.call(|core, _| core.accepted(&ticket, Some(LockId(1))).follow));
            rig.follow_writes(token);
            rig.assert_writes(1, if is_read { NONE } else { LockFlags::FORCEUNLOCK });
            rig.accept(None);
            assert_eq!(rig.core.left_over(), 0);
            assert!(rig.ended(token, LockStatus::Unlocked).follow);
            rig.follow_removes(token);
            rig.assert_empty();
        });
    }
}

#[test]
fn one_operation_at_a_time() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        assert_eq!(rig.convert(token, Mode::Nl), Err(Rejected::InFlight));
        if rig.core.rules == Rules::Checked {
            assert_eq!(rig.unlock(token), Err(Rejected::InFlight));
        }
        rig.ended(token, LockStatus::Granted);
        rig.converting(token, Mode::Pr);
        assert_eq!(rig.convert(token, Mode::Nl), Err(Rejected::InFlight));
        rig.ended(token, LockStatus::Granted);
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        for accepted in [false, true] {
            if accepted {
                assert!(!rig.accept(None));
            }
            // #stale-id: its id may be another lock's.
            assert_eq!(rig.unlock(token), Err(Rejected::LockGone));
            assert_eq!(rig.convert(token, Mode::Nl), Err(Rejected::LockGone));
            assert_eq!(rig.cancel(token, false), CancelStep::Nothing);
        }
        rig.ended(token, LockStatus::Unlocked);
        assert_eq!(rig.unlock(token), Err(Rejected::LockGone));
        assert_eq!(rig.convert(token, Mode::Nl), Err(Rejected::LockGone));
        rig.settle(token);
        assert_eq!(rig.unlock(token), Err(Rejected::LockGone));
    });
}

#[test]
fn ends_are_kept_until_they_are_taken_whatever_begins_meanwhile() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        rig.converting(token, Mode::Pr);
        let report = rig.ended(token, LockStatus::Granted);
        rig.core.keep(token, report.serial, Ok(report.ended));
        assert!(rig.core.has_outcome(token, report.serial));
        rig.converting(token, Mode::Nl);
        let last = rig.ended(token, LockStatus::Granted);
        rig.core.keep(token, last.serial, Ok(last.ended));
        let Some(Ok((ended, lvb))) = rig.core.take_outcome(token, report.serial) else { panic!() };
        assert_eq!((ended.mode, lvb), (Some(Mode::Pr), None));
        assert_eq!(rig.core.take_outcome(token, report.serial), None);
        assert!(rig.core.view(token).unwrap().has_outcome);
        let Some(Ok((ended, _))) = rig.core.take_outcome(token, last.serial) else { panic!() };
        assert_eq!(ended.mode, Some(Mode::Nl));
        assert!(!rig.core.view(token).unwrap().has_outcome);
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        rig.accept(None);
        let report = rig.ended(token, LockStatus::Unlocked);
        rig.core.keep(token, report.serial, Ok(report.ended));
        assert_eq!(rig.settle(token), None);
        assert!(rig.core.take_outcome(token, report.serial).is_some());
        assert!(rig.settle(token).is_some());
        rig.assert_empty();
    });
}

#[test]
fn a_cancel_is_for_one_operation_and_sent_once() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        assert_eq!(rig.cancel(token, false), CancelStep::Nothing);
        for _ in 0..2 {
            rig.converting(token, Mode::Pr);
            let serial = rig.serial(token);
            let step = rig.call(|core, out| {
                core.cancel(token, Some(serial - 1), CancelKind::Plain, true, out)
            });
            assert_eq!(step, CancelStep::Nothing);
            assert_eq!(rig.cancel(token, false), CancelStep::Write);
            rig.assert_writes(5, LockFlags::CANCEL);
            assert!(rig.out.ticket().is_cancel());
            assert_eq!(rig.cancel(token, false), CancelStep::Already);
            rig.accept(None);
            // #refused-with-a-warning: the kernel refuses a second one with a warning.
            assert_eq!(rig.cancel(token, false), CancelStep::Already);
            assert!(rig.core.view(token).unwrap().is_cancelled);
            rig.ended(token, LockStatus::Cancelled);
            assert_eq!(rig.cancel(token, false), CancelStep::Nothing);
        }
        assert_eq!(rig.core.counts().cancels, 2);
        let token = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
        for _ in 0..2 {
            assert_eq!(rig.cancel(token, false), CancelStep::EndsByItself);
            rig.accept(Some(6));
        }
    });
}

#[test]
fn a_deadlock_cancel_names_the_lock_alone() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        let step = rig.call(|core, out| core.cancel(token, None, CancelKind::Deadlock, false, out));
        assert_eq!(step, CancelStep::Write);
        let wanted = Request::Deadlock { lock: LockId(5), flags: LockFlags::CANCEL };
        assert_eq!(Request::decode(Abi::V6_64, rig.out.bytes()), Ok(wanted));
        assert_eq!(rig.out.command(), dlm_proto::Command::Deadlock);
        rig.accept(None);
        assert_eq!(rig.ended(token, LockStatus::Deadlock).ended.mode, None);
    });
}

#[test]
fn an_orphan_is_held_when_its_adoption_is_accepted() {
    Rig::each(|mut rig| {
        let name = &name("disk0");
        let mut face = Face(Some(7));
        let flags = LockFlags::PERSISTENT;
        let new = NewLock { name, mode: Mode::Ex, flags, xid: 0, notices: true };
        let token = rig.call(|core, out| core.adopt(&new, &mut face, out)).unwrap();
        assert_eq!(request(&rig).2, LockFlags::PERSISTENT | LockFlags::ORPHAN);
        assert_eq!(face, Face(None));
        assert_eq!((rig.core.expected(), rig.core.knows_resource(b"disk0")), (1, false));
        assert_eq!(rig.unlock(token), Ok(Queueing::Queued { serial: 1 }));
        assert!(rig.call(|core, _| core.accepted(&core_ticket(token), Some(LockId(8))).follow));
        assert_eq!(rig.core.mode(token), Some(Mode::Ex));
        assert!(rig.core.knows_resource(b"disk0") && rig.core.by_id(LockId(8)) == Some(token));
        rig.follow_writes(token);
        rig.assert_writes(8, NONE);
        rig.accept(None);
        rig.ended(token, LockStatus::Unlocked);
        assert_eq!(rig.settle(token), Some(Face(Some(7))));
        rig.assert_empty();

        let mut face = Face(Some(8));
        let token = rig.call(|core, out| core.adopt(&new, &mut face, out)).unwrap();
        let refused = rig.refuse(11);
        assert_eq!((number(&refused.user), refused.follow), (None, false));
        assert_eq!(rig.settle(token), Some(Face(Some(8))));
        rig.assert_empty();

        // #force-on-a-request, and a conversion of no lock.
        for flags in [LockFlags::FORCEUNLOCK, LockFlags::CONVERT] {
            let mut face = Face(Some(9));
            let new = NewLock { flags, ..new };
            let refused = rig.call(|core, out| core.adopt(&new, &mut face, out));
            assert!(matches!(refused, Err(Rejected::Illegal(_))), "{flags:?}");
            assert_eq!(face, Face(Some(9)));
        }
        rig.assert_empty();
    });
}

/// The ticket of an adoption.
fn core_ticket(token: Token) -> crate::Ticket {
    crate::Ticket::new(token, 0, crate::submission::What::Adopt)
}

#[test]
fn a_purge_is_nobodys() {
    Rig::each(|mut rig| {
        let request = Request::Purge { node: dlm_proto::NodeId(0), pid: 0 };
        assert_eq!(rig.call(|core, out| core.encode_other(&request, out)), Ok(()));
        assert_eq!(rig.out.command(), dlm_proto::Command::Purge);
        assert!(!rig.accept(None) && !rig.refuse(EINVAL).follow);
    });
}
