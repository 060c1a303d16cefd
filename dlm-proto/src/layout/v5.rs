//! Device version 5: kernels before 2.6.2x, of which only C libdlm's sources tell.

use zerocopy::native_endian::{I32, U16, U32, U64};

use crate::lvb::ValueBlock;

record! {
    /// The lock part of a version 5 request of a 64-bit program; the name follows it.
    struct Lock64, 88 {
        0 /// The lock mode that is asked for.
          mode: u8,
        1 /// Bytes of the name behind the record.
          namelen: u8,
        2 /// `LKF_` values.
          flags: U16,
        4 /// The lock to convert, unlock or cancel.
          lkid: U32,
        8 /// Never read.
          parent: U32,
        12 /// Padding.
          pad: [u8; 4],
        16 /// Parameter word of completions.
          castparam: U64,
        24 /// Address word of completions, not 0.
          castaddr: U64,
        32 /// Parameter word of blocking notices.
          bastparam: U64,
        40 /// Address word of blocking notices, 0 for none.
          bastaddr: U64,
        48 /// Third word of both, not 0.
          lksb: U64,
        56 /// The lock value block to write.
          lvb: ValueBlock,
    }
}

lock_body!(Lock64, []);

record! {
    /// A version 5 result for a 64-bit program, without the value block.
    struct Result64, 64 {
        0 /// Bytes of the record, the value block included.
          length: U32,
        4 /// Padding.
          pad: [u8; 4],
        8 /// Address word of the completion or blocking notice.
          user_astaddr: U64,
        16 /// Its parameter word.
          user_astparam: U64,
        24 /// Its third word.
          user_lksb: U64,
        32 /// 0 or a negative error number.
          sb_status: I32,
        36 /// The lock.
          sb_lkid: U32,
        40 /// `DLM_SBF_` values.
          sb_flags: u8,
        41 /// Padding.
          sb_pad: [u8; 7],
        48 /// Always 0.
          sb_lvbptr: U64,
        56 /// The blocked mode; 0 in completions.
          bast_mode: u8,
        57 /// Never read.
          unused: [u8; 3],
        60 /// Where the value block starts; 0 for none.
          lvb_offset: U32,
    }
}

result_body!(Result64, []);

record! {
    /// The lock part of a version 5 request of a 32-bit program; the name follows it.
    struct Lock32, 64 {
        0 /// The lock mode that is asked for.
          mode: u8,
        1 /// Bytes of the name behind the record.
          namelen: u8,
        2 /// `LKF_` values.
          flags: U16,
        4 /// The lock to convert, unlock or cancel.
          lkid: U32,
        8 /// Never read.
          parent: U32,
        12 /// Parameter word of completions.
          castparam: U32,
        16 /// Address word of completions, not 0.
          castaddr: U32,
        20 /// Parameter word of blocking notices.
          bastparam: U32,
        24 /// Address word of blocking notices, 0 for none.
          bastaddr: U32,
        28 /// Third word of both, not 0.
          lksb: U32,
        32 /// The lock value block to write.
          lvb: ValueBlock,
    }
}

lock_body!(Lock32, []);

record! {
    /// A version 5 result for a 32-bit program, without the value block.
    struct Result32, 40 {
        0 /// Bytes of the record, the value block included.
          length: U32,
        4 /// Address word of the completion or blocking notice.
          user_astaddr: U32,
        8 /// Its parameter word.
          user_astparam: U32,
        12 /// Its third word.
          user_lksb: U32,
        16 /// 0 or a negative error number.
          sb_status: I32,
        20 /// The lock.
          sb_lkid: U32,
        24 /// `DLM_SBF_` values.
          sb_flags: u8,
        25 /// Padding.
          sb_pad: [u8; 3],
        28 /// Always 0.
          sb_lvbptr: U32,
        32 /// The blocked mode; 0 in completions.
          bast_mode: u8,
        33 /// Never read.
          unused: [u8; 3],
        36 /// Where the value block starts; 0 for none.
          lvb_offset: U32,
    }
}

result_body!(Result32, []);
