//! New lock requests: what is granted, and what is refused at once.

use dlm_proto::{
    Abi, Cookies, LockFlags, LockId, LockRequest, LockStatus, Mode, ModeCode, Request, StatusFlags,
};
use dlm_sys::{Accepted, Errno};
use dlm_tests::{Kernel, Lockspace, Session, cookies, encode};

const NONE: LockFlags = LockFlags::empty();

/// Shows #free-resource-is-granted.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_free_resource_is_granted_and_the_words_come_back() {
    let space = Lockspace::new("request");
    let session = space.open();
    let request = LockRequest::new(b"r", Mode::Ex, cookies(1));
    let answer = session.send(&Request::Lock(request)).unwrap();
    let result = session.next().completes(1, LockStatus::Granted);
    assert_eq!(answer, Accepted::Lock(result.lock));
    assert_ne!(result.lock, LockId(0));
    assert_eq!((result.flags, result.lvb), (StatusFlags::empty(), None));
    assert_eq!(result.len, Abi::V6_64.result_len());
    session.none();
}

/// Shows #free-resource-is-granted.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn words_of_64_bits_come_back_whole_and_no_pointer_with_them() {
    let space = Lockspace::new("request");
    let session = space.open();
    let words = Cookies {
        completion_addr: 0xfedc_ba98_7654_3210,
        completion_param: u64::MAX,
        blocking_addr: 1 << 63,
        blocking_param: 0x0123_4567_89ab_cdef,
        lksb: 0x8000_0000_0000_0001,
    };
    session.send(&Request::Lock(LockRequest::new(b"r", Mode::Ex, words))).unwrap();
    let mut buffer = [0xa5; 104];
    assert_eq!(session.device().read_result(&mut buffer).unwrap(), Some(72));
    let word = |at: usize| u64::from_ne_bytes(buffer[at..at + 8].try_into().unwrap());
    assert_eq!(word(16), words.completion_addr);
    assert_eq!(word(24), words.completion_param);
    assert_eq!(word(32), words.lksb);
    assert_eq!(word(56), 0, "sb_lvbptr");
    assert_eq!(buffer[72..], [0xa5; 32], "nothing is written behind the result");
}

/// Shows #words-that-may-not-be-zero.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_completion_address_and_the_lksb_may_not_be_zero() {
    let space = Lockspace::new("request");
    let session = space.open();
    let lock = session.granted("held", Mode::Pr, NONE, 1);
    let without_address = Cookies { completion_addr: 0, ..cookies(2) };
    let without_lksb = Cookies { lksb: 0, ..cookies(2) };
    for words in [without_address, without_lksb, Cookies::default()] {
        for request in [
            LockRequest::new(b"r", Mode::Ex, words),
            LockRequest::convert(lock, Mode::Ex, words),
            LockRequest::adopt(b"r", Mode::Ex, words),
        ] {
            assert_eq!(session.send(&Request::Lock(request)), Err(Errno::EINVAL), "{request:?}");
        }
    }
    session.none();
    // The refused conversions have left the lock's words alone.
    session.unlock(lock, 1);
    session.next().completes(1, LockStatus::Unlocked);
    let without_notices = Cookies { blocking_addr: 0, blocking_param: 0, ..cookies(3) };
    session.send(&Request::Lock(LockRequest::new(b"r", Mode::Ex, without_notices))).unwrap();
    session.next().completes(3, LockStatus::Granted);
}

/// Shows #modes-and-names.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn modes_above_5_are_refused() {
    let space = Lockspace::new("request");
    let session = space.open();
    for mode in [6, 7, 128, 255] {
        let request =
            LockRequest { mode: ModeCode(mode), ..LockRequest::new(b"r", Mode::Ex, cookies(1)) };
        assert_eq!(session.send(&Request::Lock(request)), Err(Errno::EINVAL), "mode {mode}");
    }
    for (n, mode) in (0..).zip(Mode::ALL) {
        let lock = session.granted("r", mode, NONE, n);
        session.unlocked(lock, n);
    }
}

/// Shows #modes-and-names.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_name_of_65_bytes_is_refused() {
    let space = Lockspace::new("request");
    let session = space.open();
    let mut bytes = encode(&Request::Lock(LockRequest::new(&[b'x'; 64], Mode::Ex, cookies(1))));
    assert_eq!((bytes.len(), bytes[17]), (184, 64));
    bytes[17] = 65;
    assert_eq!(session.device().submit_raw(&bytes), Err(Errno::EINVAL));
    session.none();
}

fn locked(session: &Session<'_>, name: &[u8], n: u8) -> LockStatus {
    let request = LockRequest::new(name, Mode::Ex, cookies(n)).with(LockFlags::NOQUEUE);
    session.send(&Request::Lock(request)).unwrap();
    let result = session.next();
    result.completes(n, result.status).status
}

/// Shows #modes-and-names.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn names_of_0_to_64_bytes_of_any_kind_are_resources_of_their_own() {
    let space = Lockspace::new("request");
    let session = space.open();
    let all_64 = [b'x'; 64];
    let names: [&[u8]; 7] = [b"", b"a", b"a\0b", b"a\0c", b"\0a", &all_64[..63], &all_64];
    for (n, name) in (0..).zip(names) {
        assert_eq!(locked(&session, name, n), LockStatus::Granted, "{}", name.escape_ascii());
        assert_eq!(locked(&session, name, n), LockStatus::Again, "{}", name.escape_ascii());
    }
}

