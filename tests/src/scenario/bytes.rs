//! Requests to bytes.

use dlm_proto::{Abi, LockFlags, LockId, LockRequest, MAX_REQUEST_LEN, Request, VERSION_LEN};
use dlm_sys::Errno;

use super::step::{Body, Frame, Words};
use crate::request::cookies;

/// Where the name of a lockspace stands in a request.
pub(super) const LOCKSPACE_NAME: usize = 24;

/// The fewest bytes that a 64-bit kernel looks at.
const LEAST: usize = 104;

/// Whether the kernel got so far as to look at the width of a request.
pub(super) fn was_looked_at(answer: &Result<i64, Errno>, size: usize) -> bool {
    match answer {
        Ok(_) => true,
        Err(errno) => *errno != Errno::EBADE && (LEAST..=MAX_REQUEST_LEN).contains(&size),
    }
}

pub(super) fn lock_request<'a>(
    name: &'a [u8],
    body: &'a Body,
    flags: LockFlags,
    id: u32,
    number: u8,
) -> LockRequest<'a> {
    LockRequest {
        name,
        mode: dlm_proto::ModeCode(body.mode),
        flags,
        lock: LockId(id),
        xid: body.xid,
        timeout: body.timeout,
        cookies: words(&body.words, number),
        lvb: &body.lvb,
    }
}

pub(super) fn words(words: &Words, number: u8) -> dlm_proto::Cookies {
    let usual = cookies(words.number.unwrap_or(number));
    dlm_proto::Cookies {
        completion_addr: words.addr.unwrap_or(usual.completion_addr),
        completion_param: words.param.unwrap_or(usual.completion_param),
        blocking_addr: words.notice_addr.unwrap_or(usual.blocking_addr),
        blocking_param: words.notice_param.unwrap_or(usual.blocking_param),
        lksb: words.lksb.unwrap_or(usual.lksb),
    }
}

/// The bytes of a request, changed as the frame says.
pub(super) fn bytes(frame: Frame, request: &Request<'_>) -> Result<Vec<u8>, String> {
    let abi = if frame.narrow { Abi::V6_32 } else { Abi::V6_64 };
    let mut buffer = [0; MAX_REQUEST_LEN];
    let encoded = request.encode(abi, &mut buffer).map_err(|error| error.to_string())?;
    let mut bytes = encoded.to_vec();
    if let (Some(version), Some(place)) = (frame.version, bytes.get_mut(..VERSION_LEN)) {
        place.copy_from_slice(&version.encode());
    }
    for (at, byte) in [(12, frame.command), (17, frame.namelen)] {
        if let (Some(byte), Some(place)) = (byte, bytes.get_mut(at)) {
            *place = byte;
        }
    }
    if let Some(size) = frame.size {
        bytes.resize(size, 0);
    }
    Ok(bytes)
}
