//! From bytes to actions.

use dlm_core::Rules;
use dlm_engine::Profile;
use dlm_proto::{LockFlags, Mode};

/// What is chosen once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) rules: Rules,
    pub(crate) profile: Profile,
    pub(crate) nodes: u32,
    pub(crate) seed: u64,
    /// Results are forged and lost, and another program uses our ids.
    pub(crate) has_faults: bool,
    /// The lockspace ends before the handles are dropped.
    pub(crate) ends: bool,
}

impl Setup {
    pub(crate) fn new(bytes: &[u8]) -> (Self, &[u8]) {
        let (&[what, seed, low], rest) = bytes.split_first_chunk().unwrap_or((&[0; 3], &[]));
        let is = |bit: u8| what >> bit & 1 == 1;
        let setup = Self {
            rules: if is(0) { Rules::AsAsked } else { Rules::Checked },
            profile: if is(1) { Profile::Linux6_12 } else { Profile::Linux6_1 },
            nodes: if is(2) { 2 } else { 1 },
            seed: u64::from(seed) << 8 | u64::from(low),
            has_faults: is(3),
            ends: is(4) && is(5),
        };
        (setup, rest)
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    Adopt,
    Convert,
    Unlock,
    Cancel,
    Release,
    GiveUp,
    /// A write reaches the lock manager.
    Issue,
    /// A write returns.
    Return,
    Read,
    TakeOutcome,
    /// Time passes, and what is overdue is seen to.
    Tick,
    /// The next message between nodes arrives.
    Step,
    /// Another program locks or unlocks, or leaves an orphan behind.
    OtherLock,
    OtherUnlock,
    Orphan,
    /// The other node stands still, goes on, or crashes.
    Freeze,
    Thaw,
    Crash,
    /// A result comes again.
    Repeat,
    Forge,
    Lose,
    /// Another program unlocks one of our locks by its id.
    Steal,
    /// A call for a lock that is gone.
    Stale,
}

/// An action, with more fields than most kinds use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action {
    pub(crate) kind: Kind,
    /// Which of the locks, writes or results.
    pub(crate) which: u8,
    pub(crate) mode: Mode,
    pub(crate) flags: LockFlags,
    pub(crate) name: &'static str,
    pub(crate) more: u8,
}

impl Action {
    pub(crate) fn is(&self, bit: u8) -> bool {
        self.more >> bit & 1 == 1
    }
}

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// How often each kind is chosen, in 64.
const KINDS: [(Kind, u8); 24] = [
    (Kind::Lock, 6),
    (Kind::Adopt, 1),
    (Kind::Convert, 5),
    (Kind::Unlock, 4),
    (Kind::Cancel, 2),
    (Kind::Release, 2),
    (Kind::GiveUp, 2),
    (Kind::Issue, 8),
    (Kind::Return, 8),
    (Kind::Read, 5),
    (Kind::TakeOutcome, 2),
    (Kind::Tick, 2),
    (Kind::Step, 4),
    (Kind::OtherLock, 2),
    (Kind::OtherUnlock, 2),
    (Kind::Orphan, 1),
    (Kind::Freeze, 1),
    (Kind::Thaw, 1),
    (Kind::Crash, 1),
    (Kind::Repeat, 1),
    (Kind::Forge, 1),
    (Kind::Lose, 1),
    (Kind::Steal, 1),
    (Kind::Stale, 1),
];

/// Flags that a byte chooses among, twice.
const FLAGS: [LockFlags; 16] = [
    LockFlags::empty(),
    LockFlags::empty(),
    LockFlags::empty(),
    LockFlags::NOQUEUE,
    LockFlags::VALBLK,
    LockFlags::VALBLK,
    LockFlags::NOQUEUE.union(LockFlags::NOQUEUEBAST),
    LockFlags::QUECVT,
    LockFlags::CONVDEADLK,
    LockFlags::NODLCKWT,
    LockFlags::HEADQUE,
    LockFlags::PERSISTENT,
    LockFlags::ALTPR.union(LockFlags::ALTCW),
    LockFlags::EXPEDITE,
    LockFlags::IVVALBLK,
    LockFlags::FORCEUNLOCK,
];

/// The actions of an input.
#[derive(Debug)]
pub(crate) struct Actions<'a>(&'a [u8]);

impl<'a> Actions<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

fn pick<T: Copy, const N: usize>(of: &[T; N], number: u8) -> Option<T> {
    of.get(usize::from(number) % N).copied()
}

fn kind_of(mut number: u8) -> Option<Kind> {
    KINDS.iter().find_map(|&(kind, share)| {
        let rest = number.checked_sub(share);
        number = rest.unwrap_or_default();
        rest.is_none().then_some(kind)
    })
}

impl Iterator for Actions<'_> {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        let [kind, which, mode, flags, name, more] = *bytes;
        Some(Action {
            kind: kind_of(kind % 64)?,
            which,
            mode: pick(&Mode::ALL, mode)?,
            flags: pick(&FLAGS, flags)? | pick(&FLAGS, flags >> 4)?,
            name: pick(&NAMES, name)?,
            more,
        })
    }
}
