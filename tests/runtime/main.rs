//! The promises of dlm-runtime, on the kernel and on engines of each kind.

mod blocking;
mod cache;
mod cached;
mod deadline;
mod delivery;
mod edge;
mod end;
mod expected_wait;
mod faults;
mod first_requests;
mod foreign_code;
mod future;
mod handles;
mod hazards;
mod late;
mod lvb;
mod nobody_reads;
mod notices;
mod orphan;
mod random;
mod refused;
mod sync;
mod transactions;
mod unlock_in_callback;
mod visible_end;

use dlm_runtime::{Lockspace, Mode};

/// Requests a lock on each of so many resources, and drops it.
fn drop_locks(ls: &Lockspace, count: u32) {
    for n in 0..count {
        drop(ls.lock(n.to_ne_bytes(), Mode::Ex).start(|_| {}).unwrap());
    }
}

/// Each of the resources of [`drop_locks`] can be locked at once.
fn are_free(other: &Lockspace, count: u32) {
    for n in 0..count {
        let lock = other.lock(n.to_ne_bytes(), Mode::Ex).no_queue().wait();
        lock.unwrap().unlock().wait().unwrap();
    }
}
