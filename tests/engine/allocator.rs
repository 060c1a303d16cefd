//! Counts what each thread allocates, but for the lock manager's part.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static IS_PAUSED: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A thread that ends counts nothing any more.
fn note(allocations: usize, more: usize, less: usize) {
    if IS_PAUSED.try_with(Cell::get) != Ok(false) {
        return;
    }
    let _ = COUNT.try_with(|count| count.set(count.get() + allocations));
    let change = more.cast_signed().wrapping_sub(less.cast_signed());
    let _ = BYTES.try_with(|bytes| bytes.set(bytes.get().wrapping_add(change)));
}

// SAFETY: all of the work is the system allocator's, which keeps to the contract of the trait. The
// counters allocate nothing and do not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size(), 0);
        // SAFETY: the caller's promises are passed on as they are.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(0, 0, layout.size());
        // SAFETY: `block` came from `System` with this layout, as all blocks here do.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size, layout.size());
        // SAFETY: `block` came from `System` with this layout, and the caller vouches for `size`.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// What the calling thread has allocated: how often, and how many bytes it has more than before.
pub(super) fn counts() -> (usize, isize) {
    (COUNT.get(), BYTES.get())
}

/// Does something whose allocations are not counted.
pub(super) fn paused<T>(work: impl FnOnce() -> T) -> T {
    let before = IS_PAUSED.replace(true);
    let done = work();
    IS_PAUSED.set(before);
    done
}
