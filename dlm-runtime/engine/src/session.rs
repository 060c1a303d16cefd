//! Open devices.

use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use dlm_proto::LockId;

use crate::chain::List;
use crate::results::Snapshot;

/// An open lockspace device. It is never reused: each one that is opened has a value of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub(crate) space: u32,
    pub(crate) index: u32,
    pub(crate) slot: u32,
    pub(crate) serial: u64,
}

impl SessionId {
    /// The lowest number that no other session of its engine had when this one was opened: an
    /// index into a table of what a host keeps for each session. A later session has it again.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// The numbers of open sessions, the lowest that is free first.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    free: BinaryHeap<Reverse<u32>>,
    used: u32,
}

impl Slots {
    /// `None` when all are taken.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(Reverse(slot)) = self.free.pop() {
            return Some(slot);
        }
        let slot = self.used;
        self.used = slot.checked_add(1)?;
        Some(slot)
    }

    pub(crate) fn free(&mut self, slot: u32) {
        self.free.push(Reverse(slot));
    }
}

/// The thread that a session's requests come from until [`set_task`](crate::Engine::set_task) says
/// otherwise.
pub(crate) const FIRST_TASK: u32 = 1;

/// The state of an open device.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) serial: u64,
    pub(crate) slot: u32,
    /// The thread that writes.
    pub(crate) task: u32,
    /// A 32-bit request was written: results are 32-bit ones from then on.
    pub(crate) compat: bool,
    /// The host was told that results are there, and has not asked since.
    pub(crate) announced: bool,
    pub(crate) locks: List,
    pub(crate) unlocking: List,
    /// 6.12: results, as they were queued.
    pub(crate) results: VecDeque<Snapshot>,
    /// 6.1: locks that have results.
    pub(crate) pending: List,
    /// 6.1: a lock that had no room for a result.
    pub(crate) lost: Option<LockId>,
}

impl Session {
    pub(crate) fn new(serial: u64, slot: u32) -> Self {
        Self {
            serial,
            slot,
            task: FIRST_TASK,
            compat: false,
            announced: false,
            locks: List::default(),
            unlocking: List::default(),
            results: VecDeque::new(),
            pending: List::default(),
            lost: None,
        }
    }

    pub(crate) fn is_readable(&self) -> bool {
        !self.results.is_empty() || !self.pending.is_empty()
    }
}

/// The sessions of a lockspace on a node.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    table: Vec<Option<Session>>,
    open: usize,
}

impl Sessions {
    pub(crate) fn open(&mut self, serial: u64, slot: u32) -> Option<u32> {
        let place = self.table.iter().position(Option::is_none).unwrap_or(self.table.len());
        let index = u32::try_from(place).ok()?;
        if place == self.table.len() {
            self.table.push(None);
        }
        *self.table.get_mut(place)? = Some(Session::new(serial, slot));
        self.open += 1;
        Some(index)
    }

    pub(crate) fn close(&mut self, index: u32) {
        let place = usize::try_from(index).ok().and_then(|index| self.table.get_mut(index));
        if place.and_then(Option::take).is_some() {
            self.open -= 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Session> {
        self.table.get(usize::try_from(index).ok()?)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Session> {
        self.table.get_mut(usize::try_from(index).ok()?)?.as_mut()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        (0..).zip(&self.table).filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }
}
