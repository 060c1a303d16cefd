//! Every record in every layout: bytes at their places, round trips, and the named error for each
//! way in which a record can be wrong.

#![allow(clippy::unwrap_used, reason = "a test")]

use dlm_proto::{
    Abi, Command, Cookies, DecodeError, EncodeError, Event, LVB_LEN, LockFlags, LockId,
    LockRequest, LockResult, LockStatus, LockspaceFlags, MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor,
    Mode, ModeCode, NodeId, PointerWidth, RemoveFlags, Request, StatusFlags, Token, UnlockRequest,
    ValueBlock, Version,
};

const COOKIES: Cookies = Cookies {
    completion_addr: 0x1111_1111,
    completion_param: 0x2222_2222,
    blocking_addr: 0x3333_3333,
    blocking_param: 0x4444_4444,
    lksb: 0x5555_5555,
};
const LVB: ValueBlock = ValueBlock([0xee; LVB_LEN]);
const V5: [Abi; 2] = [Abi::V5_64, Abi::V5_32];
const V6: [Abi; 2] = [Abi::V6_64, Abi::V6_32];

fn lock() -> LockRequest<'static> {
    LockRequest::new(b"resource", Mode::Pw, COOKIES).with(LockFlags::NOQUEUE).with_lvb(&LVB)
}

fn result(lvb: Option<&ValueBlock>) -> LockResult<'_> {
    LockResult {
        version: Version::V6,
        addr: 0x1111_1111,
        param: 0x2222_2222,
        lksb: 0x5555_5555,
        status: LockStatus::Again,
        lock: LockId(0x0708_090a),
        flags: StatusFlags::VALNOTVALID | StatusFlags::from_bits_retain(0x80),
        bast_mode: ModeCode(4),
        lvb,
    }
}

/// One request of each kind that the layout can express.
fn requests(abi: Abi) -> Vec<Request<'static>> {
    let mut all = vec![
        Request::Lock(lock()),
        Request::Lock(LockRequest::new(&[0; 64], Mode::Nl, COOKIES)),
        Request::Lock(LockRequest::new(b"", Mode::Ex, COOKIES)),
        Request::Lock(LockRequest::convert(LockId(3), Mode::Pr, COOKIES)),
        Request::Lock(LockRequest::adopt(b"orphan", Mode::Pr, COOKIES)),
        Request::Unlock(UnlockRequest::new(LockId(9), COOKIES).with_lvb(&LVB)),
        Request::Unlock(UnlockRequest::cancel(LockId(9), COOKIES)),
        Request::CreateLockspace { name: b"space", flags: LockspaceFlags::NEWEXCL },
        Request::RemoveLockspace { minor: Minor(263), flags: RemoveFlags::FORCEFREE },
    ];
    if V6.contains(&abi) {
        all.extend([
            Request::Lock(LockRequest { xid: u64::MAX, timeout: 1 << 40, ..lock() }),
            Request::Lock(lock().with(LockFlags::from_bits_retain(0xfff8_0000))),
            Request::Unlock(UnlockRequest::new(LockId(9), COOKIES).with(LockFlags::FORCEUNLOCK)),
            Request::Deadlock { lock: LockId(4), flags: LockFlags::CANCEL },
            Request::Purge { node: NodeId(2), pid: 4711 },
        ]);
    }
    all
}

fn encode(request: &Request<'_>, abi: Abi) -> Vec<u8> {
    // What was in the buffer before must not show through.
    let mut buffer = [0xa5; MAX_REQUEST_LEN];
    request.encode(abi, &mut buffer).unwrap().to_vec()
}

#[test]
fn requests_round_trip_in_every_layout() {
    for abi in Abi::ALL {
        for request in requests(abi) {
            let bytes = encode(&request, abi);
            assert_eq!(Request::decode(abi, &bytes), Ok(request), "{abi}");
            assert_eq!(Command::from_code(bytes[12]), Some(request.command()));
        }
    }
}

#[test]
fn results_round_trip_in_every_layout() {
    for abi in Abi::ALL {
        for lvb in [None, Some(&LVB)] {
            let result = LockResult { version: abi.version.request_version(), ..result(lvb) };
            let mut buffer = [0xa5; MAX_RESULT_LEN];
            let bytes = result.encode(abi, &mut buffer).unwrap();
            assert_eq!(bytes.len(), abi.result_len() + lvb.map_or(0, |_| LVB_LEN));
            assert_eq!(LockResult::decode(abi, bytes), Ok(result), "{abi}");
        }
    }
}

