//! Persistent locks: orphans, their adoption, and purges.

use std::thread;

use dlm_proto::{LockFlags, LockId, LockRequest, LockStatus, Mode, NodeId, Request};
use dlm_sys::{Accepted, Errno};
use dlm_tests::{Lockspace, Session, Task, cookies};

const NONE: LockFlags = LockFlags::empty();
const PERSISTENT: LockFlags = LockFlags::PERSISTENT;

fn adopt(session: &Session<'_>, name: &str, mode: Mode, n: u8) -> Result<LockId, Errno> {
    let request = LockRequest::adopt(name.as_bytes(), mode, cookies(n));
    match session.send(&Request::Lock(request))? {
        Accepted::Lock(lock) => Ok(lock),
        Accepted::Done => panic!("an adoption returned no lock id"),
    }
}

fn purge(session: &Session<'_>, pid: u32) -> Result<Accepted, Errno> {
    session.send(&Request::Purge { node: NodeId(0), pid })
}

/// Leaves an orphan of this mode on `r`.
fn orphan(space: &Lockspace, mode: Mode) -> LockId {
    space.open().granted("r", mode, PERSISTENT, 1)
}

/// Shows #orphans-and-adoption.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_orphan_is_still_held_and_adopted_by_name_and_mode() {
    let space = Lockspace::new("orphan");
    let session = space.open();
    let left = orphan(&space, Mode::Ex);
    assert_eq!(session.mode_on("r"), Mode::Ex);
    assert_eq!(adopt(&session, "r", Mode::Pr, 2), Err(Errno::EAGAIN));
    assert_eq!(adopt(&session, "s", Mode::Ex, 2), Err(Errno::ENOENT));
    assert_eq!(adopt(&session, "r", Mode::Ex, 2), Ok(left));
    session.none();
    assert_eq!(adopt(&session, "r", Mode::Ex, 2), Err(Errno::ENOENT));
    session.converted(left, Mode::Pr, NONE, 2);
    session.unlocked(left, 2);
}

/// Shows #orphans-and-adoption.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_orphan_gets_no_notice_and_its_adopter_none_for_those_who_wait_already() {
    let space = Lockspace::new("orphan");
    let (session, waiter) = (space.open(), space.open());
    let left = orphan(&space, Mode::Ex);
    waiter.waiting("r", Mode::Ex, NONE, 3);
    assert_eq!(adopt(&session, "r", Mode::Ex, 2), Ok(left));
    session.none();
    session.converted(left, Mode::Ex, NONE, 2);
    session.next().blocks(2, Mode::Ex);
    session.unlocked(left, 2);
    waiter.next().completes(3, LockStatus::Granted);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_adopted_lock_dies_with_its_device_unless_persistent_again() {
    let space = Lockspace::new("adopt");
    let other = space.open();
    let left = orphan(&space, Mode::Ex);
    let request = LockRequest::adopt(b"r", Mode::Ex, cookies(2)).with(PERSISTENT);
    let keeping = space.open();
    assert_eq!(keeping.send(&Request::Lock(request)), Ok(Accepted::Lock(left)));
    drop(keeping);
    assert_eq!(other.mode_on("r"), Mode::Ex);
    assert_eq!(adopt(&space.open(), "r", Mode::Ex, 2), Ok(left));
    assert_eq!(other.mode_on("r"), Mode::Nl);
}

/// Shows #persistence-is-of-the-last-request.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_conversion_without_persistent_ends_the_persistence() {
    let space = Lockspace::new("orphan");
    let other = space.open();
    for (flags, held) in [(PERSISTENT, Mode::Pr), (NONE, Mode::Nl)] {
        let session = space.open();
        let lock = session.granted("r", Mode::Ex, PERSISTENT, 1);
        session.converted(lock, Mode::Pr, flags, 1);
        drop(session);
        assert_eq!(other.mode_on("r"), held, "{flags:?}");
        let answer = adopt(&other, "r", Mode::Pr, 2);
        assert_eq!(answer, if held == Mode::Pr { Ok(lock) } else { Err(Errno::ENOENT) });
        if answer.is_ok() {
            other.unlocked(lock, 2);
        }
    }
}

