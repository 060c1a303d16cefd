//! Typed requests to bytes.

use zerocopy::{FromBytes, IntoBytes};

use super::{LockRequest, Request, UnlockRequest, is64bit};
use crate::error::EncodeError;
use crate::flags::LockFlags;
use crate::layout::{Header, LockBody, LockWords, LockspaceBody, PurgeBody, v5, v6};
use crate::lvb::ValueBlock;
use crate::name::MAX_NAME_LEN;
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
    pub fn encode<'b>(&self, abi: Abi, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        let name = match self {
            Self::Lock(lock) => lock.name,
            Self::CreateLockspace { name, .. } => name,
            _ => b"",
        };
        if name.len() > MAX_NAME_LEN {
            return Err(EncodeError::NameTooLong(name.len()));
        }
        let need = abi.request_len(name.len());
        let have = buffer.len();
        let bytes = buffer.get_mut(..need).ok_or(EncodeError::BufferTooSmall { need, have })?;
        let short = EncodeError::BufferTooSmall { need, have };
        let (header, body) = Header::mut_from_prefix(&mut *bytes).map_err(|_| short)?;
        *header = Header {
            version: RawVersion::new(abi.version.request_version()),
            cmd: self.command() as u8,
            is64bit: is64bit(abi),
            unused: [0; 2],
        };
        match self {
            Self::Lock(lock) => {
                let words = lock.words(abi)?;
                let rest = put_lock(abi, body, &words, lock.lvb).ok_or(short)?;
                put_name(rest, name).ok_or(short)?;
            }
            Self::Unlock(unlock) => {
                let words = unlock.words(abi)?;
                clear(put_lock(abi, body, &words, unlock.lvb).ok_or(short)?);
            }
            Self::Deadlock { lock, flags } => {
                needs_v6(abi, "DLM_USER_DEADLOCK")?;
                let words = LockWords { lkid: lock.0, flags: flags.bits(), ..LockWords::default() };
                clear(put_lock(abi, body, &words, &ValueBlock::ZERO).ok_or(short)?);
            }
            Self::Purge { node, pid } => {
                needs_v6(abi, "DLM_USER_PURGE")?;
                let (purge, rest) = PurgeBody::mut_from_prefix(body).map_err(|_| short)?;
                *purge = PurgeBody { nodeid: node.0.into(), pid: (*pid).into() };
                clear(rest);
            }
            Self::CreateLockspace { flags, .. } => {
                if name.contains(&0) {
                    return Err(EncodeError::NulInName);
                }
                let (space, rest) = LockspaceBody::mut_from_prefix(body).map_err(|_| short)?;
                *space = LockspaceBody { flags: flags.bits().into(), minor: 0.into() };
                put_name(rest, name).ok_or(short)?;
            }
            Self::RemoveLockspace { minor, flags } => {
                let (space, rest) = LockspaceBody::mut_from_prefix(body).map_err(|_| short)?;
                *space = LockspaceBody { flags: flags.bits().into(), minor: minor.0.into() };
                clear(rest);
            }
        }
        Ok(bytes)
    }
}

impl LockRequest<'_> {
    #[inline]
    fn words(&self, abi: Abi) -> Result<LockWords, EncodeError> {
        if abi.version == AbiVersion::V5 {
            for (field, value) in [("xid", self.xid), ("timeout", self.timeout)] {
                if value != 0 {
                    return Err(EncodeError::NotInAbi { field, abi });
                }
            }
        }
        let namelen =
            u8::try_from(self.name.len()).map_err(|_| EncodeError::NameTooLong(self.name.len()))?;
        Ok(LockWords {
            mode: self.mode.0,
            namelen,
            flags: flag_bits(abi, self.flags)?,
            lkid: self.lock.0,
            xid: self.xid,
            timeout: self.timeout,
            cookies: fitting(abi, self.cookies)?,
        })
    }
}

impl UnlockRequest<'_> {
    #[inline]
    fn words(&self, abi: Abi) -> Result<LockWords, EncodeError> {
        Ok(LockWords {
            flags: flag_bits(abi, self.flags)?,
            lkid: self.lock.0,
            cookies: fitting(abi, self.cookies)?,
            ..LockWords::default()
        })
    }
}

fn needs_v6(abi: Abi, field: &'static str) -> Result<(), EncodeError> {
    match abi.version {
        AbiVersion::V6 => Ok(()),
        AbiVersion::V5 => Err(EncodeError::NotInAbi { field, abi }),
    }
}

fn flag_bits(abi: Abi, flags: LockFlags) -> Result<u32, EncodeError> {
    let bits = flags.bits();
    if abi.version == AbiVersion::V5 && bits > 0xffff {
        return Err(EncodeError::NotInAbi { field: "flags above 16 bits", abi });
    }
    Ok(bits)
}

#[inline]
fn fitting(abi: Abi, cookies: Cookies) -> Result<Cookies, EncodeError> {
    match abi.width {
        PointerWidth::W64 => Ok(cookies),
        PointerWidth::W32 => fitting_32(cookies),
    }
}

fn fitting_32(cookies: Cookies) -> Result<Cookies, EncodeError> {
    let words = [
        ("castaddr", cookies.completion_addr),
        ("castparam", cookies.completion_param),
        ("bastaddr", cookies.blocking_addr),
        ("bastparam", cookies.blocking_param),
        ("lksb", cookies.lksb),
    ];
    match words.into_iter().find(|&(_, word)| !PointerWidth::W32.fits(word)) {
        Some((field, word)) => Err(EncodeError::WordTooWide { field, word }),
        None => Ok(cookies),
    }
}

/// Clears what is behind the fields. In most layouts that is nothing, and even a call that clears
/// nothing costs.
#[inline]
fn clear(rest: &mut [u8]) {
    if !rest.is_empty() {
        rest.fill(0);
    }
}

/// Copies a name to the start of what is left, and clears what is left then.
fn put_name(rest: &mut [u8], name: &[u8]) -> Option<()> {
    let (place, padding) = rest.split_at_mut_checked(name.len())?;
    name.write_to(place).ok()?;
    clear(padding);
    Some(())
}

/// Fills in the lock part and returns what is behind it.
#[inline]
fn put_lock<'b>(
    abi: Abi,
    body: &'b mut [u8],
    words: &LockWords,
    lvb: &ValueBlock,
) -> Option<&'b mut [u8]> {
    fn put<'b, B: LockBody>(
        body: &'b mut [u8],
        words: &LockWords,
        lvb: &ValueBlock,
    ) -> Option<&'b mut [u8]> {
        let (raw, rest) = B::mut_from_prefix(body).ok()?;
        *raw = B::new(words, lvb);
        Some(rest)
    }
    match (abi.version, abi.width) {
        (AbiVersion::V6, PointerWidth::W64) => put::<v6::Lock64>(body, words, lvb),
        (AbiVersion::V6, PointerWidth::W32) => put::<v6::Lock32>(body, words, lvb),
        (AbiVersion::V5, PointerWidth::W64) => put::<v5::Lock64>(body, words, lvb),
        (AbiVersion::V5, PointerWidth::W32) => put::<v5::Lock32>(body, words, lvb),
    }
}
