//! Opening a lockspace, and closing it without leaving anything behind that harms the kernel.

use std::sync::Arc;
use std::time::Duration;

use dlm_core::{CancelKind, Kind, Rules};
use dlm_proto::LockspaceFlags;
use dlm_runtime::ErrorKind;
use dlm_runtime::driver::{Begun, DriverOptions, OthersEnd, now};

#[cfg(not(dlm_model))]
use crate::ast_thread::AstThread;
#[cfg(not(dlm_model))]
use crate::backend::manager;
use crate::environment::keep_apart;
use crate::errno::Errno;
use crate::face::Session;
use crate::flavour::Flavour;
#[cfg(dlm_model)]
use crate::model::manager;

/// The longest time that closing waits for calls that have not returned from the kernel, and for an
/// AST that is running.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// The longest time that closing waits for requests that it has cancelled.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// The options with which a lockspace is opened.
fn options(flavour: Flavour) -> Result<DriverOptions, Errno> {
    Ok(DriverOptions {
        background_writes: false,
        keep_apart: keep_apart()?,
        rules: Rules::AsAsked,
        has_ids: true,
        // A program that was built for the library without threads may not stand any.
        has_threads: matches!(flavour, Flavour::Threaded),
    })
}

pub(crate) fn open(flavour: Flavour, name: &[u8]) -> Result<Arc<Session>, Errno> {
    Ok(Session::open(manager()?, name, &options(flavour)?)?)
}

pub(crate) fn create(
    flavour: Flavour,
    name: &[u8],
    permissions: u32,
    flags: LockspaceFlags,
) -> Result<Arc<Session>, Errno> {
    Ok(Session::create(manager()?, name, flags, permissions, &options(flavour)?)?)
}

/// Closes the lockspace for all of its users. `false`: a call has not returned from the kernel.
pub(crate) fn close(session: &Session) -> bool {
    let stopped = session.stop_delivery(CLOSE_PATIENCE);
    #[cfg(not(dlm_model))]
    if let Some(control) = &stopped {
        if let Some(thread) = AstThread::of_number(control.name()) {
            control.set_name(0);
            thread.dismiss(!control.is_running());
        }
    }
    drop(stopped);
    cancel_persistent(session);
    session.close(CLOSE_PATIENCE)
}

/// Cancels persistent requests that wait. Left behind as orphans they would crash the kernel when
/// somebody purges them (#waiting-persistent-orphan).
fn cancel_persistent(session: &Session) {
    let mut waiting: Vec<(Begun, OthersEnd)> = Vec::new();
    {
        let mut state = session.state();
        // Another thread may be about to make one.
        state.core.begin_end();
        for token in state.core.tokens() {
            let Some(view) = state.core.view(token) else { continue };
            let waits = view.op.is_some_and(|op| op.kind == Kind::Request);
            if waits && view.is_persistent && view.is_own && !view.ends_by_itself {
                let begun = Begun { token, serial: view.serial };
                waiting.push((begun, state.observe(begun).quiet()));
            }
        }
    }
    for &(Begun { token, serial }, _) in &waiting {
        // If it has ended in the meantime there is nothing to cancel.
        let _ = session.cancel(|state, out| {
            Ok::<_, ErrorKind>(state.core.cancel(token, Some(serial), CancelKind::Plain, true, out))
        });
    }
    let deadline = now().checked_add(CANCEL_PATIENCE);
    for (_, observed) in waiting {
        // The caller gives up his locks: nobody is to be told.
        let _ = session.await_others(observed, deadline);
    }
}
