//! The locks of a device, found by what requests and results name them by.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use dlm_proto::{LockId, LockStatus};

use super::record::{Life, Record};
use super::violation::Violation;

/// All locks of a device, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Locks {
    records: Vec<Record>,
    /// Ids that this device had and has no more.
    dead: BTreeSet<LockId>,
}

impl Locks {
    pub(super) fn add(&mut self, record: Record) {
        self.records.push(record);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.records.iter_mut()
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Record> {
        self.records.iter_mut().find(|it| it.key == key)
    }

    /// The live lock that a request names by its id and, unless it is 0, its parameter word.
    /// `ends`: the request may end the lock.
    pub(super) fn named(
        &mut self,
        id: LockId,
        param: u64,
        ends: bool,
    ) -> Result<&mut Record, Violation> {
        // Its id is not known to the program yet, unless it guesses.
        let is_unreturned = |it: &Record| {
            it.is_new && it.id.is_none_or(|of| of == id) && param != 0 && it.param == param
        };
        let is_unreturned = ends && self.records.iter().any(is_unreturned);
        let is_meant = |it: &Record| param == 0 || it.param == param;
        let live = |it: &Record| it.is_live(id);
        // Several may have the id, if nobody has said yet that all but one have ended.
        let last = |wanted: &dyn Fn(&Record) -> bool| {
            let records = self.records.iter().enumerate().filter(|(_, it)| live(it) && wanted(it));
            records.max_by_key(|(_, it)| (!it.may_have_ended(), it.id_since)).map(|(at, _)| at)
        };
        let Some(place) = last(&is_meant).or_else(|| last(&|_| true)) else {
            let missing = self.missing(id);
            return Err(if is_unreturned { Violation::LockUnreturned(id) } else { missing });
        };
        let missing = Violation::UnknownLock(id);
        let record = self.records.get_mut(place).ok_or(missing)?;
        if is_meant(record) {
            let is_early = ends && record.is_new;
            if is_early { Err(Violation::LockUnreturned(id)) } else { Ok(record) }
        } else if is_unreturned {
            Err(Violation::LockUnreturned(id))
        } else {
            Err(Violation::OtherLock { lock: id, owner: record.param, sender: param })
        }
    }

    /// There is no live lock with this id.
    fn missing(&self, id: LockId) -> Violation {
        if self.dead.contains(&id) || self.records.iter().any(|it| it.id == Some(id)) {
            Violation::EndedLock(id)
        } else {
            Violation::UnknownLock(id)
        }
    }

    /// The lock whose completion was read.
    pub(super) fn of_result(
        &mut self,
        id: LockId,
        param: u64,
        status: LockStatus,
    ) -> Option<&mut Record> {
        let is_meant = |it: &Record| {
            it.param == param && (it.id == Some(id) || (it.is_new && it.id.is_none()))
        };
        // An id can be one lock's that is given up and the next one's, both unread.
        let is_expected = |it: &Record| match status {
            LockStatus::Unlocked => it.life == Life::GivenUp,
            _ => it.operation.is_some(),
        };
        let expected = self.records.iter().position(|it| is_meant(it) && is_expected(it));
        let place = expected.or_else(|| self.records.iter().position(is_meant))?;
        self.records.get_mut(place)
    }

    /// The LOCK of a lock has returned this id, at the time `now`.
    pub(super) fn returned(&mut self, key: u64, id: LockId, now: u64) {
        let Some(record) = self.get_mut(key) else { return };
        record.is_new = false;
        if record.life == Life::Ended {
            record.id = Some(id);
            self.end(key);
        } else {
            self.learn(key, id, now);
        }
    }

    /// The id of a lock, from its LOCK or from a result, at the time `now`.
    pub(super) fn learn(&mut self, key: u64, id: LockId, now: u64) {
        let Some(record) = self.get_mut(key).filter(|it| it.id.is_none()) else { return };
        (record.id, record.id_since) = (Some(id), now);
        self.dead.remove(&id);
        // A lock that had it before this one was requested has ended, if nobody has said so yet.
        self.records.retain(|it| it.key == key || !it.is_live(id) || it.id_since > key);
    }

    /// A lock is no more. Until its LOCK has returned its id stays known.
    pub(super) fn end(&mut self, key: u64) {
        let Some(record) = self.get_mut(key) else { return };
        if record.is_new {
            (record.life, record.operation) = (Life::Ended, None);
            return;
        }
        let id = record.id;
        self.records.retain(|it| it.key != key);
        let is_taken = |id: &LockId| self.records.iter().any(|it| it.id == Some(*id));
        self.dead.extend(id.filter(|id| !is_taken(id)));
    }

    /// The LOCK was refused: there is no such lock.
    pub(super) fn remove(&mut self, key: u64) {
        self.records.retain(|it| it.key != key);
    }

    /// An UNLOCK was refused, but not for want of the lock, which lives on.
    pub(super) fn revive(&mut self, key: u64) {
        if let Some(record) = self.get_mut(key) {
            record.life = Life::Live;
        }
    }
}
