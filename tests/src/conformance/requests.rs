//! Random requests.

use dlm_proto::{LockFlags, Mode, ValueBlock, Version};

use super::generate::{Script, USUAL};
use crate::scenario::{Body, Frame, Words};
use dlm_random::Random;

/// Flags of new requests, and how often they are set, in percent.
const NEW: [(LockFlags, u64); 11] = [
    (LockFlags::NOQUEUE, 15),
    (LockFlags::VALBLK, 35),
    (LockFlags::PERSISTENT, 15),
    (LockFlags::IVVALBLK, 5),
    (LockFlags::NOQUEUEBAST, 10),
    (LockFlags::HEADQUE, 8),
    (LockFlags::NOORDER, 8),
    (LockFlags::ALTPR, 5),
    (LockFlags::ALTCW, 5),
    (LockFlags::NODLCKWT, 2),
    (LockFlags::NODLCKBLK, 2),
];

/// Flags of conversions.
const CONVERSION: [(LockFlags, u64); 12] = [
    (LockFlags::NOQUEUE, 15),
    (LockFlags::VALBLK, 40),
    (LockFlags::PERSISTENT, 12),
    (LockFlags::IVVALBLK, 7),
    (LockFlags::NOQUEUEBAST, 10),
    (LockFlags::HEADQUE, 8),
    (LockFlags::NOORDER, 8),
    (LockFlags::QUECVT, 10),
    (LockFlags::CONVDEADLK, 12),
    (LockFlags::NODLCKWT, 10),
    (LockFlags::ALTPR, 3),
    (LockFlags::ALTCW, 3),
];

/// Flags of unlocks.
const UNLOCK: [(LockFlags, u64); 3] =
    [(LockFlags::VALBLK, 30), (LockFlags::IVVALBLK, 12), (LockFlags::FORCEUNLOCK, 10)];

/// Flags of adoptions.
const ADOPTION: [(LockFlags, u64); 3] =
    [(LockFlags::PERSISTENT, 40), (LockFlags::VALBLK, 20), (LockFlags::NOQUEUE, 5)];

/// Flags that have no place in a request of one kind or the other. FORCEUNLOCK is none of them: a
/// kernel never gets rid of a lock that was requested with it.
const MISPLACED: [LockFlags; 6] = [
    LockFlags::CANCEL,
    LockFlags::EXPEDITE,
    LockFlags::QUECVT,
    LockFlags::CONVDEADLK,
    LockFlags::from_bits_retain(0x0008_0000),
    LockFlags::TIMEOUT,
];

/// How often a favourite flag is set, in percent.
const OFTEN: u64 = 45;

/// Some flags.
pub(super) fn favourites(rng: &mut Random) -> LockFlags {
    let mut flags = LockFlags::empty();
    for _ in 0..rng.index(4) {
        flags |= rng.pick(&CONVERSION).0 | rng.pick(&NEW).0;
    }
    flags
}

fn flags(script: &mut Script, shares: &[(LockFlags, u64)]) -> LockFlags {
    let mut flags = LockFlags::empty();
    for (flag, share) in shares {
        let share = if script.favourites.contains(*flag) { OFTEN } else { *share };
        if script.rng.percent(share) {
            flags |= *flag;
        }
    }
    if script.rng.percent(script.nonsense) {
        flags |= *script.rng.pick(&MISPLACED);
    }
    flags
}

fn body(script: &mut Script, shares: &[(LockFlags, u64)]) -> Body {
    let mut body = Body::new(script.mode() as u8);
    body.flags = flags(script, shares);
    if script.rng.percent(60) {
        let byte = u8::try_from(script.rng.index(255)).unwrap_or(0);
        body.lvb = ValueBlock([byte; 32]);
    }
    body.words = words(script);
    if script.rng.percent(script.nonsense) {
        body.mode = *script.rng.pick(&[6, 7, 255]);
    }
    if script.rng.percent(2) {
        (body.xid, body.timeout) = (7, 1);
    }
    body
}

/// Other words than the lock's now and then, and rarely zeros.
fn words(script: &mut Script) -> Words {
    let mut words = Words::default();
    if script.rng.percent(15) {
        words.number = u8::try_from(100 + script.rng.index(100)).ok();
    }
    if script.rng.percent(6) {
        words.notice_addr = Some(0);
    }
    if script.rng.percent(3) {
        words.param = Some(0);
    }
    if script.rng.percent(script.nonsense) {
        match script.rng.index(2) {
            0 => words.addr = Some(0),
            _ => words.lksb = Some(0),
        }
    }
    words
}

pub(super) fn lock(script: &mut Script) -> Body {
    let mut body = body(script, &NEW);
    if body.mode == Mode::Nl as u8 && script.rng.percent(40) {
        body.flags |= LockFlags::EXPEDITE;
        body.flags.remove(LockFlags::NOQUEUE);
    }
    body
}

pub(super) fn conversion(script: &mut Script) -> Body {
    let mut body = body(script, &CONVERSION);
    if body.flags.contains(LockFlags::CONVDEADLK) && !script.rng.percent(script.nonsense) {
        body.flags.remove(LockFlags::NOQUEUE);
    }
    body
}

pub(super) fn adoption(script: &mut Script) -> Body {
    body(script, &ADOPTION)
}

pub(super) fn unlock(script: &mut Script) -> Body {
    let mut body = body(script, &UNLOCK);
    body.mode = 0;
    body
}

pub(super) fn cancel(script: &mut Script) -> Body {
    let mut body = body(script, &[(LockFlags::VALBLK, 5), (LockFlags::FORCEUNLOCK, 1)]);
    body.flags |= LockFlags::CANCEL;
    body.mode = 0;
    body
}

/// Bytes other than usual.
pub(super) fn frame(script: &mut Script, is_lock: bool) -> Frame {
    let narrow = script.rng.percent(1);
    let frame = Frame { narrow, ..USUAL };
    if !script.rng.percent(script.nonsense / 2) {
        return frame;
    }
    let version = |version| Frame { version: Some(version), ..frame };
    match script.rng.index(6) {
        0 => Frame { size: Some(103), ..frame },
        1 => Frame { size: Some(185), ..frame },
        2 => version(Version::new(6, 0, 99)),
        3 => version(Version::new(7, 0, 0)),
        // In a PURGE it would be part of a node's number.
        4 if is_lock => Frame { namelen: Some(65), ..frame },
        _ => Frame { command: Some(*script.rng.pick(&[0, 3, 4, 5, 8, 255])), ..frame },
    }
}
