//! Handles of open lockspaces: numbers that are looked up, never addresses.

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use dlm_proto::{LockId, LockspaceFlags, RemoveFlags};
use libc::{EBADF, EINVAL, ENODEV, ENOENT, ENOTCONN};

use crate::errno::Errno;
use crate::face::Session;
use crate::flavour::Flavour;
use crate::slots::{self, Lease, STEP};
use crate::{fork, session};

/// `dlm_lshandle_t`.
pub type Handle = *mut c_void;

/// The lockspace of the calls that name none.
const DEFAULT: &[u8] = b"default";

/// The permissions of its node: for root.
const DEFAULT_PERMISSIONS: u32 = 0o600;

/// The least handle. None is in the first pages, where callers keep marks of their own.
const LEAST: usize = 0x1_0000;

/// The greatest one: callers keep them in an `int`, and take what is below 0 for an error. It takes more
/// than a hundred million opens until a number is used again.
const GREATEST: usize = 0x7fff_fff0;

/// The next handle, unless it is one.
static NEXT: AtomicUsize = AtomicUsize::new(LEAST);
// Locks of the standard library: a forked child can unlock what its parent's thread has locked.
static OPEN: RwLock<Vec<Open>> = RwLock::new(Vec::new());
/// The last handle whose lockspace was found by its descriptor.
static LAST_BY_DESCRIPTOR: AtomicUsize = AtomicUsize::new(0);
/// How many lockspaces are open, the default one included.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static DEFAULT_SESSION: Mutex<Default> = Mutex::new(Default::Closed);
/// The default lockspace was opened, or that has failed.
static OPENED: Condvar = Condvar::new();

/// A handle and what it stands for.
type Open = (usize, Arc<Session>);

/// The default lockspace.
enum Default {
    Closed,
    /// A thread is about to open it.
    Opening,
    Open(Arc<Session>),
}

impl Default {
    const fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Open(session) => Some(session),
            Self::Closed | Self::Opening => None,
        }
    }
}

/// Both tables, which nobody else changes meanwhile.
pub(crate) struct Held {
    open: RwLockWriteGuard<'static, Vec<Open>>,
    default: MutexGuard<'static, Default>,
}

/// Takes both tables.
pub(crate) fn hold() -> Held {
    Held { open: open_to_change(), default: default_place() }
}

impl Held {
    /// All open lockspaces.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.open.iter().map(|(_, session)| session).chain(self.default.session())
    }

    /// The same, in the same order, for a forked child.
    pub(crate) fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Arc<Session>> {
        if matches!(*self.default, Default::Opening) {
            // The thread that was about to is the parent's.
            *self.default = Default::Closed;
        }
        let default = match &mut *self.default {
            Default::Open(session) => Some(session),
            _ => None,
        };
        self.open.iter_mut().map(|(_, session)| session).chain(default)
    }

    /// In a forked child, when it has sessions of its own: they are what calls find.
    pub(crate) fn renew_slots(&self) {
        self.open.iter().for_each(|(number, session)| slots::renew(*number, session));
    }
}

/// Locks the table of handles.
pub(crate) fn hold_open() -> impl Sized {
    open_to_change()
}

// A panic elsewhere leaves none of these half-changed.
fn open() -> RwLockReadGuard<'static, Vec<Open>> {
    OPEN.read().unwrap_or_else(PoisonError::into_inner)
}

fn open_to_change() -> RwLockWriteGuard<'static, Vec<Open>> {
    OPEN.write().unwrap_or_else(PoisonError::into_inner)
}

fn default_place() -> MutexGuard<'static, Default> {
    DEFAULT_SESSION.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(wanted: impl Fn(&Open) -> bool) -> Option<Arc<Session>> {
    let open = open();
    open.iter().find(|entry| wanted(entry)).map(|(_, session)| Arc::clone(session))
}

/// The lockspace that a handle stands for, if it is found at once.
#[inline(always)]
pub(crate) fn find_quickly(handle: Handle) -> Option<Lease> {
    slots::find(handle.addr())
}

