//! The answer of a `write`, and its meaning for the lock.

use dlm_proto::{LockFlags, LockId};

use super::Strict;
use super::record::Cancel;
use super::submit::Written;
use crate::errno::Errno;

impl Strict {
    pub(super) fn finish(&mut self, serial: u64, written: Written, answer: Result<i64, Errno>) {
        match written {
            Written::Lock(key) => match answer.ok().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => self.locks.returned(key, LockId(id), self.serial),
                None => self.locks.remove(key),
            },
            Written::Convert(key, before) => {
                let Some(record) = self.locks.get_mut(key) else { return };
                if record.converting == Some(serial) {
                    record.converting = None;
                }
                let is_mine = record.operation.is_some_and(|it| it.serial == serial);
                let Err(errno) = answer else { return };
                if is_mine {
                    record.operation = None;
                    if !has_marked(errno) {
                        (record.cancel, record.flags) = (before.cancel, before.flags);
                        record.is_forced = before.is_forced;
                    }
                }
                if errno == Errno::ENOENT {
                    self.locks.end(key);
                }
            }
            Written::Cancel(key, before) => {
                let Some(record) = self.locks.get_mut(key) else { return };
                record.cancelling = record.cancelling.saturating_sub(1);
                let Err(errno) = answer else { return };
                let is_marked =
                    before.cancel.is_marked || (record.cancel.is_marked && has_marked(errno));
                record.cancel = Cancel { is_marked, ..before.cancel };
                if errno == Errno::ENOENT {
                    self.locks.end(key);
                }
            }
            Written::Unlock(key, flags) => {
                let Err(errno) = answer else { return };
                if errno == Errno::ENOENT {
                    self.locks.end(key);
                    return;
                }
                self.locks.revive(key);
                if let Some(record) = self.locks.get_mut(key) {
                    let by_force = flags.contains(LockFlags::FORCEUNLOCK);
                    record.is_forced |= by_force && has_marked(errno);
                }
            }
            Written::PurgeOwn(own) => {
                for key in own {
                    if answer.is_ok() {
                        self.locks.end(key);
                    } else {
                        self.locks.revive(key);
                    }
                }
            }
            Written::Other => {}
        }
    }
}

/// Whether the lock has the flags of a request that was refused so. By its source a kernel gives
/// them to the lock before it looks for a message buffer, and does not take them back.
fn has_marked(errno: Errno) -> bool {
    errno == Errno::ENOBUFS
}
