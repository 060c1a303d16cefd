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
        bytes.fill(0);
        let short = EncodeError::BufferTooSmall { need, have };
        let (header, body) = Header::mut_from_prefix(&mut *bytes).map_err(|_| short)?;
        header.version = RawVersion::new(abi.version.request_version());
        header.cmd = self.command() as u8;
        header.is64bit = is64bit(abi);
        match self {
            Self::Lock(lock) => {
                let words = lock.words(abi)?;
                let rest = put_lock(abi, body, &words, lock.lvb).ok_or(short)?;
                name.write_to_prefix(rest).map_err(|_| short)?;
            }
            Self::Unlock(unlock) => {
                let words = unlock.words(abi)?;
                put_lock(abi, body, &words, unlock.lvb).ok_or(short)?;
            }
            Self::Deadlock { lock, flags } => {
                needs_v6(abi, "DLM_USER_DEADLOCK")?;
                let words = LockWords { lkid: lock.0, flags: flags.bits(), ..LockWords::default() };
                put_lock(abi, body, &words, &ValueBlock::ZERO).ok_or(short)?;
            }
            Self::Purge { node, pid } => {
                needs_v6(abi, "DLM_USER_PURGE")?;
                let (purge, _) = PurgeBody::mut_from_prefix(body).map_err(|_| short)?;
                *purge = PurgeBody { nodeid: node.0.into(), pid: (*pid).into() };
            }
            Self::CreateLockspace { flags, .. } => {
                if name.contains(&0) {
                    return Err(EncodeError::NulInName);
                }
                let (space, rest) = LockspaceBody::mut_from_prefix(body).map_err(|_| short)?;
                space.flags = flags.bits().into();
                name.write_to_prefix(rest).map_err(|_| short)?;
            }
            Self::RemoveLockspace { minor, flags } => {
                let (space, _) = LockspaceBody::mut_from_prefix(body).map_err(|_| short)?;
                *space = LockspaceBody { flags: flags.bits().into(), minor: minor.0.into() };
            }
        }
        Ok(bytes)
    }
}

impl LockRequest<'_> {
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

fn fitting(abi: Abi, cookies: Cookies) -> Result<Cookies, EncodeError> {
    let words = [
        ("castaddr", cookies.completion_addr),
        ("castparam", cookies.completion_param),
        ("bastaddr", cookies.blocking_addr),
        ("bastparam", cookies.blocking_param),
        ("lksb", cookies.lksb),
    ];
    match words.into_iter().find(|&(_, word)| !abi.width.fits(word)) {
        Some((field, word)) => Err(EncodeError::WordTooWide { field, word }),
        None => Ok(cookies),
    }
}

/// Fills in the lock part and returns what is behind it.
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
        raw.store(words);
        *raw.lvb_mut() = *lvb;
        Some(rest)
    }
    match (abi.version, abi.width) {
        (AbiVersion::V6, PointerWidth::W64) => put::<v6::Lock64>(body, words, lvb),
        (AbiVersion::V6, PointerWidth::W32) => put::<v6::Lock32>(body, words, lvb),
        (AbiVersion::V5, PointerWidth::W64) => put::<v5::Lock64>(body, words, lvb),
        (AbiVersion::V5, PointerWidth::W32) => put::<v5::Lock32>(body, words, lvb),
    }
}
