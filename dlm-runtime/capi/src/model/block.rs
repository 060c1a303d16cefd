//! Status blocks of C programs, which notice who touches them out of turn.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use dlm_proto::LVB_LEN;

use crate::lksb::{CallerLksb, EINPROG, Lksb};

/// The status that a program leaves in a block when it makes a call.
pub(super) const FORMER: c_int = 7;

/// What a block is full of while it is the program's.
const MARK: u8 = 0x5a;
const MARK_WORD: u32 = u32::from_ne_bytes([MARK; 4]);

/// A status block with its value block. The library may write to it from the call that it is lent
/// for until the operation has ended, and at no other time.
#[derive(Debug)]
pub(super) struct Block {
    lksb: UnsafeCell<Lksb>,
    lvb: UnsafeCell<[u8; LVB_LEN]>,
    is_lent: AtomicBool,
    /// The lock's id while the block is the program's.
    id: AtomicU32,
}

// SAFETY: the threads of a schedule are coroutines of one thread, which change at calls of shuttle;
// there is none while one of these functions, or of `CallerLksb`, has a pointer into the block.
unsafe impl Sync for Block {}
// SAFETY: `sb_lvbptr` leads into the block itself, and is set for each call.
unsafe impl Send for Block {}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            lksb: UnsafeCell::new(marked()),
            lvb: UnsafeCell::new([MARK; LVB_LEN]),
            is_lent: AtomicBool::new(false),
            id: AtomicU32::new(0),
        }
    }

    fn read(&self) -> Lksb {
        // SAFETY: nobody has a reference to it, and see above.
        unsafe { self.lksb.get().read() }
    }

    fn write(&self, lksb: Lksb) {
        // SAFETY: as above.
        unsafe { self.lksb.get().write(lksb) };
    }

    fn fill_lvb(&self, byte: u8) {
        // SAFETY: as above.
        unsafe { self.lvb.get().write([byte; LVB_LEN]) };
    }

    /// The block for a call, with its value block if that is used.
    pub(super) fn lend(&self, valblk: bool) -> CallerLksb {
        self.assert_untouched();
        self.is_lent.store(true, Ordering::Relaxed);
        let lvb = self.lvb.get().cast::<c_char>();
        let sb_lkid = self.id.load(Ordering::Relaxed);
        self.write(Lksb { sb_status: FORMER, sb_lkid, sb_flags: 0, sb_lvbptr: lvb });
        self.fill_lvb(0);
        // SAFETY: the scenario keeps the block until all operations have ended, and until this one has
        // the program leaves it alone.
        unsafe { CallerLksb::new(self.lksb.get(), valblk) }.unwrap()
    }

    /// Whether an operation has it.
    pub(super) fn is_lent(&self) -> bool {
        self.is_lent.load(Ordering::Relaxed)
    }

    /// Whether an operation is in flight, for a block that is lent.
    pub(super) fn is_in_flight(&self) -> bool {
        self.read().sb_status == EINPROG
    }

    /// The operation has ended: its status. The block is the program's again.
    #[track_caller]
    pub(super) fn take(&self) -> c_int {
        assert!(!self.is_in_flight(), "the operation has not ended");
        self.take_back()
    }

    /// The same for an operation whose end is told to nobody.
    #[track_caller]
    pub(super) fn take_back(&self) -> c_int {
        assert!(self.is_lent.swap(false, Ordering::Relaxed), "it has ended before");
        let Lksb { sb_status, sb_lkid, .. } = self.read();
        self.id.store(sb_lkid, Ordering::Relaxed);
        self.write(marked());
        self.fill_lvb(MARK);
        sb_status
    }

    /// The lock's id, 0 if it has none (yet).
    pub(super) fn id(&self) -> u32 {
        if self.is_lent() { self.read().sb_lkid } else { self.id.load(Ordering::Relaxed) }
    }

    /// The lock that the next call is for.
    pub(super) fn set_id(&self, id: u32) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// The block is the program's, and nobody has touched it since.
    #[track_caller]
    pub(super) fn assert_untouched(&self) {
        assert!(!self.is_lent(), "an operation has not ended");
        let (found, mark) = (self.read(), marked());
        assert_eq!(
            (found.sb_status, found.sb_lkid, found.sb_flags, found.sb_lvbptr),
            (mark.sb_status, mark.sb_lkid, mark.sb_flags, mark.sb_lvbptr),
            "a status block was touched out of turn"
        );
        // SAFETY: as for `read`.
        let lvb = unsafe { self.lvb.get().read() };
        assert_eq!(lvb, [MARK; LVB_LEN], "a value block was touched out of turn");
    }
}

const fn marked() -> Lksb {
    Lksb {
        sb_status: MARK_WORD.cast_signed(),
        sb_lkid: MARK_WORD,
        sb_flags: c_char::from_ne_bytes([MARK]),
        sb_lvbptr: std::ptr::null_mut(),
    }
}
