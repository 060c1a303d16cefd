//! An allocator: all that `alloc` wants of its surroundings.

#![allow(unsafe_code, reason = "an allocator hands out memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

/// More than the program takes, which never gives anything back.
const SIZE: usize = 64 * 1024;

/// Memory that is handed out from its beginning to its end.
#[repr(C, align(16))]
struct Heap {
    bytes: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: `bytes` is reached through the pointers that `alloc` hands out only, no two of which
// overlap, as `used` never goes down and is changed by one thread at a time.
unsafe impl Sync for Heap {}

// SAFETY: each block lies within `bytes`, is aligned as asked for, and is part of no other block:
// it begins at or behind the end of the last one. A failure is told by a null pointer.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.bytes.get().cast::<u8>();
        let mut at = 0;
        let room = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            at = (base.addr() + used).checked_next_multiple_of(layout.align())? - base.addr();
            at.checked_add(layout.size()).filter(|&end| end <= SIZE)
        });
        if room.is_err() { null_mut() } else { base.wrapping_add(at) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: Heap = Heap { bytes: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) };
