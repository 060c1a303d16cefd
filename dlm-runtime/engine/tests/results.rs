//! Results: order, merging, words, blocks.
//! What the kernel does, too, is in `tests/scenarios`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use dlm_engine::Errno;
use dlm_proto::{LockFlags, Mode, Request, UnlockRequest, ValueBlock};
use support::{NONE, World, cookies};

#[test]
fn a_lock_whose_last_completion_was_dropped_is_kept_until_the_close() {
    World::each(|world| {
        let session = world.open();
        let lock = session.lock("r", Mode::Ex, NONE, 0);
        for n in 1..6 {
            session.convert(lock, Mode::Ex, NONE, n);
        }
        session.unlock(lock, 6);
        assert_eq!(session.all().len(), world.pick(6, 7));
        let reused = session.granted("s", Mode::Ex, NONE, 1) == lock;
        assert_eq!(reused, world.pick(false, true));
        session.close();
        assert_eq!(world.engine.borrow().size(), 1);
    });
}

#[test]
fn an_unlock_writes_the_block_by_the_flags_of_the_last_operation_too() {
    World::each(|world| {
        let mine = ValueBlock([7; 32]);
        for (at_lock, at_unlock, lvb, invalid) in [
            (NONE, NONE, None, false),
            // Without a block of its own the lock has nothing to write.
            (NONE, LockFlags::VALBLK, None, false),
            (NONE, LockFlags::IVVALBLK, None, true),
            (LockFlags::VALBLK, NONE, Some(mine), false),
            (LockFlags::VALBLK, LockFlags::VALBLK, Some(mine), false),
            (LockFlags::VALBLK, LockFlags::IVVALBLK, None, true),
            (LockFlags::IVVALBLK, NONE, None, true),
        ] {
            for mode in Mode::ALL {
                // A mark of an invalid block would outlive the resource.
                let name = &std::format!("{mode} {at_lock:?} {at_unlock:?}");
                let session = world.open();
                session.granted(name, Mode::Nl, NONE, 1);
                let lock = session.granted(name, mode, at_lock, 2);
                let mut request = UnlockRequest::new(lock, cookies(2)).with(at_unlock);
                request.lvb = &mine;
                assert_eq!(session.send(&Request::Unlock(request)), Ok(0));
                let dump = world.dump();
                let wanted = if mode < Mode::Pw { (None, false) } else { (lvb, invalid) };
                let resource = &dump.resources[0];
                assert_eq!((resource.lvb, resource.lvb_invalid), wanted, "{mode}");
                session.close();
            }
        }
    });
}

#[test]
fn a_refused_conversion_makes_a_block_that_no_operation_uses() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        let held = a.granted("r", Mode::Ex, NONE, 1);
        let waiting = b.waiting("r", Mode::Ex, NONE, 2);
        assert_eq!(b.try_convert(waiting, Mode::Ex, LockFlags::VALBLK, 2), Err(Errno::EBUSY));
        a.next().blocks(1, Mode::Ex);
        a.granted("r", Mode::Nl, LockFlags::EXPEDITE, 3);
        a.unlock(held, 1);
        assert_eq!(b.next().lvb, Some(ValueBlock::ZERO));
        let request = UnlockRequest::new(waiting, cookies(2)).with_lvb(&ValueBlock([1; 32]));
        b.send(&Request::Unlock(request)).unwrap();
        assert_eq!(world.dump().resources[0].lvb, None);
    });
}

#[test]
fn the_host_is_told_once_of_each_session_that_becomes_readable() {
    World::each(|world| {
        let session = world.open();
        let told = || world.engine.borrow_mut().take_readable().collect::<Vec<_>>();
        let lock = session.lock("r", Mode::Ex, NONE, 1);
        session.convert(lock, Mode::Nl, NONE, 1);
        assert_eq!(told(), [session.id]);
        assert!(world.engine.borrow().is_readable(session.id));
        session.next();
        session.convert(lock, Mode::Nl, NONE, 1);
        assert_eq!(told(), []);
        assert_eq!(session.all().len(), 2);
        assert!(!world.engine.borrow().is_readable(session.id));
        session.convert(lock, Mode::Nl, NONE, 1);
        assert_eq!(told(), [session.id]);
    });
}
