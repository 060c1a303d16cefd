//! Typed requests to bytes.
//!
//! Locking and unlocking in the usual layout, that of 64-bit programs on today's kernels, is
//! inlined: each field goes from a register or constant straight to its place in the buffer.
//! Everything else is called.

use zerocopy::{FromBytes, transmute};

use super::{Command, LockRequest, Request, UnlockRequest, is64bit};
use crate::error::EncodeError;
use crate::layout::{Header, LockBody, LockWords, LockspaceBody, PurgeBody, v5, v6};
use crate::lvb::ValueBlock;
use crate::name::{MAX_NAME_LEN, copy_short};
use crate::token::Cookies;
use crate::version::{Abi, AbiVersion, PointerWidth, RawVersion};

impl Request<'_> {
    /// Writes the request in the given layout to the start of `buffer` and returns the bytes that
    /// are to be written to the device in one piece. [`MAX_REQUEST_LEN`](crate::MAX_REQUEST_LEN) bytes are
    /// always enough.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the buffer is too short, the name too long, or the layout cannot say
    /// what the request asks for. The buffer may then hold anything.
    #[inline]
    pub fn encode<'b>(&self, abi: Abi, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        match self {
            Self::Lock(lock) => lock.encode(abi, buffer),
            Self::Unlock(unlock) => unlock.encode(abi, buffer),
            _ => self.encode_any(abi, buffer),
        }
    }

    fn encode_any<'b>(&self, abi: Abi, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        match *self {
            Self::Lock(lock) => lock.encode(abi, buffer),
            Self::Unlock(unlock) => unlock.encode(abi, buffer),
            Self::Deadlock { lock, flags } => {
                needs_v6(abi, "DLM_USER_DEADLOCK")?;
                let words = LockWords { lkid: lock.0, flags: flags.bits(), ..LockWords::default() };
                put_lock(Command::Deadlock, abi, &words, b"", &ValueBlock::ZERO, buffer)
            }
            Self::Purge { node, pid } => {
                needs_v6(abi, "DLM_USER_PURGE")?;
                let purge = PurgeBody { nodeid: node.0.into(), pid: pid.into() };
                put_small(Command::Purge, abi, transmute!(purge), b"", buffer)
            }
            Self::CreateLockspace { name, flags } => {
                let space = LockspaceBody { flags: flags.bits().into(), minor: 0.into() };
                if name.contains(&0) {
                    return Err(EncodeError::NulInName);
                }
                put_small(Command::CreateLockspace, abi, transmute!(space), name, buffer)
            }
            Self::RemoveLockspace { minor, flags } => {
                let space = LockspaceBody { flags: flags.bits().into(), minor: minor.0.into() };
                put_small(Command::RemoveLockspace, abi, transmute!(space), b"", buffer)
            }
        }
    }
}

impl LockRequest<'_> {
    /// Writes the request; see [`Request::encode`].
    ///
    /// # Errors
    ///
    /// As [`Request::encode`].
    #[inline]
    pub fn encode<'b>(&self, abi: Abi, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        let words = LockWords {
            mode: self.mode.0,
            namelen: 0,
            flags: self.flags.bits(),
            lkid: self.lock.0,
            xid: self.xid,
            timeout: self.timeout,
            cookies: self.cookies,
        };
        put_lock(Command::Lock, abi, &words, self.name, self.lvb, buffer)
    }
}

impl UnlockRequest<'_> {
    /// Writes the request; see [`Request::encode`].
    ///
    /// # Errors
    ///
    /// As [`Request::encode`].
    #[inline]
    pub fn encode<'b>(&self, abi: Abi, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        let words = LockWords {
            flags: self.flags.bits(),
            lkid: self.lock.0,
            cookies: self.cookies,
            ..LockWords::default()
        };
        put_lock(Command::Unlock, abi, &words, b"", self.lvb, buffer)
    }
}

/// Writes a request with a lock part. `words` is without the length of the name.
#[inline]
fn put_lock<'b>(
    command: Command,
    abi: Abi,
    words: &LockWords,
    name: &[u8],
    lvb: &ValueBlock,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], EncodeError> {
    if abi == Abi::V6_64 {
        put(command, Abi::V6_64, words, name, lvb, buffer)
    } else {
        put_other(command, abi, *words, name, lvb, buffer)
    }
}

#[cold]
#[inline(never)]
fn put_other<'b>(
    command: Command,
    abi: Abi,
    words: LockWords,
    name: &[u8],
    lvb: &ValueBlock,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], EncodeError> {
    put(command, abi, &words, name, lvb, buffer)
}

