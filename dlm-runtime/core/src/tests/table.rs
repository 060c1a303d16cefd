//! The table, the index of ids, the index of granted resources, and the end.

use super::*;
use crate::Kind;

#[test]
fn an_id_passes_to_the_next_lock_that_has_it() {
    Rig::each(|mut rig| {
        // The kernel frees the id of a request that failed before its result is read (6.12).
        let first = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
        rig.accept(Some(5));
        assert_eq!(rig.core.by_id(LockId(5)), Some(first));
        let second = rig.waiting(5);
        assert_eq!(rig.core.by_id(LockId(5)), Some(second));
        for id in 100..300 {
            rig.waiting(id);
            assert_eq!(rig.core.by_id(LockId(5)), Some(second));
        }
        rig.ended(first, LockStatus::Again);
        rig.settle(first);
        assert_eq!(rig.core.by_id(LockId(5)), Some(second));
        // An unlock that is refused does not take it back from a lock that has it.
        let third = rig.held(6);
        rig.unlock(third).unwrap();
        let unlock = rig.out.ticket();
        let fourth = rig.waiting(6);
        rig.call(|core, _| core.refused(&unlock, Refusal::Later, Time::ZERO));
        assert_eq!(rig.core.by_id(LockId(6)), Some(fourth));
        assert_eq!(rig.core.by_id(LockId(0)), None);
    });
    // Its own write returns last.
    let mut rig = Rig::new(Rules::AsAsked);
    let first = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
    let request = rig.out.ticket();
    let second = rig.held(5);
    assert!(!rig.call(|core, _| core.accepted(&request, Some(LockId(5))).follow));
    assert_eq!(rig.core.by_id(LockId(5)), Some(second));
    rig.ended(first, LockStatus::Again);
    assert_eq!(rig.core.by_id(LockId(5)), Some(second));
    // And an unlock waits for that.
    let mut rig = Rig::new(Rules::AsAsked);
    let first = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
    let request = rig.out.ticket();
    rig.unlock(first).unwrap();
    rig.ended(first, LockStatus::Again);
    let second = rig.waiting(5);
    assert!(rig.call(|core, _| core.accepted(&request, Some(LockId(5))).follow));
    assert_eq!(rig.core.by_id(LockId(5)), Some(second));
}

#[test]
fn a_resource_is_known_while_a_lock_on_it_is_there() {
    Rig::each(|mut rig| {
        assert!(!rig.core.knows_resource(b"disk0"));
        // It may have failed, and the resource be gone with whatever kept it from being granted.
        let noqueue = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
        rig.accept(Some(4));
        assert!(!rig.core.knows_resource(b"disk0"));
        rig.ended(noqueue, LockStatus::Again);
        rig.settle(noqueue);
        let first = rig.lock();
        assert!(!rig.core.knows_resource(b"disk0"));
        rig.accept(Some(5));
        assert!(rig.core.knows_resource(b"disk0") && !rig.core.knows_resource(b"disk1"));
        rig.ended(first, LockStatus::Granted);
        assert!(rig.core.knows_resource(b"disk0"));
        let second = rig.held_as(6, Mode::Nl, NONE);
        rig.release(first);
        assert!(rig.core.knows_resource(b"disk0"));
        rig.unlock(second).unwrap();
        // It may be gone as soon as that is written.
        assert!(!rig.core.knows_resource(b"disk0"));
        rig.refuse(EBUSY);
        assert!(rig.core.knows_resource(b"disk0"));
    });
}

#[test]
fn what_is_not_wanted_is_not_kept() {
    let options = Options {
        abi: Abi::V6_64,
        owner: 0,
        rules: Rules::Checked,
        has_ids: false,
        has_names: false,
    };
    let mut rig = Rig { core: Core::new(options), ..Rig::new(Rules::Checked) };
    let token = rig.lock();
    rig.accept(Some(5));
    // The kernel refuses a process of 0: it is 1.
    let mine = LockResult { lksb: 1, ..rig.completion(token, LockStatus::Granted) };
    assert!(matches!(rig.receive(&mine), Received::Ended(_)));
    assert_eq!((rig.core.by_id(LockId(5)), rig.core.knows_resource(b"disk0")), (None, false));
    rig.unlock(token).unwrap();
    rig.refuse(EBUSY);
    assert_eq!(rig.core.mode(token), Some(Mode::Ex));
}

#[test]
fn counters_return_to_nothing() {
    Rig::each(|mut rig| {
        let switch = |on| Conversion { notices: Some(on), ..conversion(Mode::Pr, NONE) };
        let token = rig.held(5);
        assert_eq!(rig.core.expected(), 1);
        for (on, expected) in [(false, 1), (true, 2), (true, 2), (false, 1)] {
            rig.convert_with(token, &switch(on)).unwrap();
            assert_eq!(rig.core.expected(), expected);
            rig.accept(None);
            rig.ended(token, LockStatus::Granted);
            assert_eq!(rig.core.expected(), expected - 1);
        }
        // Switched on, dropped, and refused.
        rig.convert_with(token, &switch(true)).unwrap();
        let ticket = rig.out.ticket();
        let released = rig.release(token);
        assert!(number(&released.users[0]).is_some());
        assert_eq!(rig.core.expected(), 1);
        let refused = rig.call(|core, _| core.refused(&ticket, Refusal::Later, Time::ZERO));
        assert!(refused.user.is_none() && refused.follow);
        rig.follow_writes(token);
        rig.accept(None);
        rig.ended(token, LockStatus::Unlocked);
        rig.follow_removes(token);
        rig.assert_empty();
        // Switched off, dropped, and refused.
        let token = rig.held(6);
        rig.convert_with(token, &switch(false)).unwrap();
        let ticket = rig.out.ticket();
        rig.release(token);
        rig.call(|core, _| core.refused(&ticket, Refusal::NoLock, Time::ZERO));
        rig.follow_removes(token);
        rig.assert_empty();
    });
}

