//! The thread for what is left over when nobody reads: locks that were given up and are still to be
//! cancelled or unlocked. It lives only as long as there are any.

use dlm_proto::Token;

use super::short_lived::ShortLived;
use super::signal::Signal;
use crate::threads::atomic::{AtomicBool, Ordering};
use crate::threads::{Mutex, lock};

#[derive(Debug, Default)]
struct State {
    /// Locks for which something is to be written.
    chores: Vec<Token>,
    thread: ShortLived,
}

/// The thread for what is left over, and what it is to do.
#[derive(Debug, Default)]
pub(crate) struct Settler {
    state: Mutex<State>,
    /// Saves the look for chores.
    has_chores: AtomicBool,
    /// There may be no thread, and something is left over.
    waits_for_call: AtomicBool,
}

impl Settler {
    /// Gets the thread to look again, or starts one that runs `body`. `false`: there can be none.
    pub(crate) fn wake_or_start(&self, body: impl FnOnce(&Signal) + Send + 'static) -> bool {
        lock(&self.state).thread.wake_or_start("dlm-settle", body)
    }

    /// Gets the thread to look again: it ends if nothing is left over, or if the lockspace has
    /// ended.
    pub(crate) fn stop(&self) {
        lock(&self.state).thread.ring();
    }

    /// Whether the thread ends: `is_done` says so, which is told whether there are chores. Who leaves
    /// something from now on starts another one.
    pub(crate) fn ends(&self, is_done: impl FnOnce(bool) -> bool) -> bool {
        let mut state = lock(&self.state);
        let ends = is_done(!state.chores.is_empty());
        if ends {
            state.thread.end();
        }
        ends
    }

    /// Hands over a lock for which something is to be written.
    pub(crate) fn add_chore(&self, token: Token) {
        let mut state = lock(&self.state);
        state.chores.push(token);
        self.has_chores.store(true, Ordering::SeqCst);
    }

    /// Whether something is to be written for locks that were handed over.
    #[inline]
    pub(crate) fn has_chores(&self) -> bool {
        self.has_chores.load(Ordering::SeqCst)
    }

    /// Takes one of those locks.
    pub(crate) fn next_chore(&self) -> Option<Token> {
        if !self.has_chores() {
            return None;
        }
        let mut state = lock(&self.state);
        let token = state.chores.pop();
        self.has_chores.store(!state.chores.is_empty(), Ordering::SeqCst);
        token
    }

    /// Whether something is left over and there may be no thread for it.
    #[inline]
    pub(crate) fn waits_for_call(&self) -> bool {
        self.waits_for_call.load(Ordering::Relaxed)
    }

    pub(crate) fn set_waits_for_call(&self, waits: bool) {
        self.waits_for_call.store(waits, Ordering::Relaxed);
    }
}
