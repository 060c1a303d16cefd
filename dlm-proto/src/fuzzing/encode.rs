//! Records made of any values.

use super::bytes::{Facts, Input, byte_at, version_at_start};
use super::decode::event;
use crate::error::{DecodeError, EncodeError};
use crate::flags::{LockFlags, LockspaceFlags, RemoveFlags, StatusFlags};
use crate::id::{LockId, Minor, NodeId};
use crate::lvb::{LVB_LEN, ValueBlock};
use crate::mode::ModeCode;
use crate::name::MAX_NAME_LEN;
use crate::request::{LockRequest, MAX_REQUEST_LEN, Request, UnlockRequest};
use crate::result::{LockResult, MAX_RESULT_LEN};
use crate::status::LockStatus;
use crate::token::{Cookies, Token};
use crate::version::{Abi, AbiVersion, PointerWidth, Version};

/// Any value, written in each layout and read back.
pub fn round_trip(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let lvb = ValueBlock(input.array());
    if kind & 0x80 == 0 {
        let request = any_request(kind, &mut input, &lvb);
        for abi in Abi::ALL {
            request_encodes(&request, abi);
        }
    } else {
        let result = any_result(kind, &mut input, &lvb);
        for abi in Abi::ALL {
            result_encodes(&result, abi);
        }
        event(&result);
        token(&mut input);
    }
}

/// A request in one layout: bytes of the documented length that decode to the same, or an error
/// for a reason that is there. The bytes do not depend on what was in the buffer, and nothing is
/// written behind them.
pub fn request_encodes(request: &Request<'_>, abi: Abi) {
    let mut buffer = [0xa5; MAX_REQUEST_LEN];
    match request.encode(abi, &mut buffer) {
        Ok(bytes) => {
            let len = bytes.len();
            assert!(!has_fault(request, abi), "{abi}: encoded {request:?}");
            assert_eq!(len, Facts::of(abi).request + name(request).len(), "{abi}: {request:?}");
            let version = if abi.version == AbiVersion::V6 { 6 } else { 5 };
            assert_eq!(version_at_start(bytes), Version::new(version, 0, 0), "{abi}");
            assert_eq!(byte_at(bytes, 13) == 1, abi.width == PointerWidth::W64, "{abi}: is64bit");
            assert_eq!(Request::decode(abi, bytes), Ok(*request), "{abi}");
            let behind = buffer.get(len..).unwrap_or_default();
            assert!(behind.iter().all(|&byte| byte == 0xa5), "{abi}: written behind the end");
            // In a buffer that is just long enough, and held something else.
            let mut other = [0x5a; MAX_REQUEST_LEN];
            let again = request.encode(abi, other.get_mut(..len).unwrap_or_default());
            assert_eq!(again, Ok(buffer.get(..len).unwrap_or_default()), "{abi}");
            let have = len - 1;
            let short = request.encode(abi, other.get_mut(..have).unwrap_or_default());
            assert_eq!(short, Err(EncodeError::BufferTooSmall { need: len, have }), "{abi}");
        }
        Err(error) => {
            assert!(is_fault(request, abi, error), "{abi}: {error:?} for {request:?}");
        }
    }
}

