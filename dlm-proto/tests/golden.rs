//! Replays the golden vectors: bytes that a real kernel accepted and gave. The kernel test
//! `kernel::golden` of `tests` recorded them, and holds them against the kernel again in each run.
//! They are of little-endian kernels: words are in the order of the machine.

#![cfg(target_endian = "little")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use dlm_proto::{
    Abi, Cookies, Event, LockFlags, LockId, LockRequest, LockResult, LockStatus, LockspaceFlags,
    MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor, Mode, NodeId, RemoveFlags, Request, StatusFlags, Token,
    UnlockRequest, ValueBlock, Version,
};

mod common;
use common::{Record, records};

const OWNER: u32 = 4711;
const BLOCK: ValueBlock = {
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 32 {
        bytes[at as usize] = at + 1;
        at += 1;
    }
    ValueBlock(bytes)
};

/// What the request of this name was made from. Lock ids are those of the recording.
fn request(abi: Abi, name: &str) -> Request<'static> {
    let words = |n| Cookies::for_token_in(Token::new(n, 1), OWNER, abi.width).unwrap();
    let (first, second) = (words(0), words(1));
    let (a, b, c, d) = (LockId(1), LockId(2), LockId(2), LockId(3));
    let disk = b"disk0";
    match name {
        "create" => Request::CreateLockspace {
            name: if abi == Abi::V6_64 { b"golden64" } else { b"golden32" },
            flags: LockspaceFlags::NEWEXCL,
        },
        "lock-ex" => Request::Lock(LockRequest::new(disk, Mode::Ex, first).with(LockFlags::VALBLK)),
        "lock-noqueue" => {
            Request::Lock(LockRequest::new(disk, Mode::Pr, second).with(LockFlags::NOQUEUE))
        }
        "lock-waits" => Request::Lock(LockRequest::new(disk, Mode::Pr, second)),
        "cancel" => Request::Unlock(UnlockRequest::cancel(b, second)),
        "convert-writes-block" => {
            Request::Lock(LockRequest::convert(a, Mode::Pr, first).with_lvb(&BLOCK))
        }
        "lock-reads-block" => {
            Request::Lock(LockRequest::new(disk, Mode::Cr, second).with(LockFlags::VALBLK))
        }
        "lock-victim" => Request::Lock(LockRequest::new(disk, Mode::Ex, second)),
        "deadlock" => Request::Deadlock { lock: d, flags: LockFlags::CANCEL },
        "unlock" => Request::Unlock(UnlockRequest::new(c, second)),
        "unlock-force" => {
            Request::Unlock(UnlockRequest::new(a, first).with(LockFlags::FORCEUNLOCK))
        }
        "purge" => Request::Purge { node: NodeId(0), pid: 1 },
        "remove" => Request::RemoveLockspace { minor: Minor(121), flags: RemoveFlags::FORCEFREE },
        other => panic!("no request {other}"),
    }
}

/// What the result of this name says.
fn event(name: &str) -> Event<'static> {
    let (one, two) = (Token::new(0, 1), Token::new(1, 1));
    let completion = |token, lock, status, lvb| Event::Completion {
        token,
        status,
        lock: LockId(lock),
        flags: StatusFlags::empty(),
        lvb,
    };
    let blocking = |token, lock, mode| Event::Blocking { token, lock: LockId(lock), mode };
    match name {
        "granted-with-block" => completion(one, 1, LockStatus::Granted, Some(&ValueBlock::ZERO)),
        "again" => completion(two, 2, LockStatus::Again, None),
        "blocking-pr" => blocking(one, 1, Mode::Pr),
        "cancelled" => completion(two, 2, LockStatus::Cancelled, None),
        "converted" => completion(one, 1, LockStatus::Granted, None),
        "granted-block-read" => completion(two, 2, LockStatus::Granted, Some(&BLOCK)),
        "blocking-ex-one" => blocking(one, 1, Mode::Ex),
        "blocking-ex-two" => blocking(two, 2, Mode::Ex),
        "deadlocked" => completion(two, 3, LockStatus::Deadlock, None),
        "unlocked" => completion(two, 2, LockStatus::Unlocked, None),
        "unlocked-by-force" => completion(one, 1, LockStatus::Unlocked, None),
        other => panic!("no result {other}"),
    }
}

fn replay(abi: Abi) {
    let mut counts = (0, 0);
    for Record { is_request, name, bytes, .. } in records(abi) {
        if is_request {
            let wanted = request(abi, name);
            assert_eq!(Request::decode(abi, &bytes), Ok(wanted), "{name}");
            let mut buffer = [0xa5; MAX_REQUEST_LEN];
            assert_eq!(wanted.encode(abi, &mut buffer), Ok(&bytes[..]), "{name}");
            counts.0 += 1;
        } else if name == "version" {
            assert_eq!(Version::decode(&bytes), Ok(Version::new(6, 0, 2)));
            assert_eq!(Version::new(6, 0, 2).encode(), bytes[..]);
        } else {
            let result = LockResult::decode(abi, &bytes).unwrap();
            assert_eq!(result.event(abi.width), Ok(event(name)), "{name}");
            assert_eq!(result.lksb, u64::from(OWNER));
            assert_eq!(result.version, Version::new(6, 0, 2));
            let mut buffer = [0xa5; MAX_RESULT_LEN];
            assert_eq!(result.encode(abi, &mut buffer), Ok(&bytes[..]), "{name}");
            counts.1 += 1;
        }
    }
    assert_eq!(counts, (13, 11), "records in the file");
}

#[test]
fn what_the_kernel_took_from_and_gave_to_64_bit_programs_is_understood() {
    replay(Abi::V6_64);
}

#[test]
fn what_the_kernel_took_from_and_gave_to_32_bit_programs_is_understood() {
    replay(Abi::V6_32);
}
