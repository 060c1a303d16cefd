//! Persistent locks, orphans and purges of dlm-runtime, and what it tells of locks and lockspaces.

use std::sync::mpsc::channel;

use dlm_runtime::{ErrorKind, LockStatus, Lockspace, Mode, NodeId, State};
use dlm_tests::{PATIENCE, Place, Task, eventually};

dlm_tests::everywhere! {
    an_orphan_is_adopted_by_its_name_and_mode,
    an_orphan_is_adopted_without_its_mode_being_known,
    an_adopted_lock_stays_persistent_through_conversions,
    who_adopts_is_told_of_those_who_wait_already,
    a_purge_removes_orphans_and_never_live_locks,
    a_leaked_lock_is_held_until_the_lockspace_is_closed,
    a_deadlock_victim_is_told_so,
    locks_are_listed_and_counted,
    the_status_tells_whether_locks_are_granted_and_by_whom,
}

/// Leaves a persistent EX lock on `r` behind, as a process that dies does.
fn orphan(place: &Place, name: &str) {
    let owner = place.open(name).unwrap();
    let lock = owner.lock("r", Mode::Ex).wait().unwrap();
    lock.persist().unwrap();
    assert!(owner.locks()[0].is_persistent);
    lock.leak();
    owner.close().unwrap();
}