/// A result in one layout, as [`request_encodes`].
pub fn result_encodes(result: &LockResult<'_>, abi: Abi) {
    let mut buffer = [0xa5; MAX_RESULT_LEN];
    let words = [
        ("user_astaddr", result.addr),
        ("user_astparam", result.param),
        ("user_lksb", result.lksb),
    ];
    let wide = |word: u64| abi.width == PointerWidth::W32 && word > 0xffff_ffff;
    match result.encode(abi, &mut buffer) {
        Ok(bytes) => {
            let len = bytes.len();
            assert!(!words.iter().any(|&(_, word)| wide(word)), "{abi}: encoded {result:?}");
            let lvb = if result.lvb.is_some() { LVB_LEN } else { 0 };
            assert_eq!(len, Facts::of(abi).result + lvb, "{abi}: {result:?}");
            let wanted = match abi.version {
                AbiVersion::V5 => Ok(LockResult { version: Version::V5, ..*result }),
                AbiVersion::V6 if result.version.major == 6 => Ok(*result),
                AbiVersion::V6 => {
                    Err(DecodeError::Version { wanted: Version::V6, got: result.version })
                }
            };
            assert_eq!(LockResult::decode(abi, bytes), wanted, "{abi}");
            let behind = buffer.get(len..).unwrap_or_default();
            assert!(behind.iter().all(|&byte| byte == 0xa5), "{abi}: written behind the end");
            let mut other = [0x5a; MAX_RESULT_LEN];
            let again = result.encode(abi, other.get_mut(..len).unwrap_or_default());
            assert_eq!(again, Ok(buffer.get(..len).unwrap_or_default()), "{abi}");
            let have = len - 1;
            let short = result.encode(abi, other.get_mut(..have).unwrap_or_default());
            assert_eq!(short, Err(EncodeError::BufferTooSmall { need: len, have }), "{abi}");
        }
        Err(EncodeError::WordTooWide { field, word }) => {
            assert!(wide(word) && words.contains(&(field, word)), "{abi}: {field} of {result:?}");
        }
        Err(error) => unreachable!("{abi}: {error:?} for {result:?}"),
    }
}

/// A token as a word and back, in both widths.
fn token(input: &mut Input<'_>) {
    let (index, generation) = (input.u32(), input.u32());
    let token = Token::new(index, generation);
    assert_eq!((token.index(), token.generation()), (index, generation.max(1)));
    for width in [PointerWidth::W64, PointerWidth::W32] {
        let fits = width == PointerWidth::W64 || (index < 1 << 20 && generation < 1 << 12);
        let word = token.to_word(width);
        assert_eq!(word.is_some(), fits, "{token:?} {width:?}");
        if let Some(word) = word {
            assert!(word != 0 && width.fits(word), "{token:?} {width:?}");
            assert_eq!(Token::from_word(word, width), Some(token), "{width:?}");
        }
        let cookies = Cookies::for_token_in(token, index, width);
        assert_eq!(cookies.map(|cookies| cookies.completion_param), word);
        assert!(cookies.is_none_or(|cookies| cookies.lksb != 0 && width.fits(cookies.lksb)));
    }
}

/// A request of any kind. The lowest bits of `kind` choose which; the other two make the words
/// narrow and the fields that version 5 lacks empty, as otherwise almost no input would be right
/// in all layouts.
fn any_request<'a>(kind: u8, input: &mut Input<'a>, lvb: &'a ValueBlock) -> Request<'a> {
    let narrow = kind & 0x08 != 0;
    let old = kind & 0x10 != 0;
    let flag_mask = if old { 0xffff } else { u32::MAX };
    let flags = LockFlags::from_bits_retain(input.u32() & flag_mask);
    let lock = LockId(input.u32());
    match kind & 0x07 {
        0..=2 => Request::Lock(LockRequest {
            mode: ModeCode(input.byte()),
            flags,
            lock,
            xid: if old { 0 } else { input.u64() },
            timeout: if old { 0 } else { input.u64() },
            cookies: any_cookies(narrow, input),
            lvb,
            name: any_name(input),
        }),
        3 => {
            Request::Unlock(UnlockRequest { lock, flags, cookies: any_cookies(narrow, input), lvb })
        }
        4 => Request::Deadlock { lock, flags },
        5 => Request::Purge { node: NodeId(lock.0), pid: flags.bits() },
        6 => Request::CreateLockspace {
            name: any_name(input),
            flags: LockspaceFlags::from_bits_retain(flags.bits()),
        },
        _ => Request::RemoveLockspace {
            minor: Minor(lock.0),
            flags: RemoveFlags::from_bits_retain(flags.bits()),
        },
    }
}

