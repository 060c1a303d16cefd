//! A lockspace that is stopped, as it is while the cluster's membership changes.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use dlm_proto::{LockFlags, LockId, LockRequest, LockStatus, Mode, NodeId, Request, UnlockRequest};
use dlm_tests::process;
use dlm_tests::{Lockspace, PATIENCE, Task, cookies, encode, eventually};

const NONE: LockFlags = LockFlags::empty();

/// Starts a thread that writes to this device, and how the write ended.
fn write(device: impl AsFd, request: &Request<'_>) -> (Task, Receiver<usize>) {
    let mut device = File::from(device.as_fd().try_clone_to_owned().unwrap());
    let bytes = encode(request);
    let (started, task) = channel();
    let (done, answer) = channel();
    thread::spawn(move || {
        started.send(Task::current()).unwrap();
        let written = device.write(&bytes).unwrap();
        drop(device);
        done.send(written).unwrap();
    });
    (task.recv_timeout(PATIENCE).unwrap(), answer)
}

/// Shows #stopped-lockspace-blocks-writes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn requests_block_until_the_lockspace_runs_again() {
    let space = Lockspace::new("stopped");
    let session = space.open();
    let lock = session.granted("a", Mode::Ex, NONE, 1);
    let waiting = session.lock("a", Mode::Pr, NONE, 2);
    session.next().blocks(1, Mode::Pr);
    let idle = session.granted("b", Mode::Ex, NONE, 3);
    let requests = [
        Request::Lock(LockRequest::new(b"c", Mode::Ex, cookies(4))),
        Request::Lock(LockRequest::convert(lock, Mode::Nl, cookies(1))),
        Request::Unlock(UnlockRequest::new(idle, cookies(3))),
        Request::Purge { node: NodeId(0), pid: 0 },
    ];
    let stopped = space.stop();
    let writers = requests.map(|request| write(session.as_fd(), &request));
    for (task, answer) in &writers {
        task.await_stuck_in(libc::SYS_write);
        assert!(answer.try_recv().is_err());
    }
    session.none();
    drop(stopped);
    let ended = writers.map(|(_, answer)| answer.recv_timeout(PATIENCE).expect("goes on"));
    assert!(ended[0] > 0);
    assert_eq!(ended[1..], [0; 3]);
    // Whatever was asked is done now; the order is open.
    let mut done: Vec<_> = (0..4).map(|_| session.next()).map(|it| (it.lock, it.status)).collect();
    done.sort_unstable_by_key(|&(lock, status)| (lock, status.to_raw()));
    let mut wanted = vec![
        (lock, LockStatus::Granted),
        (waiting, LockStatus::Granted),
        (idle, LockStatus::Unlocked),
        (LockId(u32::try_from(ended[0]).unwrap()), LockStatus::Granted),
    ];
    wanted.sort_unstable_by_key(|&(lock, status)| (lock, status.to_raw()));
    assert_eq!(done, wanted);
    session.none();
}

/// Shows #stopped-lockspace-blocks-writes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn reading_polling_opening_and_adopting_do_not_block() {
    let space = Lockspace::new("stopped");
    let session = space.open();
    let left = space.open().granted("r", Mode::Ex, LockFlags::PERSISTENT, 1);
    session.lock("s", Mode::Ex, NONE, 2);
    let stopped = space.stop();
    assert!(session.device().poll(Some(PATIENCE)).unwrap());
    session.next().completes(2, LockStatus::Granted);
    session.none();
    let version = session.device().read_version().unwrap();
    let late = space.open();
    assert_eq!(late.device().version(), version);
    let adopt = Request::Lock(LockRequest::adopt(b"r", Mode::Ex, cookies(3)));
    assert_eq!(session.send(&adopt), Ok(dlm_sys::Accepted::Lock(left)));
    drop(stopped);
    late.lock("r", Mode::Ex, LockFlags::NOQUEUE, 4);
    late.next().completes(4, LockStatus::Again);
}

/// Shows #stopped-lockspace-blocks-writes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_close_blocks_until_the_lockspace_runs_again() {
    let space = Lockspace::new("stopped");
    let waiter = space.open();
    // A file of its own, as a session's close would keep other tests from making children.
    let mut device = File::options().read(true).write(true).open(space.path()).unwrap();
    let request = Request::Lock(LockRequest::new(b"r", Mode::Ex, cookies(1)));
    assert!(device.write(&encode(&request)).unwrap() > 0);
    waiter.waiting("r", Mode::Ex, NONE, 2);
    let none = process::Forks::none();
    let stopped = space.stop();
    let (started, task) = channel();
    let (done, closed) = channel();
    thread::spawn(move || {
        started.send(Task::current()).unwrap();
        drop(device);
        done.send(()).unwrap();
    });
    task.recv_timeout(PATIENCE).unwrap().await_stuck_in(libc::SYS_close);
    waiter.none();
    drop(stopped);
    closed.recv_timeout(PATIENCE).expect("the close goes on");
    drop(none);
    waiter.next().completes(2, LockStatus::Granted);
}

/// Shows #stopped-lockspace-blocks-writes.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn not_even_sigkill_ends_a_blocked_request() {
    let test = dlm_tests::test_name!(not_even_sigkill_ends_a_blocked_request);
    if process::role().is_some() {
        process::say(&Task::current().to_string());
        let mut device = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
        let request = Request::Lock(LockRequest::new(b"r", Mode::Ex, cookies(1)));
        let _ = device.write(&encode(&request));
        panic!("killed before this");
    }
    let space = Lockspace::new("stopped");
    let waiter = space.open();
    let device = space.open();
    let stopped = space.stop();
    let mut child = process::spawn(test, "lock", "", Some(device.as_fd()));
    let writer = Task::parse(&child.line());
    writer.await_stuck_in(libc::SYS_write);
    child.kill();
    // The kill has arrived when it stands in the list of pending signals.
    let status = format!("/proc/{}/task/{}/status", writer.process(), writer.thread());
    let pending = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let masks = text.lines().filter_map(|line| {
            line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"))
        });
        masks.fold(0, |sum, mask| sum | u64::from_str_radix(mask.trim(), 16).unwrap())
    };
    eventually("SIGKILL is pending", || pending() & (1 << (libc::SIGKILL - 1)) != 0);
    assert!(writer.is_stuck_in(libc::SYS_write));
    assert!(!child.has_ended());
    drop(stopped);
    child.await_end();
    drop(device);
    // The request was made all the same, and went with the last close.
    waiter.granted("r", Mode::Ex, LockFlags::NOQUEUE, 2);
}
