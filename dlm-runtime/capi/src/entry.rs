//! The bodies of the exported functions that lock and unlock.
//!
//! # Safety
//!
//! All of these are called by C programs, which have no other check than their header. What each
//! expects of its pointers is what `libdlm.h` and the manual pages say, and no more: status blocks
//! and AST routines as in the module `lksb`, names readable for their length, numbers readable or
//! writable where a pointer to one is not NULL. Handles and ids may be anything.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlm_proto::{LockFlags, MAX_NAME_LEN};
use libc::{EINVAL, ENOSYS};

use crate::border::{self, guard, guard_anyway, guard_task, guard_turn};
use crate::errno::{Errno, Told};
use crate::face::Session;
use crate::flavour::Flavour;
use crate::handles::{self, Handle};
use crate::lksb::{Ast, AstRoutine, CallerLksb, Lksb};
use crate::lock::{self, LockCall};
use crate::task::{OuterFrame, Progress, Task};
use crate::unlock::{self, UnlockCall};

/// sb_status of an unlock that succeeded.
const EUNLOCK: c_int = 0x10002;

/// The lockspace that a call is for.
#[derive(Debug, Clone, Copy)]
pub enum Space {
    /// The default one.
    Default,
    /// That of a handle.
    Of(Handle),
}

impl Space {
    fn session(self, flavour: Flavour) -> Result<Arc<Session>, Errno> {
        let session = match self {
            Self::Default => handles::default_session(flavour)?,
            Self::Of(handle) => handles::get(handle)?,
        };
        session.tidy_up();
        Ok(session)
    }

    /// What is asked of it. If that fails the default lockspace is not opened for it.
    fn ask<T>(
        self,
        flavour: Flavour,
        ask: impl FnOnce(&Session) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match self {
            Self::Default => Ok(handles::with_default(flavour, ask)?.1),
            Self::Of(_) => ask(&*self.session(flavour)?),
        }
    }
}

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

/// The answer of a waiting call for a status: the pthread build leaves it in the status block.
fn told(flavour: Flavour, status: c_int) -> Result<Told, Errno> {
    match flavour {
        Flavour::Threaded => Ok(Told::from(0)),
        Flavour::Light => told_in_errno(status),
    }
}

/// What a call returns that leaves the status in `errno`.
const fn told_in_errno(status: c_int) -> Result<Told, Errno> {
    match status {
        0 | EUNLOCK => Ok(Told::and(0, status)),
        status => Err(Errno(status)),
    }
}

/// All functions that lock or convert.
///
/// # Safety
///
/// As the module says.
#[inline(always)]
pub unsafe fn lock(flavour: Flavour, space: Space, waits: bool, a: &LockArguments) -> c_int {
    guard_task(|| {
        let session = space.session(flavour)?;
        if !a.range.is_null() {
            return Err(Errno(ENOSYS));
        }
        let flags = LockFlags::from_bits_retain(a.flags);
        let waits = waits || flags.contains(LockFlags::WAIT);
        if !waits && a.ast.is_none() {
            return Err(Errno(EINVAL));
        }
        // SAFETY: passed on to the caller of this function.
        let lksb = unsafe { CallerLksb::new(a.lksb, flags.contains(LockFlags::VALBLK)) }?;
        let name: &[u8] = if flags.contains(LockFlags::CONVERT) {
            &[]
        } else {
            // SAFETY: as above.
            unsafe { bytes(a.name, a.namelen) }?
        };
        let deadline = if flags.contains(LockFlags::TIMEOUT) {
            // SAFETY: as above.
            unsafe { number(a.timeout) }.and_then(deadline)
        } else {
            None
        };
        // SAFETY: as above.
        let xid = unsafe { number(a.xid) }.unwrap_or(0);
        // SAFETY: as above.
        let ast = unsafe { Ast::new(a.ast, a.ast_argument) };
        // SAFETY: as above.
        let bast = unsafe { Ast::new(a.bast, a.bast_argument) };
        let call = LockCall { mode: a.mode, flags, name, lksb, ast, bast, xid, deadline };
        let session = if flags.contains(LockFlags::CONVERT) {
            handles::owner_of(session, lksb.id())
        } else {
            session
        };
        if waits {
            lock::wait(session, &call)?.then(move |status| told(flavour, status))
        } else {
            lock::start(&session, &call).map(|()| Progress::Ended(0.into()))
        }
    })
}

/// All functions that unlock or cancel.
///
/// # Safety
///
/// As the module says.
#[inline(always)]
pub unsafe fn unlock(
    flavour: Flavour,
    space: Space,
    waits: bool,
    (lkid, flags): (u32, u32),
    lksb: *mut Lksb,
    argument: *mut c_void,
) -> c_int {
    guard_task(|| {
        let session = space.session(flavour)?;
        let flags = LockFlags::from_bits_retain(flags);
        if lkid == 0 {
            return Err(Errno(EINVAL));
        }
        // SAFETY: passed on to the caller of this function.
        let lksb = unsafe { CallerLksb::new(lksb, flags.contains(LockFlags::VALBLK)) }?;
        let session = handles::owner_of(session, lkid);
        let call = UnlockCall { id: lkid, flags, lksb, argument: NonNull::new(argument) };
        if waits || flags.contains(LockFlags::WAIT) {
            unlock::wait(session, &call)?.then(move |status| told(flavour, status))
        } else {
            unlock::start(&session, &call).map(|()| Progress::Ended(0.into()))
        }
    })
}

