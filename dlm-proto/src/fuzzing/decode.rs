//! Records made of any bytes.

use super::bytes::{Facts, byte_at, version_at_start, word_at};
use crate::error::DecodeError;
use crate::lvb::LVB_LEN;
use crate::mode::{Mode, ModeCode};
use crate::name::MAX_NAME_LEN;
use crate::request::{Command, MAX_REQUEST_LEN, Request};
use crate::result::{Event, LockResult, MAX_RESULT_LEN};
use crate::token::Cookies;
use crate::version::{Abi, AbiVersion, PointerWidth, Version};

/// Any bytes as a result of each layout: an error that is true, or a result that encodes to the
/// same bytes.
pub fn result_decode(bytes: &[u8]) {
    for abi in Abi::ALL {
        match LockResult::decode(abi, bytes) {
            Ok(result) => {
                assert!(is_result(abi, bytes), "{abi}: taken for a result");
                let mut buffer = [0xa5; MAX_RESULT_LEN];
                let again = result.encode(abi, &mut buffer).unwrap_or_default();
                assert_eq!(again.len(), bytes.len(), "{abi}: length of the result");
                for (from, to) in defined_in_result(abi) {
                    let to = to.min(bytes.len());
                    assert_eq!(again.get(from..to), bytes.get(from..to), "{abi}: bytes {from}..");
                }
                assert_eq!(LockResult::decode(abi, again), Ok(result), "{abi}");
                event(&result);
            }
            Err(error) => {
                assert!(!is_result(abi, bytes), "{abi}: refused with {error:?}");
                assert_result_error(abi, bytes, error);
            }
        }
    }
}

/// Any bytes as a request of each layout: an error that is true, or a request that can be encoded
/// again and then says the same.
pub fn request_decode(bytes: &[u8]) {
    for abi in Abi::ALL {
        match Request::decode(abi, bytes) {
            Ok(request) => {
                assert!(is_request(abi, bytes), "{abi}: taken for a request");
                assert_eq!(request.command() as u8, byte_at(bytes, 12), "{abi}: command");
                let mut buffer = [0xa5; MAX_REQUEST_LEN];
                let again = match request.encode(abi, &mut buffer) {
                    Ok(again) => again,
                    Err(error) => unreachable!("{abi}: {error:?} for {request:?}"),
                };
                assert_eq!(Request::decode(abi, again), Ok(request), "{abi}");
                if let Request::Lock(lock) = request {
                    let end = Facts::of(abi).name_at + lock.name.len();
                    for (from, to) in defined_in_lock(abi) {
                        let to = to.min(end);
                        let same = again.get(from..to) == bytes.get(from..to);
                        assert!(same, "{abi}: bytes {from}..{to} of {request:?}");
                    }
                }
            }
            Err(error) => {
                assert!(!is_request(abi, bytes), "{abi}: refused with {error:?}");
                assert_request_error(abi, bytes, error);
            }
        }
    }
}

/// What a result says of a token, in both widths.
pub fn event(result: &LockResult<'_>) {
    for width in [PointerWidth::W64, PointerWidth::W32] {
        let is_token = match width {
            PointerWidth::W64 => result.param >> 32 != 0,
            PointerWidth::W32 => result.param >> 32 == 0 && result.param >> 20 != 0,
        };
        match result.event(width) {
            Ok(Event::Completion { token, status, lock, flags, lvb }) => {
                assert_eq!(result.addr, Cookies::COMPLETION);
                assert_eq!(token.to_word(width), Some(result.param));
                assert_eq!((status, lock), (result.status, result.lock));
                assert_eq!((flags, lvb), (result.flags, result.lvb));
            }
            Ok(Event::Blocking { token, lock, mode }) => {
                assert_eq!(result.addr, Cookies::BLOCKING);
                assert_eq!(token.to_word(width), Some(result.param));
                assert_eq!((lock, ModeCode(mode as u8)), (result.lock, result.bast_mode));
            }
            Err(DecodeError::Kind(word)) => {
                assert_eq!(word, result.addr);
                assert!(word != Cookies::COMPLETION && word != Cookies::BLOCKING, "{word:#x}");
                continue;
            }
            Err(DecodeError::Token(word)) => {
                assert_eq!(word, result.param);
                assert!(!is_token, "{word:#x} is a token, {width:?}");
                continue;
            }
            Err(DecodeError::Mode(mode)) => {
                assert_eq!((result.addr, mode), (Cookies::BLOCKING, result.bast_mode.0));
                assert!(mode > Mode::Ex as u8, "{mode} is a mode");
                continue;
            }
            Err(error) => unreachable!("{error:?} for {result:?}"),
        }
        assert!(is_token, "{:#x} is no token, {width:?}", result.param);
    }
}

/// The bytes of a result that mean something; the others are padding, and a pointer of the
/// kernel's that is always 0.
const fn defined_in_result(abi: Abi) -> [(usize, usize); 4] {
    match (abi.version, abi.width) {
        (AbiVersion::V6, PointerWidth::W64) => [(0, 16), (16, 49), (64, 65), (68, 104)],
        (AbiVersion::V6, PointerWidth::W32) => [(0, 16), (16, 37), (44, 45), (48, 84)],
        (AbiVersion::V5, PointerWidth::W64) => [(0, 4), (8, 41), (56, 57), (60, 96)],
        (AbiVersion::V5, PointerWidth::W32) => [(0, 4), (4, 25), (32, 33), (36, 72)],
    }
}

