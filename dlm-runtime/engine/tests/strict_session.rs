//! Sessions of an engine behind the monitor.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use dlm_engine::strict::{Session, Violation, Write};
use dlm_engine::{Config, Engine, Errno, Profile};
use dlm_proto::{
    Abi, LockFlags, LockId, LockRequest, LockResult, LockStatus, MAX_RESULT_LEN, Minor, Mode,
    NodeId, Request, UnlockRequest,
};
use support::{NODE, NONE, cookies, create, encode};

/// An engine with a lockspace.
struct Node {
    engine: Engine,
    minor: Minor,
}

impl Node {
    fn each(test: impl Fn(Self)) {
        for profile in Profile::ALL {
            let mut engine = Engine::new(Config::single(profile));
            let minor = create(&mut engine, b"test").unwrap();
            test(Self { engine, minor });
        }
    }

    fn open(&mut self) -> Session {
        Session::open(&mut self.engine, NODE, self.minor).unwrap()
    }

    fn begin(&mut self, by: &mut Session, request: &Request<'_>) -> Write {
        by.begin_write(&mut self.engine, &encode(request)).unwrap()
    }

    fn write(&mut self, by: &mut Session, request: &Request<'_>) -> LockId {
        let answer = by.write(&mut self.engine, &encode(request)).unwrap().unwrap();
        LockId(u32::try_from(answer).unwrap())
    }

    fn try_write(
        &mut self,
        by: &mut Session,
        request: &Request<'_>,
    ) -> Result<Result<i64, Errno>, Violation> {
        by.write(&mut self.engine, &encode(request))
    }

    #[track_caller]
    fn reads(&mut self, by: &mut Session, wanted: LockStatus) -> LockId {
        let mut buffer = [0; MAX_RESULT_LEN];
        let len = by.read(&mut self.engine, &mut buffer).unwrap().unwrap();
        let result = LockResult::decode(Abi::V6_64, &buffer[..len]).unwrap();
        assert_eq!((result.status, result.bast_mode.0), (wanted, 0));
        result.lock
    }
}

fn lock(n: u8, mode: Mode, flags: LockFlags) -> Request<'static> {
    Request::Lock(LockRequest::new(b"r", mode, cookies(n)).with(flags))
}

fn convert(n: u8, id: LockId, mode: Mode) -> Request<'static> {
    Request::Lock(LockRequest::convert(id, mode, cookies(n)))
}

fn unlock(n: u8, id: LockId, flags: LockFlags) -> Request<'static> {
    Request::Unlock(UnlockRequest::new(id, cookies(n)).with(flags))
}

#[test]
fn another_thread_can_come_between_the_grant_and_the_return_of_a_lock() {
    Node::each(|mut node| {
        let mut it = node.open();
        let locking = node.begin(&mut it, &lock(1, Mode::Ex, NONE));
        let id = node.reads(&mut it, LockStatus::Granted);
        let early = node.try_write(&mut it, &unlock(1, id, NONE));
        assert_eq!(early, Err(Violation::LockUnreturned(id)));
        // It did not reach the engine.
        assert_eq!(it.end_write(locking), Ok(i64::from(id.0)));
        node.write(&mut it, &unlock(1, id, NONE));
        node.reads(&mut it, LockStatus::Unlocked);
        assert_eq!(it.strict().reported(), [Violation::LockUnreturned(id)]);
        assert_eq!(it.close(&mut node.engine), Ok(()));
        assert_eq!(node.engine.size(), 1);
    });
}

#[test]
fn the_next_lock_has_the_id_of_one_whose_end_is_unread() {
    Node::each(|mut node| {
        let mut it = node.open();
        let first = node.write(&mut it, &lock(1, Mode::Ex, NONE));
        node.reads(&mut it, LockStatus::Granted);
        let unlocking = node.begin(&mut it, &unlock(1, first, NONE));
        let second = node.write(&mut it, &lock(2, Mode::Ex, NONE));
        assert_eq!(it.end_write(unlocking), Ok(0));
        assert_eq!(first == second, node.engine.config().profile == Profile::Linux6_12);
        let late = node.try_write(&mut it, &convert(1, first, Mode::Nl)).unwrap_err();
        assert_eq!(late.rule(), "#stale-id");
        node.reads(&mut it, LockStatus::Unlocked);
        node.reads(&mut it, LockStatus::Granted);
        node.write(&mut it, &convert(2, second, Mode::Nl));
        node.reads(&mut it, LockStatus::Granted);
        node.write(&mut it, &unlock(2, second, NONE));
    });
}

#[test]
fn a_seventh_unread_result_is_reported_where_it_is_lost_and_where_it_is_not() {
    Node::each(|mut node| {
        let mut it = node.open();
        let mut other = node.open();
        let held = node.write(&mut it, &lock(1, Mode::Ex, NONE));
        node.reads(&mut it, LockStatus::Granted);
        // Each waits for more than all before: four notices.
        for (n, mode) in (10..).zip([Mode::Cr, Mode::Cw, Mode::Pr, Mode::Pw]) {
            node.write(&mut other, &lock(n, mode, NONE));
        }
        // A completion, and a fifth notice, as the grant has armed it again.
        node.write(&mut it, &convert(1, held, Mode::Ex));
        assert_eq!(it.check(&node.engine), Ok(()));
        node.write(&mut other, &lock(20, Mode::Ex, NONE));
        assert_eq!(it.check(&node.engine), Err(Violation::TooManyUnread(held)));
        let mut buffer = [0; MAX_RESULT_LEN];
        let read = it.read(&mut node.engine, &mut buffer);
        assert_eq!(read, Err(Violation::TooManyUnread(held)));
        assert_eq!(other.check(&node.engine), Ok(()));
    });
}

