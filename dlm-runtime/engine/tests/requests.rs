//! Refusals: their numbers, and the traces they leave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use dlm_engine::Errno;
use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockRequest, LockStatus, MAX_REQUEST_LEN, Mode, ModeCode,
    Request, UnlockRequest, ValueBlock, Version,
};
use support::{NONE, World, cookies, encode};

#[test]
fn lengths_and_versions_are_checked_first() {
    World::each(|world| {
        let session = world.open();
        let purge = |len: usize| {
            let mut bytes = encode(&Request::Purge { node: dlm_proto::NodeId(0), pid: 9 });
            bytes.resize(len, 0);
            session.write(&bytes)
        };
        assert_eq!(purge(103), Err(Errno::EINVAL));
        assert_eq!(purge(104), Ok(0));
        assert_eq!(purge(184), Ok(0));
        assert_eq!(purge(185), Err(Errno::EINVAL));
        for (version, answer) in [
            (Version::new(6, 0, 99), Ok(0)),
            (Version::new(6, 1, 0), Err(Errno::EBADE)),
            (Version::new(5, 0, 0), Err(Errno::EBADE)),
            (Version::new(7, 0, 0), Err(Errno::EBADE)),
        ] {
            let mut bytes = encode(&Request::Purge { node: dlm_proto::NodeId(0), pid: 9 });
            bytes[..12].copy_from_slice(&version.encode());
            assert_eq!(session.write(&bytes), answer, "{version}");
        }
        for command in [0, 3, 4, 5, 8, 9] {
            let mut bytes = encode(&Request::Purge { node: dlm_proto::NodeId(0), pid: 9 });
            bytes[12] = command;
            assert_eq!(session.write(&bytes), Err(Errno::EINVAL), "{command}");
        }
        assert_eq!(session.purge(7, 0), Err(Errno::ENOBUFS));
    });
}

#[test]
fn flags_that_make_no_sense_together_are_refused() {
    World::each(|world| {
        let session = world.open();
        let refused = |mode, flags| {
            assert_eq!(session.try_lock("r", mode, flags, 1), Err(Errno::EINVAL), "{flags:?}");
        };
        refused(Mode::Ex, LockFlags::QUECVT);
        refused(Mode::Ex, LockFlags::CONVDEADLK);
        refused(Mode::Ex, LockFlags::CANCEL);
        refused(Mode::Ex, LockFlags::EXPEDITE);
        refused(Mode::Nl, LockFlags::EXPEDITE | LockFlags::NOQUEUE);
        let lock = session.granted("r", Mode::Nl, NONE, 1);
        for flags in
            [LockFlags::EXPEDITE, LockFlags::CANCEL, LockFlags::CONVDEADLK | LockFlags::NOQUEUE]
        {
            assert_eq!(session.try_convert(lock, Mode::Nl, flags, 1), Err(Errno::EINVAL));
        }
        for flags in
            [LockFlags::CONVERT, LockFlags::PERSISTENT, LockFlags::CANCEL | LockFlags::FORCEUNLOCK]
        {
            assert_eq!(session.try_unlock(lock, flags, 1), Err(Errno::EINVAL), "{flags:?}");
        }
        let unknown = LockFlags::from_bits_retain(0xfff8_0000) | LockFlags::TIMEOUT;
        session.granted("s", Mode::Ex, unknown, 2);
        assert_eq!(session.try_convert(LockId(0), Mode::Nl, NONE, 1), Err(Errno::ENOENT));
        assert_eq!(session.try_unlock(LockId(77), NONE, 1), Err(Errno::ENOENT));
    });
}

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
fn an_unlock_keeps_the_address_and_takes_the_lksb_even_if_it_is_0() {
    World::each(|world| {
        let session = world.open();
        let lock = session.granted("r", Mode::Ex, NONE, 1);
        let request = UnlockRequest::new(lock, Cookies::default());
        assert_eq!(session.send(&Request::Unlock(request)), Ok(0));
        let outcome = session.next();
        let words = cookies(1);
        let wanted = (words.completion_addr, words.completion_param, 0);
        assert_eq!((outcome.addr, outcome.param, outcome.lksb), wanted);
    });
}

