//! The outermost frames of calls that sleep or run ASTs: see the module `border` for what they may be.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libc::{nfds_t, pollfd, timespec};

use crate::border::{Border, value_of};
use crate::errno::{Errno, Told};
use crate::face::Session;
use crate::lksb::Ast;
use crate::polled::Polled;
use crate::semaphore::{self, Semaphore};
use crate::task::{Ask, Progress, Task};
use crate::turn::{Turn, TurnStep};

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

// As libc has it, but for the ABI: it may not return.
unsafe extern "C-unwind" {
    fn poll(fds: *mut pollfd, count: nfds_t, millis: c_int) -> c_int;
}

unsafe extern "C" {
    fn _pthread_cleanup_push(
        buffer: *mut CleanupBuffer,
        routine: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    );
    fn _pthread_cleanup_pop(buffer: *mut CleanupBuffer, runs: c_int);
}

/// Runs a turn of `dlm_dispatch` in the lockspace that is found. It comes to `on_end`.
#[inline(always)]
pub(crate) fn guard_turn<S: Deref<Target = Session>>(
    on_end: Told,
    find: impl FnOnce() -> Result<S, Errno>,
) -> c_int {
    let mut border = Border::OUTSIDE;
    border.enter_for_short();
    let mut turn = MaybeUninit::<Turn<S>>::uninit();
    let value = match begin_turn(find, &mut turn, on_end) {
        InTurn::End(end) => value_of(&mut border.errno, -1, end),
        // SAFETY: a task that nobody else has.
        InTurn::GoesOn(task) => unsafe { see_through(task, &mut border) },
        // SAFETY: there is a turn now, in this frame.
        InTurn::Call(ast) => unsafe {
            see_turn_through(turn.as_mut_ptr(), ast, on_end, &mut border)
        },
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
    fn of_end(end: Progress<usize>, on_end: Told) -> Self {
        match end {
            Progress::Ended(_) => Self::End(Ok(on_end)),
            Progress::GoesOn(task) => Self::of_task(task, on_end),
        }
    }

    #[cold]
    #[inline(never)]
    fn of_task(task: Box<Task<usize>>, on_end: Told) -> Self {
        match Progress::GoesOn(task).then(move |_| Ok(on_end)) {
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
fn begin_turn<S: Deref<Target = Session>>(
    find: impl FnOnce() -> Result<S, Errno>,
    place: &mut MaybeUninit<Turn<S>>,
    on_end: Told,
) -> InTurn {
    InTurn::guarded(|| match find().map(Turn::begin) {
        Ok(Ok((turn, ast))) => {
            place.write(turn);
            InTurn::Call(ast)
        }
        Ok(Err(end)) => InTurn::of_end(end, on_end),
        Err(errno) => InTurn::End(Err(errno)),
    })
}

/// Goes on with a turn up to its next AST.
///
/// # Safety
///
/// A turn that nobody else uses meanwhile.
#[inline(never)]
unsafe fn advance_turn<S: Deref<Target = Session>>(turn: *mut Turn<S>, on_end: Told) -> InTurn {
    // SAFETY: by this function's contract.
    InTurn::guarded(|| match unsafe { &mut *turn }.advance() {
        TurnStep::Call(ast) => InTurn::Call(ast),
        TurnStep::End(end) => InTurn::of_end(end, on_end),
    })
}

/// Calls an AST, goes on with its turn until that has ended, and drops it.
///
/// # Safety
///
/// `turn` is there, and in the frame of the caller; nobody else has it. It is dropped in its place, also if
/// the thread is left here. The frames from here up to the C program's are plain old ones.
#[inline(never)]
unsafe fn see_turn_through<S: Deref<Target = Session>>(
    turn: *mut Turn<S>,
    first: Ast,
    on_end: Told,
    border: &mut Border,
) -> c_int {
    let mut cleanup = CleanupBuffer::NONE;
    let cleanup = &raw mut cleanup;
    // SAFETY: the buffer and the turn are in frames that are there until it is popped or the thread is
    // left, when it is called before they go; `leave_turn` may be called with this turn.
    unsafe { _pthread_cleanup_push(cleanup, leave_turn::<S>, turn.cast()) };
    let mut ast = first;
    let step = loop {
        border.open();
        // SAFETY: nothing of this library is locked or borrowed, and the frames that may be left are
        // plain, see the module.
        unsafe { ast.call() };
        border.shut_after_ast();
        // SAFETY: the turn is there until it is dropped below, or the thread is left.
        match unsafe { advance_turn(turn, on_end) } {
            InTurn::Call(next) => ast = next,
            step => break step,
        }
    };
    // SAFETY: what was pushed above, and nothing since.
    unsafe { _pthread_cleanup_pop(cleanup, 0) };
    // SAFETY: the turn is over, and nobody else has it.
    unsafe { leave_turn::<S>(turn.cast()) };
    match step {
        // SAFETY: a task that nobody else has.
        InTurn::GoesOn(task) => unsafe { see_through(task, border) },
        InTurn::End(end) => value_of(&mut border.errno, -1, end),
        // The loop goes on with it.
        InTurn::Call(_) => -1,
    }
}

/// The thread is left amid a turn, or the turn has ended: it is dropped.
unsafe extern "C" fn leave_turn<S: Deref<Target = Session>>(turn: *mut c_void) {
    // SAFETY: this is the argument that `see_turn_through` has given, a turn that nobody uses any more,
    // in memory that is still there.
    let drop_turn = || unsafe { turn.cast::<Turn<S>>().drop_in_place() };
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
pub(crate) unsafe fn see_through(task: *mut Task, border: &mut Border) -> c_int {
    border.shut();
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
    value_of(&mut border.errno, -1, end)
}

/// The thread is left amid a task, or the task has ended: it is dropped.
pub(crate) unsafe extern "C" fn leave(task: *mut c_void) {
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
