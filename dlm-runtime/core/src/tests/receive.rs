//! Results: whose they are, and those that are nobody's.

use super::*;

fn assert_dropped(rig: &mut Rig, result: &LockResult<'_>) {
    let before = (rig.core.len(), rig.core.expected(), rig.core.counts().dropped_results);
    assert!(matches!(rig.receive(result), Received::Dropped));
    let (len, expected, dropped) = before;
    let after = (rig.core.len(), rig.core.expected(), rig.core.counts().dropped_results);
    assert_eq!(after, (len, expected, dropped + 1));
}

#[test]
fn results_of_others_are_dropped() {
    Rig::each(|mut rig| {
        let token = rig.waiting(5);
        let real = rig.completion(token, LockStatus::Granted);
        let word = |token: Token| token.to_word(Abi::V6_64.width).unwrap();
        let stale = Token::new(token.index(), token.generation() + 1);
        for forged in [
            LockResult { lksb: u64::from(PROCESS) + 1, ..real },
            LockResult { lksb: u64::from(PROCESS) | 1 << 32, ..real },
            LockResult { param: word(stale), ..real },
            LockResult { param: word(Token::new(9, 1)), ..real },
            LockResult { param: 0, ..real },
            LockResult { addr: 0x1234, ..real },
            LockResult { addr: Cookies::BLOCKING, bast_mode: ModeCode(9), ..real },
            LockResult { addr: Cookies::BLOCKING, param: word(stale), ..real },
            LockResult { addr: Cookies::BLOCKING, lksb: 1, bast_mode: ModeCode(3), ..real },
            LockResult { version: Version::new(7, 0, 0), ..real },
        ] {
            assert_dropped(&mut rig, &forged);
        }
        for bytes in [&b""[..], &[0; 71], &[0xff; 72], &[0xff; 104]] {
            assert!(matches!(rig.call(|core, _| core.receive(bytes)), Received::Dropped));
        }
        assert_eq!(number(&rig.ended(token, LockStatus::Granted).user), Some(1));
    });
}

#[test]
fn a_result_that_comes_again_is_nothing() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        let again = rig.completion(token, LockStatus::Granted);
        for status in [LockStatus::Granted, LockStatus::Unlocked, LockStatus::Cancelled] {
            let result = LockResult { status, lock: LockId(9), ..again };
            assert!(matches!(rig.receive(&result), Received::Nothing));
        }
        assert_eq!((rig.core.mode(token), rig.core.id(token)), (Some(Mode::Ex), LockId(5)));
        rig.unlock(token).unwrap();
        rig.accept(None);
        assert!(matches!(rig.receive(&again), Received::Nothing));
        rig.ended(token, LockStatus::Unlocked);
        let gone = LockResult { status: LockStatus::Unlocked, ..again };
        assert!(matches!(rig.receive(&gone), Received::Nothing));
        rig.settle(token);
        assert_dropped(&mut rig, &gone);
        rig.assert_empty();
        // Its slot is another lock's.
        let next = rig.waiting(5);
        assert_eq!(next.index(), token.index());
        assert_dropped(&mut rig, &again);
        assert_eq!(number(&rig.ended(next, LockStatus::Granted).user), Some(3));
    });
}

#[test]
fn the_id_of_a_result_is_learned_if_none_is_known() {
    Rig::each(|mut rig| {
        let token = rig.lock();
        let granted = rig.completion(token, LockStatus::Granted);
        rig.receive(&LockResult { lock: LockId(8), ..granted });
        assert_eq!((rig.core.id(token), rig.core.by_id(LockId(8))), (LockId(8), Some(token)));
        rig.accept(Some(8));
        assert_eq!(rig.core.by_id(LockId(8)), Some(token));
        let token = rig.waiting(9);
        let granted = rig.completion(token, LockStatus::Granted);
        rig.receive(&LockResult { lock: LockId(4), ..granted });
        assert_eq!(rig.core.by_id(LockId(9)), Some(token));
        assert_eq!(rig.core.by_id(LockId(4)), None);
    });
}

#[test]
fn each_end_of_a_request_says_what_is_held() {
    let ends = [
        (LockStatus::Granted, Some(Mode::Ex)),
        (LockStatus::Again, None),
        (LockStatus::Cancelled, None),
        (LockStatus::Deadlock, None),
        (LockStatus::Unlocked, None),
        (LockStatus::TimedOut, None),
        (LockStatus::Other(-5), None),
    ];
    for (status, mode) in ends {
        Rig::each(|mut rig| {
            let token = rig.waiting(5);
            let report = rig.ended(token, status);
            assert_eq!((report.ended.status, report.ended.mode), (status, mode));
            assert_eq!(rig.core.mode(token), mode);
            assert_eq!(rig.core.knows_resource(b"disk0"), mode.is_some());
            assert_eq!(rig.core.by_id(LockId(5)), mode.map(|_| token));
            assert_eq!(rig.settle(token).is_some(), mode.is_none());
            let counts = rig.core.counts();
            assert_eq!(
                (counts.grants, counts.refusals),
                (mode.is_some().into(), mode.is_none().into())
            );
        });
    }
}

