//! Sessions, orphans, purges and lockspaces: what outlives what.
//! What the kernel does, too, is in `tests/scenarios`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use dlm_engine::{Config, Engine, Errno, Profile};
use dlm_proto::{LockFlags, LockStatus, LockspaceFlags, Minor, Mode, RemoveFlags, Request};
use support::{NODE, NONE, World, create, encode, remove};

#[test]
fn a_close_ends_locks_and_grants_waiters() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        holder.granted("r", Mode::Ex, NONE, 1);
        other.waiting("r", Mode::Ex, NONE, 2);
        holder.close();
        other.next().completes(2, LockStatus::Granted);
        assert_eq!(holder.write(&[0; 104]), Err(Errno::EBADF));
        other.close();
        assert_eq!(world.engine.borrow().size(), 1);
    });
}

#[test]
fn an_orphans_conversion_is_taken_back_and_a_waiting_one_counts_as_another_mode() {
    World::each(|world| {
        let (holder, other) = (world.open(), world.open());
        other.granted("r", Mode::Pr, NONE, 1);
        let lock = holder.granted("r", Mode::Pr, LockFlags::PERSISTENT, 2);
        holder.convert(lock, Mode::Ex, LockFlags::PERSISTENT, 2);
        other.next().blocks(1, Mode::Ex);
        holder.waiting("r", Mode::Ex, LockFlags::PERSISTENT, 3);
        holder.close();
        assert_eq!(other.adopt("r", Mode::Ex, NONE, 4), Err(Errno::EAGAIN));
        assert_eq!(other.adopt("r", Mode::Pr, NONE, 4), Ok(lock));
        assert_eq!(other.purge(0, 0), Ok(0));
        other.close();
        assert_eq!(world.engine.borrow().size(), 1);
    });
}

#[test]
fn lockspaces_are_counted_and_busy_while_locks_exist() {
    for profile in Profile::ALL {
        let mut engine = Engine::new(Config::single(profile));
        let first = create(&mut engine, b"a").unwrap();
        assert_eq!(create(&mut engine, b"a"), Ok(first));
        assert_ne!(create(&mut engine, b"b"), Ok(first));
        assert_eq!(engine.find(NODE, b"a"), Some(first));
        let exclusive = Request::CreateLockspace { name: b"a", flags: LockspaceFlags::NEWEXCL };
        assert_eq!(engine.control(NODE, &encode(&exclusive)), Err(Errno::EEXIST));
        for name in [&b""[..], &[b'x'; 65]] {
            let mut bytes =
                encode(&Request::CreateLockspace { name: b"", flags: LockspaceFlags::empty() });
            bytes.resize(104.max(24 + name.len()), 0);
            bytes[24..24 + name.len()].copy_from_slice(name);
            assert_eq!(engine.control(NODE, &bytes), Err(Errno::EINVAL));
        }
        assert_eq!(remove(&mut engine, first, RemoveFlags::empty()), Ok(()));
        assert_eq!(remove(&mut engine, first, RemoveFlags::empty()), Ok(()));
        assert_eq!(remove(&mut engine, first, RemoveFlags::empty()), Err(Errno::ENOENT));
        assert_eq!(engine.open(NODE, first), Err(Errno::ENODEV));
        // Its number is free.
        assert_eq!(create(&mut engine, b"c"), Ok(first));
        assert_eq!(engine.control(NODE, &[0; 104]), Err(Errno::EBADE));
    }
}

#[test]
fn a_lockspace_with_locks_is_removed_by_force_and_lives_on_for_its_sessions() {
    World::each(|world| {
        let session = world.open();
        let lock = session.granted("r", Mode::Ex, NONE, 1);
        let removal = |flags| remove(&mut world.engine.borrow_mut(), world.minor, flags);
        assert_eq!(removal(RemoveFlags::empty()), Err(Errno::EBUSY));
        assert!(!world.engine.borrow().removed(session.id));
        assert_eq!(removal(RemoveFlags::FORCEFREE), Ok(()));
        assert!(world.engine.borrow().removed(session.id));
        assert_eq!(world.engine.borrow().find(NODE, b"test"), None);
        session.granted("s", Mode::Ex, NONE, 2);
        session.unlocked(lock, 1);
        session.close();
        assert_eq!(world.engine.borrow().size(), 0);
    });
}

#[test]
fn an_unread_result_keeps_a_lockspace_busy_on_6_1() {
    World::each(|world| {
        let session = world.open();
        let lock = session.granted("r", Mode::Ex, NONE, 1);
        session.unlock(lock, 1);
        let removal = || remove(&mut world.engine.borrow_mut(), world.minor, RemoveFlags::empty());
        if world.is_6_1() {
            assert_eq!(removal(), Err(Errno::EBUSY));
            session.next();
        }
        assert_eq!(removal(), Ok(()));
    });
}

#[test]
fn the_control_device_reads_versions_only() {
    let engine = Engine::new(Config::single(Profile::Linux6_1));
    for len in [0, 4, 11, 13, 14, 104] {
        assert_eq!(engine.control_read(NODE, &mut vec![0; len]), Err(Errno::EINVAL));
    }
    let mut version = [0; 12];
    assert_eq!(engine.control_read(NODE, &mut version), Ok(12));
    assert_eq!(version, dlm_proto::Version::new(6, 0, 2).encode());
    assert_eq!(engine.control_read(dlm_proto::NodeId(2), &mut version), Err(Errno::ENODEV));
    assert_eq!(engine.find(NODE, b"a"), None::<Minor>);
}
