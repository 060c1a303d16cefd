//! The two calls of the old documentation: lock a name in the default lockspace, unlock by id.
//!
//! For programs that need one or two locks and nothing else. The default lockspace is opened, or
//! created, at the first call, and stays open.

use std::collections::HashMap;
use std::sync::Arc;

use dlm_proto::{LockFlags, LockId, Mode};

use crate::error::{Error, ErrorKind, Operation};
use crate::lock::Lock;
use crate::lockspace::Lockspace;
use crate::options::LockspaceOptions;
use crate::threads::{Mutex, lock};
use crate::unlock::UnlockError;

/// The name of the default lockspace, the same as that of C libdlm.
pub const DEFAULT_LOCKSPACE: &str = "default";

static LOCKSPACE: Mutex<Option<Arc<Lockspace>>> = Mutex::new(None);
static LOCKS: Mutex<Option<HashMap<LockId, Lock>>> = Mutex::new(None);

/// Locks a resource in the default lockspace, waits until that is granted, and returns the lock's
/// id for [`unlock_resource`].
///
/// ```no_run
/// use dlm_runtime::simple::{lock_resource, unlock_resource};
/// use dlm_runtime::{LockFlags, Mode};
///
/// let id = lock_resource("disk0", Mode::Ex, LockFlags::empty())?;
/// unlock_resource(id)?;
/// # Ok::<(), dlm_runtime::Error>(())
/// ```
///
/// # Errors
///
/// As [`LockspaceOptions::open_or_create`] and [`LockRequest::wait`](crate::LockRequest::wait).
pub fn lock_resource(
    resource: impl AsRef<[u8]>,
    mode: Mode,
    flags: LockFlags,
) -> Result<LockId, Error> {
    let granted = default_lockspace()?.lock(resource, mode).flags(flags).wait()?;
    let id = granted.id().ok_or(Error::new(Operation::Lock, ErrorKind::LockGone))?;
    // The kernel hands out each id once at a time; what it replaces here is gone already.
    let old = lock(&LOCKS).get_or_insert_default().insert(id, granted);
    drop(old);
    Ok(id)
}

/// Unlocks what [`lock_resource`] has locked, and waits until that is done.
///
/// # Errors
///
/// [`ErrorKind::LockGone`] if no such lock is held; otherwise as [`UnlockRequest::wait`](crate::UnlockRequest::wait), and the lock
/// is still held then.
pub fn unlock_resource(id: LockId) -> Result<(), Error> {
    let held = lock(&LOCKS).as_mut().and_then(|locks| locks.remove(&id));
    let held = held.ok_or(Error::new(Operation::Unlock, ErrorKind::LockGone))?;
    held.unlock().wait().map_err(|UnlockError { error, lock: held }| {
        drop(lock(&LOCKS).get_or_insert_default().insert(id, held));
        error
    })
}

fn default_lockspace() -> Result<Arc<Lockspace>, Error> {
    let mut lockspace = lock(&LOCKSPACE);
    if let Some(lockspace) = &*lockspace {
        return Ok(Arc::clone(lockspace));
    }
    let opened = Arc::new(LockspaceOptions::new().open_or_create(DEFAULT_LOCKSPACE)?);
    Ok(Arc::clone(lockspace.insert(opened)))
}
