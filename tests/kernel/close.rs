//! The close of a device, who keeps it open, and who reads from it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::mpsc::channel;
use std::thread;

use dlm_proto::{Abi, Cookies, LockFlags, LockRequest, LockStatus, MAX_RESULT_LEN, Mode, Request};
use dlm_tests::process::{self, Role};
use dlm_tests::{Lockspace, Outcome, PATIENCE, Task, cookies, encode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const NONE: LockFlags = LockFlags::empty();

/// Shows #last-close-ends-the-locks.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_duplicate_keeps_the_locks_until_it_is_closed() {
    let space = Lockspace::new("close");
    let (holder, waiter) = (space.open(), space.open());
    let duplicate = holder.as_fd().try_clone_to_owned().unwrap();
    holder.granted("r", Mode::Ex, NONE, 1);
    waiter.waiting("r", Mode::Ex, NONE, 2);
    drop(holder);
    waiter.none();
    let _none = process::Forks::none();
    drop(duplicate);
    waiter.next().completes(2, LockStatus::Granted);
}

/// What the second processes of these tests do with the device, their standard input.
fn play(role: &Role) {
    let device = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    match role.name.as_str() {
        "hold" => {}
        "read" => {
            let mut fds = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()).unwrap();
            let mut buffer = [0; MAX_RESULT_LEN];
            let read = nix::unistd::read(&device, &mut buffer).unwrap();
            let result = Outcome::decode(Abi::V6_64, &buffer[..read]);
            process::say(&format!("{:x} {}", result.param, result.lock));
        }
        "lock" => {
            let request = LockRequest::new(role.argument.as_bytes(), Mode::Ex, cookies(1));
            let mut file = File::from(device.try_clone().unwrap());
            assert!(file.write(&encode(&Request::Lock(request))).unwrap() > 0);
            process::say("locked");
        }
        other => panic!("no such part: {other}"),
    }
    loop {
        thread::park();
    }
}

/// Shows #last-close-ends-the-locks.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_second_process_keeps_the_locks_until_its_end() {
    if let Some(role) = process::role() {
        return play(&role);
    }
    let space = Lockspace::new("close");
    let (holder, waiter) = (space.open(), space.open());
    let test = dlm_tests::test_name!(a_second_process_keeps_the_locks_until_its_end);
    let mut child = process::spawn(test, "hold", "", Some(holder.as_fd()));
    holder.granted("r", Mode::Ex, NONE, 1);
    waiter.waiting("r", Mode::Ex, NONE, 2);
    drop(holder);
    waiter.none();
    child.kill();
    waiter.next().completes(2, LockStatus::Granted);
    child.await_end();
}

/// Shows #last-close-ends-the-locks.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_killed_process_loses_its_locks() {
    if let Some(role) = process::role() {
        return play(&role);
    }
    let space = Lockspace::new("close");
    let waiter = space.open();
    let test = dlm_tests::test_name!(a_killed_process_loses_its_locks);
    // Only the child has this device open.
    let device = space.open();
    let mut child = process::spawn(test, "lock", "r", Some(device.as_fd()));
    drop(device);
    assert_eq!(child.line(), "locked");
    waiter.waiting("r", Mode::Ex, NONE, 2);
    child.kill();
    waiter.next().completes(2, LockStatus::Granted);
    child.await_end();
}

/// Shows #shared-device-shares-results.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_second_process_takes_the_results_of_the_first() {
    if let Some(role) = process::role() {
        return play(&role);
    }
    let space = Lockspace::new("close");
    let session = space.open();
    let test = dlm_tests::test_name!(a_second_process_takes_the_results_of_the_first);
    let mut child = process::spawn(test, "read", "", Some(session.as_fd()));
    let lock = session.lock("r", Mode::Ex, NONE, 1);
    assert_eq!(child.line(), format!("{:x} {lock}", cookies(1).completion_param));
    session.none();
    child.kill();
    child.await_end();
    session.unlocked(lock, 1);
}

extern "C" fn ignore(_: libc::c_int) {}

/// Shows #reader-keeps-the-device-open.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_thread_in_read_keeps_the_locks_of_a_closed_device() {
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    let action = SigAction::new(SigHandler::Handler(ignore), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, and no other test of this program uses the signal.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();

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
        let _none = process::Forks::none();
        // SAFETY: the number came from `into_raw_fd`, so it is owned by nobody else.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
    waiter.none();
    assert!(task.sleeps_in_read());
    pthread_kill(pthread, Signal::SIGUSR1).unwrap();
    assert_eq!(thread.join().unwrap(), (-1, Some(libc::EINTR)));
    waiter.next().completes(2, LockStatus::Granted);
}