#[test]
fn a_64_bit_lock_request_has_its_fields_where_the_header_file_has_them() {
    let bytes = encode(&Request::Lock(LockRequest { xid: 7, timeout: 9, ..lock() }), Abi::V6_64);
    let mut wanted = Vec::new();
    for word in [6_u32, 0, 0] {
        wanted.extend(word.to_ne_bytes());
    }
    wanted.extend([1, 1, 0, 0]); // cmd, is64bit, unused
    wanted.extend([4, 8, 0, 0]); // mode, namelen, unused
    for word in [9_u32, 0, 0] {
        wanted.extend(word.to_ne_bytes()); // flags, lkid, parent
    }
    for word in [7_u64, 9, 0x2222_2222, 0x1111_1111, 0x4444_4444, 0x3333_3333, 0x5555_5555] {
        wanted.extend(word.to_ne_bytes()); // xid, timeout, castparam, castaddr, bast.., lksb
    }
    wanted.extend([0xee; 32]);
    wanted.extend(b"resource");
    assert_eq!(bytes, wanted);
}

#[test]
fn requests_without_a_name_have_the_least_length_that_kernels_accept() {
    let unlock = Request::Unlock(UnlockRequest::new(LockId(1), COOKIES));
    let lengths = Abi::ALL.map(|abi| encode(&unlock, abi).len());
    assert_eq!(lengths, [120, 104, 104, 80]);
}