/// The lockspace that a handle stands for: ENOTCONN for NULL, EBADF for what is no handle.
pub(crate) fn get(handle: Handle) -> Result<Arc<Session>, Errno> {
    let unknown = Errno(if handle.is_null() { ENOTCONN } else { EBADF });
    find(|(number, _)| *number == handle.addr()).ok_or(unknown)
}

/// The lockspace whose descriptor this is.
#[inline(always)]
pub(crate) fn by_descriptor(fd: RawFd) -> Result<Lease, Errno> {
    let last = slots::find(LAST_BY_DESCRIPTOR.load(Ordering::Relaxed));
    match last.filter(|session| session.made_descriptor() == Some(fd)) {
        Some(session) => Ok(session),
        None => search_by_descriptor(fd).map(Lease::from),
    }
}

#[inline(never)]
fn search_by_descriptor(fd: RawFd) -> Result<Arc<Session>, Errno> {
    let has_fd = |session: &Arc<Session>| session.made_descriptor() == Some(fd);
    let is_it = |(number, session): &Open| {
        let is_it = has_fd(session);
        if is_it {
            LAST_BY_DESCRIPTOR.store(*number, Ordering::Relaxed);
        }
        is_it
    };
    if let Some(session) = find(is_it) {
        return Ok(session);
    }
    let default = default_place();
    default.session().filter(|session| has_fd(session)).cloned().ok_or(Errno(EBADF))
}

/// The handle through which a lock was taken: this one, or another of this process for the same
/// lockspace.
pub(crate) fn owner_of(session: Arc<Session>, id: u32) -> Arc<Session> {
    // With one lockspace open there is nothing to look for.
    if COUNT.load(Ordering::Acquire) <= 1 || has(&session, id) {
        return session;
    }
    find(|(_, other)| other.minor() == session.minor() && has(other, id)).unwrap_or(session)
}

/// Whether this lock was taken here.
fn has(session: &Session, id: u32) -> bool {
    session.state().core.by_id(LockId(id)).is_some()
}

fn insert(session: Arc<Session>) -> Handle {
    let mut open = open_to_change();
    let number = free_number(NEXT.load(Ordering::Relaxed), |number| {
        open.iter().any(|(other, _)| *other == number)
    });
    NEXT.store(number_after(number), Ordering::Relaxed);
    slots::put(number, &session);
    open.push((number, session));
    COUNT.fetch_add(1, Ordering::AcqRel);
    std::ptr::without_provenance_mut(number)
}

const fn number_after(number: usize) -> usize {
    if number < GREATEST { number + STEP } else { LEAST }
}

/// The first number from this one on that is not taken. There are far more than descriptors.
fn free_number(mut number: usize, is_taken: impl Fn(usize) -> bool) -> usize {
    while is_taken(number) {
        number = number_after(number);
    }
    number
}

/// Takes a handle away from its callers. EINVAL: there is none.
fn remove(handle: Handle) -> Result<Arc<Session>, Errno> {
    let mut open = open_to_change();
    let at = open.iter().position(|(number, _)| *number == handle.addr()).ok_or(Errno(EINVAL))?;
    COUNT.fetch_sub(1, Ordering::AcqRel);
    let (number, session) = open.swap_remove(at);
    let of_slot = slots::remove(number);
    drop(open);
    drop(of_slot);
    Ok(session)
}

pub(crate) fn open_lockspace(flavour: Flavour, name: &[u8]) -> Result<Handle, Errno> {
    fork::notice();
    Ok(insert(session::open(flavour, name)?))
}

pub(crate) fn create(
    flavour: Flavour,
    name: &[u8],
    permissions: u32,
    flags: u32,
) -> Result<Handle, Errno> {
    fork::notice();
    let flags = LockspaceFlags::from_bits_retain(flags);
    Ok(insert(session::create(flavour, name, permissions, flags)?))
}

pub(crate) fn close(handle: Handle) -> Result<(), Errno> {
    let session = remove(handle)?;
    session::close(&session);
    Ok(())
}

