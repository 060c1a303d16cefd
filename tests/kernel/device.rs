//! The devices themselves: version records, sizes, commands, readiness.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use dlm_proto::{
    Cookies, LockFlags, LockId, LockRequest, LockStatus, LockspaceFlags, Minor, Mode, NodeId,
    RemoveFlags, Request, UnlockRequest, Version,
};
use dlm_sys::Errno;
use dlm_tests::{Lockspace, control_device, cookies, encode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const NONE: LockFlags = LockFlags::empty();

fn read(device: impl AsFd, count: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0xa5; 256];
    let read = nix::unistd::read(device, &mut buffer[..count]).map_err(Errno::from)?;
    buffer.truncate(read);
    Ok(buffer)
}

fn control_file() -> File {
    drop(control_device());
    File::options().read(true).write(true).open("/dev/dlm-control").unwrap()
}

/// A request of 120 bytes that removes orphans, of which there are none.
fn purge() -> Vec<u8> {
    encode(&Request::Purge { node: NodeId(0), pid: 0 })
}

/// Shows #control-reads-only-the-version.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_control_device_reads_a_version_of_12_bytes_and_nothing_else() {
    let control = control_file();
    let version = Version::decode(&read(&control, 12).unwrap()).unwrap();
    assert_eq!((version.major, version.minor), (6, 0));
    for count in [0, 4, 11, 13, 14, 52, 72, 104] {
        assert_eq!(read(&control, count), Err(Errno::EINVAL), "{count} bytes");
    }
}

/// Shows #version-beside-results.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn reading_the_version_of_a_lockspace_leaves_its_results_alone() {
    let space = Lockspace::new("device");
    let session = space.open();
    let empty = session.device().read_version().unwrap();
    assert_eq!((empty.major, empty.minor), (6, 0));
    session.lock("r", Mode::Ex, NONE, 1);
    session.lock("s", Mode::Ex, NONE, 2);
    assert_eq!(session.device().read_version().unwrap(), empty);
    assert_eq!(session.next().completes(1, LockStatus::Granted).version, empty);
    assert_eq!(session.device().read_version().unwrap(), empty);
    session.next().completes(2, LockStatus::Granted);
    session.none();
}

/// Shows #length-of-a-request.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn requests_have_104_to_184_bytes() {
    let space = Lockspace::new("device");
    let session = space.open();
    let mut request = purge();
    for (count, answer) in [
        (0, Err(Errno::EINVAL)),
        (103, Err(Errno::EINVAL)),
        (104, Ok(0)),
        (120, Ok(0)),
        (184, Ok(0)),
        (185, Err(Errno::EINVAL)),
        (4096, Err(Errno::EINVAL)),
    ] {
        request.resize(count, 0);
        let wanted = purge();
        let known = count.min(wanted.len());
        request[..known].copy_from_slice(&wanted[..known]);
        assert_eq!(session.device().submit_raw(&request), answer, "{count} bytes");
    }
}

/// Shows #accepted-versions.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn requests_of_another_version_are_refused_except_for_the_patch() {
    let space = Lockspace::new("device");
    let session = space.open();
    let refused = Err(Errno::EBADE);
    for (version, answer) in [
        (Version::new(6, 0, 0), Ok(0)),
        (Version::new(6, 0, 99), Ok(0)),
        (Version::new(6, 1, 0), refused),
        (Version::new(5, 0, 0), refused),
        (Version::new(7, 0, 0), refused),
        (Version::new(0, 0, 0), refused),
    ] {
        let mut request = purge();
        request[..12].copy_from_slice(&version.encode());
        assert_eq!(session.device().submit_raw(&request), answer, "{version}");
        if answer == refused {
            assert_eq!(space.control().submit_raw(&request), refused, "{version}");
        }
    }
}

/// Shows #unknown-commands.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn numbers_that_are_no_command_are_refused_by_both_devices() {
    let space = Lockspace::new("device");
    let session = space.open();
    for command in [0, 3, 8, 9, 255] {
        let mut request = purge();
        request[12] = command;
        assert_eq!(session.device().submit_raw(&request), Err(Errno::EINVAL), "{command}");
        assert_eq!(space.control().submit_raw(&request), Err(Errno::EINVAL), "{command}");
    }
}

