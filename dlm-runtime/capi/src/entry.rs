//! The bodies of the exported functions that lock and unlock.
//!
//! # Safety
//!
//! All of these are called by C programs, which have no other check than their header. What each
//! expects of its pointers is what `libdlm.h` and the manual pages say, and no more: status blocks
//! and AST routines as in the module `lksb`, names readable for their length, numbers readable or
//! writable where a pointer to one is not NULL. Handles and ids may be anything.

use std::ffi::{CStr, c_char, c_int};
use std::sync::Arc;

use dlm_proto::LockFlags;
use libc::EINVAL;

use crate::arguments::{LockArguments, UnlockArguments};
use crate::ast_thread;
use crate::border::{
    ErrnoPlace, Short, guard, guard_anyway, guard_long_task, guard_short, guard_task,
};
use crate::errno::{Errno, Told};
use crate::face::Session;
use crate::flavour::Flavour;
use crate::frame::guard_turn;
use crate::handles::{self, Handle};
use crate::lksb::{CallerLksb, Lksb};
use crate::lock::{self, LockCall, LockRest, PlainLock};
use crate::slots::Lease;
use crate::task::{OuterFrame, Progress, Task};
use crate::unlock::{self, EUNLOCK, UnlockCall, UnlockRest};

/// The lockspace that a call is for.
#[derive(Debug, Clone, Copy)]
pub enum Space {
    /// The default one.
    Default,
    /// That of a handle.
    Of(Handle),
}

impl Space {
    /// The session of a handle, if it is found at once and has nothing else to do.
    #[inline(always)]
    fn find_quickly(self) -> Option<Lease> {
        match self {
            Self::Default => None,
            Self::Of(handle) => handles::find_quickly(handle).filter(|it| it.is_tidy()),
        }
    }

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

/// The arguments of a call, and whose it is.
#[derive(Debug, Clone, Copy)]
struct Asked<A> {
    flavour: Flavour,
    space: Space,
    waits: bool,
    arguments: A,
}

/// All functions that lock or convert.
///
/// # Safety
///
/// As the module says.
#[inline(always)]
pub unsafe fn lock(flavour: Flavour, space: Space, waits: bool, arguments: LockArguments) -> c_int {
    guard_task(
        &Asked { flavour, space, waits, arguments },
        // SAFETY: passed on to the caller of this function.
        |asked, errno| unsafe { lock_plainly(asked, errno) }.unwrap_or(Short::Nothing),
        // SAFETY: passed on to the caller of this function.
        |asked, rest| unsafe { lock_otherwise(asked, rest) },
    )
}

/// The short way: see [`PlainLock`].
///
/// # Safety
///
/// As the module says.
#[inline(always)]
unsafe fn lock_plainly(
    asked: &Asked<LockArguments>,
    mut errno: ErrnoPlace<'_>,
) -> Option<Short<(Lease, Box<LockRest>)>> {
    let session = asked.space.find_quickly()?;
    // SAFETY: passed on to the caller of this function.
    let (call, waits) = unsafe { asked.arguments.call(asked.waits) }.ok()?;
    let lock = PlainLock::of(&call)?;
    if !waits {
        return Some(match lock.start(&session)? {
            Ok(()) => Short::Ended(0),
            Err(refused) => Short::Ended(errno.ended(Err(refused))),
        });
    }
    Some(match lock.wait(&session)? {
        Ok(status) => Short::Ended(errno.ended(told(asked.flavour, status))),
        Err(rest) => Short::Otherwise((session, rest)),
    })
}

#[cold]
#[inline(never)]
unsafe fn lock_otherwise(
    asked: &Asked<LockArguments>,
    rest: Option<(Lease, Box<LockRest>)>,
) -> Result<Progress, Errno> {
    let flavour = asked.flavour;
    let told = move |status| told(flavour, status);
    if let Some((session, rest)) = rest {
        return lock::wait_rest(&session, *rest)?.then(told);
    }
    let session = asked.space.session(flavour)?;
    // SAFETY: passed on to the caller of this function.
    let (call, waits) = unsafe { asked.arguments.call(asked.waits) }?;
    let session = if call.flags.contains(LockFlags::CONVERT) {
        handles::owner_of(session, call.lksb.id())
    } else {
        session
    };
    if waits {
        lock::wait(session, &call)?.then(told)
    } else {
        lock::start(&session, &call).map(|()| Progress::Ended(0.into()))
    }
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
    arguments: UnlockArguments,
) -> c_int {
    guard_task(
        &Asked { flavour, space, waits, arguments },
        // SAFETY: passed on to the caller of this function.
        |asked, errno| unsafe { unlock_plainly(asked, errno) }.unwrap_or(Short::Nothing),
        // SAFETY: passed on to the caller of this function.
        |asked, rest| unsafe { unlock_otherwise(asked, rest) },
    )
}

/// The short way, if the lock is of this very handle.
///
/// # Safety
///
/// As the module says.
#[inline(always)]
unsafe fn unlock_plainly(
    asked: &Asked<UnlockArguments>,
    mut errno: ErrnoPlace<'_>,
) -> Option<Short<(Lease, Box<UnlockRest>)>> {
    let session = asked.space.find_quickly()?;
    // SAFETY: passed on to the caller of this function.
    let (call, waits) = unsafe { asked.arguments.call(asked.waits) }.ok()?;
    if !waits {
        return Some(match call.start_plainly(&session)? {
            Ok(()) => Short::Ended(0),
            Err(refused) => Short::Ended(errno.ended(Err(refused))),
        });
    }
    Some(match call.wait_plainly(&session)? {
        Ok(status) => Short::Ended(errno.ended(told(asked.flavour, status))),
        Err(rest) => Short::Otherwise((session, rest)),
    })
}

#[cold]
#[inline(never)]
unsafe fn unlock_otherwise(
    asked: &Asked<UnlockArguments>,
    rest: Option<(Lease, Box<UnlockRest>)>,
) -> Result<Progress, Errno> {
    let flavour = asked.flavour;
    let told = move |status| told(flavour, status);
    // SAFETY: passed on to the caller of this function.
    let call = || unsafe { asked.arguments.call(asked.waits) };
    if let Some((session, rest)) = rest {
        return unlock::wait_rest(&session, *rest, &call()?.0)?.then(told);
    }
    let session = asked.space.session(flavour)?;
    let (call, waits) = call()?;
    let session = handles::owner_of(session, call.id);
    if waits {
        unlock::wait(session, &call)?.then(told)
    } else {
        unlock::start(&session, &call).map(|()| Progress::Ended(0.into()))
    }
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
    guard_long_task(|| {
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
    guard_long_task(|| {
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
#[inline(always)]
pub fn descriptor(flavour: Flavour, space: Space) -> c_int {
    let body = move || space.ask(flavour, |session| Ok(session.descriptor()?));
    match space {
        // It may have to be opened.
        Space::Default => guard(-1, body),
        Space::Of(_) => guard_short(|| space.find_quickly()?.shown_descriptor(), body),
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
            control.set_name(ast_thread::start_thread(Task::new(deliver))?.number());
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
