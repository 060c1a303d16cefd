//! Handles of open lockspaces: numbers that are looked up, never addresses.

use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dlm_proto::{LockspaceFlags, RemoveFlags};
use dlm_runtime::raw::RawLockspace;
use libc::{EBADF, EINVAL, ENODEV, ENOENT, ENOTCONN};
use parking_lot::RwLock;

use crate::backend::manager;
use crate::errno::Errno;
use crate::session::Session;
use crate::sync::{Mutex, lock};

/// `dlm_lshandle_t`.
pub type Handle = *mut c_void;

/// The lockspace of the calls that name none.
const DEFAULT: &[u8] = b"default";

/// The permissions of its node: for root.
const DEFAULT_PERMISSIONS: u32 = 0o600;

/// Handles differ by this. None is in the first page, where callers keep marks of their own.
const STEP: usize = 0x1_0000;

static NEXT: AtomicUsize = AtomicUsize::new(STEP);
static OPEN: RwLock<Vec<(usize, Arc<Session>)>> = RwLock::new(Vec::new());
/// How many lockspaces are open, the default one included.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static DEFAULT_SESSION: Mutex<Option<Arc<Session>>> = Mutex::new(None);

fn find(wanted: impl Fn(&(usize, Arc<Session>)) -> bool) -> Option<Arc<Session>> {
    let open = OPEN.read();
    open.iter().find(|entry| wanted(entry)).map(|(_, session)| Arc::clone(session))
}

/// The lockspace that a handle stands for: ENOTCONN for NULL, EBADF for what is no handle.
pub(crate) fn get(handle: Handle) -> Result<Arc<Session>, Errno> {
    let unknown = Errno(if handle.is_null() { ENOTCONN } else { EBADF });
    find(|(number, _)| *number == handle.addr()).ok_or(unknown)
}

/// The lockspace whose descriptor this is.
pub(crate) fn by_descriptor(fd: RawFd) -> Result<Arc<Session>, Errno> {
    let has_fd = |session: &Arc<Session>| session.as_fd().as_raw_fd() == fd;
    if let Some(session) = find(|(_, session)| has_fd(session)) {
        return Ok(session);
    }
    lock(&DEFAULT_SESSION).as_ref().filter(|session| has_fd(session)).cloned().ok_or(Errno(EBADF))
}

/// The handle through which a lock was taken: this one, or another of this process for the same
/// lockspace.
pub(crate) fn owner_of(session: Arc<Session>, id: u32) -> Arc<Session> {
    // With one lockspace open there is nothing to look for.
    if COUNT.load(Ordering::Acquire) <= 1 || session.has(id) {
        return session;
    }
    find(|(_, other)| other.minor == session.minor && other.has(id)).unwrap_or(session)
}

fn insert(session: Arc<Session>) -> Handle {
    let number = NEXT.fetch_add(STEP, Ordering::Relaxed);
    OPEN.write().push((number, session));
    COUNT.fetch_add(1, Ordering::AcqRel);
    std::ptr::without_provenance_mut(number)
}

/// Takes a handle away from its callers. EINVAL: there is none.
fn remove(handle: Handle) -> Result<Arc<Session>, Errno> {
    let mut open = OPEN.write();
    let at = open.iter().position(|(number, _)| *number == handle.addr()).ok_or(Errno(EINVAL))?;
    COUNT.fetch_sub(1, Ordering::AcqRel);
    Ok(open.swap_remove(at).1)
}

pub(crate) fn open(name: &[u8]) -> Result<Handle, Errno> {
    Ok(insert(Session::new(RawLockspace::open(manager()?, name)?)?))
}

pub(crate) fn create(name: &[u8], permissions: u32, flags: u32) -> Result<Handle, Errno> {
    let flags = LockspaceFlags::from_bits_retain(flags);
    let manager = manager()?;
    let device = RawLockspace::create(manager, name, flags, permissions)?;
    let minor = device.minor();
    let session = Session::new(device).inspect_err(|_| {
        // Nobody else would give back the reference.
        let _ = manager.remove(minor, RemoveFlags::empty());
    })?;
    Ok(insert(session))
}

pub(crate) fn close(handle: Handle) -> Result<(), Errno> {
    remove(handle)?.close();
    Ok(())
}

/// Closes the lockspace and gives back its reference. Whatever comes of that, the handle is gone.
pub(crate) fn release(name: &[u8], handle: Handle, force: bool) -> Result<(), Errno> {
    if *get(handle).map_err(|_| Errno(EINVAL))?.name != *name {
        return Err(Errno(EINVAL));
    }
    let session = remove(handle)?;
    // Before it is closed the removal would wait for ourselves.
    if !session.close() {
        return Err(Errno(libc::EBUSY));
    }
    let flags = if force { RemoveFlags::FORCEFREE } else { RemoveFlags::empty() };
    Ok(manager()?.remove(session.minor, flags)?)
}

/// The default lockspace, opened, or created if there is none on this node.
pub(crate) fn default_session() -> Result<Arc<Session>, Errno> {
    let mut place = lock(&DEFAULT_SESSION);
    if let Some(session) = &*place {
        return Ok(Arc::clone(session));
    }
    let manager = manager()?;
    let device = match RawLockspace::open(manager, DEFAULT).map_err(Errno::from) {
        Err(Errno(ENOENT | ENODEV)) => {
            let flags = LockspaceFlags::empty();
            RawLockspace::create(manager, DEFAULT, flags, DEFAULT_PERMISSIONS)?
        }
        opened => opened?,
    };
    let session = Session::new(device)?;
    COUNT.fetch_add(1, Ordering::AcqRel);
    Ok(Arc::clone(place.insert(session)))
}

/// The default lockspace, if it is open.
pub(crate) fn opened_default() -> Result<Arc<Session>, Errno> {
    lock(&DEFAULT_SESSION).clone().ok_or(Errno(ENOTCONN))
}

pub(crate) fn close_default() {
    let session = lock(&DEFAULT_SESSION).take();
    if let Some(session) = session {
        COUNT.fetch_sub(1, Ordering::AcqRel);
        session.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_handle_is_refused() {
        let errno = |answer: Result<Arc<Session>, Errno>| answer.unwrap_err().0;
        assert_eq!(errno(get(std::ptr::null_mut())), ENOTCONN);
        for number in [1, STEP, usize::MAX] {
            let handle = std::ptr::without_provenance_mut(number);
            assert_eq!(errno(get(handle)), EBADF);
            assert_eq!(close(handle), Err(Errno(EINVAL)));
            assert_eq!(release(b"x", handle, true), Err(Errno(EINVAL)));
        }
        assert_eq!(close(std::ptr::null_mut()), Err(Errno(EINVAL)));
        assert_eq!(errno(by_descriptor(-1)), EBADF);
        assert_eq!(errno(by_descriptor(0)), EBADF);
        assert_eq!(errno(opened_default()), ENOTCONN);
        close_default();
    }
}
