//! A 32-bit program on a 64-bit kernel: the same layout, written by this program.

#![cfg(target_pointer_width = "64")]

use dlm_proto::{
    Abi, LockFlags, LockId, LockRequest, LockStatus, LockspaceFlags, MAX_RESULT_LEN, Mode,
    RemoveFlags, Request, UnlockRequest,
};
use dlm_sys::Errno;
use dlm_tests::{Lockspace, Outcome, Session, block, cookies, encode_as};

const NONE: LockFlags = LockFlags::empty();

/// The request as a 32-bit program writes it, and as one would without the 4 bytes of padding.
fn forms(request: &Request<'_>) -> (Vec<u8>, Vec<u8>) {
    let padded = encode_as(Abi::V6_32, request);
    let bare = padded[..padded.len() - 4].to_vec();
    (padded, bare)
}

fn lock_request(name: &str, n: u8) -> LockRequest<'_> {
    LockRequest::new(name.as_bytes(), Mode::Ex, cookies(n)).with(LockFlags::NOQUEUE)
}

#[track_caller]
fn locked(session: &Session<'_>, bytes: &[u8]) -> LockId {
    LockId(session.device().submit_raw(bytes).unwrap().try_into().unwrap())
}

#[track_caller]
fn next(session: &Session<'_>) -> Outcome {
    assert!(session.device().poll(Some(dlm_tests::PATIENCE)).unwrap(), "no result");
    let mut buffer = [0; MAX_RESULT_LEN];
    let len = session.device().read_result(&mut buffer).unwrap().unwrap();
    Outcome::decode(Abi::V6_32, &buffer[..len])
}

/// Shows #i386-padding.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_unlock_without_padding_is_refused_and_with_it_works() {
    let space = Lockspace::new("compat");
    let session = space.open();
    let lock = locked(&session, &forms(&Request::Lock(lock_request("disk0001", 1))).0);
    assert_eq!(next(&session).completes(1, LockStatus::Granted).lock, lock);
    let (padded, bare) = forms(&Request::Unlock(UnlockRequest::new(lock, cookies(1))));
    assert_eq!((padded.len(), bare.len()), (104, 100));
    assert_eq!(session.device().submit_raw(&bare), Err(Errno::EINVAL));
    assert_eq!(session.device().submit_raw(&padded), Ok(0));
    assert_eq!(next(&session).completes(1, LockStatus::Unlocked).lock, lock);
}

/// Shows #i386-padding.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn names_without_padding_lose_their_last_four_bytes_and_with_it_none() {
    let space = Lockspace::new("compat");
    let (with, without) = (space.open(), space.open());
    for (n, name) in [(1, "disk0001"), (2, "disk0002")] {
        locked(&with, &forms(&Request::Lock(lock_request(name, n))).0);
        next(&with).completes(n, LockStatus::Granted);
    }
    for (n, name, status) in
        [(3, "disk0003", LockStatus::Granted), (4, "disk0004", LockStatus::Again)]
    {
        locked(&without, &forms(&Request::Lock(lock_request(name, n))).1);
        next(&without).completes(n, status);
    }
}

/// Shows #i386-padding.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_lockspace_created_without_padding_has_a_shorter_name() {
    let space = Lockspace::new("compat");
    let longer = format!("{}1234", space.name());
    let create =
        Request::CreateLockspace { name: longer.as_bytes(), flags: LockspaceFlags::empty() };
    // Of the longer name nothing is left but that of the lockspace that exists.
    let minor = space.control().submit_raw(&forms(&create).1).unwrap();
    space.count_creation();
    assert_eq!(u32::try_from(minor).unwrap(), space.minor().0);
    assert_eq!(space.remove(RemoveFlags::empty()), Ok(()));
    let (padded, bare) =
        forms(&Request::RemoveLockspace { minor: space.minor(), flags: RemoveFlags::empty() });
    assert_eq!(space.control().submit_raw(&bare), Err(Errno::EINVAL));
    assert_eq!(space.control().submit_raw(&padded), Ok(0));
    space.count_removal();
}

/// Shows #short-results-for-ever.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn after_one_32_bit_request_all_results_of_the_device_are_short() {
    let space = Lockspace::new("compat");
    let (session, other) = (space.open(), space.open());
    let first = session.granted("a", Mode::Ex, NONE, 1);
    locked(&session, &forms(&Request::Lock(lock_request("b", 2))).0);
    assert_eq!(next(&session).completes(2, LockStatus::Granted).len, 52);
    // From now on, whoever asks.
    session.unlock(first, 1);
    assert_eq!(next(&session).completes(1, LockStatus::Unlocked).len, 52);
    session.lock("c", Mode::Ex, LockFlags::VALBLK, 3);
    assert_eq!(next(&session).completes(3, LockStatus::Granted).len, 84);
    other.granted("d", Mode::Ex, NONE, 4);
}

/// Shows #short-results-for-ever.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn even_a_refused_32_bit_request_makes_results_short() {
    let space = Lockspace::new("compat");
    let session = space.open();
    let unknown = Request::Unlock(UnlockRequest::new(LockId(0), cookies(1)));
    assert_eq!(session.device().submit_raw(&forms(&unknown).0), Err(Errno::ENOENT));
    session.lock("r", Mode::Ex, NONE, 2);
    assert_eq!(next(&session).completes(2, LockStatus::Granted).len, 52);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_32_bit_program_converts_reads_and_writes_the_value_block_and_is_notified() {
    let space = Lockspace::new("whole");
    let (session, other) = (space.open(), space.open());
    let send = |request: Request<'_>| {
        session.device().submit_raw(&encode_as(Abi::V6_32, &request)).unwrap()
    };
    let valblk = LockRequest::new(b"r", Mode::Nl, cookies(1)).with(LockFlags::VALBLK);
    let lock = LockId(send(Request::Lock(valblk)).try_into().unwrap());
    next(&session).completes(1, LockStatus::Granted);
    let convert = |mode| LockRequest::convert(lock, mode, cookies(2));
    send(Request::Lock(convert(Mode::Ex)));
    next(&session).completes(2, LockStatus::Granted);
    other.waiting("r", Mode::Pr, LockFlags::VALBLK, 3);
    assert_eq!(next(&session).blocks(2, Mode::Pr).lock, lock);
    send(Request::Lock(convert(Mode::Nl).with_lvb(&block(5))));
    next(&session).completes(2, LockStatus::Granted);
    assert_eq!(other.next().completes(3, LockStatus::Granted).lvb, Some(block(5)));
    send(Request::Lock(convert(Mode::Nl).with(LockFlags::VALBLK)));
    assert_eq!(next(&session).completes(2, LockStatus::Granted).lvb, Some(block(5)));
    send(Request::Unlock(UnlockRequest::new(lock, cookies(2))));
    next(&session).completes(2, LockStatus::Unlocked);
}