#[test]
fn each_end_of_a_conversion_says_what_is_held() {
    let ends = [
        (LockStatus::Granted, Some(Mode::Pr)),
        (LockStatus::Again, Some(Mode::Ex)),
        (LockStatus::Cancelled, Some(Mode::Ex)),
        (LockStatus::Deadlock, Some(Mode::Ex)),
        (LockStatus::Unlocked, None),
    ];
    for (status, mode) in ends {
        Rig::each(|mut rig| {
            let token = rig.held(5);
            rig.converting(token, Mode::Pr);
            let report = rig.ended(token, status);
            assert_eq!((report.kind, report.serial), (crate::Kind::Convert, 1));
            assert_eq!((report.ended.status, report.ended.mode), (status, mode));
            assert_eq!(rig.core.knows_resource(b"disk0"), mode.is_some());
        });
    }
}

#[test]
fn notices_are_remembered_until_the_next_grant() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        for (mode, strongest) in [(Mode::Pr, Mode::Pr), (Mode::Ex, Mode::Ex), (Mode::Cr, Mode::Ex)]
        {
            let Received::Blocking { token: of, mode: told, .. } = rig.block(token, mode) else {
                panic!()
            };
            assert_eq!((of, told), (token, mode));
            assert_eq!(rig.core.view(token).unwrap().blocked, Some(strongest));
        }
        assert_eq!(rig.core.counts().blocking_notices, 3);
        rig.converting(token, Mode::Pr);
        rig.ended(token, LockStatus::Again);
        assert_eq!(rig.core.view(token).unwrap().blocked, Some(Mode::Ex));
        rig.converting(token, Mode::Pr);
        rig.ended(token, LockStatus::Granted);
        assert_eq!(rig.core.view(token).unwrap().blocked, None);
    });
}

#[test]
fn a_notice_tells_the_grant_that_it_is_about() {
    Rig::each(|mut rig| {
        let token = rig.held(5);
        let grant_of_notice = |rig: &mut Rig| match rig.block(token, Mode::Ex) {
            Received::Blocking { grant, .. } => grant,
            other => panic!("{other:?}"),
        };
        let first = grant_of_notice(&mut rig);
        assert_eq!(rig.core.view(token).unwrap().granted, first);
        // One that fails grants nothing.
        rig.converting(token, Mode::Pr);
        assert_eq!(grant_of_notice(&mut rig), first, "it has not ended");
        rig.ended(token, LockStatus::Again);
        assert_eq!(grant_of_notice(&mut rig), first);
        rig.converting(token, Mode::Pr);
        let serial = rig.core.view(token).unwrap().serial;
        rig.ended(token, LockStatus::Granted);
        assert_eq!(grant_of_notice(&mut rig), serial);
        assert!(serial > first);
    });
}

#[test]
fn a_result_may_come_before_its_write_has_returned() {
    Rig::each(|mut rig| {
        let token = rig.lock_with(Mode::Ex, LockFlags::NOQUEUE);
        let ticket = rig.out.ticket();
        assert_eq!(number(&rig.ended(token, LockStatus::Again).user), Some(1));
        assert!(rig.settle(token).is_some());
        // Its slot, and its id, may be another lock's by then.
        let other = rig.waiting(5);
        assert_eq!(other.index(), token.index());
        assert!(!rig.call(|core, _| core.accepted(&ticket, Some(LockId(7))).follow));
        assert_eq!(rig.core.id(other), LockId(5));
        let now = rig.now;
        let refused = rig.call(|core, _| core.refused(&ticket, Refusal::Later, now));
        assert_eq!((number(&refused.user), refused.follow), (None, false));
        assert_eq!(rig.core.len(), 1);

        // A forged result of a request that is then refused.
        let token = rig.lock();
        assert_eq!(number(&rig.ended(token, LockStatus::Granted).user), Some(3));
        let refused = rig.refuse(ENOMEM);
        assert_eq!((number(&refused.user), numbers(&refused.lost)), (None, [None, None]));
        assert_eq!(rig.core.mode(token), None);
        assert!(rig.settle(token).is_some());
        // Of an unlock that is then refused.
        let token = rig.held(8);
        rig.unlock(token).unwrap();
        rig.ended(token, LockStatus::Unlocked);
        assert_eq!(rig.refuse(EBUSY).user, None);
        assert!(rig.settle(token).is_some());
        assert_eq!((rig.core.len(), rig.core.expected()), (1, 2));
    });
}
