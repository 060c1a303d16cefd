//! The border between C programs and this library, where threads may be left.
//!
//! A thread may be cancelled in a call of ours, and an AST may end its thread by `pthread_exit`. The C
//! library then takes the thread's frames away, by a forced unwind or at once. RFC 2945 allows that for
//! *plain old frames*, those without destructors to run and without `catch_unwind`, if what they call is
//! of an ABI that may unwind. So:
//!
//! * Cancellation is off inside of the library, which is full of frames of the other kind, and on, if it
//!   was, in the frames of this module while they sleep or run an AST.
//! * These frames, and those above them up to the exported function, have no destructors. What is to be
//!   cleaned up is in a [`Task`] or a [`Turn`], which they have a pointer to, and which the handler drops
//!   that runs when the thread is left. Until then nobody but the handler has it.
//! * Each exported function acts on a cancellation that is pending before it has done anything.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libc::{nfds_t, pollfd, pthread_attr_t, pthread_t, timespec};

use crate::errno::{Errno, Told};
use crate::face::Session;
use crate::lksb::Ast;
use crate::polled::Polled;
use crate::semaphore::{self, Semaphore};
use crate::task::{Ask, Progress, Task};
use crate::turn::{Turn, TurnStep};

/// `PTHREAD_CANCEL_DISABLE`, which is 1 in glibc and musl.
const DISABLE: c_int = 1;

/// `struct _pthread_cleanup_buffer` of glibc's pthread.h, whose last word musl's does not have.
#[repr(C)]
struct CleanupBuffer {
    routine: Option<unsafe extern "C" fn(*mut c_void)>,
    argument: *mut c_void,
    kind: c_int,
    previous: *mut c_void,
}

impl CleanupBuffer {
    const NONE: Self = Self { routine: None, argument: null_mut(), kind: 0, previous: null_mut() };
}

type Start = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;

// As libc has them, but for the ABI: these may not return.
unsafe extern "C-unwind" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    fn pthread_testcancel();
    fn poll(fds: *mut pollfd, count: nfds_t, millis: c_int) -> c_int;
    fn pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int;
}

unsafe extern "C" {
    fn _pthread_cleanup_push(
        buffer: *mut CleanupBuffer,
        routine: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    );
    fn _pthread_cleanup_pop(buffer: *mut CleanupBuffer, runs: c_int);
}

/// A thread's stay in the library.
#[derive(Debug)]
pub(crate) struct Border {
    /// Whether the caller's thread can be cancelled.
    state: c_int,
    /// What `errno` becomes: that of the caller, which success leaves alone as a rule.
    errno: c_int,
}

impl Border {
    /// The thread enters, unless it is to be cancelled.
    #[inline(always)]
    fn enter() -> Self {
        // SAFETY: no precondition. If the thread is cancelled, the frames that are left are those of
        // this module, of the exported function and of the C program.
        unsafe { pthread_testcancel() };
        Self::enter_anyway()
    }

    /// The thread enters. A cancellation stays pending.
    #[inline(always)]
    pub(crate) fn enter_anyway() -> Self {
        let mut border = Self { state: DISABLE, errno: nix::errno::Errno::last_raw() };
        border.shut();
        border
    }

    /// From here on the thread cannot be cancelled.
    #[inline(always)]
    fn shut(&mut self) {
        // SAFETY: a valid state, and a place for the old one. With cancellation off it returns.
        unsafe { pthread_setcancelstate(DISABLE, &raw mut self.state) };
    }

    /// From here on the thread can be cancelled if it could before.
    #[inline(always)]
    fn open(&self) {
        // SAFETY: a state that the same function has returned, and no place for the old one. With
        // asynchronous cancellation it may not return: the frames that are left are as for `enter`.
        unsafe { pthread_setcancelstate(self.state, null_mut()) };
    }

