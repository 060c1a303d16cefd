//! Lists of locks that are linked through the locks themselves.

use crate::lock::Lock;
use crate::slab::{Locks, NIL, Ref};

/// A lock's place in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) prev: Ref,
    pub(crate) next: Ref,
}

impl Default for Link {
    fn default() -> Self {
        Self { prev: NIL, next: NIL }
    }
}

/// The ends of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    pub(crate) head: Ref,
    pub(crate) tail: Ref,
    pub(crate) len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NIL, tail: NIL, len: 0 }
    }
}

impl List {
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

/// The links of a lock that a list uses.
pub(crate) trait Chain {
    fn link(lock: &Lock) -> Link;
    fn link_mut(lock: &mut Lock) -> &mut Link;
}

/// Grant, convert and wait queues.
pub(crate) enum OnQueue {}
/// The locks of a session, and orphans.
pub(crate) enum OnOwner {}
/// Locks with unread results (6.1).
pub(crate) enum OnResults {}

macro_rules! chain {
    ($name:ident, $field:ident) => {
        impl Chain for $name {
            fn link(lock: &Lock) -> Link {
                lock.$field
            }

            fn link_mut(lock: &mut Lock) -> &mut Link {
                &mut lock.$field
            }
        }
    };
}

chain!(OnQueue, queue_link);
chain!(OnOwner, owner_link);
chain!(OnResults, results_link);

/// Puts a lock in front of `before`, or at the end if that is `NIL`.
pub(crate) fn insert<C: Chain>(locks: &mut Locks, list: &mut List, lock: Ref, before: Ref) {
    let prev = if before == NIL { list.tail } else { C::link(&locks[before]).prev };
    *C::link_mut(&mut locks[lock]) = Link { prev, next: before };
    if prev == NIL {
        list.head = lock;
    } else {
        C::link_mut(&mut locks[prev]).next = lock;
    }
    if before == NIL {
        list.tail = lock;
    } else {
        C::link_mut(&mut locks[before]).prev = lock;
    }
    list.len += 1;
}

/// Takes a lock out of the list that it is in.
pub(crate) fn remove<C: Chain>(locks: &mut Locks, list: &mut List, lock: Ref) {
    let Link { prev, next } = C::link(&locks[lock]);
    if prev == NIL {
        list.head = next;
    } else {
        C::link_mut(&mut locks[prev]).next = next;
    }
    if next == NIL {
        list.tail = prev;
    } else {
        C::link_mut(&mut locks[next]).prev = prev;
    }
    *C::link_mut(&mut locks[lock]) = Link::default();
    list.len = list.len.saturating_sub(1);
}

/// The locks of a list from its head on. The list may not change meanwhile.
pub(crate) fn iter<'a, C: Chain>(
    locks: &'a Locks,
    list: &List,
) -> impl Iterator<Item = (Ref, &'a Lock)> {
    let mut at = list.head;
    core::iter::from_fn(move || {
        if at == NIL {
            return None;
        }
        let found = at;
        let lock = &locks[found];
        at = C::link(lock).next;
        Some((found, lock))
    })
}
