//! System calls on descriptors that answer as the DLM's devices do: eventfds.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use core::ffi::c_void;

use super::*;
use crate::sys::Fd;

const ONE: [u8; 8] = 1u64.to_ne_bytes();

fn eventfd(flags: c_int) -> OwnedFd {
    // SAFETY: `eventfd` takes two integers.
    let fd = unsafe { libc::eventfd(0, flags | libc::EFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: the kernel has opened this descriptor for us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Ours for as long as the test runs: it closes the descriptor.
fn device(fd: OwnedFd) -> Fd {
    use std::os::fd::IntoRawFd;
    Fd(fd.into_raw_fd())
}

#[test]
fn values_are_values_and_error_numbers_are_errors() {
    for value in [0, 1, isize::MAX, isize::MIN, -4096] {
        assert_eq!(answer(value), Ok(value));
    }
    for (value, errno) in [(-1, Errno::EPERM), (-11, Errno::EAGAIN), (-14, Errno::EFAULT)] {
        assert_eq!(answer(value), Err(errno));
    }
    assert_eq!(answer(-4095), Err(Errno::from_raw(4095)));
}

#[test]
fn what_is_written_is_read() {
    let fd = eventfd(0);
    assert_eq!(write(fd.as_raw_fd(), &ONE), 8);
    assert_eq!(write(fd.as_raw_fd(), &ONE), 8);
    let mut buffer = [0xa5; 16];
    assert_eq!(read(fd.as_raw_fd(), &mut buffer), 8);
    assert_eq!(buffer[..8], 2u64.to_ne_bytes());
    assert_eq!(buffer[8..], [0xa5; 8]);
}

#[test]
fn nothing_to_read_is_told() {
    let fd = device(eventfd(libc::EFD_NONBLOCK));
    assert_eq!(fd.read(&mut [0; 8]), Err(Errno::EAGAIN));
    assert_eq!(fd.write(&ONE), Ok(8));
    assert_eq!(fd.read(&mut [0; 8]), Ok(8));
}

#[test]
fn bad_arguments_are_told() {
    let fd = eventfd(0);
    let bad = [int(fd.as_raw_fd()), 8, 8];
    for number in [libc::SYS_read, libc::SYS_write] {
        assert_eq!(write(fd.as_raw_fd(), &ONE), 8);
        // SAFETY: the address 8 is in no mapping, so the kernel neither reads nor writes there.
        let value = unsafe { call(number, bad) };
        assert_eq!(answer(value), Err(Errno::EFAULT));
    }
    assert_eq!(answer(read(-1, &mut [0; 8])), Err(Errno::EBADF));
    assert_eq!(answer(write(fd.as_raw_fd(), &[0; 3])), Err(Errno::EINVAL));
    assert_eq!(answer(open(c"/nonexistent/dlm", libc::O_RDWR)), Err(Errno::ENOENT));
    assert_eq!(answer(flock(-1, libc::LOCK_EX)), Err(Errno::EBADF));
    assert_eq!(answer(fstat(-1, &mut MaybeUninit::uninit())), Err(Errno::EBADF));
    assert_eq!(answer(close(-1)), Err(Errno::EBADF));
}

#[test]
fn a_file_is_opened_looked_at_locked_and_closed() {
    let fd = open(c"/dev/null", libc::O_RDWR | libc::O_CLOEXEC);
    let fd = c_int::try_from(answer(fd).unwrap()).unwrap();
    let mut record = MaybeUninit::zeroed();
    assert_eq!(fstat(fd, &mut record), 0);
    // SAFETY: all bytes were set, to zero if by nobody else, and any bytes are a `struct stat`.
    let record = unsafe { record.assume_init() };
    assert_eq!((libc::major(record.st_rdev), libc::minor(record.st_rdev)), (1, 3));
    assert_eq!(record.st_mode & libc::S_IFMT, libc::S_IFCHR);
    assert_eq!(flock(fd, libc::LOCK_SH), 0);
    assert_eq!(flock(fd, libc::LOCK_UN), 0);
    // SAFETY: this request only reads the descriptor's flags.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) }, libc::FD_CLOEXEC);
    assert_eq!(close(fd), 0);
}

#[test]
fn poll_tells_what_is_readable_and_keeps_to_the_time() {
    let fd = device(eventfd(0));
    let start = Instant::now();
    assert_eq!(fd.poll_readable(Some(Duration::from_millis(20))), Ok(false));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(fd.poll_readable(Some(Duration::ZERO)), Ok(false));
    fd.write(&ONE).unwrap();
    assert_eq!(fd.poll_readable(None), Ok(true));
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_signal(_: c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

/// Signals that interrupt, until the work is done.
fn under_signals<T: Send>(work: impl FnOnce() -> T + Send, enough: impl Fn() -> bool + Send) -> T {
    let handler: extern "C" fn(c_int) = count_signal;
    // SAFETY: a `sigaction` of zeros is one: no flags, so that the signal interrupts, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    let (new, old) = (&raw const action, std::ptr::null_mut());
    // SAFETY: the handler adds to an atomic number, which it may at any moment.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR2, new, old) }, 0);
    // SAFETY: this takes nothing and is always successful.
    let me = unsafe { libc::pthread_self() };
    thread::scope(|scope| {
        let (ends, end) = channel::<()>();
        scope.spawn(move || {
            while end.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                // SAFETY: the thread waits for this one in the scope, so it exists.
                unsafe { libc::pthread_kill(me, libc::SIGUSR2) };
                if enough() {
                    break;
                }
            }
        });
        let result = work();
        drop(ends);
        result
    })
}

#[test]
fn an_interrupted_read_says_so() {
    let fd = eventfd(0);
    let value = under_signals(|| read(fd.as_raw_fd(), &mut [0; 8]), || false);
    assert_eq!(answer(value), Err(Errno::EINTR));
}

#[test]
fn an_interrupted_read_is_repeated() {
    let fd = device(eventfd(0));
    let before = SIGNALS.load(SeqCst);
    let enough = || {
        let enough = SIGNALS.load(SeqCst) >= before + 3;
        if enough {
            write(fd.raw(), &ONE);
        }
        enough
    };
    assert_eq!(under_signals(|| fd.read(&mut [0; 8]), enough), Ok(8));
    assert!(SIGNALS.load(SeqCst) >= before + 3);
}

#[test]
fn a_signal_ends_a_poll() {
    let fd = device(eventfd(0));
    assert_eq!(under_signals(|| fd.poll_readable(None), || false), Ok(false));
}

/// Reads, waiting for long enough to be cancelled, and returns what was read.
extern "C" fn read_one(fd: *mut c_void) -> *mut c_void {
    let mut buffer = [0; 8];
    let len = read(c_int::try_from(fd.addr()).unwrap_or(-1), &mut buffer);
    std::ptr::without_provenance_mut(len.unsigned_abs())
}

#[test]
fn a_thread_that_reads_cannot_be_cancelled_there() {
    let fd = eventfd(0);
    let argument = std::ptr::without_provenance_mut(int(fd.as_raw_fd()));
    let mut id = MaybeUninit::uninit();
    // SAFETY: the id is written to memory for it. The function looks at its argument as a number.
    let failed =
        unsafe { libc::pthread_create(id.as_mut_ptr(), std::ptr::null(), read_one, argument) };
    assert_eq!(failed, 0);
    // SAFETY: the call above has succeeded, and has written it.
    let id = unsafe { id.assume_init() };
    // SAFETY: the thread was not joined yet. It holds nothing that a cancellation would leak.
    assert_eq!(unsafe { libc::pthread_cancel(id) }, 0);
    // It ends by what it reads and not by the cancellation, before or after it began to read.
    write(fd.as_raw_fd(), &ONE);
    let mut result = std::ptr::null_mut();
    // SAFETY: the thread was not joined before, and the result is written to memory for it.
    assert_eq!(unsafe { libc::pthread_join(id, &raw mut result) }, 0);
    assert_eq!(result.addr(), 8);
}
