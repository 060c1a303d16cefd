//! The rules for each request, at the moment when its `write` begins.

use alloc::vec::Vec;

use dlm_proto::{
    Cookies, LockFlags, LockId, LockRequest, Mode, NodeId, Request, ResourceName, UnlockRequest,
};

use super::Strict;
use super::block::Block;
use super::record::{Cancel, Life, Operation, Record};
use super::violation::Violation;

/// A `write` in progress, with the state to restore if it is refused.
#[derive(Debug)]
pub(super) enum Written {
    /// A LOCK, or an adoption.
    Lock(u64),
    Convert(u64, Before),
    Cancel(u64, Before),
    Unlock(u64, LockFlags),
    /// A PURGE of the device's own locks, which are these.
    PurgeOwn(Vec<u64>),
    /// Any other request.
    Other,
}

/// The state of a lock's record before a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) cancel: Cancel,
    pub(super) is_forced: bool,
    pub(super) flags: LockFlags,
}

impl Before {
    fn of(record: &Record) -> Self {
        Self { cancel: record.cancel, is_forced: record.is_forced, flags: record.flags }
    }
}

/// Reads a request, and refuses what a kernel would misread.
pub(super) fn decode(abi: dlm_proto::Abi, bytes: &[u8]) -> Result<Request<'_>, Violation> {
    let request = Request::decode(abi, bytes).map_err(Violation::Malformed)?;
    match &request {
        Request::CreateLockspace { name, .. } if name.contains(&b'/') => {
            Err(Violation::SlashInName)
        }
        Request::RemoveLockspace { minor, .. } if minor.0 == 0 => Err(Violation::MinorZero),
        _ => Ok(request),
    }
}

impl Strict {
    pub(super) fn submit(
        &mut self,
        serial: u64,
        task: Option<u32>,
        request: &Request<'_>,
    ) -> Result<Written, Violation> {
        match request {
            Request::Lock(lock) => {
                let mode = lock.mode.known().ok_or(Violation::UnknownMode(lock.mode))?;
                if lock.flags.contains(LockFlags::FORCEUNLOCK) {
                    return Err(Violation::ForceOnLock);
                }
                if lock.flags.contains(LockFlags::CONVERT) {
                    self.convert(serial, mode, lock)
                } else if lock.flags.contains(LockFlags::ORPHAN | LockFlags::EXPEDITE) {
                    Err(Violation::ExpediteOnOrphan)
                } else if lock.flags.contains(LockFlags::ORPHAN) {
                    Ok(self.lock(serial, mode, lock, None))
                } else {
                    self.request(serial, mode, lock)
                }
            }
            Request::Unlock(unlock) if unlock.flags.contains(LockFlags::CANCEL) => {
                self.cancel(unlock.lock, unlock.cookies.completion_param, unlock.flags)
            }
            Request::Unlock(unlock) => self.unlock(unlock),
            Request::Deadlock { lock, flags } => self.cancel(*lock, 0, *flags),
            Request::Purge { node, pid } => self.purge(task, *node, *pid),
            _ => Ok(Written::Other),
        }
    }

    fn request(
        &mut self,
        serial: u64,
        mode: Mode,
        request: &LockRequest<'_>,
    ) -> Result<Written, Violation> {
        if self.first_requests_apart {
            let here = |it: &&Record| *it.name == *request.name;
            // The kernel has it, granted or waiting, and it has not ended.
            let is_there = |it: &Record| {
                let is_taken = it.id.is_some() && (it.held.is_some() || !it.is_new);
                is_taken && it.life == Life::Live && !it.may_have_ended()
            };
            let is_guarded = self.locks.iter().filter(here).any(is_there);
            let is_asked = |it: &Record| it.is_new && it.operation.is_some_and(|it| it.is_request);
            if !is_guarded && self.locks.iter().filter(here).any(is_asked) {
                return Err(Violation::FirstRequests(name_of(request)));
            }
        }
        let flags = request.flags;
        let operation = Operation { serial, is_request: true, mode, flags };
        Ok(self.lock(serial, mode, request, Some(operation)))
    }

    /// A new record: of a lock that is requested, or of an adopted one, which has nothing in
    /// flight.
    fn lock(
        &mut self,
        key: u64,
        mode: Mode,
        request: &LockRequest<'_>,
        operation: Option<Operation>,
    ) -> Written {
        let Cookies { completion_param: param, .. } = request.cookies;
        let is_adopted = operation.is_none();
        let block = if is_adopted { Block::adopted() } else { Block::requested(request.flags) };
        self.locks.add(Record {
            key,
            life: Life::Live,
            id: None,
            id_since: 0,
            param,
            name: name_of(request),
            is_new: true,
            converting: None,
            cancelling: 0,
            held: is_adopted.then_some(mode),
            operation,
            cancel: Cancel::default(),
            is_forced: false,
            flags: request.flags,
            block,
        });
        Written::Lock(key)
    }