#[test]
fn a_lockspace_name_stands_at_byte_24_and_is_followed_by_zeros() {
    let request = Request::CreateLockspace { name: &[b'n'; 64], flags: LockspaceFlags::empty() };
    for abi in Abi::ALL {
        let bytes = encode(&request, abi);
        assert_eq!(bytes[24..88], [b'n'; 64]);
        assert!(bytes[88..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn what_version_5_cannot_say_is_refused_when_encoding() {
    let unlock = UnlockRequest::new(LockId(1), COOKIES).with(LockFlags::FORCEUNLOCK);
    let cases = [
        ("xid", Request::Lock(LockRequest { xid: 1, ..lock() })),
        ("timeout", Request::Lock(LockRequest { timeout: 1, ..lock() })),
        ("flags above 16 bits", Request::Lock(lock().with(LockFlags::ALTCW))),
        ("flags above 16 bits", Request::Unlock(unlock)),
        ("DLM_USER_PURGE", Request::Purge { node: NodeId(0), pid: 0 }),
        ("DLM_USER_DEADLOCK", Request::Deadlock { lock: LockId(1), flags: LockFlags::CANCEL }),
    ];
    for abi in V5 {
        for (field, request) in cases {
            let error = request.encode(abi, &mut [0; MAX_REQUEST_LEN]).unwrap_err();
            assert_eq!(error, EncodeError::NotInAbi { field, abi });
        }
    }
}

#[test]
fn a_word_that_32_bits_cannot_hold_is_refused_by_name() {
    let wide = 1 << 32;
    let cases = [
        ("castaddr", Cookies { completion_addr: wide, ..COOKIES }),
        ("castparam", Cookies { completion_param: wide, ..COOKIES }),
        ("bastaddr", Cookies { blocking_addr: wide, ..COOKIES }),
        ("bastparam", Cookies { blocking_param: wide, ..COOKIES }),
        ("lksb", Cookies { lksb: wide, ..COOKIES }),
    ];
    for (field, cookies) in cases {
        let request = Request::Lock(LockRequest { cookies, ..lock() });
        for abi in [Abi::V6_32, Abi::V5_32] {
            assert_eq!(
                request.encode(abi, &mut [0; MAX_REQUEST_LEN]),
                Err(EncodeError::WordTooWide { field, word: wide })
            );
        }
        assert!(request.encode(Abi::V6_64, &mut [0; MAX_REQUEST_LEN]).is_ok());
    }
}

#[test]
fn long_names_nul_in_lockspace_names_and_short_buffers_are_refused() {
    let flags = LockspaceFlags::empty();
    let long = Request::Lock(LockRequest { name: &[1; 65], ..lock() });
    let long_space = Request::CreateLockspace { name: &[b'x'; 65], flags };
    let nul = Request::CreateLockspace { name: b"a\0b", flags };
    for abi in Abi::ALL {
        let buffer = &mut [0; 256];
        assert_eq!(long.encode(abi, buffer), Err(EncodeError::NameTooLong(65)));
        assert_eq!(long_space.encode(abi, buffer), Err(EncodeError::NameTooLong(65)));
        assert_eq!(nul.encode(abi, buffer), Err(EncodeError::NulInName));
        let need = encode(&Request::Lock(lock()), abi).len();
        for have in 0..need {
            assert_eq!(
                Request::Lock(lock()).encode(abi, &mut vec![0; have]),
                Err(EncodeError::BufferTooSmall { need, have })
            );
        }
    }
}

#[test]
fn a_request_cut_at_any_length_is_an_error_with_a_name() {
    for abi in Abi::ALL {
        let bytes = encode(&Request::Lock(lock()), abi);
        let fixed = abi.request_len(0);
        for have in 0..fixed {
            assert_eq!(
                Request::decode(abi, &bytes[..have]),
                Err(DecodeError::Truncated { need: fixed, have })
            );
        }
        for have in fixed..bytes.len() {
            assert_eq!(
                Request::decode(abi, &bytes[..have]),
                Err(DecodeError::NameLength { most: have - fixed, got: 8 })
            );
        }
    }
}

#[test]
fn malformed_requests_name_the_field() {
    let good = encode(&Request::Lock(lock()), Abi::V6_64);
    let broken = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Request::decode(Abi::V6_64, &bytes).unwrap_err()
    };
    let wanted = Version::V6;
    let five = u8::try_from(5).unwrap();
    let low = if cfg!(target_endian = "little") { 0 } else { 3 };
    assert_eq!(broken(low, five), DecodeError::Version { wanted, got: Version::new(5, 0, 0) });
    assert_eq!(broken(4 + low, 1), DecodeError::Version { wanted, got: Version::new(6, 1, 0) });
    assert_eq!(broken(13, 0), DecodeError::Width { wanted: 1, got: 0 });
    for command in [0, 3, 8, 255] {
        assert_eq!(broken(12, command), DecodeError::Command(command));
    }
    assert_eq!(broken(17, 65), DecodeError::NameLength { most: 8, got: 65 });
    let purge = encode(&Request::Purge { node: NodeId(0), pid: 0 }, Abi::V6_64);
    let mut old = purge;
    old[low] = 5;
    assert_eq!(Request::decode(Abi::V5_64, &old), Err(DecodeError::Command(6)));
}

#[test]
fn a_result_cut_at_any_length_is_an_error_with_a_name() {
    for abi in Abi::ALL {
        let result = LockResult { version: abi.version.request_version(), ..result(Some(&LVB)) };
        let mut buffer = [0; MAX_RESULT_LEN];
        let bytes = result.encode(abi, &mut buffer).unwrap();
        for have in 0..bytes.len() {
            let error = LockResult::decode(abi, &bytes[..have]).unwrap_err();
            let wanted = if have < abi.result_len() {
                DecodeError::Truncated { need: abi.result_len(), have }
            } else {
                DecodeError::Length { wanted: bytes.len(), got: have }
            };
            assert_eq!(error, wanted);
        }
    }
}

#[test]
fn malformed_results_name_the_field() {
    let abi = Abi::V6_64;
    let mut buffer = [0; MAX_RESULT_LEN];
    let plain = result(None).encode(abi, &mut buffer).unwrap().to_vec();
    let mut buffer = [0; MAX_RESULT_LEN];
    let full = result(Some(&LVB)).encode(abi, &mut buffer).unwrap().to_vec();
    let with = |bytes: &[u8], at: usize, word: u32| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        LockResult::decode(abi, &bytes).map(|_| ()).unwrap_err()
    };
    let wanted = Version::V6;
    assert_eq!(with(&plain, 0, 7), DecodeError::Version { wanted, got: Version::new(7, 0, 0) });
    assert_eq!(with(&plain, 12, 104), DecodeError::Length { wanted: 104, got: 72 });
    assert_eq!(with(&full, 12, 72), DecodeError::Length { wanted: 72, got: 104 });
    for got in [1, 71, 73, 104, u32::MAX] {
        assert_eq!(with(&full, 68, got), DecodeError::LvbOffset { wanted: 72, got });
        assert_eq!(with(&plain, 68, got), DecodeError::LvbOffset { wanted: 72, got });
    }
    assert_eq!(with(&plain, 68, 72), DecodeError::LvbOffset { wanted: 72, got: 72 });
    assert_eq!(with(&full, 68, 0), DecodeError::Length { wanted: 72, got: 104 });
}

#[test]
fn a_length_or_block_that_is_not_there_is_refused_in_every_layout() {
    // Where the length and the offset of the block stand.
    let places =
        [(Abi::V6_64, 12, 68), (Abi::V6_32, 12, 48), (Abi::V5_64, 0, 60), (Abi::V5_32, 0, 36)];
    for (abi, length_at, offset_at) in places {
        let fixed = abi.result_len();
        for lvb in [None, Some(&LVB)] {
            let result = LockResult { version: abi.version.request_version(), ..result(lvb) };
            let mut buffer = [0; MAX_RESULT_LEN];
            let bytes = result.encode(abi, &mut buffer).unwrap();
            let with = |at: usize, word: u32| {
                let mut bytes = bytes.to_vec();
                bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
                LockResult::decode(abi, &bytes).map(|_| ()).unwrap_err()
            };
            for wanted in [0, bytes.len() - 1, bytes.len() + 1, 1 << 20] {
                let error = DecodeError::Length { wanted, got: bytes.len() };
                assert_eq!(with(length_at, u32::try_from(wanted).unwrap()), error, "{abi}");
            }
            let beyond = u32::try_from(bytes.len()).unwrap() + 1;
            for got in [1, u32::try_from(fixed).unwrap() - 1, beyond, u32::MAX] {
                let error = DecodeError::LvbOffset { wanted: fixed, got };
                assert_eq!(with(offset_at, got), error, "{abi}");
            }
        }
    }
}

#[test]
fn a_lockspace_name_of_more_than_64_bytes_is_refused_when_decoding() {
    for abi in Abi::ALL {
        let name = &[b'n'; 64];
        let request = Request::CreateLockspace { name, flags: LockspaceFlags::empty() };
        let mut bytes = encode(&request, abi);
        bytes[88] = b'n';
        assert_eq!(
            Request::decode(abi, &bytes),
            Err(DecodeError::NameLength { most: 64, got: 65 })
        );
    }
}

#[test]
fn a_newer_minor_version_of_the_kernel_is_read() {
    let newer = LockResult { version: Version::new(6, 3, 1), ..result(None) };
    let mut buffer = [0; MAX_RESULT_LEN];
    let bytes = newer.encode(Abi::V6_64, &mut buffer).unwrap();
    assert_eq!(LockResult::decode(Abi::V6_64, bytes), Ok(newer));
}

#[test]
fn the_address_word_tells_completions_and_blocking_notices_apart() {
    let token = Token::new(5, 9);
    for width in [PointerWidth::W32, PointerWidth::W64] {
        let cookies = Cookies::for_token_in(token, 77, width).unwrap();
        let completion = LockResult {
            addr: cookies.completion_addr,
            param: cookies.completion_param,
            lksb: cookies.lksb,
            status: LockStatus::Granted,
            ..result(Some(&LVB))
        };
        assert_eq!(
            completion.event(width),
            Ok(Event::Completion {
                token,
                status: LockStatus::Granted,
                lock: completion.lock,
                flags: completion.flags,
                lvb: Some(&LVB),
            })
        );
        let blocking = LockResult { addr: cookies.blocking_addr, lvb: None, ..completion };
        assert_eq!(
            blocking.event(width),
            Ok(Event::Blocking { token, lock: completion.lock, mode: Mode::Pw })
        );
        let no_mode = LockResult { bast_mode: ModeCode(6), ..blocking };
        assert_eq!(no_mode.event(width), Err(DecodeError::Mode(6)));
        let foreign = LockResult { addr: 0x7fff_0000, ..completion };
        assert_eq!(foreign.event(width), Err(DecodeError::Kind(0x7fff_0000)));
        let forged = LockResult { param: 3, ..completion };
        assert_eq!(forged.event(width), Err(DecodeError::Token(3)));
    }
}

#[test]
fn cookies_without_blocking_notices_have_no_blocking_address() {
    let cookies = Cookies::for_token(Token::new(1, 1), 0);
    assert_eq!(cookies.lksb, 1);
    assert_eq!(cookies.with_blocking(false).blocking_addr, 0);
    assert_eq!(cookies.with_blocking(false).with_blocking(true), cookies);
}
