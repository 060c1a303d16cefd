//! Results: what is read from a lockspace device.
//!
//! Reading those of the usual layout, that of 64-bit programs on today's kernels, is inlined.

use zerocopy::native_endian::U32;
use zerocopy::{FromBytes, IntoBytes};

use crate::error::{DecodeError, EncodeError};
use crate::flags::StatusFlags;
use crate::id::LockId;
use crate::layout::{ResultBody, ResultWords, v5, v6};
use crate::lvb::{LVB_LEN, ValueBlock};
use crate::mode::{Mode, ModeCode};
use crate::status::LockStatus;
use crate::token::{Cookies, Token};
use crate::version::{Abi, AbiVersion, PointerWidth, RawVersion, Version};

/// The longest result in any layout. Pass a buffer of this length to each `read`: with a shorter
/// one the kernel drops the value block in silence, or writes behind its end (52 to 71 bytes).
pub const MAX_RESULT_LEN: usize = 104;

/// One result in any layout: the completion of an operation, or a blocking notice.
///
/// ```
/// use dlm_proto::{
///     Abi, Cookies, Event, LockId, LockResult, LockStatus, MAX_RESULT_LEN, ModeCode, PointerWidth,
///     StatusFlags, Token, Version,
/// };
///
/// // As a kernel would answer a request with these cookies.
/// let cookies = Cookies::for_token(Token::new(7, 1), 0);
/// let answer = LockResult {
///     version: Version::V6,
///     addr: cookies.completion_addr,
///     param: cookies.completion_param,
///     lksb: cookies.lksb,
///     status: LockStatus::Granted,
///     lock: LockId(1),
///     flags: StatusFlags::empty(),
///     bast_mode: ModeCode(0),
///     lvb: None,
/// };
/// let mut buffer = [0; MAX_RESULT_LEN];
/// let bytes = answer.encode(Abi::V6_64, &mut buffer)?;
///
/// let result = LockResult::decode(Abi::V6_64, bytes)?;
/// let Event::Completion { token, status, .. } = result.event(PointerWidth::W64)? else { return Err("a notice".into()) };
/// assert_eq!((token, status), (Token::new(7, 1), LockStatus::Granted));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockResult<'a> {
    /// The version that the record carries; version 5 records carry none and get {5,0,0}.
    pub version: Version,
    /// The address word: `castaddr` or `bastaddr` of the request. It alone tells them apart.
    pub addr: u64,
    /// The parameter word: `castparam` or `bastparam`.
    pub param: u64,
    /// The `lksb` word.
    pub lksb: u64,
    /// The status of the operation. In a blocking notice: an older status (6.1) or 0 (6.12).
    pub status: LockStatus,
    /// The lock. Ids are reused at once, so never look anything up by it.
    pub lock: LockId,
    /// Flags of the operation.
    pub flags: StatusFlags,
    /// A blocking notice's mode: the one that is blocked. 0 in completions.
    pub bast_mode: ModeCode,
    /// The value block, which may be there although the operation did not ask for it: then it is
    /// the caller's own, echoed.
    pub lvb: Option<&'a ValueBlock>,
}

/// A result of a lock that was requested with [`Cookies::for_token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The completion AST: an operation ended.
    Completion {
        /// The lock's token.
        token: Token,
        /// Its status.
        status: LockStatus,
        /// The lock id.
        lock: LockId,
        /// Flags of the operation.
        flags: StatusFlags,
        /// The value block, if the record has one.
        lvb: Option<&'a ValueBlock>,
    },
    /// The blocking AST: another lock waits for a mode that this one keeps it from.
    Blocking {
        /// The lock's token.
        token: Token,
        /// The lock id.
        lock: LockId,
        /// The mode that the other lock waits for.
        mode: Mode,
    },
}

impl<'a> LockResult<'a> {
    /// Reads the result that one `read` returned. The value block is borrowed.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the field that is not as a result of this layout has it.
    #[inline(always)]
    pub fn decode(abi: Abi, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        // A result of another layout becomes one of the usual layout first, so that there is one
        // place to load from, and only what the caller looks at is loaded.
        let translated;
        let (raw, lvb) = if let Some(usual) = usual(abi, bytes) {
            usual
        } else {
            translated = translate(abi, bytes)?;
            (&translated.0, translated.1)
        };
        let words = raw.load();
        Ok(Self {
            version: words.version.get(),
            addr: words.addr,
            param: words.param,
            lksb: words.lksb,
            status: LockStatus::from_raw(words.status),
            lock: LockId(words.lkid),
            flags: StatusFlags::from_bits_retain(words.flags),
            bast_mode: ModeCode(words.bast_mode),
            lvb,
        })
    }