    fn convert(
        &mut self,
        serial: u64,
        mode: Mode,
        request: &LockRequest<'_>,
    ) -> Result<Written, Violation> {
        let LockRequest { lock, flags, lvb, .. } = *request;
        let record = self.locks.named(lock, request.cookies.completion_param, false)?;
        if record.may_have_ended() {
            return Err(Violation::PerhapsEnded(lock));
        }
        if record.operation.is_some() {
            return Err(Violation::Overlap(lock));
        }
        if record.is_being_written() {
            return Err(Violation::WriteUnreturned(lock));
        }
        if flags.contains(LockFlags::QUECVT) {
            if let Some(from) = record.held.filter(|held| !held.allows_quecvt(mode)) {
                return Err(Violation::IllegalQuecvt { lock, from, to: mode });
            }
        }
        if let Some(mode) = record.held_alternate(mode, flags) {
            return Err(Violation::AlternateHeld { lock, mode });
        }
        let writes = record.writes_by_conversion(mode, flags);
        let counts = record.flags.contains(LockFlags::VALBLK);
        let gives_up = flags.contains(LockFlags::IVVALBLK);
        if !writes && !gives_up && !record.block.may_carry(lvb, flags, counts) {
            return Err(Violation::OtherBlock(lock));
        }
        let before = Before::of(record);
        record.block.carry(flags, lvb);
        record.operation = Some(Operation { serial, is_request: false, mode, flags });
        record.converting = Some(serial);
        record.cancel = Cancel::default();
        record.is_forced = false;
        record.flags = flags;
        Ok(Written::Convert(record.key, before))
    }

    /// CANCEL, and DEADLOCK, which carries no words.
    fn cancel(&mut self, id: LockId, param: u64, flags: LockFlags) -> Result<Written, Violation> {
        let record = self.locks.named(id, param, true)?;
        let marks = flags.contains(LockFlags::CANCEL);
        if marks && record.cancel.is_marked {
            return Err(Violation::SecondCancel(id));
        }
        if record.may_have_ended() {
            return Err(Violation::PerhapsEnded(id));
        }
        if record.is_being_written() {
            return Err(Violation::WriteUnreturned(id));
        }
        let before = Before::of(record);
        // With nothing to cancel it does nothing, and may be repeated.
        if let Some(operation) = record.operation {
            record.cancel.is_marked |= marks;
            record.cancel.may_end |= operation.is_request;
            record.cancel.is_unanswered = true;
        }
        record.cancelling += 1;
        Ok(Written::Cancel(record.key, before))
    }

    fn unlock(&mut self, request: &UnlockRequest<'_>) -> Result<Written, Violation> {
        let UnlockRequest { lock, flags, cookies, lvb } = *request;
        let allows_overlap = self.allows_overlap;
        let record = self.locks.named(lock, cookies.completion_param, true)?;
        let by_force = flags.contains(LockFlags::FORCEUNLOCK);
        if record.may_have_ended() {
            return Err(Violation::PerhapsEnded(lock));
        }
        if by_force && record.is_forced {
            return Err(Violation::SecondForce(lock));
        }
        if !by_force && record.operation.is_some() && !allows_overlap {
            return Err(Violation::Overlap(lock));
        }
        if record.is_being_written() {
            return Err(Violation::WriteUnreturned(lock));
        }
        // Where force was refused nothing else is left: the kernel says when it is answered.
        if !by_force && record.cancel.is_unanswered && !record.is_forced {
            return Err(Violation::CancelUnanswered(lock));
        }
        if flags.contains(LockFlags::VALBLK) && !record.block.may_have_buffer() {
            return Err(Violation::NoBlock(lock));
        }
        let counts = record.flags.contains(LockFlags::VALBLK);
        let is_own = if by_force || record.operation.is_some() {
            record.block.may_carry_in_flight(lvb, flags, counts)
        } else {
            record.block.may_carry(lvb, flags, counts)
        };
        let gives_up = flags.contains(LockFlags::IVVALBLK);
        if !record.writes_by_unlock(flags) && !gives_up && !is_own {
            return Err(Violation::OtherBlock(lock));
        }
        record.life = Life::GivenUp;
        Ok(Written::Unlock(record.key, flags))
    }

    fn purge(&mut self, task: Option<u32>, node: NodeId, pid: u32) -> Result<Written, Violation> {
        let is_here = node.0 == 0 || self.node == Some(node);
        if task != Some(pid) || !is_here {
            return Ok(Written::Other);
        }
        // What is still being written may be gone afterwards, or not.
        if let Some(record) = self.locks.iter().find(|it| it.is_new) {
            return Err(Violation::LockUnreturned(record.id()));
        }
        if let Some(record) = self.locks.iter().find(|it| it.is_being_written()) {
            return Err(Violation::WriteUnreturned(record.id()));
        }
        let live = self.locks.iter_mut().filter(|it| it.life == Life::Live);
        let own = live.map(|record| {
            record.life = Life::GivenUp;
            record.key
        });
        Ok(Written::PurgeOwn(own.collect()))
    }
}

fn name_of(request: &LockRequest<'_>) -> ResourceName {
    // A longer one is refused by the kernel.
    ResourceName::new(request.name).unwrap_or_default()
}
