//! Locks that a kernel keeps for ever after their session is closed.
//!
//! One defect of both kernels makes them, which the scenario
//! `an_alternate_mode_that_is_held_already_is_granted_twice` shows: a lock loses its mode, and
//! when a conversion of it then fails, it has ended but stays on its resource. The engine does the
//! same. As its id is not free again, the lockspace is of no use to further scripts.

use dlm_proto::LockFlags;

use crate::scenario::{Lock, Queue, Resource};

/// No mode.
const NONE: i8 = -1;

/// Whether all these locks, which are on both, stay because of that defect.
pub(super) fn is_known(left: &[Resource]) -> bool {
    left.iter().flat_map(|resource| &resource.locks).all(has_lost_its_mode)
}

/// No other lock is among the granted ones without a mode. What it asks for stays when a conversion
/// with NOQUEUE fails.
fn has_lost_its_mode(lock: &Lock) -> bool {
    let Lock { queue, granted, flags, .. } = *lock;
    let was_converted = LockFlags::from_bits_retain(flags).contains(LockFlags::CONVERT);
    queue == Queue::Granted && granted == NONE && was_converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_granted_lock_without_a_mode_is_known_to_stay() {
        let flags = LockFlags::CONVERT.bits();
        let queue = Queue::Granted;
        let lost = Lock { id: 2, queue, granted: NONE, requested: NONE, flags, owner: 0 };
        let on = |locks: &[Lock]| Resource { name: vec![], lvb: None, locks: locks.to_vec() };
        assert!(is_known(&[on(&[lost]), on(&[lost, Lock { requested: 3, ..lost }])]));
        for other in [
            Lock { granted: 0, ..lost },
            Lock { queue: Queue::Converting, ..lost },
            Lock { queue: Queue::Waiting, ..lost },
            Lock { flags: 0, ..lost },
        ] {
            assert!(!is_known(&[on(&[lost, other])]), "{other:?}");
        }
    }
}