fn an_orphan_is_adopted_by_its_name_and_mode(place: &Place) {
    let ls = place.create("orphan-adopt").unwrap();
    orphan(place, "orphan-adopt");
    assert!(ls.lock("r", Mode::Nl).no_queue().wait().is_ok());
    assert!(ls.lock("r", Mode::Cr).no_queue().wait().unwrap_err().would_block());
    let other_mode = |name, mode| match ls.adopt(name, mode).take().unwrap_err().kind {
        ErrorKind::NoOrphan { other_mode, .. } => other_mode,
        other => panic!("{other}"),
    };
    assert!(other_mode("r", Mode::Pr));
    assert!(!other_mode("s", Mode::Ex));
    let lock = ls.adopt("r", Mode::Ex).take().unwrap();
    assert_eq!(lock.mode(), Some(Mode::Ex));
    assert!(!other_mode("r", Mode::Ex));
    // It is a lock like any other now.
    lock.convert(Mode::Pr).wait().unwrap();
    lock.unlock().wait().unwrap();
    ls.lock("r", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    ls.release().unwrap();
}

fn an_orphan_is_adopted_without_its_mode_being_known(place: &Place) {
    let ls = place.create("orphan-any").unwrap();
    let owner = place.open("orphan-any").unwrap();
    for (name, mode) in Mode::ALL.map(|mode| (mode.name(), mode)) {
        let lock = owner.lock(name, mode).wait().unwrap();
        lock.persist().unwrap();
        lock.leak();
    }
    // Two on one resource: the stronger one comes first.
    for mode in [Mode::Cr, Mode::Pr] {
        let lock = owner.lock("two", mode).wait().unwrap();
        lock.persist().unwrap();
        lock.leak();
    }
    owner.close().unwrap();
    for mode in Mode::ALL {
        let lock = ls.adopt_any(mode.name()).take().unwrap();
        assert_eq!(lock.mode(), Some(mode));
        assert!(ls.adopt_any(mode.name()).take().unwrap_err().is_no_orphan());
        lock.unlock().wait().unwrap();
    }
    let stronger = ls.adopt_any("two").note_blocking().take().unwrap();
    let weaker = ls.adopt_any("two").take().unwrap();
    assert_eq!((stronger.mode(), weaker.mode()), (Some(Mode::Pr), Some(Mode::Cr)));
    stronger.unlock().wait().unwrap();
    weaker.unlock().wait().unwrap();
    assert!(ls.adopt_any("never").take().unwrap_err().is_no_orphan());
    ls.release().unwrap();
}

fn an_adopted_lock_stays_persistent_through_conversions(place: &Place) {
    let ls = place.create("orphan-again").unwrap();
    orphan(place, "orphan-again");
    let second = place.open("orphan-again").unwrap();
    let lock = second.adopt("r", Mode::Ex).take().unwrap();
    lock.convert(Mode::Pr).wait().unwrap();
    lock.leak();
    second.close().unwrap();
    let lock = ls.adopt("r", Mode::Pr).take().unwrap();
    lock.unlock().wait().unwrap();
    ls.release().unwrap();
}

fn who_adopts_is_told_of_those_who_wait_already(place: &Place) {
    let (ls, other) = place.open_twice("orphan-bast");
    orphan(place, "orphan-bast");
    let (sender, granted) = channel();
    let waiting =
        other.lock("r", Mode::Pr).start(move |done| sender.send(done.status).unwrap()).unwrap();
    let (sender, modes) = channel();
    let adopted = ls
        .adopt("r", Mode::Ex)
        .on_blocking(move |blocking| sender.send(blocking.mode).unwrap())
        .take()
        .unwrap();
    let delivery = ls.start_delivery().unwrap();
    assert_eq!(modes.recv_timeout(PATIENCE).unwrap(), Mode::Pr);
    adopted.unlock().wait().unwrap();
    eventually("the waiter is granted", || {
        other.dispatch().unwrap();
        granted.try_recv() == Ok(LockStatus::Granted)
    });
    drop(waiting);
    delivery.stop(PATIENCE).unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_purge_removes_orphans_and_never_live_locks(place: &Place) {
    let ls = place.create("orphan-purge").unwrap();
    orphan(place, "orphan-purge");
    let me = Task::current().thread();
    let live = ls.lock("live", Mode::Ex).wait().unwrap();
    // Nobody's.
    ls.purge(None, Some(1)).unwrap();
    assert!(ls.lock("r", Mode::Ex).no_queue().wait().unwrap_err().would_block());
    // This thread made both the orphan and the live lock.
    ls.purge(None, Some(me)).unwrap();
    ls.lock("r", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    let other = place.open("orphan-purge").unwrap();
    assert!(other.lock("live", Mode::Ex).no_queue().wait().unwrap_err().would_block());
    orphan(place, "orphan-purge");
    ls.purge(None, None).unwrap();
    ls.lock("r", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    assert!(matches!(ls.purge(None, Some(0)).unwrap_err().kind, ErrorKind::Illegal(_)));
    live.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn a_leaked_lock_is_held_until_the_lockspace_is_closed(place: &Place) {
    let (ls, other) = place.open_twice("orphan-leak");
    other.lock("r", Mode::Ex).wait().unwrap().leak();
    assert!(ls.lock("r", Mode::Ex).no_queue().wait().unwrap_err().would_block());
    assert_eq!(other.lock_count(), 1);
    other.close().unwrap();
    ls.lock("r", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    ls.release().unwrap();
}

fn a_deadlock_victim_is_told_so(place: &Place) {
    let (ls, other) = place.open_twice("orphan-victim");
    let held = ls.lock("r", Mode::Ex).wait().unwrap();
    let (sender, ended) = channel();
    let lock =
        other.lock("r", Mode::Ex).start(move |done| sender.send(done.status).unwrap()).unwrap();
    lock.cancel_as_deadlock().unwrap();
    assert!(matches!(lock.cancel().unwrap_err().kind, ErrorKind::NothingToCancel));
    other.dispatch().unwrap();
    assert_eq!(ended.try_recv(), Ok(LockStatus::Deadlock));
    assert!(matches!(held.cancel_as_deadlock().unwrap_err().kind, ErrorKind::NothingToCancel));
    held.unlock().wait().unwrap();
    other.close().unwrap();
    ls.release().unwrap();
}

fn locks_are_listed_and_counted(place: &Place) {
    let (ls, other) = place.open_twice("orphan-list");
    let held = ls.lock("b", Mode::Pr).note_blocking().wait().unwrap();
    let free = ls.lock("a", Mode::Ex).wait().unwrap();
    let waiting = other.lock("b", Mode::Ex).start(|_| ()).unwrap();
    ls.dispatch().unwrap();
    let mut locks = ls.locks();
    locks.sort_by_key(|lock| lock.resource);
    let seen: Vec<_> = locks.iter().map(|l| (&l.resource[..], l.mode, l.blocked)).collect();
    assert_eq!(seen, [(&b"a"[..], Some(Mode::Ex), None), (b"b", Some(Mode::Pr), Some(Mode::Ex))]);
    let theirs = other.locks();
    assert!(theirs[0].is_in_flight && theirs[0].mode.is_none());
    waiting.cancel().unwrap();
    other.dispatch().unwrap();
    assert!(other.lock("b", Mode::Ex).no_queue().wait().is_err());
    free.convert(Mode::Nl).wait().unwrap();
    free.unlock().wait().unwrap();
    held.unlock().wait().unwrap();
    let counters = ls.counters();
    assert_eq!((counters.requests, counters.conversions, counters.unlocks), (2, 1, 2));
    assert_eq!((counters.grants, counters.refusals, counters.cancels), (3, 0, 0));
    assert_eq!((counters.blocking_notices, counters.dropped_results), (1, 0));
    let counters = other.counters();
    assert_eq!((counters.requests, counters.refusals, counters.cancels), (2, 2, 1));
    other.close().unwrap();
    ls.release().unwrap();
}

fn the_status_tells_whether_locks_are_granted_and_by_whom(place: &Place) {
    let ls = place.create("orphan-status").unwrap();
    let status = ls.status();
    assert_eq!(status.state, State::Running);
    assert_eq!((status.members, status.local_node), (vec![NodeId(1)], Some(NodeId(1))));
    {
        let _stopped = place.stop(ls.name());
        assert_eq!(ls.status().state, State::Stopped);
    }
    eventually("it runs again", || ls.status().state == State::Running);
    ls.close().unwrap();
    place.remove("orphan-status").unwrap();
    assert_eq!(ls.status().state, State::Absent);
}

#[test]
#[ignore = "on kernels only: the default lockspace is always the kernel's"]
fn the_simple_pair_locks_by_name_and_unlocks_by_id() {
    use dlm_runtime::simple::{DEFAULT_LOCKSPACE, lock_resource, unlock_resource};
    use dlm_runtime::{LockFlags, LockId};

    let none = LockFlags::empty();
    let id = lock_resource("simple", Mode::Ex, none).unwrap();
    let refused = lock_resource("simple", Mode::Pr, LockFlags::NOQUEUE).unwrap_err();
    assert!(refused.would_block(), "{refused}");
    // Others find it where C programs would.
    let other = Lockspace::open(DEFAULT_LOCKSPACE).unwrap();
    assert!(other.lock("simple", Mode::Pr).no_queue().wait().unwrap_err().would_block());
    unlock_resource(id).unwrap();
    other.lock("simple", Mode::Ex).no_queue().wait().unwrap().unlock().wait().unwrap();
    for gone in [id, LockId(0)] {
        assert!(matches!(unlock_resource(gone).unwrap_err().kind, ErrorKind::LockGone));
    }
    other.close().unwrap();
}
