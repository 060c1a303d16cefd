//! The commonest records in the usual layout, that of 64-bit programs on today's kernels
//! ([`Abi::V6_64`]): requests without a value block and transaction id, and plain completions.
//!
//! What is here says the same as [`LockRequest`](crate::LockRequest),
//! [`UnlockRequest`](crate::UnlockRequest) and [`LockResult`](crate::LockResult), in fewer
//! instructions: nothing can fail, and nothing depends on the layout.

use zerocopy::{FromBytes, IntoBytes};

use crate::flags::LockFlags;
use crate::id::LockId;
use crate::layout::{Header, LockBody, LockWords, v6};
use crate::lvb::ValueBlock;
use crate::mode::Mode;
use crate::name::{MAX_NAME_LEN, ResourceName};
use crate::request::{Command, MAX_REQUEST_LEN};
use crate::status::LockStatus;
use crate::token::{Cookies, Token};
use crate::version::{Abi, PointerWidth, RawVersion, Version};

/// The request for a new lock, ready to be written.
#[derive(Debug, Clone, Copy, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
pub struct LockBytes {
    header: Header,
    body: v6::Lock64,
    name: [u8; MAX_NAME_LEN],
}

/// The request to unlock a lock, without flags and value block, ready to be written.
#[derive(Debug, Clone, Copy, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
pub struct UnlockBytes {
    header: Header,
    body: v6::Lock64,
}

const _: () = assert!(size_of::<LockBytes>() == MAX_REQUEST_LEN);

impl LockBytes {
    /// A request for the lock that `token` names, without blocking notices, by this owner
    /// ([`Cookies::for_token`]).
    #[inline(always)]
    #[must_use]
    pub fn new(
        name: &ResourceName,
        mode: Mode,
        flags: LockFlags,
        (token, owner): (Token, u32),
    ) -> Self {
        let words = LockWords {
            mode: mode as u8,
            namelen: name.short_len(),
            flags: flags.bits(),
            cookies: Cookies::for_token(token, owner).with_blocking(false),
            ..LockWords::default()
        };
        let body = v6::Lock64::new(&words, &ValueBlock::ZERO);
        Self { header: header(Command::Lock), body, name: *name.padded() }
    }

    /// The bytes.
    #[inline(always)]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let padding = MAX_NAME_LEN - usize::from(self.body.namelen).min(MAX_NAME_LEN);
        let bytes = self.as_bytes();
        bytes.get(..bytes.len() - padding).unwrap_or(bytes)
    }
}

impl UnlockBytes {
    /// A request for the lock that has this id, and that `token` names, by this owner.
    #[inline(always)]
    #[must_use]
    pub fn new(lock: LockId, (token, owner): (Token, u32)) -> Self {
        let words = LockWords {
            lkid: lock.0,
            cookies: Cookies::for_token(token, owner).with_blocking(false),
            ..LockWords::default()
        };
        Self { header: header(Command::Unlock), body: v6::Lock64::new(&words, &ValueBlock::ZERO) }
    }

    /// The bytes.
    #[inline(always)]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[inline(always)]
fn header(command: Command) -> Header {
    Header {
        version: RawVersion::new(Abi::V6_64.version.request_version()),
        cmd: command as u8,
        is64bit: 1,
        unused: [0; 2],
    }
}

/// The end of an operation of a lock that was requested with [`Cookies::for_token`]: a completion
/// without a value block and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// The word that names the lock; see [`Completion::token`].
    pub word: u64,
    /// The owner that it was sent with.
    pub owner: u64,
    /// How the operation ended, as the kernel has it; see [`Completion::status`].
    pub raw_status: i32,
    /// The kernel's id of the lock.
    pub lock: LockId,
}

impl Completion {
    /// `raw_status` of [`LockStatus::Granted`].
    pub const GRANTED: i32 = LockStatus::Granted.to_raw();

    /// `raw_status` of [`LockStatus::Unlocked`].
    pub const UNLOCKED: i32 = LockStatus::Unlocked.to_raw();