fn any_result<'a>(kind: u8, input: &mut Input<'a>, lvb: &'a ValueBlock) -> LockResult<'a> {
    let narrow = kind & 0x08 != 0;
    let major = if kind & 0x10 != 0 { 6 } else { input.u32() };
    let addr = match kind & 0x03 {
        0 => Cookies::COMPLETION,
        1 => Cookies::BLOCKING,
        _ => any_word(narrow, input),
    };
    LockResult {
        version: Version::new(major, input.u32(), input.u32()),
        addr,
        param: any_word(narrow, input),
        lksb: any_word(narrow, input),
        // A number that has a name is never `Other`.
        status: LockStatus::from_raw(i32::from_ne_bytes(input.array())),
        lock: LockId(input.u32()),
        flags: StatusFlags::from_bits_retain(input.byte()),
        bast_mode: ModeCode(input.byte()),
        lvb: (kind & 0x04 != 0).then_some(lvb),
    }
}

fn any_cookies(narrow: bool, input: &mut Input<'_>) -> Cookies {
    Cookies {
        completion_addr: any_word(narrow, input),
        completion_param: any_word(narrow, input),
        blocking_addr: any_word(narrow, input),
        blocking_param: any_word(narrow, input),
        lksb: any_word(narrow, input),
    }
}

fn any_word(narrow: bool, input: &mut Input<'_>) -> u64 {
    if narrow { u64::from(input.u32()) } else { input.u64() }
}

/// Mostly names that are short enough, and some that are not.
fn any_name<'a>(input: &mut Input<'a>) -> &'a [u8] {
    let most = usize::from(input.byte()) % (MAX_NAME_LEN + 4);
    input.slice(most)
}

fn name<'a>(request: &Request<'a>) -> &'a [u8] {
    match request {
        Request::Lock(lock) => lock.name,
        Request::CreateLockspace { name, .. } => name,
        _ => b"",
    }
}

/// The words of a request by the names that the kernel's header has for them.
fn words(request: &Request<'_>) -> [(&'static str, u64); 5] {
    let cookies = match request {
        Request::Lock(lock) => lock.cookies,
        Request::Unlock(unlock) => unlock.cookies,
        _ => Cookies::default(),
    };
    [
        ("castparam", cookies.completion_param),
        ("castaddr", cookies.completion_addr),
        ("bastparam", cookies.blocking_param),
        ("bastaddr", cookies.blocking_addr),
        ("lksb", cookies.lksb),
    ]
}

/// What version 5 has no place for, and whether the request asks for it.
fn beyond_v5(request: &Request<'_>) -> [(&'static str, bool); 5] {
    let (xid, timeout, flags) = match request {
        Request::Lock(lock) => (lock.xid, lock.timeout, lock.flags),
        Request::Unlock(unlock) => (0, 0, unlock.flags),
        _ => (0, 0, LockFlags::empty()),
    };
    [
        ("xid", xid != 0),
        ("timeout", timeout != 0),
        ("flags above 16 bits", flags.bits() >> 16 != 0),
        ("DLM_USER_PURGE", matches!(request, Request::Purge { .. })),
        ("DLM_USER_DEADLOCK", matches!(request, Request::Deadlock { .. })),
    ]
}

fn has_nul_in_lockspace_name(request: &Request<'_>) -> bool {
    matches!(request, Request::CreateLockspace { name, .. } if name.contains(&0))
}

/// Whether there is a reason to refuse the request.
fn has_fault(request: &Request<'_>, abi: Abi) -> bool {
    name(request).len() > 64
        || has_nul_in_lockspace_name(request)
        || (abi.version == AbiVersion::V5 && beyond_v5(request).iter().any(|&(_, asked)| asked))
        || (abi.width == PointerWidth::W32
            && words(request).iter().any(|&(_, word)| word >> 32 != 0))
}

/// Whether this reason to refuse the request is there.
fn is_fault(request: &Request<'_>, abi: Abi, error: EncodeError) -> bool {
    match error {
        EncodeError::NameTooLong(len) => len > 64 && len == name(request).len(),
        EncodeError::NulInName => has_nul_in_lockspace_name(request),
        EncodeError::NotInAbi { field, abi: named } => {
            named == abi
                && abi.version == AbiVersion::V5
                && beyond_v5(request).contains(&(field, true))
        }
        EncodeError::WordTooWide { field, word } => {
            abi.width == PointerWidth::W32
                && word >> 32 != 0
                && words(request).contains(&(field, word))
        }
        // The buffer was long enough for any request.
        EncodeError::BufferTooSmall { .. } => false,
    }
}