    /// The thread leaves.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        nix::errno::Errno::set_raw(self.errno);
        self.open();
    }

    /// What a function returns for an answer.
    #[inline(always)]
    fn told<T>(&mut self, failure: T, answer: Result<Told<T>, Errno>) -> T {
        match answer {
            Ok(Told { value, errno: None }) => value,
            Ok(Told { value, errno: Some(number) }) => {
                self.errno = number;
                value
            }
            Err(Errno(number)) => {
                self.errno = number;
                failure
            }
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
        self.told(failure, answer.unwrap_or(Err(Errno(libc::EIO))).map(Into::into))
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

/// Runs the body of a function that may sleep or run ASTs.
#[inline(always)]
pub(crate) fn guard_task(body: impl FnOnce() -> Result<Progress, Errno>) -> c_int {
    let mut border = Border::enter();
    let value = match begin(&mut border, body) {
        Ok(value) => value,
        // SAFETY: a task that nobody else has.
        Err(task) => unsafe { see_through(task, &mut border) },
    };
    border.leave();
    value
}

/// What a call returns that has ended, or else the task that it goes on as.
#[inline(never)]
fn begin(
    border: &mut Border,
    body: impl FnOnce() -> Result<Progress, Errno>,
) -> Result<c_int, *mut Task> {
    let answer = match catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Errno(libc::EIO))) {
        Ok(Progress::Ended(told)) => Ok(told),
        Ok(Progress::GoesOn(task)) => return Err(Box::into_raw(task)),
        Err(errno) => Err(errno),
    };
    Ok(border.told(-1, answer))
}

/// Runs a turn of `dlm_dispatch` in the lockspace that is found. It returns `told`.
#[inline(always)]
pub(crate) fn guard_turn(told: Told, find: impl FnOnce() -> Result<Arc<Session>, Errno>) -> c_int {
    let mut border = Border::enter();
    let mut turn = MaybeUninit::<Turn>::uninit();
    let value = match begin_turn(find, &mut turn, told) {
        InTurn::End(end) => border.told(-1, end),
        // SAFETY: a task that nobody else has.
        InTurn::GoesOn(task) => unsafe { see_through(task, &mut border) },
        // SAFETY: there is a turn now, in this frame.
        InTurn::Call(ast) => unsafe { see_turn_through(turn.as_mut_ptr(), ast, told, &mut border) },
    };
    border.leave();
    value
}

/// What the outermost frame is to do for a turn.
enum InTurn {
    Call(Ast),
    GoesOn(*mut Task),
    End(Result<Told, Errno>),
}

impl InTurn {
    #[inline(always)]
    fn of_end(end: Progress<usize>, told: Told) -> Self {
        match end {
            Progress::Ended(_) => Self::End(Ok(told)),
            Progress::GoesOn(task) => Self::of_task(task, told),
        }
    }

    #[cold]
    #[inline(never)]
    fn of_task(task: Box<Task<usize>>, told: Told) -> Self {
        match Progress::GoesOn(task).then(move |_| Ok(told)) {
            Ok(Progress::GoesOn(task)) => Self::GoesOn(Box::into_raw(task)),
            Ok(Progress::Ended(told)) => Self::End(Ok(told)),
            Err(errno) => Self::End(Err(errno)),
        }
    }

    /// What a panic comes to, which is an error of this library.
    fn guarded(step: impl FnOnce() -> Self) -> Self {
        catch_unwind(AssertUnwindSafe(step)).unwrap_or(Self::End(Err(Errno(libc::EIO))))
    }
}

/// Begins a turn, up to its first AST: if that is due, the turn is in its `place`.
#[inline(never)]
fn begin_turn(
    find: impl FnOnce() -> Result<Arc<Session>, Errno>,
    place: &mut MaybeUninit<Turn>,
    told: Told,
) -> InTurn {
    InTurn::guarded(|| match find().map(Turn::begin) {
        Ok(Ok((turn, ast))) => {
            place.write(turn);
            InTurn::Call(ast)
        }
        Ok(Err(end)) => InTurn::of_end(end, told),
        Err(errno) => InTurn::End(Err(errno)),
    })
}

/// Goes on with a turn up to its next AST.
///
/// # Safety
///
/// A turn that nobody else uses meanwhile.
#[inline(never)]
unsafe fn advance_turn(turn: *mut Turn, told: Told) -> InTurn {
    // SAFETY: by this function's contract.
    InTurn::guarded(|| match unsafe { &mut *turn }.advance() {
        TurnStep::Call(ast) => InTurn::Call(ast),
        TurnStep::End(end) => InTurn::of_end(end, told),
    })
}

