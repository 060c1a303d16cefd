//! Properties of all values: requests and results survive the way through every layout, or are
//! refused for a reason that is there.
//!
//! Values are made field by field here, with the interesting ones more often, and shrunk when one
//! is found that breaks a rule. The fuzzers hold bytes of any kind against the same checks
//! (`dlm_proto::fuzzing`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use dlm_proto::{
    Abi, AbiVersion, Cookies, DecodeError, EncodeError, LVB_LEN, LockFlags, LockId, LockRequest,
    LockResult, LockStatus, LockspaceFlags, LockspaceName, MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor,
    Mode, ModeCode, NodeId, PointerWidth, RemoveFlags, Request, ResourceName, StatusFlags, Token,
    UnlockRequest, ValueBlock, Version, fuzzing,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A request that owns what a [`Request`] borrows.
#[derive(Debug, Clone)]
struct Owned {
    kind: Kind,
    name: Vec<u8>,
    lvb: ValueBlock,
    mode: u8,
    flags: u32,
    lock: u32,
    xid: u64,
    timeout: u64,
    cookies: Cookies,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Lock,
    Unlock,
    Deadlock,
    Purge,
    Create,
    Remove,
}

impl Owned {
    fn request(&self) -> Request<'_> {
        let (lock, flags) = (LockId(self.lock), LockFlags::from_bits_retain(self.flags));
        let (cookies, lvb) = (self.cookies, &self.lvb);
        match self.kind {
            Kind::Lock => Request::Lock(LockRequest {
                name: &self.name,
                mode: ModeCode(self.mode),
                flags,
                lock,
                xid: self.xid,
                timeout: self.timeout,
                cookies,
                lvb,
            }),
            Kind::Unlock => Request::Unlock(UnlockRequest { lock, flags, cookies, lvb }),
            Kind::Deadlock => Request::Deadlock { lock, flags },
            Kind::Purge => Request::Purge { node: NodeId(self.lock), pid: self.flags },
            Kind::Create => Request::CreateLockspace {
                name: &self.name,
                flags: LockspaceFlags::from_bits_retain(self.flags),
            },
            Kind::Remove => Request::RemoveLockspace {
                minor: Minor(self.lock),
                flags: RemoveFlags::from_bits_retain(self.flags),
            },
        }
    }
}

/// Words that fit 32 bits as often as not, and those at the border.
fn word() -> impl Strategy<Value = u64> {
    let edges = [0, 1, 0xffff_ffff, 1 << 32, u64::MAX];
    prop_oneof![4 => any::<u32>().prop_map(u64::from), 2 => any::<u64>(), 1 => one_of(edges)]
}

/// Mostly 0, which is all that version 5 can say.
fn rare() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 1 => any::<u64>()]
}

fn one_of<const N: usize>(values: [u64; N]) -> impl Strategy<Value = u64> {
    (0..N).prop_map(move |at| values[at])
}

fn cookies() -> impl Strategy<Value = Cookies> {
    // All words narrow in half of the cases; one by one that would be rare.
    let mixed = [word(), word(), word(), word(), word()];
    let narrow = any::<[u32; 5]>().prop_map(|words| words.map(u64::from));
    prop_oneof![mixed.boxed(), narrow.boxed()].prop_map(|[a, b, c, d, e]| Cookies {
        completion_addr: a,
        completion_param: b,
        blocking_addr: c,
        blocking_param: d,
        lksb: e,
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Lock),
        2 => Just(Kind::Unlock),
        1 => Just(Kind::Deadlock),
        1 => Just(Kind::Purge),
        2 => Just(Kind::Create),
        1 => Just(Kind::Remove),
    ]
}

/// Flags that version 5 can say, those with one bit more, and any.
fn flags() -> impl Strategy<Value = u32> {
    let low = any::<u16>().prop_map(u32::from);
    let one_more = (low.clone(), 16..32_u32).prop_map(|(flags, bit)| flags | 1 << bit);
    prop_oneof![2 => low, 1 => one_more, 1 => any::<u32>()]
}

prop_compose! {
    fn request()(
        kind in kind(),
        name in vec(prop_oneof![9 => 1..=u8::MAX, 1 => Just(0)], 0..68),
        lvb in any::<[u8; LVB_LEN]>(),
        mode in any::<u8>(),
        flags in flags(),
        lock in any::<u32>(),
        xid in rare(),
        timeout in rare(),
        cookies in cookies(),
    ) -> Owned {
        Owned { kind, name, lvb: ValueBlock(lvb), mode, flags, lock, xid, timeout, cookies }
    }
}

fn version() -> impl Strategy<Value = Version> {
    let major = prop_oneof![3 => Just(6), 1 => 0..9_u32, 1 => any::<u32>()];
    (major, any::<u32>(), any::<u32>()).prop_map(|(a, b, c)| Version::new(a, b, c))
}

