//! Device version 6: all kernels of today.
//!
//! The 32-bit lock part is that of i386, where a `u64` has an alignment of 4. It is 84 bytes long;
//! a 64-bit kernel takes it for 88 bytes, which
//! [`Abi::request_len`](crate::Abi::request_len) makes up for.

use zerocopy::native_endian::{I32, U32, U64};

use crate::lvb::ValueBlock;
use crate::version::RawVersion;

record! {
    /// The lock part of a version 6 request of a 64-bit program; the name follows it.
    struct Lock64, 104 {
        0 /// The lock mode that is asked for.
          mode: u8,
        1 /// Bytes of the name behind the record.
          namelen: u8,
        2 /// Never read.
          unused: [u8; 2],
        4 /// `LKF_` values.
          flags: U32,
        8 /// The lock to convert, unlock or cancel.
          lkid: U32,
        12 /// Never read.
          parent: U32,
        16 /// Transaction id: stored, never compared.
          xid: U64,
        24 /// In hundredths of a second; ignored since Linux 6.2.
          timeout: U64,
        32 /// Parameter word of completions.
          castparam: U64,
        40 /// Address word of completions, not 0.
          castaddr: U64,
        48 /// Parameter word of blocking notices.
          bastparam: U64,
        56 /// Address word of blocking notices, 0 for none.
          bastaddr: U64,
        64 /// Third word of both, not 0.
          lksb: U64,
        72 /// The lock value block to write.
          lvb: ValueBlock,
    }
}

lock_body!(Lock64, [xid, timeout]);

record! {
    /// A version 6 result for a 64-bit program, without the value block.
    struct Result64, 72 {
        0 /// The version of the kernel.
          version: RawVersion,
        12 /// Bytes of the record, the value block included.
          length: U32,
        16 /// Address word of the completion or blocking notice.
          user_astaddr: U64,
        24 /// Its parameter word.
          user_astparam: U64,
        32 /// Its third word.
          user_lksb: U64,
        40 /// 0 or a negative error number.
          sb_status: I32,
        44 /// The lock.
          sb_lkid: U32,
        48 /// `DLM_SBF_` values.
          sb_flags: u8,
        49 /// Padding.
          sb_pad: [u8; 7],
        56 /// Always 0.
          sb_lvbptr: U64,
        64 /// The blocked mode; 0 in completions.
          bast_mode: u8,
        65 /// Never read.
          unused: [u8; 3],
        68 /// Where the value block starts; 0 for none.
          lvb_offset: U32,
    }
}

result_body!(Result64, [version]);

record! {
    /// The lock part of a version 6 request of a 32-bit program; the name follows it.
    struct Lock32, 84 {
        0 /// The lock mode that is asked for.
          mode: u8,
        1 /// Bytes of the name behind the record.
          namelen: u8,
        2 /// Never read.
          unused: [u8; 2],
        4 /// `LKF_` values.
          flags: U32,
        8 /// The lock to convert, unlock or cancel.
          lkid: U32,
        12 /// Never read.
          parent: U32,
        16 /// Transaction id: stored, never compared.
          xid: U64,
        24 /// In hundredths of a second; ignored since Linux 6.2.
          timeout: U64,
        32 /// Parameter word of completions.
          castparam: U32,
        36 /// Address word of completions, not 0.
          castaddr: U32,
        40 /// Parameter word of blocking notices.
          bastparam: U32,
        44 /// Address word of blocking notices, 0 for none.
          bastaddr: U32,
        48 /// Third word of both, not 0.
          lksb: U32,
        52 /// The lock value block to write.
          lvb: ValueBlock,
    }
}

lock_body!(Lock32, [xid, timeout]);

record! {
    /// A version 6 result for a 32-bit program, without the value block.
    struct Result32, 52 {
        0 /// The version of the kernel.
          version: RawVersion,
        12 /// Bytes of the record, the value block included.
          length: U32,
        16 /// Address word of the completion or blocking notice.
          user_astaddr: U32,
        20 /// Its parameter word.
          user_astparam: U32,
        24 /// Its third word.
          user_lksb: U32,
        28 /// 0 or a negative error number.
          sb_status: I32,
        32 /// The lock.
          sb_lkid: U32,
        36 /// `DLM_SBF_` values.
          sb_flags: u8,
        37 /// Padding.
          sb_pad: [u8; 3],
        40 /// Always 0.
          sb_lvbptr: U32,
        44 /// The blocked mode; 0 in completions.
          bast_mode: u8,
        45 /// Never read.
          unused: [u8; 3],
        48 /// Where the value block starts; 0 for none.
          lvb_offset: U32,
    }
}

result_body!(Result32, [version]);