/// Calls an AST, goes on with its turn until that has ended, and drops it.
///
/// # Safety
///
/// `turn` is there, and in the frame of the caller; nobody else has it. It is dropped in its place, also if
/// the thread is left here. The frames from here up to the C program's are plain old ones.
#[inline(never)]
unsafe fn see_turn_through(turn: *mut Turn, first: Ast, told: Told, border: &mut Border) -> c_int {
    let mut cleanup = CleanupBuffer::NONE;
    let cleanup = &raw mut cleanup;
    // SAFETY: the buffer and the turn are in frames that are there until it is popped or the thread is
    // left, when it is called before they go; `leave_turn` may be called with this turn.
    unsafe { _pthread_cleanup_push(cleanup, leave_turn, turn.cast()) };
    let mut ast = first;
    let step = loop {
        border.open();
        // SAFETY: nothing of this library is locked or borrowed, and the frames that may be left are
        // plain, see the module.
        unsafe { ast.call() };
        border.shut();
        // SAFETY: the turn is there until it is dropped below, or the thread is left.
        match unsafe { advance_turn(turn, told) } {
            InTurn::Call(next) => ast = next,
            step => break step,
        }
    };
    // SAFETY: what was pushed above, and nothing since.
    unsafe { _pthread_cleanup_pop(cleanup, 0) };
    // SAFETY: the turn is over, and nobody else has it.
    unsafe { leave_turn(turn.cast()) };
    match step {
        // SAFETY: a task that nobody else has.
        InTurn::GoesOn(task) => unsafe { see_through(task, border) },
        InTurn::End(end) => border.told(-1, end),
        // The loop goes on with it.
        InTurn::Call(_) => -1,
    }
}

/// The thread is left amid a turn, or the turn has ended: it is dropped.
unsafe extern "C" fn leave_turn(turn: *mut c_void) {
    // SAFETY: this is the argument that `see_turn_through` has given, a turn that nobody uses any more,
    // in memory that is still there.
    let drop_turn = || unsafe { turn.cast::<Turn>().drop_in_place() };
    let _ = catch_unwind(AssertUnwindSafe(drop_turn));
}

/// What the outermost frame is to do.
enum Step {
    End(Result<Told, Errno>),
    Call(Ast),
    Poll(*mut pollfd, nfds_t, c_int),
    Sleep(*const Semaphore, Option<timespec>),
}

/// Goes on with a task until it has ended.
///
/// # Safety
///
/// `task` is from a `Box`, and nobody else has it. It is freed, also if the thread is left here. The
/// frames from here up to the C program's are plain old ones.
#[inline(never)]
unsafe fn see_through(task: *mut Task, border: &mut Border) -> c_int {
    let mut fds = Polled::NONE;
    let mut polled = None;
    let mut cleanup = CleanupBuffer::NONE;
    let cleanup = &raw mut cleanup;
    // SAFETY: the buffer is in this frame, which is there until it is popped or the thread is left;
    // `leave` may be called with this task.
    unsafe { _pthread_cleanup_push(cleanup, leave, task.cast()) };
    let end = loop {
        // SAFETY: the task is there until its end is told, or the thread is left.
        match unsafe { advance(task, &mut fds, polled.take()) } {
            Step::End(end) => break end,
            Step::Call(ast) => {
                border.open();
                // SAFETY: nothing of this library is locked or borrowed, and the frames that may be
                // left are plain, see the module.
                unsafe { ast.call() };
                border.shut();
            }
            Step::Poll(place, count, millis) => {
                border.open();
                // SAFETY: so many records of this frame. What may be left is as above.
                let answer = unsafe { poll(place, count, millis) };
                border.shut();
                polled = Some((answer, nix::errno::Errno::last_raw()));
            }
            Step::Sleep(semaphore, until) => {
                border.open();
                // SAFETY: the task has it, and it is there as long as that.
                unsafe { Semaphore::sleep(semaphore, until) };
                border.shut();
            }
        }
    };
    // SAFETY: what was pushed above, and nothing since.
    unsafe { _pthread_cleanup_pop(cleanup, 0) };
    // SAFETY: the task has ended, and nobody else has it.
    unsafe { leave(task.cast()) };
    border.told(-1, end)
}

/// The thread is left amid a task, or the task has ended: it is dropped.
unsafe extern "C" fn leave(task: *mut c_void) {
    let drop_task = || {
        // SAFETY: this is the argument that `see_through` has given, a task from a `Box` that nobody
        // uses any more.
        drop(unsafe { Box::from_raw(task.cast::<Task>()) });
    };
    let _ = catch_unwind(AssertUnwindSafe(drop_task));
}