/// `lock_resource`.
///
/// # Safety
///
/// As the module says.
pub unsafe fn lock_resource(
    resource: *const c_char,
    mode: c_int,
    flags: c_int,
    lockid: *mut c_int,
) -> c_int {
    guard_task(|| {
        if resource.is_null() || lockid.is_null() {
            return Err(Errno(EINVAL));
        }
        let session = Space::Default.session(Flavour::Threaded)?;
        let flags = LockFlags::from_bits_retain(flags.cast_unsigned());
        // SAFETY: not NULL, hence a string by the contract of the module.
        let name = unsafe { CStr::from_ptr(resource) };
        let id = if flags.contains(LockFlags::CONVERT) {
            // SAFETY: not NULL, hence valid by the contract of the module, aligned or not.
            unsafe { lockid.read_unaligned() }.cast_unsigned()
        } else {
            0
        };
        let block = OwnBlock::new(id);
        let lksb = block.lksb()?;
        let call = LockCall {
            mode: mode.cast_unsigned(),
            flags,
            name: name.to_bytes(),
            lksb,
            ast: None,
            bast: None,
            xid: 0,
            deadline: None,
        };
        lock::wait(session, &call)?.then(move |status| {
            let _block = block;
            if status != 0 {
                return Err(Errno(status));
            }
            // SAFETY: not NULL, hence valid by the contract of the module, aligned or not.
            unsafe { lockid.write_unaligned(lksb.id().cast_signed()) };
            told_in_errno(status)
        })
    })
}

/// `unlock_resource`.
#[must_use]
pub fn unlock_resource(lockid: c_int) -> c_int {
    guard_task(|| {
        let session = handles::opened_default()?;
        let block = OwnBlock::new(0);
        let lksb = block.lksb()?;
        let (id, flags) = (lockid.cast_unsigned(), LockFlags::empty());
        unlock::wait(session, &UnlockCall { id, flags, lksb, argument: None })?.then(|status| {
            let _block = block;
            told_in_errno(status)
        })
    })
}

/// `dlm_ls_deadlock_cancel`.
#[must_use]
pub fn deadlock_cancel(ls: Handle, lkid: u32, flags: u32) -> c_int {
    guard(-1, || {
        let session = handles::owner_of(handles::get(ls)?, lkid);
        unlock::cancel_deadlock(&session, lkid, LockFlags::from_bits_retain(flags)).map(|()| 0)
    })
}

/// `dlm_ls_purge`.
#[must_use]
pub fn purge(ls: Handle, nodeid: c_int, pid: c_int) -> c_int {
    guard(-1, || {
        let session = handles::get(ls)?;
        unlock::purge(&session, nodeid.cast_unsigned(), pid.cast_unsigned()).map(|()| 0)
    })
}

/// `dlm_dispatch`.
#[must_use]
pub fn dispatch(fd: c_int) -> c_int {
    // C libdlm reads until nothing is left.
    guard_turn(Told::and(0, libc::EAGAIN), || handles::by_descriptor(fd))
}

/// `dlm_get_fd` and `dlm_ls_get_fd`.
#[must_use]
pub fn descriptor(flavour: Flavour, space: Space) -> c_int {
    let body = || space.ask(flavour, |session| Ok(session.descriptor()?));
    match space {
        // It may have to be opened.
        Space::Default => guard(-1, body),
        Space::Of(_) => guard_anyway(-1, body),
    }
}

/// `dlm_pthread_init` and `dlm_ls_pthread_init`.
#[must_use]
pub fn start_thread(space: Space) -> c_int {
    let body = || {
        space.ask(Flavour::Threaded, |session| {
            let duty = session.prepare_delivery()?;
            let control = duty.control();
            let deliver = |outer: std::rc::Rc<OuterFrame>| async move {
                duty.deliver_on(&*outer).await;
                Ok(Told::from(0))
            };
            control.set_name(border::start_thread(Task::new(deliver))?.number());
            Ok(0)
        })
    };
    match space {
        Space::Default => guard(-1, body),
        Space::Of(_) => guard_anyway(-1, body),
    }
}

/// A status block of this library's own, for the time of a call.
struct OwnBlock(*mut Lksb);

impl OwnBlock {
    fn new(id: u32) -> Self {
        let lvb = std::ptr::null_mut();
        let block = Lksb { sb_status: 0, sb_lkid: id, sb_flags: 0, sb_lvbptr: lvb };
        Self(Box::into_raw(Box::new(block)))
    }

    fn lksb(&self) -> Result<CallerLksb, Errno> {
        // SAFETY: a block that is there until the call has ended that has this, and is used through this
        // pointer only.
        unsafe { CallerLksb::new(self.0, false) }
    }
}

impl Drop for OwnBlock {
    fn drop(&mut self) {
        // SAFETY: it is from a `Box`, and the call has ended or was given up.
        drop(unsafe { Box::from_raw(self.0) });
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
