//! Threads that wait in `read`, and signals that reach them. A handler is the whole process's.

use std::ffi::c_int;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use dlm_proto::{Abi, Cookies, LockFlags, LockRequest, LockStatus, MAX_RESULT_LEN, Mode, Request};
use dlm_tests::process::Forks;
use dlm_tests::{Lockspace, Outcome, PATIENCE, Task, cookies, encode, eventually};
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const NONE: LockFlags = LockFlags::empty();

/// The device, open so that reading waits.
fn blocking(space: &Lockspace) -> Arc<File> {
    Arc::new(File::options().read(true).write(true).open(space.path()).unwrap())
}

struct Reader {
    thread: JoinHandle<()>,
    task: Task,
}

/// A thread that reads so many times, and what each read returned.
fn read_in_a_thread(
    device: &Arc<File>,
    times: usize,
) -> (Reader, Receiver<Result<Outcome, ErrorKind>>) {
    let (sender, answers) = channel();
    let (started, task) = channel();
    let device = Arc::clone(device);
    let thread = thread::spawn(move || {
        started.send(Task::current()).unwrap();
        for _ in 0..times {
            let mut buffer = [0; 104];
            let answer = (&*device).read(&mut buffer).map_err(|error| error.kind());
            let outcome = answer.map(|read| Outcome::decode(Abi::V6_64, &buffer[..read]));
            sender.send(outcome).unwrap();
        }
    });
    (Reader { thread, task: task.recv_timeout(PATIENCE).unwrap() }, answers)
}

fn lock(mut device: &File, name: &str, n: u8) {
    let request = Request::Lock(LockRequest::new(name.as_bytes(), Mode::Ex, cookies(n)));
    assert!(device.write(&encode(&request)).unwrap() > 0);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_blocking_read_waits_for_the_next_result() {
    let space = Lockspace::new("wait");
    let device = blocking(&space);
    let (reader, answers) = read_in_a_thread(&device, 1);
    reader.task.await_read();
    lock(&device, "r", 1);
    answers.recv_timeout(PATIENCE).unwrap().unwrap().completes(1, LockStatus::Granted);
    reader.thread.join().unwrap();
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_: c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

extern "C" fn ignore(_: c_int) {}

fn on(signal: Signal, handler: extern "C" fn(c_int), flags: SaFlags) {
    let action = SigAction::new(SigHandler::Handler(handler), flags, SigSet::empty());
    // SAFETY: the handlers do nothing, or add to an atomic number, which is allowed in one, and each
    // signal is used by one test of this program.
    unsafe { sigaction(signal, &action) }.unwrap();
}

/// Shows #signals-and-read.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_signal_ends_a_blocking_read_unless_system_calls_are_restarted() {
    on(Signal::SIGUSR1, count_signal, SaFlags::empty());
    on(Signal::SIGUSR2, count_signal, SaFlags::SA_RESTART);
    let space = Lockspace::new("reading");
    let device = blocking(&space);
    let (reader, answers) = read_in_a_thread(&device, 2);
    let signal = |signal| {
        let before = SIGNALS.load(SeqCst);
        reader.task.await_read();
        pthread_kill(reader.thread.as_pthread_t(), signal).unwrap();
        eventually("the signal is handled", || SIGNALS.load(SeqCst) > before);
    };
    signal(Signal::SIGUSR1);
    let answer = answers.recv_timeout(PATIENCE).unwrap();
    assert_eq!(answer, Err(ErrorKind::Interrupted));
    signal(Signal::SIGUSR2);
    reader.task.await_read();
    assert!(answers.try_recv().is_err(), "the restarted read has returned");
    lock(&device, "r", 1);
    answers.recv_timeout(PATIENCE).unwrap().unwrap().completes(1, LockStatus::Granted);
    reader.thread.join().unwrap();
}

/// Shows #reader-keeps-the-device-open.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_thread_in_read_keeps_the_locks_of_a_closed_device() {
    on(Signal::SIGWINCH, ignore, SaFlags::empty());
    let space = Lockspace::new("close");
    let waiter = space.open();
    let mut device = File::options().read(true).write(true).open(space.path()).unwrap();
    // Without notices, which would wake the reader.
    let words = Cookies { blocking_addr: 0, ..cookies(1) };
    let request = Request::Lock(LockRequest::new(b"r", Mode::Ex, words));
    assert!(device.write(&encode(&request)).unwrap() > 0);
    let mut buffer = [0; MAX_RESULT_LEN];
    assert_eq!(nix::unistd::read(&device, &mut buffer), Ok(72));

    let number = device.into_raw_fd();
    let (started, reader) = channel();
    let thread = thread::spawn(move || {
        started.send((Task::current(), pthread_self())).unwrap();
        let mut buffer = [0; MAX_RESULT_LEN];
        // SAFETY: the buffer is this thread's, as long as told. The number is that of an open
        // device when the call begins; the test closes it only when the call has begun.
        let read = unsafe { libc::read(number, buffer.as_mut_ptr().cast(), buffer.len()) };
        (read, std::io::Error::last_os_error().raw_os_error())
    });
    let (task, pthread) = reader.recv_timeout(PATIENCE).unwrap();
    task.await_read();
    waiter.waiting("r", Mode::Ex, NONE, 2);
    {
        let _none = Forks::none();
        // SAFETY: the number came from `into_raw_fd`, so it is owned by nobody else.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
    waiter.none();
    assert!(task.sleeps_in_read());
    pthread_kill(pthread, Signal::SIGWINCH).unwrap();
    assert_eq!(thread.join().unwrap(), (-1, Some(libc::EINTR)));
    waiter.next().completes(2, LockStatus::Granted);
}
