//! The C callers' memory: the lock status block, its value block, and AST routines.
//!
//! This is the place where memory of the caller is touched. The contract of the C interface is that
//! a status block, and the 32 bytes that it points to, belong to the library from the call until
//! the operation has ended: until its AST is called, or the waiting call returns. The types here
//! are made at the call, under that contract. Kept with the operation is that of a call that does
//! not wait; one that waits uses its own in its own thread.

use std::ffi::{c_char, c_int, c_void};
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use dlm_proto::{LVB_LEN, ValueBlock};
use libc::EINVAL;

use crate::errno::Errno;

/// `struct dlm_lksb`.
#[repr(C)]
#[derive(Debug)]
pub struct Lksb {
    /// The status of the last operation, positive; EINPROG while it goes on.
    pub sb_status: c_int,
    /// The lock's id.
    pub sb_lkid: u32,
    /// `DLM_SBF_` flags of the last operation.
    pub sb_flags: c_char,
    /// The value block, 32 bytes, or NULL.
    pub sb_lvbptr: *mut c_char,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Lksb>() == 24 && align_of::<Lksb>() == 8);
#[cfg(target_pointer_width = "64")]
const _: () = assert!(offset_of!(Lksb, sb_flags) == 8);
#[cfg(target_pointer_width = "64")]
const _: () = assert!(offset_of!(Lksb, sb_lvbptr) == 16);

/// sb_status of an operation in flight.
pub(crate) const EINPROG: c_int = 0x10003;

/// The status block of an operation in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallerLksb {
    block: NonNull<Lksb>,
    /// Only with VALBLK: otherwise `sb_lvbptr` may hold anything.
    lvb: Option<NonNull<[u8; LVB_LEN]>>,
}

// SAFETY: C callers expect their status block to be written by whichever thread dispatches; the
// contract of `new` gives the library the block, not one thread of it.
unsafe impl Send for CallerLksb {}

impl CallerLksb {
    /// NULL is EINVAL. The block need not be aligned: lvmlockd has its blocks in an array of bytes
    /// (lvm2 2.03.16), and C libdlm never minded.
    ///
    /// # Safety
    ///
    /// A `lksb` that is not NULL points to a `struct dlm_lksb` that stays valid, and that the
    /// caller does not write to, until the operation has ended; see the module. With `valblk` that
    /// holds for the 32 bytes behind its `sb_lvbptr`, too, if that is not NULL.
    pub(crate) unsafe fn new(lksb: *mut Lksb, valblk: bool) -> Result<Self, Errno> {
        let block = NonNull::new(lksb).ok_or(Errno(EINVAL))?;
        let lvb = if valblk {
            let place = field::<*mut c_char>(block, offset_of!(Lksb, sb_lvbptr));
            // SAFETY: `block` is not NULL, hence valid by this function's contract, and `place` is
            // its field, aligned or not. No reference to the caller's memory is made.
            NonNull::new(unsafe { place.read_unaligned() }.cast())
        } else {
            None
        };
        Ok(Self { block, lvb })
    }

    /// The same without its value block.
    pub(crate) const fn without_lvb(self) -> Self {
        Self { lvb: None, ..self }
    }

    /// Whether there is a value block.
    pub(crate) fn has_value_block(&self) -> bool {
        self.lvb.is_some()
    }

    /// `sb_lkid`, by which a conversion names its lock.
    pub(crate) fn id(&self) -> u32 {
        let place = field::<u32>(self.block, offset_of!(Lksb, sb_lkid));
        // SAFETY: the field of a block that is valid while the operation is being begun or in
        // flight, by the contract of `new`, aligned or not.
        unsafe { place.read_unaligned() }
    }

    /// The caller's value block.
    pub(crate) fn read_lvb(&self) -> Option<ValueBlock> {
        // SAFETY: `lvb` is not NULL, and valid for 32 bytes by the contract of `new`; bytes need
        // no alignment.
        self.lvb.map(|lvb| ValueBlock(unsafe { lvb.read() }))
    }

    /// Says that an operation is in flight. Returns what the status was.
    pub(crate) fn begin(&self) -> c_int {
        let place = field::<c_int>(self.block, offset_of!(Lksb, sb_status));
        // SAFETY: as for `id`.
        let former = unsafe { place.read_unaligned() };
        self.set_status(EINPROG);
        former
    }

    /// Writes `sb_status`, the last of what is written at the end of an operation.
    pub(crate) fn set_status(&self, status: c_int) {
        let place = field::<c_int>(self.block, offset_of!(Lksb, sb_status));
        // Callers that watch the status from another thread must find the rest written.
        fence(Ordering::Release);
        if place.is_aligned() {
            // SAFETY: as for `id`. Volatile: callers may be watching it.
            unsafe { place.write_volatile(status) };
        } else {
            // SAFETY: as for `id`.
            unsafe { place.write_unaligned(status) };
        }
    }

    /// Writes `sb_lkid`.
    pub(crate) fn set_id(&self, id: u32) {
        let place = field::<u32>(self.block, offset_of!(Lksb, sb_lkid));
        // SAFETY: as for `id`.
        unsafe { place.write_unaligned(id) };
    }

    /// Writes how a plain operation ended. The operation ends for the caller with this.
    #[inline(always)]
    pub(crate) fn finish_plain(&self, status: c_int) {
        self.set_flags(0);
        self.set_status(status);
    }

