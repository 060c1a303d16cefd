//! The close of a device, who keeps it open, and who reads from it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::thread;

use dlm_proto::{Abi, LockFlags, LockRequest, LockStatus, MAX_RESULT_LEN, Mode, Request};
use dlm_tests::process::{self, Role};
use dlm_tests::{Lockspace, Outcome, PATIENCE, cookies, encode};
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
