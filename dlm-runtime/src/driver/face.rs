//! The faces of a driver: the Rust API and the C libraries.

use std::sync::Arc;
use std::task::Waker;

use dlm_core::Kind;
use dlm_proto::{LockId, Token};

use super::wait_queue::Waiter;
use crate::event::{Blocking, Completion};

/// A face of a driver: what it keeps for locks and operations, and how its callbacks are run.
///
/// The functions that are given a `&mut Self::Lock` are called with the table of locks locked. They
/// must not run foreign code: they take what is to be run or dropped out, and return it.
pub trait Face: Sized + Send + Sync + 'static {
    /// The data kept for an operation that ends in a callback.
    type Callback: Send;
    /// The data kept for a lock.
    type Lock: Default + Send;
    /// A completion callback that is due, with all that it is told.
    type Due: Send;

    /// Whether a thread that waits in a call runs callbacks that are due, if no delivery thread
    /// does.
    const RUNS_IN_WAITS: bool;

    /// Whether each lock has a handle, whose drop releases it.
    const HAS_HANDLES: bool;

    /// Puts what is kept for a lock that asks for no blocking notices into its place, where what was kept
    /// for another such lock may be.
    fn keep_plain(place: &mut Self::Lock, lock: &mut Self::Lock);

    /// The kernel has accepted the request for a lock, as one of this id. Called for faces without
    /// handles, with the table locked, unless the request has ended already.
    fn learned(_callback: &Self::Callback, _id: LockId) {}

    /// An operation of a lock has ended. `callback`: what was kept for it, unless a thread or task
    /// waits for the end. Returns the callback that is due by this.
    fn ended(
        lock: &mut Self::Lock,
        kind: Kind,
        callback: Option<Self::Callback>,
        completion: &Completion,
        id: LockId,
    ) -> Option<Self::Due>;

    /// An unlock was written over an operation that ends in a callback, and has ended it.
    fn overtaken(callback: Self::Callback, completion: &Completion) -> Option<Self::Due>;

    /// Whether nothing of foreign code is kept for a lock.
    fn is_vacant(lock: &Self::Lock) -> bool;

    /// Somebody waits for a lock.
    fn noticed(lock: &mut Self::Lock, notice: Blocking) -> Notice;

    /// The waker of the task that waits for notices of a lock.
    fn take_waker(lock: &mut Self::Lock) -> Option<Waker>;

    /// The completion of an operation that has failed without a result, for its callback; an error
    /// number (positive).
    fn failed(lock: &mut Self::Lock, callback: Self::Callback, errno: i32) -> Option<Self::Due>;
}

/// The consequence of a blocking notice.
#[derive(Debug)]
pub enum Notice {
    /// Nothing.
    Nothing,
    /// The blocking callback is due.
    Callback,
    /// A task waits for it.
    Wake(Waker),
}

/// The one that is told when an operation has ended.
pub enum Notify<F: Face> {
    /// A thread that waits in a call, once it sleeps. It finds the outcome in the core.
    Thread(Option<Arc<Waiter>>),
    /// A task; it finds the outcome as a thread does.
    Task(Waker),
    /// A callback.
    Callback(F::Callback),
}

impl<F: Face> Notify<F> {
    /// The callback, if it is one.
    #[inline]
    pub(crate) fn into_callback(self) -> Option<F::Callback> {
        match self {
            Self::Callback(callback) => Some(callback),
            Self::Thread(_) | Self::Task(_) => None,
        }
    }

    /// Whether somebody must read the completion who is not the one that waits for it.
    pub(crate) const fn needs_delivery(&self) -> bool {
        !matches!(self, Self::Thread(_))
    }
}

/// Something for whoever runs callbacks.
pub enum Due<F: Face> {
    /// A completion callback.
    Completion(Token, F::Due),

    /// One that was due just now, by a result that this thread has read: no handle was dropped since
    /// then.
    Now(Token, F::Due),

    /// That of a lock that has left the table, and has no handle any more.
    Gone(F::Due),

    /// The blocking callback of a lock.
    Blocking(Token, Blocking),
    /// The waker of a task, read by a thread that waits for something else.
    Wake(Waker),
}

impl<F: Face> Due<F> {
    /// The same, to be run later.
    pub(crate) fn put_off(self) -> Self {
        match self {
            Self::Now(token, due) => Self::Completion(token, due),
            due => due,
        }
    }
}
