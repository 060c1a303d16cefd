//! Refusals: their numbers, and the traces they leave.
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
use dlm_proto::{Cookies, LockFlags, LockId, LockRequest, LockStatus, Mode, ModeCode, Request};
use support::{NONE, World, cookies, encode};

#[test]
fn words_modes_and_names_have_their_limits() {
    World::each(|world| {
        let session = world.open();
        let lock = |request: LockRequest<'_>| session.send(&Request::Lock(request));
        let usual = LockRequest::new(b"r", Mode::Nl, cookies(1));
        for without in
            [Cookies { completion_addr: 0, ..cookies(1) }, Cookies { lksb: 0, ..cookies(1) }]
        {
            assert_eq!(lock(LockRequest { cookies: without, ..usual }), Err(Errno::EINVAL));
        }
        for mode in [6, 255] {
            assert_eq!(lock(LockRequest { mode: ModeCode(mode), ..usual }), Err(Errno::EINVAL));
        }
        for name in [&[7; 64][..], b"", b"a\0b"] {
            assert!(lock(LockRequest { name, ..usual }).is_ok());
        }
        // The length of the name is taken as it is given, not as the record has it.
        let mut bytes = encode(&Request::Lock(LockRequest { name: &[7; 64], ..usual }));
        bytes[17] = 65;
        assert_eq!(session.write(&bytes), Err(Errno::EINVAL));
        let mut bytes = encode(&Request::Lock(usual));
        bytes[17] = 3;
        assert!(session.write(&bytes).is_ok());
        // A conversion does not look at it.
        let mut bytes =
            encode(&Request::Lock(LockRequest::convert(LockId(1), Mode::Nl, cookies(1))));
        bytes[17] = 200;
        assert_eq!(session.write(&bytes), Ok(0));
        let adopt = LockRequest::adopt(b"r", Mode::Nl, cookies(1));
        let mut bytes = encode(&Request::Lock(adopt));
        bytes[17] = 200;
        assert_eq!(session.write(&bytes), Err(Errno::ENOENT));
    });
}

#[test]
fn refused_calls_replace_the_words_and_the_block_all_the_same() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        a.granted("r", Mode::Pr, NONE, 1);
        let waiting = b.waiting("r", Mode::Ex, LockFlags::VALBLK, 2);
        assert_eq!(b.try_convert(waiting, Mode::Ex, NONE, 3), Err(Errno::EBUSY));
        assert_eq!(b.try_cancel(waiting, 0), Ok(()));
        let outcome = b.next();
        assert_eq!(outcome.addr, cookies(3).completion_addr);
        assert_eq!(outcome.param, cookies(0).completion_param);
        assert_eq!(outcome.status, LockStatus::Cancelled);
    });
}

#[test]
fn force_unlock_twice_is_refused_and_sticks_to_locks_that_were_made_with_it() {
    World::each(|world| {
        let session = world.open();
        let lock = session.granted("r", Mode::Ex, LockFlags::FORCEUNLOCK, 1);
        assert_eq!(session.try_unlock(lock, LockFlags::FORCEUNLOCK, 1), Err(Errno::EINVAL));
        session.close();
        // The lock is never released.
        let other = world.open();
        other.lock("r", Mode::Ex, LockFlags::NOQUEUE, 2);
        other.next().completes(2, LockStatus::Again);
        assert_eq!(world.dump().resources[0].granted[0].id, lock);
    });
}
