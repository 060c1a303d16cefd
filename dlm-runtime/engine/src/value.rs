//! The lock value block: when it moves between a lock and its resource.

use dlm_proto::{LockFlags, LvbTransfer, Mode, StatusFlags};

use crate::lock::{Bits, Lock};
use crate::slab::Ref;
use crate::space::Space;

impl Space {
    /// Moves the block as a lock is granted what it asks for.
    pub(crate) fn transfer_block(&mut self, lock: Ref) {
        let lock = &mut self.locks[lock];
        let resource = &mut self.resources[lock.resource];
        let uses = lock.flags.contains(LockFlags::VALBLK) && lock.bits.contains(Bits::LVB_IN_USE);
        let transfer = match (lock.granted, lock.requested) {
            (None, Some(_)) => LvbTransfer::Read,
            (Some(from), Some(to)) => from.lvb_transfer(to),
            (_, None) => LvbTransfer::None,
        };
        match transfer {
            LvbTransfer::Read => match resource.lvb {
                Some(lvb) if uses => {
                    lock.lvb = lvb;
                    lock.lvb_seq = resource.lvb_seq;
                }
                _ => return,
            },
            LvbTransfer::Write if lock.flags.contains(LockFlags::IVVALBLK) => {
                resource.lvb_invalid = true;
                return;
            }
            LvbTransfer::Write if uses => {
                resource.lvb = Some(lock.lvb);
                resource.lvb_seq = resource.lvb_seq.wrapping_add(1);
                lock.lvb_seq = resource.lvb_seq;
                resource.lvb_invalid = false;
            }
            LvbTransfer::Write => return,
            LvbTransfer::None => {}
        }
        if resource.lvb_invalid {
            lock.status |= StatusFlags::VALNOTVALID;
        }
    }

    /// Moves the block as a lock is unlocked: by the granted mode, and by the flags of the last
    /// operation together with those of the unlock.
    pub(crate) fn transfer_block_at_end(&mut self, lock: Ref) {
        let Lock { flags, granted, bits, lvb, resource, .. } = self.locks[lock];
        let resource = &mut self.resources[resource];
        if granted < Some(Mode::Pw) {
            return;
        }
        if flags.contains(LockFlags::IVVALBLK) {
            resource.lvb_invalid = true;
        } else if flags.contains(LockFlags::VALBLK) && bits.contains(Bits::LVB_IN_USE) {
            resource.lvb = Some(lvb);
            resource.lvb_seq = resource.lvb_seq.wrapping_add(1);
            resource.lvb_invalid = false;
        }
    }
}