    /// Reads a result, as one `read` returned it, if it is that. For [`Abi::V6_64`].
    #[inline(always)]
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let raw = v6::Result64::ref_from_bytes(bytes).ok()?;
        let is_plain = raw.version.get().major == Version::V6.major
            && usize::try_from(raw.length.get()) == Ok(size_of::<v6::Result64>())
            && raw.lvb_offset.get() == 0
            && raw.user_astaddr.get() == Cookies::COMPLETION
            && raw.sb_flags == 0;
        if !is_plain {
            return None;
        }
        Some(Self {
            word: raw.user_astparam.get(),
            owner: raw.user_lksb.get(),
            raw_status: raw.sb_status.get(),
            lock: LockId(raw.sb_lkid.get()),
        })
    }

    /// The lock, if the word names one.
    #[inline(always)]
    #[must_use]
    pub const fn token(&self) -> Option<Token> {
        Token::from_word(self.word, PointerWidth::W64)
    }

    /// How the operation ended.
    #[inline]
    #[must_use]
    pub const fn status(&self) -> LockStatus {
        LockStatus::from_raw(self.raw_status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LockRequest, LockResult, MAX_RESULT_LEN, StatusFlags, UnlockRequest};

    const OWNER: u32 = 77;

    fn token() -> Token {
        Token::new(5, 9)
    }

    fn cookies() -> Cookies {
        Cookies::for_token(token(), OWNER).with_blocking(false)
    }

    #[test]
    fn requests_are_those_that_the_general_encoder_writes() {
        for len in 0..=MAX_NAME_LEN {
            let name = ResourceName::new([b'n'; MAX_NAME_LEN].split_at(len).0).unwrap();
            for mode in [Mode::Nl, Mode::Pr, Mode::Ex] {
                for flags in [LockFlags::empty(), LockFlags::NOQUEUE] {
                    let plain = LockBytes::new(&name, mode, flags, (token(), OWNER));
                    let general = LockRequest::new(&name, mode, cookies()).with(flags);
                    let mut buffer = [0xa5; MAX_REQUEST_LEN];
                    assert_eq!(plain.bytes(), general.encode(Abi::V6_64, &mut buffer).unwrap());
                }
            }
        }
        let plain = UnlockBytes::new(LockId(0x1234), (token(), OWNER));
        let general = UnlockRequest::new(LockId(0x1234), cookies());
        let mut buffer = [0xa5; MAX_REQUEST_LEN];
        assert_eq!(plain.bytes(), general.encode(Abi::V6_64, &mut buffer).unwrap());
    }

    fn result(change: impl FnOnce(&mut LockResult<'_>)) -> Option<Completion> {
        let mut result = LockResult {
            version: Version::new(6, 0, 2),
            addr: Cookies::COMPLETION,
            param: cookies().completion_param,
            lksb: OWNER.into(),
            status: LockStatus::Again,
            lock: LockId(3),
            flags: StatusFlags::empty(),
            bast_mode: crate::ModeCode(0),
            lvb: None,
        };
        change(&mut result);
        let mut buffer = [0xa5; MAX_RESULT_LEN];
        Completion::decode(result.encode(Abi::V6_64, &mut buffer).unwrap())
    }

    #[test]
    fn plain_completions_are_read() {
        let end = result(|_| {}).unwrap();
        assert_eq!((end.token(), end.owner), (Some(token()), OWNER.into()));
        assert_eq!((end.status(), end.lock), (LockStatus::Again, LockId(3)));
    }

    #[test]
    fn anything_else_is_left_to_the_general_decoder() {
        assert_eq!(result(|result| result.flags = StatusFlags::ALTMODE), None);
        assert_eq!(result(|result| result.addr = Cookies::BLOCKING), None);
        assert_eq!(result(|result| result.lvb = Some(&ValueBlock::ZERO)), None);
        assert_eq!(result(|result| result.version = Version::new(7, 0, 0)), None);
        assert_eq!(Completion::decode(&[0; 71]), None);
        assert_eq!(Completion::decode(&[]), None);
    }
}