/// Shows #modes-and-names.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn names_that_differ_by_nul_bytes_at_the_end_are_one_resource_on_6_12() {
    let space = Lockspace::new("request");
    let session = space.open();
    let mut padded = [0; 64];
    padded[0] = b'a';
    assert_eq!(locked(&session, b"", 1), LockStatus::Granted);
    assert_eq!(locked(&session, b"a", 2), LockStatus::Granted);
    let wanted = Kernel::pick(LockStatus::Granted, LockStatus::Again);
    for (n, name) in (3..).zip([&b"\0"[..], b"a\0", &padded]) {
        assert_eq!(locked(&session, name, n), wanted, "{}", name.escape_ascii());
    }
}

/// Shows #flags-refused-on-a-request.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn flags_of_conversions_and_cancels_are_refused_on_a_new_request() {
    let space = Lockspace::new("request");
    let session = space.open();
    for flags in [LockFlags::QUECVT, LockFlags::CONVDEADLK, LockFlags::CANCEL] {
        let answer = session.try_lock("r", Mode::Pr, flags, 1);
        assert_eq!(answer, Err(Errno::EINVAL), "{flags:?}");
    }
    for (mode, flags) in [
        (Mode::Ex, LockFlags::EXPEDITE),
        (Mode::Cr, LockFlags::EXPEDITE),
        (Mode::Nl, LockFlags::EXPEDITE | LockFlags::NOQUEUE),
        (Mode::Nl, LockFlags::EXPEDITE | LockFlags::QUECVT),
    ] {
        assert_eq!(session.try_lock("r", mode, flags, 1), Err(Errno::EINVAL), "{mode} {flags:?}");
    }
    session.none();
    session.granted("r", Mode::Nl, LockFlags::EXPEDITE, 2);
}

/// Shows #flags-without-effect.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn flags_without_meaning_are_taken_and_change_nothing() {
    let space = Lockspace::new("request");
    let (holder, other) = (space.open(), space.open());
    for bits in [
        0xfff8_0000,
        LockFlags::WAIT.bits(),
        LockFlags::TIMEOUT.bits(),
        LockFlags::NODLCKBLK.bits(),
        LockFlags::NOQUEUEBAST.bits(),
    ] {
        let flags = LockFlags::from_bits_retain(bits);
        let held = holder.granted("r", Mode::Ex, flags, 1);
        let wanted = other.waiting("r", Mode::Pr, flags, 2);
        holder.next().blocks(1, Mode::Pr);
        holder.unlocked(held, 1);
        let result = other.next().completes(2, LockStatus::Granted);
        assert_eq!((result.lock, result.flags), (wanted, StatusFlags::empty()), "{bits:#x}");
        other.unlocked(wanted, 2);
    }
}

/// Shows #noqueue-leaves-a-dead-id.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn noqueue_against_ex_fails_and_the_id_is_dead() {
    let space = Lockspace::new("request");
    let (holder, other) = (space.open(), space.open());
    holder.granted("r", Mode::Ex, NONE, 1);
    let lock = other.lock("r", Mode::Pr, LockFlags::NOQUEUE, 2);
    assert_eq!(other.next().completes(2, LockStatus::Again).lock, lock);
    assert_eq!(other.try_unlock(lock, NONE, 3), Err(Errno::ENOENT));
    other.none();
    holder.none();
}

/// Kernel 6.1 still knows the lock, and puts the refused unlock's words into the unread result.
/// Shows #noqueue-leaves-a-dead-id.
/// Shows #words-are-stored-before-checks.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_id_is_dead_before_its_result_is_read_but_6_1_takes_the_words_of_the_refused_unlock() {
    let space = Lockspace::new("request");
    let (holder, other) = (space.open(), space.open());
    holder.granted("r", Mode::Ex, NONE, 1);
    let lock = other.lock("r", Mode::Pr, LockFlags::NOQUEUE, 2);
    assert_eq!(other.try_unlock(lock, NONE, 3), Err(Errno::ENOENT));
    let result = other.next();
    let words = cookies(Kernel::pick(3, 2));
    assert_eq!((result.lock, result.status), (lock, LockStatus::Again));
    assert_eq!((result.param, result.lksb), (words.completion_param, words.lksb));
    assert_eq!(result.addr, cookies(2).completion_addr);
    other.none();
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_transaction_id_and_the_timeout_decide_nothing() {
    let space = Lockspace::new("xid");
    let session = space.open();
    let with = |n, xid| LockRequest {
        xid,
        timeout: 1,
        ..LockRequest::new(b"r", Mode::Ex, cookies(n)).with(LockFlags::NOQUEUE)
    };
    session.send(&Request::Lock(with(1, 7))).unwrap();
    session.next().completes(1, LockStatus::Granted);
    session.send(&Request::Lock(with(2, 7))).unwrap();
    session.next().completes(2, LockStatus::Again);
}
