//! A program that forks while threads are in the library.
//!
//! The thread that forks holds, over the fork, what the child needs: the table of handles and what
//! is in each open lockspace. The child gets lockspaces of its own for the same handles; see
//! `dlm_runtime::driver::Frozen`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use dlm_runtime::driver::Frozen;

use crate::border::Border;
use crate::face::{CFace, Session};
use crate::handles::{self, Held};

/// The locks held over a fork.
struct Fork {
    handles: Held,
    /// In the order of `sessions`, which they belong to.
    frozen: Vec<Frozen<'static, CFace>>,
    sessions: Vec<Arc<Session>>,
}

thread_local! {
    static FORK: RefCell<Option<Fork>> = const { RefCell::new(None) };
}

/// Has forks noticed from now on.
pub(crate) fn notice() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Its handler comes before ours, as it is there first.
        dlm_sys::fork_count();
        // SAFETY: the handlers are functions that stay as long as this library is loaded, and the C
        // library drops them when it is not. Each expects to be called as `pthread_atfork` says.
        // Out of memory is the only failure: forked children then share what their parents have.
        let _ = unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
    });
}

/// The lockspaces of the parent. They are never dropped: what its other threads have locked in them
/// stays locked.
fn left_behind() -> MutexGuard<'static, Vec<Arc<Session>>> {
    static LEFT: Mutex<Vec<Arc<Session>>> = Mutex::new(Vec::new());
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls what must not let a panic through, nor be cancelled.
fn quietly(body: impl FnOnce()) {
    let mut border = Border::enter_anyway();
    let _ = catch_unwind(AssertUnwindSafe(body));
    border.leave();
}

unsafe extern "C" fn prepare() {
    quietly(|| {
        let handles = handles::hold();
        let sessions: Vec<Arc<Session>> = handles.sessions().cloned().collect();
        let frozen = sessions.iter().map(|session| {
            // SAFETY: `Fork` keeps the session for as long as what is frozen of it; in the child it
            // is kept for ever.
            let session: &'static Session = unsafe { &*Arc::as_ptr(session) };
            session.freeze()
        });
        let frozen = frozen.collect();
        // A thread that is ending holds nothing: its child has what is there.
        let _ = FORK.try_with(|fork| fork.replace(Some(Fork { handles, frozen, sessions })));
    });
}

/// The locks that this thread has held.
fn take() -> Option<Fork> {
    FORK.try_with(RefCell::take).ok().flatten()
}

unsafe extern "C" fn in_parent() {
    quietly(|| {
        if let Some(Fork { handles, frozen, sessions }) = take() {
            frozen.into_iter().for_each(Frozen::thaw);
            drop((handles, sessions));
        }
    });
}

unsafe extern "C" fn in_child() {
    quietly(|| {
        if let Some(Fork { mut handles, frozen, sessions }) = take() {
            let new: Vec<_> = frozen.into_iter().map(Frozen::in_child).collect();
            for (place, session) in handles.sessions_mut().zip(new) {
                *place = session;
            }
            handles.renew_slots();
            left_behind().extend(sessions);
        }
    });
}