/// Shows #commands-of-each-device.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn each_device_refuses_the_commands_of_the_other() {
    let space = Lockspace::new("device");
    let session = space.open();
    let lock = session.granted("r", Mode::Nl, NONE, 1);
    for request in [
        Request::Lock(LockRequest::new(b"r", Mode::Nl, cookies(2))),
        Request::Unlock(UnlockRequest::new(lock, cookies(2))),
        Request::Purge { node: NodeId(0), pid: 0 },
        Request::Deadlock { lock, flags: LockFlags::CANCEL },
    ] {
        let answer = space.control().submit_raw(&encode(&request));
        assert_eq!(answer, Err(Errno::EINVAL), "{request:?}");
    }
    for request in [
        Request::CreateLockspace { name: b"never", flags: LockspaceFlags::empty() },
        Request::RemoveLockspace { minor: space.minor(), flags: RemoveFlags::empty() },
    ] {
        let answer = session.device().submit_raw(&encode(&request));
        assert_eq!(answer, Err(Errno::EINVAL), "{request:?}");
    }
    session.none();
    session.unlocked(lock, 1);
}

/// Shows #unreadable-request.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_request_that_cannot_be_read_is_refused() {
    let space = Lockspace::new("device");
    let session = space.open();
    let fd = session.device().as_raw_fd();
    let nowhere = std::ptr::without_provenance::<c_void>(8);
    // SAFETY: the kernel is given an address of which nothing is mapped (mmap_min_addr). It copies
    // from there with a check and touches no memory of ours.
    let written = unsafe { libc::write(fd, nowhere, 120) };
    assert_eq!(written, -1);
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EFAULT));
}

/// Shows #poll-and-an-empty-queue.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn an_empty_queue_is_neither_readable_nor_writable() {
    let space = Lockspace::new("device");
    let session = space.open();
    let ready = || {
        let mut fds = [PollFd::new(session.as_fd(), PollFlags::POLLIN | PollFlags::POLLOUT)];
        let count = poll(&mut fds, PollTimeout::ZERO).unwrap();
        (count, fds[0].revents().unwrap())
    };
    assert_eq!(ready(), (0, PollFlags::empty()));
    let lock = session.lock("r", Mode::Ex, NONE, 1);
    assert_eq!(ready(), (1, PollFlags::POLLIN));
    assert_eq!(session.next().lock, lock);
    assert_eq!(ready(), (0, PollFlags::empty()));
}

/// Shows #read-of-an-empty-queue.
#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn reading_an_empty_queue_without_blocking_says_so() {
    let space = Lockspace::new("device");
    let session = space.open();
    assert_eq!(read(&session, 104), Err(Errno::EAGAIN));
    let lock = session.granted("r", Mode::Ex, NONE, 1);
    assert_eq!(read(&session, 104), Err(Errno::EAGAIN));
    session.unlocked(lock, 1);
    assert_eq!(read(&session, 104), Err(Errno::EAGAIN));
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_control_device_is_ready_at_once_for_both() {
    let control = control_file();
    let events = PollFlags::POLLIN | PollFlags::POLLOUT;
    let mut fds = [PollFd::new(control.as_fd(), events)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO).unwrap(), 1);
    assert_eq!(fds[0].revents().unwrap(), events);
}

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn a_request_with_only_cookies_of_zero_reaches_no_lock() {
    let space = Lockspace::new("zero");
    let session = space.open();
    for lock in [LockId(0), LockId(0x7fff_ffff)] {
        let request = Request::Unlock(UnlockRequest::new(lock, Cookies::default()));
        assert_eq!(session.send(&request), Err(Errno::ENOENT), "{lock}");
    }
    let request =
        Request::RemoveLockspace { minor: Minor(0x000f_fffe), flags: RemoveFlags::empty() };
    assert_eq!(space.control().submit_raw(&encode(&request)), Err(Errno::ENOENT));
}