/// Closes the lockspace and gives back its reference. Whatever comes of that, the handle is gone. Tells
/// whether there still is a lockspace of that name.
pub(crate) fn release(name: &[u8], handle: Handle, force: bool) -> Result<bool, Errno> {
    if **get(handle).map_err(|_| Errno(EINVAL))?.name() != *name {
        return Err(Errno(EINVAL));
    }
    let session = remove(handle)?;
    // Before it is closed the removal would wait for ourselves.
    if !session::close(&session) {
        return Err(Errno(libc::EBUSY));
    }
    let flags = if force { RemoveFlags::FORCEFREE } else { RemoveFlags::empty() };
    session.give_back(flags)?;
    Ok(session.is_on_node())
}

/// The default lockspace, opened, or created if there is none on this node.
pub(crate) fn default_session(flavour: Flavour) -> Result<Arc<Session>, Errno> {
    Ok(with_default(flavour, |_| Ok(()))?.0)
}

/// The default lockspace, and what is asked of it. If it was not open and that fails, it is not open
/// afterwards, nor is it there if it was not.
pub(crate) fn with_default<T>(
    flavour: Flavour,
    ask: impl FnOnce(&Session) -> Result<T, Errno>,
) -> Result<(Arc<Session>, T), Errno> {
    let mut place = default_place();
    loop {
        match &*place {
            Default::Open(session) => {
                let session = Arc::clone(session);
                drop(place);
                let answer = ask(&session)?;
                return Ok((session, answer));
            }
            Default::Closed => break,
            Default::Opening => {
                place = OPENED.wait(place).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
    *place = Default::Opening;
    // The cluster may take its time.
    drop(place);
    let opened = open_default(flavour, ask);
    let mut place = default_place();
    *place = match &opened {
        Ok((session, _)) => Default::Open(Arc::clone(session)),
        Err(_) => Default::Closed,
    };
    COUNT.fetch_add(usize::from(opened.is_ok()), Ordering::AcqRel);
    OPENED.notify_all();
    opened
}

fn open_default<T>(
    flavour: Flavour,
    ask: impl FnOnce(&Session) -> Result<T, Errno>,
) -> Result<(Arc<Session>, T), Errno> {
    fork::notice();
    let (session, is_made) = match session::open(flavour, DEFAULT) {
        Err(Errno(ENOENT | ENODEV)) => {
            let flags = LockspaceFlags::empty();
            (session::create(flavour, DEFAULT, DEFAULT_PERMISSIONS, flags)?, true)
        }
        opened => (opened?, false),
    };
    match ask(&session) {
        Ok(answer) => Ok((session, answer)),
        Err(errno) => {
            session::close(&session);
            if is_made {
                // Nobody else would give back the reference.
                let _ = session.give_back(RemoveFlags::empty());
            }
            Err(errno)
        }
    }
}

/// The default lockspace, if it is open.
pub(crate) fn opened_default() -> Result<Arc<Session>, Errno> {
    default_place().session().cloned().ok_or(Errno(ENOTCONN))
}

pub(crate) fn close_default() {
    let session = {
        let mut place = default_place();
        match &*place {
            Default::Open(session) => {
                let session = Arc::clone(session);
                *place = Default::Closed;
                session
            }
            _ => return,
        }
    };
    COUNT.fetch_sub(1, Ordering::AcqRel);
    session::close(&session);
}

#[cfg(test)]
mod tests {
    use dlm_core::Rules;
    use dlm_runtime::driver::{DriverOptions, KeepApart, Manager};
    use dlm_runtime::engine::Cluster;

    use super::*;

    #[test]
    fn numbers_stay_positive_in_an_int_and_pass_by_those_in_use() {
        assert_eq!(number_after(LEAST), LEAST + STEP);
        assert_eq!(number_after(GREATEST), LEAST);
        assert!(i32::try_from(GREATEST).is_ok_and(|number| number > 0));
        assert_eq!(GREATEST % STEP, LEAST % STEP);
        let taken = [GREATEST, LEAST, LEAST + STEP];
        let free = |number| free_number(number, |other| taken.contains(&other));
        assert_eq!(free(GREATEST - STEP), GREATEST - STEP);
        for number in taken {
            assert_eq!(free(number), LEAST + 2 * STEP);
        }
    }

    fn any_session() -> Arc<Session> {
        let options = DriverOptions {
            background_writes: false,
            keep_apart: KeepApart::Never,
            rules: Rules::AsAsked,
            has_ids: true,
            has_threads: false,
        };
        let manager = Manager::Other(Arc::new(Cluster::default().node(1)));
        Session::create(&manager, b"x", LockspaceFlags::empty(), 0o600, &options).unwrap()
    }

    #[test]
    fn handles_are_found_in_their_slot_or_in_the_table() {
        a_session_is_there_as_long_as_it_is_used();
        // Those of the other test must be found in their slot.
        handles_whose_slot_is_taken_are_found_in_the_table();
    }

    fn a_session_is_there_as_long_as_it_is_used() {
        let session = any_session();
        let weak = Arc::downgrade(&session);
        let handle = insert(session);
        let (one, other) = (find_quickly(handle).unwrap(), find_quickly(handle).unwrap());
        drop(remove(handle).ok());
        assert!(find_quickly(handle).is_none());
        assert_eq!(get(handle).err(), Some(Errno(EBADF)));
        drop(one);
        assert_eq!(other.name(), weak.upgrade().unwrap().name());
        drop(other);
        assert!(weak.upgrade().is_none());
    }

    fn handles_whose_slot_is_taken_are_found_in_the_table() {
        let session = any_session();
        let handles: Vec<_> = (0..200).map(|_| insert(Arc::clone(&session)).addr()).collect();
        let handles = handles.into_iter().map(std::ptr::without_provenance_mut);
        for handle in handles {
            assert!(get(handle).is_ok());
            drop(remove(handle).ok());
            assert!(find_quickly(handle).is_none() && get(handle).is_err());
        }
        assert_eq!(Arc::strong_count(&session), 1);
    }

    /// Handles come and go under threads that look for them.
    #[test]
    fn what_is_found_while_it_is_closed_is_whole() {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        static FOUND: AtomicUsize = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        let number = LAST.load(Ordering::Relaxed);
                        if number == usize::MAX {
                            return;
                        }
                        let found = find_quickly(std::ptr::without_provenance_mut(number));
                        if let Some(session) = found {
                            assert_eq!(**session.name(), *b"x");
                            FOUND.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            let mut closed = 0;
            while closed < 100 || FOUND.load(Ordering::Relaxed) < 30 {
                let session = any_session();
                let weak = Arc::downgrade(&session);
                let handle = insert(session);
                LAST.store(handle.addr(), Ordering::Relaxed);
                std::thread::yield_now();
                drop(remove(handle).ok());
                while weak.upgrade().is_some() {
                    // Its last user is about to leave.
                    std::thread::yield_now();
                }
                closed += 1;
            }
            LAST.store(usize::MAX, Ordering::Relaxed);
        });
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        let errno = |answer: Result<Arc<Session>, Errno>| answer.err().map(|errno| errno.0);
        assert_eq!(errno(get(std::ptr::null_mut())), Some(ENOTCONN));
        for number in [1, LEAST, GREATEST, usize::MAX] {
            let handle = std::ptr::without_provenance_mut(number);
            assert_eq!(errno(get(handle)), Some(EBADF));
            assert_eq!(close(handle), Err(Errno(EINVAL)));
            assert_eq!(release(b"x", handle, true), Err(Errno(EINVAL)));
        }
        assert_eq!(close(std::ptr::null_mut()), Err(Errno(EINVAL)));
        for fd in [-1, 0] {
            assert_eq!(by_descriptor(fd).err(), Some(Errno(EBADF)));
        }
        assert_eq!(errno(opened_default()), Some(ENOTCONN));
        close_default();
    }
}