/// Goes on up to the next step. `polled`: what `poll` has told of `fds`.
///
/// # Safety
///
/// A task that nobody else uses meanwhile.
#[inline(never)]
unsafe fn advance(task: *mut Task, fds: &mut Polled, polled: Option<(c_int, c_int)>) -> Step {
    let step = || {
        // SAFETY: by this function's contract.
        let task = unsafe { &mut *task };
        if let Some((answer, number)) = polled {
            task.polled(fds.ready(answer, number));
        }
        match task.advance() {
            Err(end) => Step::End(end),
            Ok(Ask::Call(ast)) => Step::Call(ast),
            Ok(Ask::Poll(wanted, until)) => {
                *fds = wanted;
                let (place, count) = fds.place();
                Step::Poll(place, count, dlm_runtime::driver::poll_millis(until))
            }
            Ok(Ask::Sleep(until)) => {
                Step::Sleep(Arc::as_ptr(task.semaphore()), until.map(clock_time))
            }
        }
    };
    catch_unwind(AssertUnwindSafe(step)).unwrap_or(Step::End(Err(Errno(libc::EIO))))
}

/// The time of the clock of semaphores for a point in time.
fn clock_time(until: Instant) -> timespec {
    let mut now = MaybeUninit::<timespec>::zeroed();
    // SAFETY: a clock that there is, and memory for its time.
    unsafe { libc::clock_gettime(semaphore::CLOCK, now.as_mut_ptr()) };
    // SAFETY: zeroed, and all values are valid.
    let now = unsafe { now.assume_init() };
    // A year is as good as no end, and no clock leaves its range for it.
    let left = until.saturating_duration_since(Instant::now()).min(Duration::from_secs(31_536_000));
    let nanos = now.tv_nsec + libc::c_long::from(left.subsec_nanos().cast_signed());
    let (more, tv_nsec) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let seconds = libc::time_t::try_from(left.as_secs()).unwrap_or_default();
    timespec { tv_sec: now.tv_sec + seconds + more, tv_nsec }
}

/// A thread of this library in which ASTs run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AstThread(pthread_t);

/// Starts a thread that sees a task through.
pub(crate) fn start_thread(task: Task) -> Result<AstThread, Errno> {
    let task = Box::into_raw(Box::new(task));
    let mut thread = MaybeUninit::<pthread_t>::zeroed();
    // SAFETY: a place for the thread's number, no attributes, a routine that may be called with this
    // task, and the task, of which nothing stays in this thread: its parts that are shared without
    // being made for that are shared among each other only.
    let number = unsafe { pthread_create(thread.as_mut_ptr(), std::ptr::null(), run, task.cast()) };
    if number != 0 {
        // SAFETY: no thread has it.
        unsafe { leave(task.cast()) };
        return Err(Errno(number));
    }
    // SAFETY: zeroed, and filled in by the call, which has succeeded.
    Ok(AstThread(unsafe { thread.assume_init() }))
}

/// What the thread does.
unsafe extern "C-unwind" fn run(task: *mut c_void) -> *mut c_void {
    let mut border = Border::enter_anyway();
    name_thread();
    // SAFETY: the task of `start_thread`. There is no frame above this one but the C library's.
    let _ = unsafe { see_through(task.cast(), &mut border) };
    null_mut()
}

fn own_thread() -> pthread_t {
    // SAFETY: no precondition.
    unsafe { libc::pthread_self() }
}

fn name_thread() {
    let mut name = [0u8; 16];
    let text = dlm_runtime::driver::THREAD_NAME.as_bytes();
    name.iter_mut().zip(text.iter().take(15)).for_each(|(to, from)| *to = *from);
    // SAFETY: the calling thread, and a string of at most 15 bytes.
    let _ = unsafe { libc::pthread_setname_np(own_thread(), name.as_ptr().cast()) };
}

impl AstThread {
    /// A number for it, which is not 0.
    #[allow(clippy::cast_possible_truncation, reason = "asserted")]
    pub(crate) const fn number(self) -> usize {
        const { assert!(size_of::<pthread_t>() == size_of::<usize>()) };
        self.0 as usize
    }

    /// The thread of a number.
    #[allow(clippy::cast_lossless, reason = "of one size")]
    pub(crate) fn of_number(number: usize) -> Option<Self> {
        (number != 0).then_some(Self(number as pthread_t))
    }

    /// The thread has ended, or ends after the AST that it runs. Joins it if it has ended, like C libdlm:
    /// a program that has ended it itself may have done so already.
    pub(crate) fn dismiss(self, has_ended: bool) {
        // SAFETY: two threads that have not been joined.
        let is_current = unsafe { libc::pthread_equal(self.0, own_thread()) } != 0;
        if has_ended && !is_current {
            // SAFETY: a thread that was started joinable, and that this is called for once.
            let _ = unsafe { libc::pthread_join(self.0, null_mut()) };
        } else {
            // SAFETY: as above.
            let _ = unsafe { libc::pthread_detach(self.0) };
        }
    }
}
