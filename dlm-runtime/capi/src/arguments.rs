//! The arguments of calls on locks, and what calls they make. They are as the module `entry` says.

use std::ffi::{c_uint, c_void};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use dlm_proto::{LockFlags, MAX_NAME_LEN};
use libc::{EINVAL, ENOSYS};

use crate::errno::Errno;
use crate::lksb::{Ast, AstRoutine, CallerLksb, Lksb};
use crate::lock::LockCall;
use crate::unlock::UnlockCall;

/// The arguments of a lock call.
#[derive(Debug, Clone, Copy)]
pub struct LockArguments {
    /// LKM_ number.
    pub mode: u32,
    /// Status block.
    pub lksb: *mut Lksb,
    /// LKF_ bits.
    pub flags: u32,
    /// Resource.
    pub name: *const c_void,
    /// Its length.
    pub namelen: c_uint,
    /// Completion AST; not for calls that wait.
    pub ast: Option<AstRoutine>,
    /// Its argument.
    pub ast_argument: *mut c_void,
    /// Blocking AST.
    pub bast: Option<AstRoutine>,
    /// Its argument.
    pub bast_argument: *mut c_void,
    /// Must be NULL.
    pub range: *mut c_void,
    /// Transaction id.
    pub xid: *const u64,
    /// Hundredths of a second.
    pub timeout: *const u64,
}

impl LockArguments {
    /// The call that they make, and whether that waits.
    ///
    /// # Safety
    ///
    /// As the module `entry` says.
    #[inline(always)]
    pub(crate) unsafe fn call(&self, waits: bool) -> Result<(LockCall<'_>, bool), Errno> {
        if !self.range.is_null() {
            return Err(Errno(ENOSYS));
        }
        let flags = LockFlags::from_bits_retain(self.flags);
        let waits = waits || flags.contains(LockFlags::WAIT);
        if !waits && self.ast.is_none() {
            return Err(Errno(EINVAL));
        }
        // SAFETY: passed on to the caller of this function.
        let lksb = unsafe { CallerLksb::new(self.lksb, flags.contains(LockFlags::VALBLK)) }?;
        let name: &[u8] = if flags.contains(LockFlags::CONVERT) {
            &[]
        } else {
            // SAFETY: as above.
            unsafe { bytes(self.name, self.namelen) }?
        };
        let deadline = if flags.contains(LockFlags::TIMEOUT) {
            // SAFETY: as above.
            unsafe { number(self.timeout) }.and_then(deadline)
        } else {
            None
        };
        // SAFETY: as above.
        let xid = unsafe { number(self.xid) }.unwrap_or(0);
        // SAFETY: as above.
        let ast = unsafe { Ast::new(self.ast, self.ast_argument) };
        // SAFETY: as above.
        let bast = unsafe { Ast::new(self.bast, self.bast_argument) };
        let call = LockCall { mode: self.mode, flags, name, lksb, ast, bast, xid, deadline };
        Ok((call, waits))
    }
}

/// The arguments of an unlock call.
#[derive(Debug, Clone, Copy)]
pub struct UnlockArguments {
    /// The lock.
    pub lkid: u32,
    /// LKF_ bits.
    pub flags: u32,
    /// Status block.
    pub lksb: *mut Lksb,
    /// Argument of the AST, unless it is NULL.
    pub argument: *mut c_void,
}

impl UnlockArguments {
    /// The call that they make, and whether that waits.
    ///
    /// # Safety
    ///
    /// As the module `entry` says.
    #[inline(always)]
    pub(crate) unsafe fn call(&self, waits: bool) -> Result<(UnlockCall, bool), Errno> {
        let flags = LockFlags::from_bits_retain(self.flags);
        if self.lkid == 0 {
            return Err(Errno(EINVAL));
        }
        // SAFETY: passed on to the caller of this function.
        let lksb = unsafe { CallerLksb::new(self.lksb, flags.contains(LockFlags::VALBLK)) }?;
        let argument = NonNull::new(self.argument);
        let call = UnlockCall { id: self.lkid, flags, lksb, argument };
        Ok((call, waits || flags.contains(LockFlags::WAIT)))
    }
}

/// `length` bytes of a resource name.
///
/// # Safety
///
/// A pointer that is not NULL is readable for that many bytes.
unsafe fn bytes<'a>(name: *const c_void, length: c_uint) -> Result<&'a [u8], Errno> {
    let length = usize::try_from(length).map_err(|_| Errno(EINVAL))?;
    match length {
        0 => Ok(&[]),
        1..=MAX_NAME_LEN if !name.is_null() => {
            // SAFETY: not NULL, and readable for `length` bytes by this function's contract.
            Ok(unsafe { std::slice::from_raw_parts(name.cast(), length) })
        }
        _ => Err(Errno(EINVAL)),
    }
}

/// The number that a pointer leads to, if it is not NULL.
///
/// # Safety
///
/// A pointer that is not NULL leads to a number, aligned or not.
unsafe fn number(place: *const u64) -> Option<u64> {
    if place.is_null() {
        return None;
    }
    // SAFETY: not NULL, hence valid by this function's contract; read without alignment.
    Some(unsafe { place.read_unaligned() })
}

/// What the clock cannot express is no deadline.
fn deadline(hundredths: u64) -> Option<Instant> {
    let timeout = Duration::from_millis(hundredths.checked_mul(10)?);
    Instant::now().checked_add(timeout)
}
