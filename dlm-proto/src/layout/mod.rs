//! The raw records, byte for byte as the kernel lays them out.
//!
//! Numbers are in the byte order of the machine. The structs have no alignment, so that they can
//! be laid over any byte slice; each padding byte is a field. The offset before each field is
//! asserted at compile time.
//!
//! A request is a [`Header`] with a lock, lockspace or purge body behind it, and a name behind
//! that; see `struct dlm_write_request` in `linux/dlm_device.h`.

use zerocopy::native_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::lvb::ValueBlock;
use crate::token::Cookies;
use crate::version::RawVersion;

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name, as in the kernel's header.
    pub name: &'static str,
    /// Bytes before it in its struct.
    pub offset: usize,
    /// Its bytes.
    pub len: usize,
}

/// Defines a raw struct and asserts its size and the offset of each field.
macro_rules! record {
    (
        $(#[$doc:meta])*
        struct $name:ident, $size:literal {
            $( $offset:literal $(#[$field_doc:meta])* $field:ident: $type:ty, )+
        }
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
            zerocopy::KnownLayout, zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )+
        }

        const _: () = {
            assert!(size_of::<$name>() == $size);
            $( assert!(core::mem::offset_of!($name, $field) == $offset); )+
        };

        impl $name {
            /// The fields in their order, for tools that show or check records.
            pub const FIELDS: &'static [crate::layout::Field] = &[
                $( crate::layout::Field {
                    name: stringify!($field),
                    offset: $offset,
                    len: size_of::<$type>(),
                }, )+
            ];
        }
    };
}

/// Makes a struct usable for the encoder and decoder of lock requests. The list holds the fields
/// that only some layouts have.
macro_rules! lock_body {
    ($name:ident, [$($extra:ident),*]) => {
        impl crate::layout::LockBody for $name {
            #[inline]
            fn new(words: &crate::layout::LockWords, lvb: &crate::lvb::ValueBlock) -> Self {
                use crate::layout::Word;
                Self {
                    mode: words.mode,
                    namelen: words.namelen,
                    flags: Word::new(u64::from(words.flags)),
                    lkid: words.lkid.into(),
                    $( $extra: words.$extra.into(), )*
                    castparam: Word::new(words.cookies.completion_param),
                    castaddr: Word::new(words.cookies.completion_addr),
                    bastparam: Word::new(words.cookies.blocking_param),
                    bastaddr: Word::new(words.cookies.blocking_addr),
                    lksb: Word::new(words.cookies.lksb),
                    lvb: *lvb,
                    ..zerocopy::FromZeros::new_zeroed()
                }
            }

            #[inline]
            fn load(&self) -> crate::layout::LockWords {
                use crate::layout::Word;
                let mut words = crate::layout::LockWords::default();
                words.mode = self.mode;
                words.namelen = self.namelen;
                words.flags = self.flags.flag_bits();
                words.lkid = self.lkid.get();
                $( words.$extra = self.$extra.get(); )*
                words.cookies = crate::token::Cookies {
                    completion_param: self.castparam.word(),
                    completion_addr: self.castaddr.word(),
                    blocking_param: self.bastparam.word(),
                    blocking_addr: self.bastaddr.word(),
                    lksb: self.lksb.word(),
                };
                words
            }

            #[inline]
            fn lvb(&self) -> &crate::lvb::ValueBlock {
                &self.lvb
            }
        }
    };
}

/// Makes a struct usable for the encoder and decoder of results. The list holds the field that
/// only version 6 has.
macro_rules! result_body {
    ($name:ident, [$($version:ident)?]) => {
        impl crate::layout::ResultBody for $name {
            #[inline]
            fn new(words: &crate::layout::ResultWords) -> Self {
                use crate::layout::Word;
                Self {
                    $( $version: words.version, )?
                    length: words.length.into(),
                    user_astaddr: Word::new(words.addr),
                    user_astparam: Word::new(words.param),
                    user_lksb: Word::new(words.lksb),
                    sb_status: words.status.into(),
                    sb_lkid: words.lkid.into(),
                    sb_flags: words.flags,
                    bast_mode: words.bast_mode,
                    lvb_offset: words.lvb_offset.into(),
                    ..zerocopy::FromZeros::new_zeroed()
                }
            }

            #[inline]
            fn load(&self) -> crate::layout::ResultWords {
                use crate::layout::Word;
                #[allow(unused_mut, reason = "version 5 has no version field to load")]
                let mut words = crate::layout::ResultWords {
                    version: crate::version::RawVersion::new(crate::version::Version::V5),
                    length: self.length.get(),
                    addr: self.user_astaddr.word(),
                    param: self.user_astparam.word(),
                    lksb: self.user_lksb.word(),
                    status: self.sb_status.get(),
                    lkid: self.sb_lkid.get(),
                    flags: self.sb_flags,
                    bast_mode: self.bast_mode,
                    lvb_offset: self.lvb_offset.get(),
                };
                $( words.version = self.$version; )?
                words
            }
        }
    };
}

