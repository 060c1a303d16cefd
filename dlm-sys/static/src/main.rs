//! Takes a lock and releases it, without `std`, without an allocator and without a C library.
//!
//! It stands for what embeds [`dlm_proto`] and [`dlm_sys`] in a small place, such as an initramfs:
//! it creates a lockspace, takes an EX lock, converts it to NL, unlocks it, and removes the
//! lockspace, looking at each answer of the kernel. `cargo xtask size` builds it, measures it,
//! shows that no panic, no formatting and no allocation is linked in, and runs it on real kernels;
//! `c/by_hand.c` beside it does the same in C. `src/bin/records.rs` is for the parts of dlm-proto
//! that this program has no use for.
//!
//! The exit status is 0, or the [`Step`] that was not answered as it should be, or what went wrong
//! with the lockspace (`src/space.rs`).
//!
//! Built in this folder (for its `.cargo/config.toml`) by `cargo build --release`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod memory;
mod space;
mod start;

use core::time::Duration;

use dlm_proto::{
    Cookies, Event, LockId, LockRequest, LockResult, LockStatus, MAX_REQUEST_LEN, MAX_RESULT_LEN,
    Mode, Request, Token, UnlockRequest,
};
use dlm_sys::{Accepted, LockspaceDevice};

/// The lockspace. The C program of the same kind has another, so that both can run at once.
const LOCKSPACE: &[u8] = b"dlm-static";
const RESOURCE: &[u8] = b"disk0";

/// A result that has not come by then never comes: with one node the kernel queues it before the
/// `write` of the request returns.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the program does in the lockspace, in this order. The number is the exit status when it goes
/// wrong.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Step {
    Lock = 5,
    Locked = 6,
    Convert = 7,
    Converted = 8,
    Unlock = 9,
    Unlocked = 10,
}

/// The exit status of the program.
fn run() -> u8 {
    space::within(LOCKSPACE, |device| lock(device).map_err(|step| step as u8))
}

fn lock(device: &LockspaceDevice) -> Result<(), Step> {
    let token = Token::new(7, 1);
    let cookies = Cookies::for_token_in(token, 1, device.abi().width).ok_or(Step::Lock)?;

    let request = LockRequest::new(RESOURCE, Mode::Ex, cookies);
    let Accepted::Lock(lock) = submit(device, &Request::Lock(request)).ok_or(Step::Lock)? else {
        return Err(Step::Lock);
    };
    completes(device, token, lock, LockStatus::Granted).ok_or(Step::Locked)?;

    let request = LockRequest::convert(lock, Mode::Nl, cookies);
    accepts(device, &Request::Lock(request)).ok_or(Step::Convert)?;
    completes(device, token, lock, LockStatus::Granted).ok_or(Step::Converted)?;

    accepts(device, &Request::Unlock(UnlockRequest::new(lock, cookies))).ok_or(Step::Unlock)?;
    completes(device, token, lock, LockStatus::Unlocked).ok_or(Step::Unlocked)
}

fn submit(device: &LockspaceDevice, request: &Request<'_>) -> Option<Accepted> {
    let mut buffer = [0; MAX_REQUEST_LEN];
    let bytes = request.encode(device.abi(), &mut buffer).ok()?;
    device.submit(request.command(), bytes).ok()
}

/// Submits a request that is not answered with a lock id.
fn accepts(device: &LockspaceDevice, request: &Request<'_>) -> Option<()> {
    (submit(device, request)? == Accepted::Done).then_some(())
}

/// Reads the next result and compares it with the one that must come.
fn completes(
    device: &LockspaceDevice,
    token: Token,
    lock: LockId,
    status: LockStatus,
) -> Option<()> {
    if !device.poll(Some(PATIENCE)).ok()? {
        return None;
    }
    let mut buffer = [0; MAX_RESULT_LEN];
    let len = device.read_result(&mut buffer).ok()??;
    let abi = device.abi();
    let result = LockResult::decode(abi, buffer.get(..len)?).ok()?;
    match result.event(abi.width).ok()? {
        Event::Completion { token: t, status: s, lock: l, lvb: None, .. } => {
            (t == token && s == status && l == lock).then_some(())
        }
        _ => None,
    }
}
