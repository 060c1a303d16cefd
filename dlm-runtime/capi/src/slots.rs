//! Open lockspaces where most calls find theirs: by its number, and without a lock.
//!
//! A slot is memory that stays, so that a call may say that it uses one before it looks what is in it.
//! The table of the module `handles` is the truth; what finds no place here is found there.

use std::ops::Deref;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::face::Session;

/// Handles differ by this, as addresses do.
pub(crate) const STEP: usize = 0x10;

/// There are seldom as many as this.
const COUNT: usize = 64;

static SLOTS: [Slot; COUNT] = [const { Slot::new() }; COUNT];

/// A place for an open lockspace.
///
/// All that is done to these words is in one order (`SeqCst`). A user first counts himself, and then
/// looks at the number; who takes the session away has first put the number away, and then looks at
/// the count. So one of them sees the other.
struct Slot {
    /// The number by which the session is found; 0 for none.
    number: AtomicUsize,
    /// Leases that there are, also those of who has found another number.
    users: AtomicUsize,
    /// From `Arc::into_raw`. Changed by who has the table of handles locked, from NULL with the number
    /// 0, or to NULL with the number 0 and no users.
    session: AtomicPtr<Session>,
}

impl Slot {
    const fn new() -> Self {
        Self {
            number: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
            session: AtomicPtr::new(null_mut()),
        }
    }

    /// The slot for a number.
    #[inline(always)]
    fn of(number: usize) -> &'static Self {
        // The last digits count handles. An index below the length: no check is left of this.
        let [first, ..] = &SLOTS;
        SLOTS.get(number / STEP % COUNT).unwrap_or(first)
    }

    /// Takes the session out if nobody uses it, nor can any more. The table of handles is locked.
    fn take_unused(&self) -> Option<Arc<Session>> {
        if self.number.load(Ordering::SeqCst) != 0 || self.users.load(Ordering::SeqCst) != 0 {
            return None;
        }
        let session = NonNull::new(self.session.swap(null_mut(), Ordering::SeqCst))?;
        // SAFETY: from `Arc::into_raw`, and taken out just now, so for the only time. Nobody uses it: who
        // counts himself from here on finds the number 0, or one that was put in later.
        Some(unsafe { Arc::from_raw(session.as_ptr()) })
    }
}

/// The use of a session, in its slot or of one's own.
pub(crate) struct Lease {
    session: NonNull<Session>,
    /// The slot that it is in. Without one this has a count of the `Arc`.
    slot: Option<&'static Slot>,
}

impl Deref for Lease {
    type Target = Session;

    #[inline(always)]
    fn deref(&self) -> &Session {
        // SAFETY: an `Arc` has it: that of the slot, which keeps it while this is counted as a user, or
        // one that this has a count of.
        unsafe { self.session.as_ref() }
    }
}

impl Drop for Lease {
    #[inline(always)]
    fn drop(&mut self) {
        match self.slot {
            Some(slot) => leave(slot),
            // SAFETY: from `Arc::into_raw`, as `From` says, and nobody else gives back this count.
            None => drop(unsafe { Arc::from_raw(self.session.as_ptr()) }),
        }
    }
}

impl From<Arc<Session>> for Lease {
    fn from(session: Arc<Session>) -> Self {
        let session = Arc::into_raw(session).cast_mut();
        // SAFETY: what an `Arc` leads to is not NULL.
        Self { session: unsafe { NonNull::new_unchecked(session) }, slot: None }
    }
}

#[inline(always)]
fn leave(slot: &'static Slot) {
    if slot.users.fetch_sub(1, Ordering::SeqCst) == 1 && slot.number.load(Ordering::SeqCst) == 0 {
        sweep(slot);
    }
}

/// The last user of a slot has left, and its session may have to go.
#[cold]
#[inline(never)]
fn sweep(slot: &'static Slot) {
    let taken = {
        let _table = crate::handles::hold_open();
        slot.take_unused()
    };
    drop(taken);
}

/// The session of a number, if it is here.
#[inline(always)]
pub(crate) fn find(number: usize) -> Option<Lease> {
    let slot = Slot::of(number);
    slot.users.fetch_add(1, Ordering::SeqCst);
    if slot.number.load(Ordering::SeqCst) == number && number != 0 {
        if let Some(session) = NonNull::new(slot.session.load(Ordering::SeqCst)) {
            return Some(Lease { session, slot: Some(slot) });
        }
    }
    leave(slot);
    None
}

/// Puts a session into its slot, if that is free. The table of handles is locked.
pub(crate) fn put(number: usize, session: &Arc<Session>) {
    let slot = Slot::of(number);
    let is_free = slot.session.load(Ordering::SeqCst).is_null();
    if is_free {
        let session = Arc::into_raw(Arc::clone(session)).cast_mut();
        slot.session.store(session, Ordering::SeqCst);
        slot.number.store(number, Ordering::SeqCst);
    }
}

/// Nobody finds the session of this number any more. What is returned is dropped when the table of
/// handles, which is locked, is not.
#[must_use]
pub(crate) fn remove(number: usize) -> Option<Arc<Session>> {
    let slot = Slot::of(number);
    if slot.number.load(Ordering::SeqCst) != number {
        return None;
    }
    slot.number.store(0, Ordering::SeqCst);
    slot.take_unused()
}

/// In a forked child: the number stands for another session from now on. The former one is kept for
/// ever, as is what users it has had: they are the parent's, or go on here when this has returned.
pub(crate) fn renew(number: usize, session: &Arc<Session>) {
    let slot = Slot::of(number);
    if slot.number.load(Ordering::SeqCst) == number {
        slot.session.store(Arc::into_raw(Arc::clone(session)).cast_mut(), Ordering::SeqCst);
    }
}