pub mod v5;
pub mod v6;

record! {
    /// The start of each request.
    struct Header, 16 {
        0 /// The version of the layout: {6,0,0} or {5,0,0}.
          version: RawVersion,
        12 /// The command, a `DLM_USER_` value.
           cmd: u8,
        13 /// 1 in 64-bit layouts, 0 in 32-bit ones.
           is64bit: u8,
        14 /// Never read.
           unused: [u8; 2],
    }
}

record! {
    /// Behind the header of CREATE and REMOVE; the name follows it.
    struct LockspaceBody, 8 {
        0 /// `DLM_LSFL_` values in CREATE, `DLM_USER_LSFLG_` values in REMOVE.
          flags: U32,
        4 /// REMOVE: the minor number that CREATE returned.
          minor: U32,
    }
}

record! {
    /// Behind the header of PURGE.
    struct PurgeBody, 8 {
        0 /// The node whose orphans go; 0 for the local node.
          nodeid: U32,
        4 /// The thread whose orphans go; 0 for all.
          pid: U32,
    }
}

/// The place where the name of a CREATE request starts, in every layout.
pub(crate) const LOCKSPACE_NAME_OFFSET: usize = size_of::<Header>() + size_of::<LockspaceBody>();

/// A field that is wider in some layouts than in others. Writers check with
/// [`PointerWidth::fits`](crate::PointerWidth::fits) first.
pub(crate) trait Word: Sized {
    fn new(word: u64) -> Self;
    fn word(&self) -> u64;

    #[expect(clippy::cast_possible_truncation, reason = "no layout has more than 32 flag bits")]
    #[inline]
    fn flag_bits(&self) -> u32 {
        self.word() as u32
    }
}

macro_rules! word {
    ($type:ident, $native:ty) => {
        impl Word for zerocopy::native_endian::$type {
            #[allow(clippy::cast_possible_truncation, reason = "callers check the width first")]
            #[inline]
            fn new(word: u64) -> Self {
                Self::from(word as $native)
            }

            #[inline]
            fn word(&self) -> u64 {
                #[allow(clippy::useless_conversion, reason = "one of the widths is u64 itself")]
                u64::from(self.get())
            }
        }
    };
}

word!(U16, u16);
word!(U32, u32);
word!(U64, u64);

/// The fields of a lock body but the value block, as wide as any layout has them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LockWords {
    pub(crate) mode: u8,
    pub(crate) namelen: u8,
    pub(crate) flags: u32,
    pub(crate) lkid: u32,
    pub(crate) xid: u64,
    pub(crate) timeout: u64,
    pub(crate) cookies: Cookies,
}

/// The fields of a result, as wide as any layout has them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResultWords {
    pub(crate) version: RawVersion,
    pub(crate) length: u32,
    pub(crate) addr: u64,
    pub(crate) param: u64,
    pub(crate) lksb: u64,
    pub(crate) status: i32,
    pub(crate) lkid: u32,
    pub(crate) flags: u8,
    pub(crate) bast_mode: u8,
    pub(crate) lvb_offset: u32,
}

/// A lock body of one of the layouts.
pub(crate) trait LockBody:
    FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + 'static
{
    fn new(words: &LockWords, lvb: &ValueBlock) -> Self;
    fn load(&self) -> LockWords;
    fn lvb(&self) -> &ValueBlock;
}

/// The fixed part of a result of one of the layouts.
pub(crate) trait ResultBody:
    FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned + 'static
{
    fn new(words: &ResultWords) -> Self;
    fn load(&self) -> ResultWords;
}
