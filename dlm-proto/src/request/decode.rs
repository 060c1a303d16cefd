//! Bytes to typed requests: the kernel's side.

use zerocopy::FromBytes;

use super::{Command, LockRequest, Request, UnlockRequest, is64bit};
use crate::error::DecodeError;
use crate::flags::{LockFlags, LockspaceFlags, RemoveFlags};
use crate::id::{LockId, Minor, NodeId};
use crate::layout::{
    Header, LOCKSPACE_NAME_OFFSET, LockBody, LockWords, LockspaceBody, PurgeBody, v5, v6,
};
use crate::lvb::ValueBlock;
use crate::mode::ModeCode;
use crate::name::MAX_NAME_LEN;
use crate::version::{Abi, AbiVersion, PointerWidth};

impl<'a> Request<'a> {
    /// Reads a request, as the kernel would. For programs that play the kernel's part.
    ///
    /// Flags and modes are taken as they are, sense or not. Names and value blocks are borrowed.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the field that is not as a request of this layout has it.
    pub fn decode(abi: Abi, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let truncated = DecodeError::Truncated { need: abi.request_len(0), have: bytes.len() };
        if bytes.len() < abi.request_len(0) {
            return Err(truncated);
        }
        let (header, body) = Header::ref_from_prefix(bytes).map_err(|_| truncated)?;
        let (wanted, got) = (abi.version.request_version(), header.version.get());
        if !wanted.accepts(got) {
            return Err(DecodeError::Version { wanted, got });
        }
        let wanted = is64bit(abi);
        if (header.is64bit != 0) != (wanted != 0) {
            return Err(DecodeError::Width { wanted, got: header.is64bit });
        }
        let command = Command::from_code(header.cmd).ok_or(DecodeError::Command(header.cmd))?;
        match command {
            Command::Lock => {
                let (words, lvb, rest) = get_lock(abi, body).ok_or(truncated)?;
                let got = usize::from(words.namelen);
                let most = bytes.len() - abi.request_len(0);
                let name = rest
                    .get(..got)
                    .filter(|_| got <= most.min(MAX_NAME_LEN))
                    .ok_or(DecodeError::NameLength { most: most.min(MAX_NAME_LEN), got })?;
                Ok(Self::Lock(LockRequest {
                    name,
                    mode: ModeCode(words.mode),
                    flags: LockFlags::from_bits_retain(words.flags),
                    lock: LockId(words.lkid),
                    xid: words.xid,
                    timeout: words.timeout,
                    cookies: words.cookies,
                    lvb,
                }))
            }
            Command::Unlock => {
                let (words, lvb, _) = get_lock(abi, body).ok_or(truncated)?;
                Ok(Self::Unlock(UnlockRequest {
                    lock: LockId(words.lkid),
                    flags: LockFlags::from_bits_retain(words.flags),
                    cookies: words.cookies,
                    lvb,
                }))
            }
            Command::Deadlock | Command::Purge if abi.version == AbiVersion::V5 => {
                Err(DecodeError::Command(header.cmd))
            }
            Command::Deadlock => {
                let (words, _, _) = get_lock(abi, body).ok_or(truncated)?;
                Ok(Self::Deadlock {
                    lock: LockId(words.lkid),
                    flags: LockFlags::from_bits_retain(words.flags),
                })
            }
            Command::Purge => {
                let (purge, _) = PurgeBody::ref_from_prefix(body).map_err(|_| truncated)?;
                Ok(Self::Purge { node: NodeId(purge.nodeid.get()), pid: purge.pid.get() })
            }
            Command::CreateLockspace => {
                let (space, _) = LockspaceBody::ref_from_prefix(body).map_err(|_| truncated)?;
                let rest = bytes.get(LOCKSPACE_NAME_OFFSET..).ok_or(truncated)?;
                let got = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
                let name = rest
                    .get(..got)
                    .filter(|_| got <= MAX_NAME_LEN)
                    .ok_or(DecodeError::NameLength { most: MAX_NAME_LEN, got })?;
                let flags = LockspaceFlags::from_bits_retain(space.flags.get());
                Ok(Self::CreateLockspace { name, flags })
            }
            Command::RemoveLockspace => {
                let (space, _) = LockspaceBody::ref_from_prefix(body).map_err(|_| truncated)?;
                Ok(Self::RemoveLockspace {
                    minor: Minor(space.minor.get()),
                    flags: RemoveFlags::from_bits_retain(space.flags.get()),
                })
            }
        }
    }
}

/// Reads the lock part, and returns its value block and what is behind it.
fn get_lock(abi: Abi, body: &[u8]) -> Option<(LockWords, &ValueBlock, &[u8])> {
    fn get<B: LockBody>(body: &[u8]) -> Option<(LockWords, &ValueBlock, &[u8])> {
        let (raw, rest) = B::ref_from_prefix(body).ok()?;
        Some((raw.load(), raw.lvb(), rest))
    }
    match (abi.version, abi.width) {
        (AbiVersion::V6, PointerWidth::W64) => get::<v6::Lock64>(body),
        (AbiVersion::V6, PointerWidth::W32) => get::<v6::Lock32>(body),
        (AbiVersion::V5, PointerWidth::W64) => get::<v5::Lock64>(body),
        (AbiVersion::V5, PointerWidth::W32) => get::<v5::Lock32>(body),
    }
}