#[test]
fn six_results_of_one_lock_and_one_of_the_next_with_its_id() {
    let mut engine = Engine::new(Config::single(Profile::Linux6_12));
    let minor = create(&mut engine, b"test").unwrap();
    let mut node = Node { engine, minor };
    let (mut it, mut other) = (node.open(), node.open());
    let held = node.write(&mut it, &lock(1, Mode::Ex, NONE));
    node.reads(&mut it, LockStatus::Granted);
    for (n, mode) in (10..).zip([Mode::Cr, Mode::Cw, Mode::Pr, Mode::Pw, Mode::Ex]) {
        node.write(&mut other, &lock(n, mode, NONE));
    }
    node.write(&mut it, &unlock(1, held, NONE));
    let request = LockRequest::new(b"s", Mode::Ex, cookies(2));
    let next = node.write(&mut it, &Request::Lock(request));
    assert_eq!(next, held);
    assert_eq!(it.check(&node.engine), Ok(()));
}

#[test]
fn a_purge_that_meets_an_orphan_that_never_was_granted() {
    Node::each(|mut node| {
        let (mut it, mut other) = (node.open(), node.open());
        other.set_task(9);
        node.write(&mut it, &lock(1, Mode::Ex, NONE));
        let waiting = node.write(&mut other, &lock(2, Mode::Ex, LockFlags::PERSISTENT));
        // Reported, and the engine's session is closed all the same.
        assert_eq!(other.close(&mut node.engine), Err(Violation::WaitingPersistent(waiting)));
        let mut purge = |node_id, pid| {
            let request = Request::Purge { node: NodeId(node_id), pid };
            node.try_write(&mut it, &request)
        };
        // Of another thread, and of another node.
        assert_eq!(purge(0, 8), Ok(Ok(0)));
        assert_eq!(purge(2, 0), Ok(Err(Errno::ENOBUFS)));
        let met = Err(Violation::PurgeOfWaiting(waiting));
        assert_eq!([purge(0, 0), purge(1, 9)], [met, met]);
    });
}

#[test]
fn a_write_that_is_held_up_goes_on() {
    Node::each(|mut node| {
        let mut it = node.open();
        node.engine.stop(NODE, node.minor);
        let mut locking = node.begin(&mut it, &lock(1, Mode::Ex, NONE));
        assert!(locking.is_held_up());
        it.go_on(&mut node.engine, &mut locking);
        assert!(locking.is_held_up());
        node.engine.start(NODE, node.minor);
        it.go_on(&mut node.engine, &mut locking);
        assert!(!locking.is_held_up());
        let id = node.reads(&mut it, LockStatus::Granted);
        // Once is enough.
        it.go_on(&mut node.engine, &mut locking);
        assert_eq!(it.end_write(locking), Ok(i64::from(id.0)));
        assert_eq!(node.engine.dump_of(it.id()).unwrap().resources[0].granted.len(), 1);

        // One that is given up was never written.
        node.engine.stop(NODE, node.minor);
        let unlocking = node.begin(&mut it, &unlock(1, id, NONE));
        assert_eq!(it.end_write(unlocking), Err(Errno::STOPPED));
        node.engine.start(NODE, node.minor);
        node.write(&mut it, &unlock(1, id, NONE));
    });
}

#[test]
fn a_write_that_is_refused_does_not_reach_the_engine() {
    Node::each(|mut node| {
        let mut it = node.open();
        let refused = it.refuse(&encode(&lock(1, Mode::Ex, NONE)), Errno(12));
        assert_eq!(refused, Ok(Errno(12)));
        assert_eq!(node.engine.size(), 1);
        let id = node.write(&mut it, &lock(1, Mode::Ex, NONE));
        node.reads(&mut it, LockStatus::Granted);
        it.refuse(&encode(&unlock(1, id, NONE)), Errno(12)).unwrap();
        node.write(&mut it, &unlock(1, id, NONE));
        let again = it.refuse(&encode(&unlock(1, id, NONE)), Errno(12));
        assert_eq!(again, Err(Violation::EndedLock(id)));
    });
}

#[test]
fn reads_have_a_beginning_and_an_end() {
    Node::each(|mut node| {
        let mut it = node.open();
        let reading = it.begin_read(&node.engine, MAX_RESULT_LEN).unwrap();
        let id = node.write(&mut it, &lock(1, Mode::Ex, NONE));
        let second = it.begin_read(&node.engine, MAX_RESULT_LEN);
        assert_eq!(second, Err(Violation::SecondReader));
        let mut buffer = [0; MAX_RESULT_LEN];
        assert_eq!(it.end_read(&mut node.engine, reading, &mut buffer), Ok(72));
        assert_eq!(it.read(&mut node.engine, &mut buffer), Ok(Err(Errno::EAGAIN)));
        // The first one has read the grant.
        node.write(&mut it, &unlock(1, id, NONE));
    });
}