    /// The event of a lock that was requested with [`Cookies::for_token`] or
    /// [`Cookies::for_token_in`] of this width.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Kind`] and [`DecodeError::Token`] for the result of a request that carried
    /// other words, [`DecodeError::Mode`] for a blocking notice without a mode.
    #[inline(always)]
    pub fn event(&self, width: PointerWidth) -> Result<Event<'a>, DecodeError> {
        let token = || Token::from_word(self.param, width).ok_or(DecodeError::Token(self.param));
        match self.addr {
            Cookies::COMPLETION => Ok(Event::Completion {
                token: token()?,
                status: self.status,
                lock: self.lock,
                flags: self.flags,
                lvb: self.lvb,
            }),
            Cookies::BLOCKING => Ok(Event::Blocking {
                token: token()?,
                lock: self.lock,
                mode: self.bast_mode.known().ok_or(DecodeError::Mode(self.bast_mode.0))?,
            }),
            other => Err(DecodeError::Kind(other)),
        }
    }

    /// Writes the result as a kernel of this layout would, and returns its bytes. For programs
    /// that play the kernel's part. [`MAX_RESULT_LEN`] bytes are always enough.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`], and [`EncodeError::WordTooWide`] in a 32-bit layout (a
    /// real kernel cuts the word).
    pub fn encode<'b>(&self, abi: Abi, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        for (field, word) in
            [("user_astaddr", self.addr), ("user_astparam", self.param), ("user_lksb", self.lksb)]
        {
            if !abi.width.fits(word) {
                return Err(EncodeError::WordTooWide { field, word });
            }
        }
        let fixed = abi.result_len();
        let need = fixed + self.lvb.map_or(0, |_| LVB_LEN);
        let have = buffer.len();
        let short = EncodeError::BufferTooSmall { need, have };
        let bytes = buffer.get_mut(..need).ok_or(short)?;
        let offset = |at: usize| u32::try_from(at).map_err(|_| short);
        let words = ResultWords {
            version: RawVersion::new(self.version),
            length: offset(need)?,
            addr: self.addr,
            param: self.param,
            lksb: self.lksb,
            status: self.status.to_raw(),
            lkid: self.lock.0,
            flags: self.flags.bits(),
            bast_mode: self.bast_mode.0,
            lvb_offset: if self.lvb.is_some() { offset(fixed)? } else { 0 },
        };
        let rest = put(abi, &mut *bytes, &words).ok_or(short)?;
        if let Some(lvb) = self.lvb {
            lvb.write_to_prefix(rest).map_err(|_| short)?;
        }
        Ok(bytes)
    }
}

/// Fills in the fixed part and returns what is behind it.
fn put<'b>(abi: Abi, bytes: &'b mut [u8], words: &ResultWords) -> Option<&'b mut [u8]> {
    fn put<'b, B: ResultBody>(bytes: &'b mut [u8], words: &ResultWords) -> Option<&'b mut [u8]> {
        let (raw, rest) = B::mut_from_prefix(bytes).ok()?;
        *raw = B::new(words);
        Some(rest)
    }
    match (abi.version, abi.width) {
        (AbiVersion::V6, PointerWidth::W64) => put::<v6::Result64>(bytes, words),
        (AbiVersion::V6, PointerWidth::W32) => put::<v6::Result32>(bytes, words),
        (AbiVersion::V5, PointerWidth::W64) => put::<v5::Result64>(bytes, words),
        (AbiVersion::V5, PointerWidth::W32) => put::<v5::Result32>(bytes, words),
    }
}

/// A result of the usual layout in which all is as it must be, and its value block.
#[inline(always)]
fn usual(abi: Abi, bytes: &[u8]) -> Option<(&v6::Result64, Option<&ValueBlock>)> {
    const FIXED: usize = size_of::<v6::Result64>();
    let (raw, rest) = v6::Result64::ref_from_prefix(bytes).ok()?;
    if abi != Abi::V6_64 || raw.version.get().major != Version::V6.major {
        return None;
    }
    let is = |word: U32, wanted| usize::try_from(word.get()) == Ok(wanted);
    match ValueBlock::ref_from_bytes(rest) {
        Ok(lvb) if is(raw.length, FIXED + LVB_LEN) && is(raw.lvb_offset, FIXED) => {
            Some((raw, Some(lvb)))
        }
        Err(_) if rest.is_empty() && is(raw.length, FIXED) && is(raw.lvb_offset, 0) => {
            Some((raw, None))
        }
        _ => None,
    }
}

/// A result of any layout as one of the usual layout, and its value block; or what is wrong.
#[cold]
#[inline(never)]
fn translate(abi: Abi, bytes: &[u8]) -> Result<(v6::Result64, Option<&ValueBlock>), DecodeError> {
    let fixed = abi.result_len();
    let truncated = DecodeError::Truncated { need: fixed, have: bytes.len() };
    let (words, rest) = get(abi, bytes).ok_or(truncated)?;
    let (wanted, got) = (abi.version.request_version(), words.version.get());
    if !got.accepts(wanted) {
        return Err(DecodeError::Version { wanted, got });
    }
    let length = usize::try_from(words.length).unwrap_or(usize::MAX);
    if length != bytes.len() {
        return Err(DecodeError::Length { wanted: length, got: bytes.len() });
    }
    let misplaced = DecodeError::LvbOffset { wanted: fixed, got: words.lvb_offset };
    let lvb = match usize::try_from(words.lvb_offset) {
        Ok(0) if rest.is_empty() => None,
        Ok(0) => return Err(DecodeError::Length { wanted: fixed, got: bytes.len() }),
        Ok(offset) if offset == fixed => {
            Some(ValueBlock::ref_from_bytes(rest).map_err(|_| misplaced)?)
        }
        _ => return Err(misplaced),
    };
    Ok((ResultBody::new(&words), lvb))
}

/// Reads the fixed part, and returns what is behind it.
fn get(abi: Abi, bytes: &[u8]) -> Option<(ResultWords, &[u8])> {
    fn get<B: ResultBody>(bytes: &[u8]) -> Option<(ResultWords, &[u8])> {
        B::ref_from_prefix(bytes).ok().map(|(raw, rest)| (raw.load(), rest))
    }
    match (abi.version, abi.width) {
        (AbiVersion::V6, PointerWidth::W64) => get::<v6::Result64>(bytes),
        (AbiVersion::V6, PointerWidth::W32) => get::<v6::Result32>(bytes),
        (AbiVersion::V5, PointerWidth::W64) => get::<v5::Result64>(bytes),
        (AbiVersion::V5, PointerWidth::W32) => get::<v5::Result32>(bytes),
    }
}
