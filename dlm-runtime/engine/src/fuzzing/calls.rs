//! From bytes to calls.

use dlm_proto::{LockFlags, Mode, ModeCode};

/// The kind of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Close,
    Read,
    Request,
    Convert,
    Adopt,
    Unlock,
    Cancel,
    Deadlock,
    Purge,
}

/// A call, with more fields than most kinds use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) kind: Kind,
    /// Which of the sessions.
    pub(super) session: u8,
    /// The lock id.
    pub(super) lock: u32,
    pub(super) mode: ModeCode,
    pub(super) flags: LockFlags,
    pub(super) name: &'static [u8],
    /// A thread.
    pub(super) task: u32,
}

/// The calls of an input.
#[derive(Debug)]
pub(super) struct Calls<'a>(&'a [u8]);

impl<'a> Calls<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

/// Flags that a byte chooses among, beside the usual ones.
const FLAGS: [LockFlags; 16] = [
    LockFlags::empty(),
    LockFlags::NOQUEUE,
    LockFlags::VALBLK,
    LockFlags::PERSISTENT,
    LockFlags::NOQUEUE.union(LockFlags::NOQUEUEBAST),
    LockFlags::QUECVT,
    LockFlags::CONVDEADLK,
    LockFlags::NODLCKWT,
    LockFlags::HEADQUE,
    LockFlags::NOORDER,
    LockFlags::ALTPR,
    LockFlags::ALTCW,
    LockFlags::EXPEDITE,
    LockFlags::IVVALBLK,
    LockFlags::ALTPR.union(LockFlags::QUECVT),
    LockFlags::FORCEUNLOCK,
];

const NAMES: [&[u8]; 4] = [b"a", b"b", b"a\0", b""];

fn pick<T: Copy>(of: &[T], number: u8) -> Option<T> {
    of.get(usize::from(number) % of.len().max(1)).copied()
}

impl Iterator for Calls<'_> {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        let [kind, session, lock, mode, flags, name] = *bytes;
        let kinds = [
            Kind::Open,
            Kind::Close,
            Kind::Read,
            Kind::Read,
            Kind::Request,
            Kind::Request,
            Kind::Request,
            Kind::Convert,
            Kind::Convert,
            Kind::Convert,
            Kind::Adopt,
            Kind::Unlock,
            Kind::Unlock,
            Kind::Cancel,
            Kind::Deadlock,
            Kind::Purge,
        ];
        let unlocks =
            [LockFlags::empty(), LockFlags::VALBLK, LockFlags::IVVALBLK, LockFlags::FORCEUNLOCK];
        let kind = pick(&kinds, kind)?;
        let flags = match kind {
            Kind::Unlock => pick(&unlocks, flags)?,
            Kind::Deadlock | Kind::Cancel => LockFlags::CANCEL,
            _ => pick(&FLAGS, flags)? | pick(&FLAGS, flags >> 4)?,
        };
        // An orphan that converts is then granted beside others, on kernels as here: see the crate.
        let flags = if kind == Kind::Adopt { flags - LockFlags::EXPEDITE } else { flags };
        let mode = match mode {
            255 => ModeCode(6),
            mode => pick(&Mode::ALL, mode)?.into(),
        };
        Some(Call {
            kind,
            session: session % 4,
            lock: u32::from(lock % 12),
            mode,
            flags,
            name: pick(&NAMES, name)?,
            task: 1 + u32::from(name % 3),
        })
    }
}