prop_compose! {
    fn result()(
        version in version(),
        addr in prop_oneof![Just(Cookies::COMPLETION), Just(Cookies::BLOCKING), word()],
        param in word(),
        lksb in word(),
        status in prop_oneof![any::<i32>(), Just(0), Just(-11), Just(-0x10001), Just(-0x10002)],
        lock in any::<u32>(),
        flags in any::<u8>(),
        bast_mode in prop_oneof![0..8_u8, any::<u8>()],
    ) -> LockResult<'static> {
        LockResult {
            version,
            addr,
            param,
            lksb,
            status: LockStatus::from_raw(status),
            lock: LockId(lock),
            flags: StatusFlags::from_bits_retain(flags),
            bast_mode: ModeCode(bast_mode),
            lvb: None,
        }
    }
}

fn abi() -> impl Strategy<Value = Abi> {
    (0..4_usize).prop_map(|at| Abi::ALL[at])
}

fn width() -> impl Strategy<Value = PointerWidth> {
    any::<bool>().prop_map(|wide| if wide { PointerWidth::W64 } else { PointerWidth::W32 })
}

proptest! {
    // An input that failed is printed, and belongs into the code or the corpus.
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn a_request_comes_back_or_is_refused_for_a_reason(owned in request(), abi in abi()) {
        fuzzing::request_encodes(&owned.request(), abi);
    }

    #[test]
    fn a_result_comes_back_or_is_refused_for_a_reason(
        result in result(),
        lvb in option::of(any::<[u8; LVB_LEN]>()),
        abi in abi(),
    ) {
        let lvb = lvb.map(ValueBlock);
        let result = LockResult { lvb: lvb.as_ref(), ..result };
        fuzzing::result_encodes(&result, abi);
        fuzzing::event(&result);
    }

    /// The version 6, 64-bit layout can say everything, so nothing is lost there: neither unknown
    /// modes nor bits of flags that have no name.
    #[test]
    fn unknown_modes_and_flags_survive(owned in request()) {
        let name = &owned.name[..owned.name.len().min(64)];
        let owned = Owned { name: name.iter().map(|&byte| byte.max(1)).collect(), ..owned };
        let request = owned.request();
        let mut buffer = [0xa5; MAX_REQUEST_LEN];
        let bytes = request.encode(Abi::V6_64, &mut buffer).unwrap();
        let back = Request::decode(Abi::V6_64, bytes);
        prop_assert_eq!(back, Ok(request));
        match back.unwrap() {
            Request::Lock(lock) => {
                prop_assert_eq!((lock.mode.0, lock.flags.bits()), (owned.mode, owned.flags));
            }
            Request::Unlock(UnlockRequest { flags, .. }) | Request::Deadlock { flags, .. } => {
                prop_assert_eq!(flags.bits(), owned.flags);
            }
            Request::CreateLockspace { flags, .. } => prop_assert_eq!(flags.bits(), owned.flags),
            Request::RemoveLockspace { flags, .. } => prop_assert_eq!(flags.bits(), owned.flags),
            Request::Purge { pid, .. } => prop_assert_eq!(pid, owned.flags),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Each bit of a record that means something is told apart from its opposite.
    #[test]
    fn a_flipped_bit_is_never_overlooked(
        result in result(),
        lvb in any::<[u8; LVB_LEN]>(),
        at in 0..MAX_RESULT_LEN,
        bit in 0..8_u8,
    ) {
        // Padding, and the kernel's pointer.
        prop_assume!(!(49..64).contains(&at) && !(65..68).contains(&at));
        let lvb = ValueBlock(lvb);
        let result = LockResult { version: Version::new(6, 0, 2), lvb: Some(&lvb), ..result };
        let mut buffer = [0; MAX_RESULT_LEN];
        result.encode(Abi::V6_64, &mut buffer).unwrap();
        buffer[at] ^= 1 << bit;
        prop_assert_ne!(LockResult::decode(Abi::V6_64, &buffer), Ok(result));
    }

    #[test]
    fn a_result_cut_or_lengthened_is_refused(
        result in result(),
        with_lvb in any::<bool>(),
        abi in abi(),
        len in 0..160_usize,
    ) {
        let narrow = |word| word & 0xffff_ffff;
        let result = LockResult {
            version: abi.version.request_version(),
            addr: narrow(result.addr),
            param: narrow(result.param),
            lksb: narrow(result.lksb),
            lvb: with_lvb.then_some(&ValueBlock::ZERO),
            ..result
        };
        let mut buffer = [0; 160];
        let whole = result.encode(abi, &mut buffer).unwrap().len();
        let decoded = LockResult::decode(abi, &buffer[..len]);
        let wanted = if len == whole {
            Ok(result)
        } else if len < abi.result_len() {
            Err(DecodeError::Truncated { need: abi.result_len(), have: len })
        } else {
            Err(DecodeError::Length { wanted: whole, got: len })
        };
        prop_assert_eq!(decoded, wanted);
    }

    #[test]
    fn a_token_comes_back_in_each_width_that_holds_it(
        index in prop_oneof![any::<u32>(), 0..1_u32 << 21],
        generation in prop_oneof![any::<u32>(), 0..1_u32 << 13],
        owner in any::<u32>(),
        width in width(),
    ) {
        let token = Token::new(index, generation);
        let fits = token.index() <= Token::max_index(width)
            && token.generation() <= Token::max_generation(width);
        let word = token.to_word(width);
        prop_assert_eq!(word.is_some(), fits);
        let Some(word) = word else { return Ok(()) };
        prop_assert_eq!(Token::from_word(word, width), Some(token));
        // And through a request and a result.
        let cookies = Cookies::for_token_in(token, owner, width).unwrap();
        let abi = Abi { version: AbiVersion::V6, width };
        let request = Request::Lock(LockRequest::new(b"x", Mode::Ex, cookies));
        let mut buffer = [0xa5; MAX_REQUEST_LEN];
        let bytes = request.encode(abi, &mut buffer).unwrap();
        let Ok(Request::Lock(lock)) = Request::decode(abi, bytes) else { panic!("{abi}") };
        prop_assert_eq!(Token::from_word(lock.cookies.blocking_param, width), Some(token));
        prop_assert_eq!(lock.cookies.lksb, u64::from(owner.max(1)));
    }

    /// Each word is a token's or nobody's, and no two tokens share one.
    #[test]
    fn a_word_is_one_token_or_none(word in word(), width in width()) {
        if let Some(token) = Token::from_word(word, width) {
            prop_assert_eq!(token.to_word(width), Some(word));
            prop_assert_ne!(token.generation(), 0);
        }
    }

    #[test]
    fn names_are_taken_as_documented(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..70),
            vec(b'!'..=b'~', 0..70),
            vec(prop_oneof![Just(b'.'), Just(b'/'), Just(b'a')], 0..4),
        ],
    ) {
        fuzzing::names(&bytes);
        prop_assert_eq!(ResourceName::new(&bytes).is_ok(), bytes.len() <= 64);
        let legal = |byte: &u8| *byte > b' ' && *byte != 0x7f && *byte != b'/';
        let wanted = (1..=64).contains(&bytes.len())
            && bytes.iter().all(legal)
            && bytes != b"."
            && bytes != b"..";
        prop_assert_eq!(LockspaceName::new(&bytes).is_ok(), wanted);
    }

    #[test]
    fn a_kernel_is_spoken_to_if_and_only_if_its_major_version_is_6(
        kernel in version(),
        request in version(),
        width in width(),
    ) {
        fuzzing::version(&[kernel.encode(), request.encode()].concat());
        fuzzing::version(&kernel.encode());
        prop_assert_eq!(Abi::negotiate(kernel, width).is_ok(), kernel.major == 6);
    }

    /// There is room for more in the record, but not in the kernel.
    #[test]
    fn a_name_of_more_than_64_bytes_is_refused(abi in abi(), got in 65..120_u8, room in 0..9_usize) {
        let lock = Request::Lock(LockRequest::new(b"", Mode::Ex, Cookies::default()));
        let create = Request::CreateLockspace { name: b"", flags: LockspaceFlags::empty() };
        let too_long = DecodeError::NameLength { most: 64, got: got.into() };
        for (request, name_at) in [(lock, abi.lock_name_offset()), (create, 24)] {
            let mut record = [0; 256];
            request.encode(abi, &mut record).unwrap();
            record[17] = got;
            record[name_at..name_at + usize::from(got)].fill(b'n');
            let bytes = &record[..abi.request_len(got.into()) + room];
            fuzzing::request_decode(bytes);
            prop_assert_eq!(Request::decode(abi, bytes), Err(too_long));
        }
    }

    /// Random bytes rarely get past the first check; records with a few bytes spoiled do.
    #[test]
    fn spoiled_records_are_refused_for_a_reason_or_taken_whole(
        owned in request(),
        result in result(),
        abi in abi(),
        spoil in vec((0..MAX_REQUEST_LEN, any::<u8>()), 0..4),
        cut in 0..=MAX_REQUEST_LEN,
    ) {
        let mut record = [0; MAX_REQUEST_LEN];
        let len = match owned.request().encode(abi, &mut record) {
            Ok(bytes) => bytes.len(),
            Err(EncodeError::BufferTooSmall { .. }) => panic!("a buffer of the greatest length"),
            Err(_) => result.encode(abi, &mut record).map_or(0, <[u8]>::len),
        };
        for (at, byte) in spoil {
            record[at] = byte;
        }
        for len in [len, len.min(cut)] {
            fuzzing::request_decode(&record[..len]);
            fuzzing::result_decode(&record[..len]);
        }
    }
}