    fn set_flags(&self, flags: u8) {
        let place = field::<c_char>(self.block, offset_of!(Lksb, sb_flags));
        // SAFETY: as for `id`.
        unsafe { place.write(c_char::from_ne_bytes([flags])) };
    }

    /// Writes how the operation ended. The operation ends for the caller with this.
    pub(crate) fn finish(&self, report: &Report) {
        if let (Some(place), Some(block)) = (self.lvb, report.lvb) {
            // SAFETY: as for `read_lvb`.
            unsafe { place.write(block.0) };
        }
        if let Some(id) = report.id {
            self.set_id(id);
        }
        self.set_flags(report.flags);
        self.set_status(report.status);
    }
}

/// The address of a field.
const fn field<T>(block: NonNull<Lksb>, offset: usize) -> *mut T {
    block.as_ptr().wrapping_byte_add(offset).cast()
}

/// The end of an operation, for the caller's status block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) status: c_int,
    /// `None` leaves what is there.
    pub(crate) id: Option<u32>,
    pub(crate) flags: u8,
    /// The value block, if the operation fetched it.
    pub(crate) lvb: Option<ValueBlock>,
}

/// An AST routine of a C program. It may leave its thread by `pthread_exit`.
pub type AstRoutine = unsafe extern "C-unwind" fn(*mut c_void);

/// An AST routine with its argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ast {
    routine: AstRoutine,
    argument: *mut c_void,
}

// SAFETY: the routine runs in the thread that dispatches, and its argument is the C program's
// affair: it is passed on and never dereferenced here.
unsafe impl Send for Ast {}

/// Addresses below this are no functions. lvmlockd passes 1 where a routine must be given and is
/// never called.
const FIRST_PAGE: usize = 4096;

impl Ast {
    /// `None` for NULL, and for what cannot be a routine.
    ///
    /// # Safety
    ///
    /// `routine` is NULL, or in the first page, or a routine that may be called with `argument` in
    /// any thread that delivers ASTs, until the lock is gone or has got another routine.
    pub(crate) unsafe fn new(routine: Option<AstRoutine>, argument: *mut c_void) -> Option<Self> {
        let routine = routine.filter(|&routine| routine as usize >= FIRST_PAGE)?;
        Some(Self { routine, argument })
    }

    /// The same routine with another argument.
    pub(crate) fn with_argument(self, argument: NonNull<c_void>) -> Self {
        Self { argument: argument.as_ptr(), ..self }
    }

    /// Calls it. Nothing of this library may be locked meanwhile.
    ///
    /// # Safety
    ///
    /// It may not return: the frames up to the C program, or to the start of the thread, are plain old
    /// ones.
    #[inline(always)]
    pub(crate) unsafe fn call(self) {
        // SAFETY: by the contract of `new`, which whoever made this has accepted, and by that of this
        // function.
        unsafe { (self.routine)(self.argument) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lksb(lvb: *mut c_char) -> Lksb {
        Lksb { sb_status: 7, sb_lkid: 3, sb_flags: 0, sb_lvbptr: lvb }
    }

    #[test]
    fn what_is_no_status_block_is_refused() {
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { CallerLksb::new(std::ptr::null_mut(), true) }, Err(Errno(EINVAL)));
    }

    #[test]
    fn a_block_anywhere_in_memory_is_taken() {
        let mut lvb = [1u8; LVB_LEN];
        for shift in 1..align_of::<Lksb>() {
            let mut room = [0u8; 2 * size_of::<Lksb>()];
            let block: *mut Lksb = room.as_mut_ptr().wrapping_add(shift).cast();
            // SAFETY: `room` has place for the block from there on.
            unsafe { block.write_unaligned(lksb(lvb.as_mut_ptr().cast())) };
            // SAFETY: `room` and `lvb` outlive the use.
            let taken = unsafe { CallerLksb::new(block, true) }.unwrap();
            assert_eq!((taken.id(), taken.begin(), taken.has_value_block()), (3, 7, true));
            let report =
                Report { status: 11, id: Some(4), flags: 2, lvb: Some(ValueBlock([9; LVB_LEN])) };
            taken.finish(&report);
            // SAFETY: as above.
            let after = unsafe { block.read_unaligned() };
            assert_eq!((after.sb_status, after.sb_lkid, after.sb_flags), (11, 4, 2));
            assert_eq!(lvb, [9; LVB_LEN]);
        }
    }

    #[test]
    fn the_value_block_is_touched_only_with_valblk() {
        let mut bytes = [1u8; LVB_LEN];
        let mut block = lksb(bytes.as_mut_ptr().cast());
        let pointer = &raw mut block;
        let report =
            Report { status: 11, id: Some(4), flags: 2, lvb: Some(ValueBlock([9; LVB_LEN])) };
        // SAFETY: `block` and `bytes` outlive the use.
        let without = unsafe { CallerLksb::new(pointer, false) }.unwrap();
        assert_eq!((without.begin(), without.read_lvb()), (7, None));
        without.finish(&report);
        assert_eq!(bytes, [1; LVB_LEN]);
        // SAFETY: as above.
        let with = unsafe { CallerLksb::new(pointer, true) }.unwrap();
        assert_eq!(with.read_lvb(), Some(ValueBlock([1; LVB_LEN])));
        with.finish(&report);
        assert_eq!(bytes, [9; LVB_LEN]);
        assert_eq!((block.sb_status, block.sb_lkid, block.sb_flags), (11, 4, 2));
    }
}
