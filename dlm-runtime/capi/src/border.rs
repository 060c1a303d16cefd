//! The border between C programs and this library, where threads may be left.
//!
//! A thread may be cancelled in a call of ours, and an AST may end its thread by `pthread_exit`. The C
//! library then takes the thread's frames away, by a forced unwind or at once. RFC 2945 allows that for
//! *plain old frames*, those without destructors to run and without `catch_unwind`, if what they call is
//! of an ABI that may unwind. So:
//!
//! * Cancellation is off inside of the library, which is full of frames of the other kind, and on, if it
//!   was, in the frames of the module `frame` while they sleep or run an AST. A process of one thread need not
//!   turn it off for what is short: nobody could cancel the thread.
//! * These frames, and those above them up to the exported function, have no destructors. What is to be
//!   cleaned up is in a [`Task`] or a [`Turn`](crate::turn::Turn), which they have a pointer to, and which the handler drops
//!   that runs when the thread is left. Until then nobody but the handler has it.
//! * Each exported function acts on a cancellation that is pending before it has done anything.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use crate::errno::{Errno, Told};
use crate::frame::see_through;
use crate::task::{Progress, Task};

/// `PTHREAD_CANCEL_DISABLE`, which is 1 in glibc and musl.
const DISABLE: c_int = 1;

// As libc has them, but for the ABI: these may not return.
unsafe extern "C-unwind" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    fn pthread_testcancel();
}

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// Not 0 while the process has one thread (glibc 2.32).
    static __libc_single_threaded: std::ffi::c_char;
}

/// Whether the process has no thread but this one. Then there is nobody who could cancel it.
#[inline(always)]
fn is_alone() -> bool {
    #[cfg(target_env = "gnu")]
    // SAFETY: a variable of the C library, which is there as long as that is. It becomes 0 before there
    // is a second thread, in the thread that makes it, and is written again when that has ended.
    let is_alone = unsafe { (&raw const __libc_single_threaded).read_volatile() } != 0;
    #[cfg(not(target_env = "gnu"))]
    let is_alone = false;
    is_alone
}

/// A thread's stay in the library.
#[derive(Debug)]
pub(crate) struct Border {
    /// Whether the caller's thread can be cancelled, while it is shut.
    state: c_int,
    is_shut: bool,
    /// What `errno` becomes: that of the caller, which success leaves alone as a rule.
    pub(crate) errno: c_int,
}

impl Border {
    /// Where a thread is that is about to enter.
    pub(crate) const OUTSIDE: Self = Self { state: DISABLE, is_shut: false, errno: 0 };

    /// The thread enters, unless it is to be cancelled.
    ///
    /// The border is left open if there is no other thread: nobody cancels this one while it runs no code
    /// but ours. That goes for calls that are short; others shut it.
    #[inline(always)]
    pub(crate) fn enter_for_short(&mut self) {
        // SAFETY: no precondition. If the thread is cancelled, the frames that are left are those of
        // this module, of the exported function and of the C program.
        unsafe { pthread_testcancel() };
        self.enter_anyway_for_short();
    }

    /// The same. A cancellation stays pending.
    #[inline(always)]
    fn enter_anyway_for_short(&mut self) {
        self.errno = nix::errno::Errno::last_raw();
        self.shut_unless_alone();
    }

    /// The thread enters, unless it is to be cancelled.
    #[inline(always)]
    fn enter() -> Self {
        let mut border = Self::OUTSIDE;
        border.enter_for_short();
        border.shut();
        border
    }

    /// The thread enters. A cancellation stays pending.
    #[inline(always)]
    pub(crate) fn enter_anyway() -> Self {
        let mut border = Self::OUTSIDE;
        border.enter_anyway_for_short();
        border.shut();
        border
    }

    /// From here on the thread cannot be cancelled.
    #[inline(always)]
    pub(crate) fn shut(&mut self) {
        if !self.is_shut {
            self.is_shut = true;
            // SAFETY: a valid state, and a place for the old one. With cancellation off it returns.
            unsafe { pthread_setcancelstate(DISABLE, &raw mut self.state) };
        }
    }

    /// From here on nobody else can cancel it.
    #[inline(always)]
    fn shut_unless_alone(&mut self) {
        if !is_alone() {
            self.shut();
        }
    }

    /// From here on the thread can be cancelled if it could before.
    #[inline(always)]
    pub(crate) fn open(&mut self) {
        if self.is_shut {
            self.is_shut = false;
            // SAFETY: a state that the same function has returned, and no place for the old one. With
            // asynchronous cancellation it may not return: the frames that are left are as for `enter`.
            unsafe { pthread_setcancelstate(self.state, null_mut()) };
        }
    }

    /// The thread leaves.
    #[inline(always)]
    pub(crate) fn leave(&mut self) {
        nix::errno::Errno::set_raw(self.errno);
        self.open();
    }

    /// The thread has run code of others with the border open, and nobody else can cancel it from here
    /// on. If it has cancelled itself it is left here, in one of the frames of `enter`.
    #[inline(always)]
    pub(crate) fn shut_after_ast(&mut self) {
        if is_alone() {
            // SAFETY: as for `enter_for_short`.
            unsafe { pthread_testcancel() };
        } else {
            self.shut();
        }
    }