/// The bytes of a lock request, behind its header, that mean something.
const fn defined_in_lock(abi: Abi) -> [(usize, usize); 3] {
    match (abi.version, abi.width) {
        (AbiVersion::V6, _) => [(16, 18), (20, 28), (32, usize::MAX)],
        (AbiVersion::V5, PointerWidth::W64) => [(16, 18), (18, 24), (32, usize::MAX)],
        (AbiVersion::V5, PointerWidth::W32) => [(16, 18), (18, 24), (28, usize::MAX)],
    }
}

/// Whether a kernel of this layout could have given these bytes.
fn is_result(abi: Abi, bytes: &[u8]) -> bool {
    let facts = Facts::of(abi);
    let lvb_at = word_at(bytes, facts.lvb_offset_at);
    let fits = if lvb_at == 0 {
        bytes.len() == facts.result
    } else {
        is(lvb_at, facts.result) && bytes.len() == facts.result + LVB_LEN
    };
    fits && is(word_at(bytes, facts.length_at), bytes.len())
        && (abi.version == AbiVersion::V5 || word_at(bytes, 0) == 6)
}

/// Whether a program of this layout could have written these bytes.
fn is_request(abi: Abi, bytes: &[u8]) -> bool {
    let facts = Facts::of(abi);
    let major = if abi.version == AbiVersion::V6 { 6 } else { 5 };
    let header = bytes.len() >= facts.request
        && word_at(bytes, 0) == major
        && word_at(bytes, 4) == 0
        && (byte_at(bytes, 13) != 0) == (abi.width == PointerWidth::W64);
    header
        && match byte_at(bytes, 12) {
            1 => {
                let len = usize::from(byte_at(bytes, 17));
                len <= 64 && len <= bytes.len() - facts.request
            }
            4 => lockspace_name(bytes) <= 64,
            2 | 5 => true,
            6 | 7 => abi.version == AbiVersion::V6,
            _ => false,
        }
}

fn assert_result_error(abi: Abi, bytes: &[u8], error: DecodeError) {
    let (facts, len) = (Facts::of(abi), bytes.len());
    let lvb_at = word_at(bytes, facts.lvb_offset_at);
    let is_true = match error {
        DecodeError::Truncated { need, have } => need == facts.result && have == len && have < need,
        DecodeError::Version { wanted, got } => {
            abi.version == AbiVersion::V6
                && wanted == Version::new(6, 0, 0)
                && got == version_at_start(bytes)
                && got.major != 6
        }
        DecodeError::Length { wanted, got } => {
            let stated = is(word_at(bytes, facts.length_at), wanted);
            got == len && wanted != got && (stated || (lvb_at == 0 && wanted == facts.result))
        }
        DecodeError::LvbOffset { wanted, got } => {
            let elsewhere = !is(got, facts.result) || len != facts.result + LVB_LEN;
            wanted == facts.result && got == lvb_at && got != 0 && elsewhere
        }
        _ => false,
    };
    assert!(is_true, "{abi}: {error:?} for {len} bytes");
}

fn assert_request_error(abi: Abi, bytes: &[u8], error: DecodeError) {
    let (facts, len) = (Facts::of(abi), bytes.len());
    let version = abi.version.request_version();
    let is_true = match error {
        DecodeError::Truncated { need, have } => {
            need == facts.request && have == len && have < need
        }
        DecodeError::Version { wanted, got } => {
            let foreign = got.major != version.major || got.minor > 0;
            wanted == version && got == version_at_start(bytes) && foreign
        }
        DecodeError::Width { wanted, got } => {
            wanted == u8::from(abi.width == PointerWidth::W64)
                && got == byte_at(bytes, 13)
                && (got != 0) != (wanted != 0)
        }
        DecodeError::Command(got) => {
            let missing = abi.version == AbiVersion::V5
                && (got == Command::Purge as u8 || got == Command::Deadlock as u8);
            got == byte_at(bytes, 12) && (missing || !matches!(got, 1 | 2 | 4..=7))
        }
        DecodeError::NameLength { most, got } => match byte_at(bytes, 12) {
            1 => {
                let stated = usize::from(byte_at(bytes, 17));
                got == stated && most == (len - facts.request).min(MAX_NAME_LEN) && got > most
            }
            4 => got == lockspace_name(bytes) && most == MAX_NAME_LEN && got > most,
            _ => false,
        },
        _ => false,
    };
    assert!(is_true, "{abi}: {error:?} for {len} bytes");
}

/// The length of the name in a CREATE request: it ends at a zero byte or with the record.
fn lockspace_name(bytes: &[u8]) -> usize {
    bytes.iter().skip(24).take_while(|&&byte| byte != 0).count()
}

/// Whether a word of a record states this many bytes.
fn is(word: u32, bytes: usize) -> bool {
    usize::try_from(word) == Ok(bytes)
}
