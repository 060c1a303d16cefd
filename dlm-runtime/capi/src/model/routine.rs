//! AST routines of C programs.

use std::ffi::c_void;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use dlm_runtime::model::note_failure;
use shuttle::sync::{Condvar, Mutex};

use crate::lksb::Ast;

/// An AST routine with what it does, which counts its runs. The scenario keeps it until nobody calls
/// it any more.
pub(super) struct Routine {
    body: Box<dyn Fn() + Send + Sync>,
    ended: Mutex<usize>,
    changed: Condvar,
}

impl fmt::Debug for Routine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routine").finish_non_exhaustive()
    }
}

impl Routine {
    pub(super) fn new(body: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let (ended, changed) = (Mutex::new(0), Condvar::new());
        Arc::new(Self { body: Box::new(body), ended, changed })
    }

    /// The routine, for a call.
    pub(super) fn ast(&self) -> Option<Ast> {
        let argument: *const Self = self;
        // SAFETY: `run` may be called in any thread with this argument, which stays.
        unsafe { Ast::new(Some(run), argument.cast_mut().cast()) }
    }

    fn run(&self) {
        // What is above this one is C.
        if catch_unwind(AssertUnwindSafe(|| (self.body)())).is_err() {
            note_failure("an AST has failed");
        }
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// How often it has run.
    pub(super) fn runs(&self) -> usize {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it has run so often.
    pub(super) fn await_runs(&self, count: usize) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while *ended < count {
            ended = self.changed.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

unsafe extern "C-unwind" fn run(argument: *mut c_void) {
    // SAFETY: the argument that `ast` has given, a routine that stays.
    let routine = unsafe { &*argument.cast::<Routine>() };
    routine.run();
}
