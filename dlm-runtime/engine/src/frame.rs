//! From bytes to requests, as a kernel takes them.

use dlm_proto::{Abi, AbiVersion, DecodeError, LockFlags, MAX_REQUEST_LEN, Request};

use crate::errno::Errno;

/// Room for a record of any length with the longest name.
pub(crate) type Pad = [u8; PAD_LEN];
const PAD_LEN: usize = MAX_REQUEST_LEN + u8::MAX as usize;
/// An empty one.
pub(crate) const PAD: Pad = [0; PAD_LEN];

/// Longer than any name may be.
const TOO_LONG: [u8; 65] = [0; 65];

/// A request, and whether it is a 32-bit one.
pub(crate) type Framed<'a> = (Request<'a>, bool);

/// The reason why bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unframed {
    /// Refused with this.
    Refused(Errno),
    /// The command is unknown, but the record counts as a 32-bit one or not.
    Unknown { compat: bool },
    /// [`decode_loosely`] is to be asked.
    Unusual,
}

/// The place where the kernel reads what it reads, whatever the width.
const IS_64_BIT: usize = 13;
const NAME_LEN: usize = 17;
const FLAGS: usize = 20;

/// The place where the name of a 32-bit lock request begins.
const NAME_OF_32_BIT: usize = 100;

/// Checks the length as a kernel does before anything else.
fn check_len(abi: Abi, len: usize) -> Result<(), Unframed> {
    let (least, most) = match abi.version {
        // A 64-bit kernel takes the requests of 32-bit programs, too.
        AbiVersion::V6 => (Abi::V6_32.request_len(0), MAX_REQUEST_LEN),
        AbiVersion::V5 => (abi.request_len(0), usize::MAX),
    };
    if len < least || len > most { Err(Unframed::Refused(Errno::EINVAL)) } else { Ok(()) }
}

/// The layout of a record.
fn layout(abi: Abi, bytes: &[u8]) -> Abi {
    match (abi.version, bytes.get(IS_64_BIT)) {
        (AbiVersion::V6, Some(0)) => Abi::V6_32,
        (AbiVersion::V6, _) => Abi::V6_64,
        (AbiVersion::V5, _) => abi,
    }
}

/// Reads a request that is as its layout has it.
#[inline]
pub(crate) fn decode(abi: Abi, bytes: &[u8]) -> Result<Framed<'_>, Unframed> {
    check_len(abi, bytes.len())?;
    let abi = layout(abi, bytes);
    let compat = abi == Abi::V6_32;
    match Request::decode(abi, bytes) {
        Ok(Request::CreateLockspace { name, flags }) if compat => {
            // The name of a 32-bit request has as many bytes as the record has more than its least.
            let room = bytes.len().saturating_sub(abi.request_len(0));
            let name = name.get(..room).unwrap_or(name);
            Ok((Request::CreateLockspace { name, flags }, compat))
        }
        Ok(request) => Ok((request, compat)),
        Err(error) => Err(refuse(error, compat)),
    }
}

#[cold]
fn refuse(error: DecodeError, compat: bool) -> Unframed {
    match error {
        DecodeError::Version { .. } => Unframed::Refused(Errno::EBADE),
        DecodeError::Command(_) => Unframed::Unknown { compat },
        _ => Unframed::Unusual,
    }
}

/// Reads a request that is shorter than its layout, or whose name is longer than its bytes. A
/// kernel reads on in its own memory; here zeros are there.
#[cold]
pub(crate) fn decode_loosely<'a>(
    abi: Abi,
    bytes: &[u8],
    pad: &'a mut Pad,
) -> Result<Framed<'a>, Unframed> {
    check_len(abi, bytes.len())?;
    pad.get_mut(..bytes.len()).ok_or(Unframed::Refused(Errno::EINVAL))?.copy_from_slice(bytes);
    let abi = layout(abi, bytes);
    if abi.version == AbiVersion::V5 {
        return Err(Unframed::Refused(Errno::EINVAL));
    }
    if abi == Abi::V6_32 {
        // The kernel takes no more of a name than the record has more than its least, although the
        // name begins before that.
        let end = NAME_OF_32_BIT + bytes.len().saturating_sub(abi.request_len(0));
        pad.iter_mut().skip(end).for_each(|byte| *byte = 0);
    }
    let long_name = pad.get(NAME_LEN).is_some_and(|&len| usize::from(len) >= TOO_LONG.len());
    if long_name {
        // Only lock requests have one; a lockspace's flags are here in other commands.
        let mut copy = *pad;
        if let Some(len) = copy.get_mut(NAME_LEN) {
            *len = 0;
        }
        let is_lock = matches!(Request::decode(abi, &copy), Ok(Request::Lock(_)));
        if is_lock {
            *pad = copy;
        }
    }
    let converts = pad.get(FLAGS..).and_then(|rest| rest.first_chunk()).is_some_and(|flags| {
        LockFlags::from_bits_retain(u32::from_ne_bytes(*flags)).contains(LockFlags::CONVERT)
    });
    let compat = abi == Abi::V6_32;
    match Request::decode(abi, pad) {
        Ok(Request::Lock(mut lock)) => {
            if long_name && !converts {
                lock.name = &TOO_LONG;
            }
            Ok((Request::Lock(lock), compat))
        }
        Ok(request) => Ok((request, compat)),
        Err(error) => match refuse(error, compat) {
            Unframed::Unusual => Err(Unframed::Refused(Errno::EINVAL)),
            other => Err(other),
        },
    }
}
