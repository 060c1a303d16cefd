//! The devices themselves: version records, sizes, commands, readiness.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use dlm_proto::{LockFlags, Mode, Version};
use dlm_sys::Errno;
use dlm_tests::{Lockspace, control_device};
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

#[test]
#[ignore = "needs a DLM device: cargo xtask test runs it in a VM"]
fn the_control_device_is_ready_at_once_for_both() {
    let control = control_file();
    let events = PollFlags::POLLIN | PollFlags::POLLOUT;
    let mut fds = [PollFd::new(control.as_fd(), events)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO).unwrap(), 1);
    assert_eq!(fds[0].revents().unwrap(), events);
}