#[test]
fn a_refused_unlock_of_a_failed_request_replaces_its_words_on_6_1() {
    World::each(|world| {
        let (a, b) = (world.open(), world.open());
        a.granted("r", Mode::Ex, NONE, 1);
        let lock = b.lock("r", Mode::Ex, LockFlags::NOQUEUE, 2);
        assert_eq!(b.try_unlock(lock, NONE, 3), Err(Errno::ENOENT));
        let outcome = b.next();
        let (param, lksb) = world.pick(
            (cookies(3).completion_param, cookies(3).lksb),
            (cookies(2).completion_param, cookies(2).lksb),
        );
        assert_eq!((outcome.param, outcome.lksb), (param, lksb));
        assert_eq!(outcome.addr, cookies(2).completion_addr);
        // On 6.1 the lock is still there to be refused.
        let again = b.lock("r", Mode::Ex, LockFlags::NOQUEUE, 2);
        let refusal = world.pick(Errno::EBUSY, Errno::ENOENT);
        assert_eq!(b.try_convert(again, Mode::Nl, NONE, 2), Err(refusal));
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

#[test]
fn thirty_two_bit_requests_make_thirty_two_bit_results_for_ever() {
    World::each(|world| {
        let session = world.open();
        let mut buffer = [0; MAX_REQUEST_LEN];
        let words = Cookies { completion_addr: 5, lksb: 6, ..Cookies::default() };
        let request = Request::Lock(LockRequest::new(b"disk0001", Mode::Ex, words));
        let bytes = request.encode(Abi::V6_32, &mut buffer).unwrap();
        assert_eq!(session.write(bytes), Ok(1));
        let mut result = [0; 104];
        let len = world.engine.borrow_mut().read(session.id, &mut result).unwrap();
        assert_eq!(len, 52);
        // Without its padding the request loses the end of its name.
        let name = &world.dump().resources[0].name;
        assert_eq!(&name[..], b"disk0001");
        let unlock = Request::Unlock(UnlockRequest::new(LockId(1), words));
        let bytes = unlock.encode(Abi::V6_32, &mut buffer).unwrap();
        assert_eq!(session.write(&bytes[..100]), Err(Errno::EINVAL));
        assert_eq!(session.write(bytes), Ok(0));
        let len = world.engine.borrow_mut().read(session.id, &mut result).unwrap();
        assert_eq!(len, 52);
        // So two names that differ in their last four bytes are one.
        for (name, answer) in [(b"disk0003", Ok(1)), (b"disk0004", Ok(2))] {
            let request = LockRequest::new(name, Mode::Ex, words).with(LockFlags::NOQUEUE);
            let bytes = Request::Lock(request).encode(Abi::V6_32, &mut buffer).unwrap();
            assert_eq!(session.write(&bytes[..108]), answer);
        }
        assert_eq!(&world.dump().resources[0].name[..4], b"disk");
        assert_eq!(world.dump().resources.len(), 1);
        for _ in 0..2 {
            let len = world.engine.borrow_mut().read(session.id, &mut result).unwrap();
            assert_eq!(len, 52);
        }
        // Even for a request of 64 bits.
        session.lock("r", Mode::Ex, NONE, 1);
        let len = world.engine.borrow_mut().read(session.id, &mut result).unwrap();
        assert_eq!(len, 52);
        let read = dlm_proto::LockResult::decode(Abi::V6_32, &result[..52]).unwrap();
        assert_eq!(read.addr, cookies(1).completion_addr & 0xffff_ffff);
    });
}

#[test]
fn reads_have_their_lengths_too() {
    World::each(|world| {
        let session = world.open();
        let request = LockRequest::new(b"r", Mode::Ex, cookies(1)).with_lvb(&ValueBlock::ZERO);
        let read = |len: usize| {
            let mut buffer = vec![0; len];
            let answer = world.engine.borrow_mut().read(session.id, &mut buffer);
            answer.map(|len| (len, buffer))
        };
        assert_eq!(read(104), Err(Errno::EAGAIN));
        session.send(&Request::Lock(request)).unwrap();
        assert_eq!(read(12).unwrap(), (12, Version::new(6, 0, 2).encode().to_vec()));
        assert_eq!(read(51), Err(Errno::EINVAL));
        let (len, bytes) = read(103).unwrap();
        assert_eq!((len, bytes[68]), (72, 0));
        session
            .send(&Request::Lock(LockRequest::convert(LockId(1), Mode::Ex, cookies(1))))
            .unwrap();
        assert_eq!(read(72).unwrap().0, 72);
        session
            .send(&Request::Lock(LockRequest::convert(LockId(1), Mode::Nl, cookies(1))))
            .unwrap();
        read(104).unwrap();
        session
            .send(&Request::Lock(LockRequest::convert(LockId(1), Mode::Ex, cookies(1))))
            .unwrap();
        let (len, bytes) = read(104).unwrap();
        assert_eq!((len, bytes[68]), (104, 72));
    });
}