#[test]
fn what_is_kept_is_found_by_the_number_of_its_operation() {
    let mut rig = Rig::new(Rules::AsAsked);
    let token = rig.waiting(5);
    let user = |rig: &mut Rig, serial| rig.core.user_mut(token, serial).map(|owner| owner.0);
    assert_eq!((user(&mut rig, 0), user(&mut rig, 1)), (Some(1), None));
    assert_eq!(rig.core.face_mut(token).map(|face| face.0), Some(Some(1)));
    rig.unlock(token).unwrap();
    assert_eq!((user(&mut rig, 0), user(&mut rig, 1)), (Some(1), Some(2)));
    rig.accept(None);
    rig.ended(token, LockStatus::Unlocked);
    assert_eq!((user(&mut rig, 0), user(&mut rig, 1)), (None, None));
    rig.settle(token);
    assert!(rig.core.face_mut(token).is_none() && rig.core.tokens().is_empty());
}

#[test]
fn the_end_of_the_lockspace_is_everybodys() {
    let mut rig = Rig::new(Rules::AsAsked);
    let held = rig.held(5);
    let waiting = rig.waiting(6);
    let converting = rig.held(7);
    rig.converting(converting, Mode::Pr);
    rig.unlock(converting).unwrap();
    let queueing = rig.lock();
    rig.unlock(queueing).unwrap();
    let request = rig.out.ticket();
    let left = rig.held(8);
    rig.release(left);
    rig.refuse(ENOMEM);
    let given_up = rig.waiting(9);
    let owner = rig.give_up(given_up, 0);
    assert!(owner.is_some());
    assert_eq!(rig.core.left_over(), 2);

    let mut ended = rig.call(|core, _| core.end());
    ended.sort_by_key(|(_, _, owner)| owner.0);
    let told: Vec<_> = ended.iter().map(|(token, kind, owner)| (*token, *kind, owner.0)).collect();
    let wanted = [
        (waiting, Kind::Request, 2),
        (converting, Kind::Convert, 4),
        (converting, Kind::Unlock, 5),
        (queueing, Kind::Request, 6),
        (queueing, Kind::Unlock, 7),
    ];
    assert_eq!(told, wanted);
    assert!(rig.core.has_ended());
    assert_eq!((rig.core.left_over(), rig.core.next_alarm()), (0, None));
    for token in rig.core.tokens() {
        assert_eq!((rig.core.mode(token), rig.core.view(token).unwrap().op), (None, None));
        assert_eq!(rig.unlock(token), Err(Rejected::Ended));
        assert_eq!(rig.convert(token, Mode::Pr), Err(Rejected::Ended));
        assert_eq!(rig.cancel(token, true), CancelStep::Nothing);
        assert!(matches!(rig.complete(token, LockStatus::Granted), Received::Nothing));
    }
    let name = &name("disk0");
    let new = NewLock { name, mode: Mode::Ex, flags: NONE, xid: 0, notices: true };
    assert_eq!(rig.try_lock(&new), Err(Rejected::Ended));
    assert_eq!(rig.call(|core, out| core.adopt(&new, &mut Face(None), out)), Err(Rejected::Ended));
    assert!(rig.call(|core, _| core.end()).is_empty());

    // A write that returns late changes nothing.
    assert!(!rig.call(|core, _| core.accepted(&request, Some(LockId(10))).follow));
    assert_eq!(rig.core.by_id(LockId(10)), None);
    rig.follow_does_nothing(held);
    rig.follow_removes(left);
    assert_eq!(rig.release_removes(given_up).0, owner);
    for token in [held, waiting, converting, queueing] {
        assert!(rig.settle(token).is_some());
    }
    rig.assert_empty();
}

#[test]
fn writes_that_are_refused_after_the_end_leave_nothing() {
    for refusal in [Refusal::Ended, Refusal::Later, Refusal::NoLock, Refusal::NoBuffer] {
        Rig::each(|mut rig| {
            let mut tickets = Vec::new();
            for id in 5..8 {
                rig.held(id);
            }
            let tokens = rig.core.tokens();
            rig.release(tokens[0]);
            tickets.push(rig.out.ticket());
            rig.unlock(tokens[1]).unwrap();
            tickets.push(rig.out.ticket());
            rig.converting(tokens[2], Mode::Pr);
            rig.cancel(tokens[2], true);
            tickets.push(rig.out.ticket());
            rig.lock();
            tickets.push(rig.out.ticket());
            assert_eq!(rig.call(|core, _| core.end()).len(), 3);
            for ticket in tickets {
                let refused = rig.call(|core, _| core.refused(&ticket, refusal, Time::ZERO));
                assert_eq!((number(&refused.user), numbers(&refused.lost)), (None, [None, None]));
                if refused.follow {
                    rig.follow_removes(ticket.token);
                } else {
                    assert!(rig.settle(ticket.token).is_some());
                }
            }
            rig.assert_empty();
            assert_eq!(rig.core.next_alarm(), None);
        });
    }
}