/// Shows #persistence-is-of-the-last-request.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_conversion_that_fails_ends_the_persistence_too() {
    let space = Lockspace::new("orphan");
    let (holder, other) = (space.open(), space.open());
    let held = holder.granted("r", Mode::Pr, NONE, 2);
    let session = space.open();
    let lock = session.granted("r", Mode::Pr, PERSISTENT, 1);
    session.convert(lock, Mode::Ex, LockFlags::NOQUEUE, 1);
    session.next().completes(1, LockStatus::Again);
    drop(session);
    assert_eq!(adopt(&other, "r", Mode::Pr, 3), Err(Errno::ENOENT));
    holder.unlocked(held, 2);
    assert_eq!(other.mode_on("r"), Mode::Nl);
}

/// Shows #purge-of-orphans.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_purge_removes_the_orphans_that_one_thread_left() {
    let space = Lockspace::new("orphan");
    let session = space.open();
    let left = thread::scope(|scope| {
        let leave = || {
            orphan(&space, Mode::Ex);
            Task::current().thread()
        };
        scope.spawn(leave).join().unwrap()
    });
    // The numbers of threads that made none: above the largest possible, and this one's process.
    for pid in [0x7fff_ffff, 1] {
        assert_eq!(purge(&session, pid), Ok(Accepted::Done));
        assert_eq!(session.mode_on("r"), Mode::Ex, "purge of {pid}");
    }
    assert_eq!(purge(&session, left), Ok(Accepted::Done));
    assert_eq!(session.mode_on("r"), Mode::Nl);
    assert_eq!(adopt(&session, "r", Mode::Ex, 2), Err(Errno::ENOENT));
}

/// Shows #purge-of-orphans.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_purge_of_thread_0_removes_all_orphans_and_no_live_lock() {
    let space = Lockspace::new("orphan");
    let (session, waiter) = (space.open(), space.open());
    let live = session.granted("live", Mode::Ex, PERSISTENT, 1);
    orphan(&space, Mode::Ex);
    waiter.waiting("r", Mode::Pr, NONE, 2);
    assert_eq!(purge(&session, 0), Ok(Accepted::Done));
    waiter.next().completes(2, LockStatus::Granted);
    assert_eq!(waiter.mode_on("live"), Mode::Ex);
    session.unlocked(live, 1);
}

/// Shows #purge-of-the-calling-thread.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_purge_of_the_calling_thread_drops_this_devices_locks_and_results() {
    let space = Lockspace::new("orphan");
    let (session, same, other) = (space.open(), space.open(), space.open());
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    session.lock("s", Mode::Ex, NONE, 2);
    same.granted("t", Mode::Ex, NONE, 3);
    assert_eq!(purge(&session, Task::current().thread()), Ok(Accepted::Done));
    session.none();
    assert_eq!(other.mode_on("r"), Mode::Nl);
    assert_eq!(other.mode_on("s"), Mode::Nl);
    assert_eq!(session.try_unlock(lock, NONE, 1), Err(Errno::ENOENT));
    // Another device's locks, of the same thread, stay, and the purged device goes on.
    assert_eq!(other.mode_on("t"), Mode::Ex);
    session.granted("r", Mode::Ex, NONE, 4);
}

/// Shows #purge-of-the-calling-thread.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_purge_of_the_process_by_another_thread_drops_no_live_lock() {
    let space = Lockspace::new("orphan");
    let (session, other) = (space.open(), space.open());
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    thread::scope(|scope| {
        let purging = || {
            let task = Task::current();
            assert_ne!(task.thread(), task.process());
            purge(&session, task.process())
        };
        assert_eq!(scope.spawn(purging).join().unwrap(), Ok(Accepted::Done));
    });
    assert_eq!(other.mode_on("r"), Mode::Ex);
    session.unlocked(lock, 1);
}