/// As `put_lock`. Where `abi` is a constant, only the code for that layout is left of it.
#[inline]
fn put<'b>(
    command: Command,
    abi: Abi,
    words: &LockWords,
    name: &[u8],
    lvb: &ValueBlock,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], EncodeError> {
    let namelen = match u8::try_from(name.len()) {
        Ok(len) if name.len() <= MAX_NAME_LEN => len,
        _ => return Err(EncodeError::NameTooLong(name.len())),
    };
    check_fit(abi, words)?;
    let need = abi.request_len(name.len());
    let short = EncodeError::BufferTooSmall { need, have: buffer.len() };
    let bytes = buffer.get_mut(..need).ok_or(short)?;
    let (raw, body) = Header::mut_from_prefix(&mut *bytes).map_err(|_| short)?;
    *raw = header(abi, command);
    let words = LockWords { namelen, ..*words };
    let rest = match (abi.version, abi.width) {
        (AbiVersion::V6, PointerWidth::W64) => put_body::<v6::Lock64>(body, &words, lvb),
        (AbiVersion::V6, PointerWidth::W32) => put_body::<v6::Lock32>(body, &words, lvb),
        (AbiVersion::V5, PointerWidth::W64) => put_body::<v5::Lock64>(body, &words, lvb),
        (AbiVersion::V5, PointerWidth::W32) => put_body::<v5::Lock32>(body, &words, lvb),
    };
    put_name(rest.ok_or(short)?, name).ok_or(short)?;
    Ok(bytes)
}

/// Fills in the lock part and returns what is behind it.
#[inline]
fn put_body<'b, B: LockBody>(
    body: &'b mut [u8],
    words: &LockWords,
    lvb: &ValueBlock,
) -> Option<&'b mut [u8]> {
    let (raw, rest) = B::mut_from_prefix(body).ok()?;
    *raw = B::new(words, lvb);
    Some(rest)
}

/// Writes a request with one of the small parts, and the name behind it.
fn put_small<'b>(
    command: Command,
    abi: Abi,
    small: [u8; size_of::<LockspaceBody>()],
    name: &[u8],
    buffer: &'b mut [u8],
) -> Result<&'b [u8], EncodeError> {
    if name.len() > MAX_NAME_LEN {
        return Err(EncodeError::NameTooLong(name.len()));
    }
    let need = abi.request_len(name.len());
    let short = EncodeError::BufferTooSmall { need, have: buffer.len() };
    let bytes = buffer.get_mut(..need).ok_or(short)?;
    let (raw, body) = Header::mut_from_prefix(&mut *bytes).map_err(|_| short)?;
    *raw = header(abi, command);
    let (raw, rest) = body.split_first_chunk_mut().ok_or(short)?;
    *raw = small;
    put_name(rest, name).ok_or(short)?;
    Ok(bytes)
}

#[inline]
fn header(abi: Abi, command: Command) -> Header {
    Header {
        version: RawVersion::new(abi.version.request_version()),
        cmd: command as u8,
        is64bit: is64bit(abi),
        unused: [0; 2],
    }
}

fn needs_v6(abi: Abi, field: &'static str) -> Result<(), EncodeError> {
    match abi.version {
        AbiVersion::V6 => Ok(()),
        AbiVersion::V5 => Err(EncodeError::NotInAbi { field, abi }),
    }
}

/// Whether the layout has a place for all that is asked for.
#[inline]
fn check_fit(abi: Abi, words: &LockWords) -> Result<(), EncodeError> {
    if abi.version == AbiVersion::V5 {
        for (field, is_beyond) in [
            ("xid", words.xid != 0),
            ("timeout", words.timeout != 0),
            ("flags above 16 bits", words.flags > 0xffff),
        ] {
            if is_beyond {
                return Err(EncodeError::NotInAbi { field, abi });
            }
        }
    }
    match abi.width {
        PointerWidth::W64 => Ok(()),
        PointerWidth::W32 => fit_32(&words.cookies),
    }
}

fn fit_32(cookies: &Cookies) -> Result<(), EncodeError> {
    let words = [
        ("castaddr", cookies.completion_addr),
        ("castparam", cookies.completion_param),
        ("bastaddr", cookies.blocking_addr),
        ("bastparam", cookies.blocking_param),
        ("lksb", cookies.lksb),
    ];
    match words.into_iter().find(|&(_, word)| !PointerWidth::W32.fits(word)) {
        Some((field, word)) => Err(EncodeError::WordTooWide { field, word }),
        None => Ok(()),
    }
}

/// Copies a name of at most 64 bytes to the start of what is left, and clears what is left then.
#[inline]
fn put_name(rest: &mut [u8], name: &[u8]) -> Option<()> {
    let (place, padding) = rest.split_at_mut_checked(name.len())?;
    copy_short(place, name);
    // In most layouts it is, and even a call that clears nothing costs.
    if !padding.is_empty() {
        padding.fill(0);
    }
    Some(())
}
