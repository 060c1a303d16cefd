//! What unlocks carry, when they are written, and what a refusal makes of them.

use super::*;
use crate::UnlockLvb;

const BLOCK: ValueBlock = ValueBlock([7; 32]);

#[test]
fn an_unlock_writes_the_value_block_only_if_it_is_asked_to() {
    Rig::each(|mut rig| {
        let token = rig.held_as(5, Mode::Ex, LockFlags::VALBLK);
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        // The block is not known: it is marked invalid, as the kernel would store these bytes.
        rig.assert_writes(5, LockFlags::IVVALBLK);
        let token = rig.held(6);
        assert_eq!(rig.unlock(token), Ok(Queueing::Write));
        rig.assert_writes(6, NONE);
        let token = rig.held_as(7, Mode::Ex, LockFlags::VALBLK);
        let unlock = Unlocking { lvb: UnlockLvb::Write(BLOCK), force: false };
        assert_eq!(rig.unlock_with(token, &unlock), Ok(Queueing::Write));
        let written = Unlock { id: 7, flags: LockFlags::VALBLK, lvb: BLOCK };
        assert_eq!(rig.written(), written);
    });
}
