//! Goes through all of what [`dlm_proto`] does with records, for `cargo xtask size` to show that
//! none of it brings in a panic, formatting or allocation: `dlm-static` uses only a part, and the
//! decoding of requests, the 32-bit layouts and the checks of names matter most to those who read
//! what others wrote.
//!
//! It needs no DLM. The exit status is 0, or the number of what was not as it should be.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "../memory.rs"]
mod memory;
#[path = "../start.rs"]
mod start;

use core::hint::black_box;

use dlm_proto::{
    Abi, AbiVersion, Command, Cookies, DecodeError, Event, LockFlags, LockId, LockRequest,
    LockResult, LockStatus, LockspaceFlags, LockspaceName, MAX_REQUEST_LEN, MAX_RESULT_LEN, Minor,
    Mode, ModeCode, NodeId, RemoveFlags, Request, ResourceName, StatusFlags, Token, UnlockRequest,
    ValueBlock, Version,
};
use dlm_sys::misc;

/// What fails, as exit status.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Fault {
    Request = 1,
    Truncated = 2,
    Result = 3,
    Name = 4,
    Version = 5,
    Misc = 6,
}

fn run() -> u8 {
    match Abi::ALL.into_iter().try_for_each(|abi| records(black_box(abi))).and_then(|()| texts()) {
        Ok(()) => 0,
        Err(fault) => fault as u8,
    }
}

fn records(abi: Abi) -> Result<(), Fault> {
    let block = ValueBlock::from_prefix(black_box(b"block")).ok_or(Fault::Request)?;
    let token = Token::new(black_box(3), 1);
    let cookies = Cookies::for_token_in(token, 1, abi.width).ok_or(Fault::Request)?;
    let lock = LockRequest::new(black_box(b"name"), Mode::Pw, cookies);
    let convert = LockRequest::convert(LockId(7), Mode::Nl, cookies);
    let requests = [
        Request::Lock(lock),
        Request::Lock(LockRequest { lvb: &block, ..convert }),
        Request::Unlock(UnlockRequest::new(LockId(7), cookies).with_lvb(&block)),
        Request::Deadlock { lock: LockId(7), flags: LockFlags::CANCEL },
        Request::Purge { node: NodeId(1), pid: 2 },
        Request::CreateLockspace { name: b"space", flags: LockspaceFlags::NEWEXCL },
        Request::RemoveLockspace { minor: Minor(7), flags: RemoveFlags::FORCEFREE },
    ];
    requests.iter().try_for_each(|request| round_trip(abi, black_box(request)))?;
    result(abi, token, cookies, &block)
}

/// A request comes back from its bytes as it went in, and from no shorter ones.
fn round_trip(abi: Abi, request: &Request<'_>) -> Result<(), Fault> {
    let mut buffer = [0; MAX_REQUEST_LEN];
    let lacks = matches!(request.command(), Command::Deadlock | Command::Purge);
    let bytes = match request.encode(abi, &mut buffer) {
        Ok(bytes) => bytes,
        Err(_) if lacks && abi.version == AbiVersion::V5 => return Ok(()),
        Err(_) => return Err(Fault::Request),
    };
    if Request::decode(abi, black_box(bytes)) != Ok(*request) {
        return Err(Fault::Request);
    }
    let fixed = abi.request_len(0);
    for len in 0..fixed {
        let cut = bytes.get(..len).ok_or(Fault::Truncated)?;
        if Request::decode(abi, cut) != Err(DecodeError::Truncated { need: fixed, have: len }) {
            return Err(Fault::Truncated);
        }
    }
    Ok(())
}

fn result(abi: Abi, token: Token, cookies: Cookies, block: &ValueBlock) -> Result<(), Fault> {
    let result = LockResult {
        version: abi.version.request_version(),
        addr: cookies.completion_addr,
        param: cookies.completion_param,
        lksb: cookies.lksb,
        status: LockStatus::from_raw(black_box(0)),
        lock: LockId(7),
        flags: StatusFlags::VALNOTVALID,
        bast_mode: ModeCode(0),
        lvb: Some(block),
    };
    let mut buffer = [0; MAX_RESULT_LEN];
    let bytes = result.encode(abi, &mut buffer).map_err(|_| Fault::Result)?;
    let decoded = LockResult::decode(abi, black_box(bytes)).map_err(|_| Fault::Result)?;
    let event = decoded.event(abi.width).map_err(|_| Fault::Result)?;
    let ours = matches!(event, Event::Completion { token: t, lvb: Some(b), .. }
        if t == token && b == block);
    let mut cuts = (0..bytes.len()).filter_map(|len| bytes.get(..len));
    let refused = cuts.all(|cut| LockResult::decode(abi, cut).is_err());
    if decoded == result && ours && refused { Ok(()) } else { Err(Fault::Result) }
}

fn texts() -> Result<(), Fault> {
    let name = LockspaceName::new(black_box(b"space")).map_err(|_| Fault::Name)?;
    let bad = LockspaceName::new(black_box(b"sp/ce")).is_ok();
    let long = ResourceName::new(black_box(&[0; 65])).is_ok();
    if bad || long {
        return Err(Fault::Name);
    }
    let version = Version::new(black_box(6), 0, 2);
    if Version::decode(black_box(&version.encode())) != Ok(version)
        || Abi::negotiate(version, black_box(Abi::V6_64.width)) != Ok(Abi::V6_64)
    {
        return Err(Fault::Version);
    }
    let list = black_box(&b" 58 dlm_spac\n263 dlm_space\n"[..]);
    if misc::minor_of_lockspace(list, &name) != Some(263) {
        return Err(Fault::Misc);
    }
    Ok(())
}
