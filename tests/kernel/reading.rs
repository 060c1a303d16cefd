//! Reading results: sizes, bad buffers, blocking, signals.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use dlm_proto::{Abi, LockFlags, LockRequest, LockStatus, Mode, Request};
use dlm_tests::{Lockspace, Outcome, PATIENCE, Session, Task, block, cookies, encode, eventually};
use nix::sys::pthread::pthread_kill;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const NONE: LockFlags = LockFlags::empty();

/// A lock with a value block on `r`, and its unread result.
fn unread_with_block(session: &Session<'_>, n: u8) {
    session.lock("r", Mode::Nl, LockFlags::VALBLK, n);
}

fn read(session: &Session<'_>, count: usize) -> Vec<u8> {
    let mut buffer = vec![0xa5; 256];
    let read = nix::unistd::read(session, &mut buffer[..count]).unwrap();
    assert!(buffer[read..].iter().all(|&byte| byte == 0xa5), "written behind the result");
    buffer.truncate(read);
    buffer
}

/// Shows #unwritable-buffer.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_result_that_cannot_be_stored_is_lost() {
    let space = Lockspace::new("reading");
    let session = space.open();
    session.lock("r", Mode::Nl, NONE, 1);
    session.lock("s", Mode::Nl, NONE, 2);
    let nowhere = std::ptr::without_provenance_mut::<c_void>(8);
    // SAFETY: the kernel is given an address of which nothing is mapped (mmap_min_addr). It copies
    // there with a check and touches no memory of ours.
    let read = unsafe { libc::read(session.device().as_raw_fd(), nowhere, 104) };
    assert_eq!(read, -1);
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EFAULT));
    session.next().completes(2, LockStatus::Granted);
    session.none();
}

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

fn on(signal: Signal, flags: SaFlags) {
    let action = SigAction::new(SigHandler::Handler(count_signal), flags, SigSet::empty());
    // SAFETY: the handler does nothing but add to an atomic number, which is allowed in one, and no
    // other test of this program uses the signal.
    unsafe { sigaction(signal, &action) }.unwrap();
}

/// Shows #signals-and-read.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_signal_ends_a_blocking_read_unless_system_calls_are_restarted() {
    on(Signal::SIGUSR1, SaFlags::empty());
    on(Signal::SIGUSR2, SaFlags::SA_RESTART);
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

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_value_block_comes_back_byte_by_byte() {
    let space = Lockspace::new("bytes");
    let session = space.open();
    unread_with_block(&session, 1);
    let id = session.next().completes(1, LockStatus::Granted).lock;
    session.converted(id, Mode::Ex, LockFlags::VALBLK, 1);
    let mut content = block(0);
    for (place, byte) in content.0.iter_mut().zip(1..) {
        *place = byte;
    }
    let write = LockRequest::convert(id, Mode::Nl, cookies(2)).with_lvb(&content);
    session.send(&Request::Lock(write)).unwrap();
    session.next().completes(2, LockStatus::Granted);
    session.convert(id, Mode::Nl, LockFlags::VALBLK, 3);
    let bytes = read(&session, 104);
    assert_eq!(bytes[72..], content.0);
    assert_eq!(u32::from_ne_bytes(bytes[68..72].try_into().unwrap()), 72, "lvb_offset");
    assert_eq!(u32::from_ne_bytes(bytes[12..16].try_into().unwrap()), 104, "length");
}