    /// What a body returns. In a frame of its own: one with `catch_unwind` is none to leave a thread in.
    #[inline(never)]
    fn guarded<T, U: Into<Told<T>>>(
        &mut self,
        failure: T,
        body: impl FnOnce() -> Result<U, Errno>,
    ) -> T {
        let answer = catch_unwind(AssertUnwindSafe(body));
        value_of(&mut self.errno, failure, answer.unwrap_or(Err(Errno(libc::EIO))).map(Into::into))
    }
}

/// What a function returns for an answer.
#[inline(always)]
pub(crate) fn value_of<T>(place: &mut c_int, failure: T, answer: Result<Told<T>, Errno>) -> T {
    match answer {
        Ok(Told { value, errno: None }) => value,
        Ok(Told { value, errno: Some(number) }) => {
            *place = number;
            value
        }
        Err(Errno(number)) => {
            *place = number;
            failure
        }
    }
}

/// Runs the body of a function that neither sleeps for long nor runs ASTs. An error, or a panic, which
/// is an error of this library, makes it return `failure`, and sets `errno`.
#[inline(always)]
pub(crate) fn guard<T, U: Into<Told<T>>>(failure: T, body: impl FnOnce() -> Result<U, Errno>) -> T {
    let mut border = Border::enter();
    let value = border.guarded(failure, body);
    border.leave();
    value
}

/// The same for a function in which no thread is cancelled.
#[inline(always)]
pub(crate) fn guard_anyway<T>(failure: T, body: impl FnOnce() -> Result<T, Errno>) -> T {
    let mut border = Border::enter_anyway();
    let value = border.guarded(failure, body);
    border.leave();
    value
}

/// Runs the body of a function that neither sleeps nor calls what a thread could be cancelled in, if
/// there is nothing to be done first; otherwise `body`.
#[inline(always)]
pub(crate) fn guard_short(
    short: impl FnOnce() -> Option<c_int>,
    body: impl FnOnce() -> Result<c_int, Errno>,
) -> c_int {
    let mut border = Border::OUTSIDE;
    border.enter_anyway_for_short();
    let value = match short_answer(short) {
        Some(value) => value,
        None => {
            border.shut();
            border.guarded(-1, body)
        }
    };
    border.leave();
    value
}

#[inline(never)]
fn short_answer(short: impl FnOnce() -> Option<c_int>) -> Option<c_int> {
    catch_unwind(AssertUnwindSafe(short)).unwrap_or_default()
}

/// What a short way comes to.
pub(crate) enum Short<R> {
    /// The call has ended with this value.
    Ended(c_int),
    /// It goes on with this.
    Otherwise(R),
    /// Nothing has happened.
    Nothing,
}

/// What `errno` becomes, for a short way.
#[derive(Debug)]
pub(crate) struct ErrnoPlace<'a>(&'a mut c_int);

impl ErrnoPlace<'_> {
    /// The value of a call that has ended with this.
    #[inline(always)]
    pub(crate) fn ended(&mut self, answer: Result<Told, Errno>) -> c_int {
        value_of(self.0, -1, answer)
    }
}

/// Runs the body of a function that may sleep or run ASTs, for these arguments. First it is tried on a
/// `short` way, on which it does not, and calls nothing that a thread could be cancelled in; `body` gets
/// what that has come to.
#[inline(always)]
pub(crate) fn guard_task<A, R>(
    arguments: &A,
    short: impl FnOnce(&A, ErrnoPlace<'_>) -> Short<R>,
    body: impl FnOnce(&A, Option<R>) -> Result<Progress, Errno>,
) -> c_int {
    let mut border = Border::OUTSIDE;
    border.enter_for_short();
    let begun = begin(&mut border, arguments, short, body);
    let value = if begun.task.is_null() {
        begun.value
    } else {
        // SAFETY: a task that nobody else has.
        unsafe { see_through(begun.task, &mut border) }
    };
    border.leave();
    value
}

/// As [`guard_task`], without a short way.
#[inline(always)]
pub(crate) fn guard_long_task(body: impl FnOnce() -> Result<Progress, Errno>) -> c_int {
    guard_task(&(), |(), _| Short::<()>::Nothing, |(), _| body())
}

/// A call that has ended with this value, or else the task that it goes on as.
struct BegunCall {
    value: c_int,
    task: *mut Task,
}

impl BegunCall {
    const fn ended(value: c_int) -> Self {
        Self { value, task: null_mut() }
    }
}

#[inline(never)]
fn begin<A, R>(
    border: &mut Border,
    arguments: &A,
    short: impl FnOnce(&A, ErrnoPlace<'_>) -> Short<R>,
    body: impl FnOnce(&A, Option<R>) -> Result<Progress, Errno>,
) -> BegunCall {
    let run = || {
        let rest = match short(arguments, ErrnoPlace(&mut border.errno)) {
            Short::Ended(value) => return BegunCall::ended(value),
            Short::Otherwise(rest) => Some(rest),
            Short::Nothing => None,
        };
        border.shut();
        let answer = match body(arguments, rest) {
            Ok(Progress::Ended(told)) => Ok(told),
            Ok(Progress::GoesOn(task)) => {
                return BegunCall { value: -1, task: Box::into_raw(task) };
            }
            Err(errno) => Err(errno),
        };
        BegunCall::ended(value_of(&mut border.errno, -1, answer))
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        border.errno = libc::EIO;
        BegunCall::ended(-1)
    })
}
