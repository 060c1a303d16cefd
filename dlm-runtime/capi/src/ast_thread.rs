//! The threads of this library in which ASTs run.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use libc::{pthread_attr_t, pthread_t};

use crate::border::Border;
use crate::errno::Errno;
use crate::frame::{leave, see_through};
use crate::task::Task;

type Start = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;

// As libc has it, but for the ABI of the routine, which may not return.
unsafe extern "C-unwind" {
    fn pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int;
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
