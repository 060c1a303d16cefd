//! Reading results: bad buffers, and byte by byte.

use std::ffi::c_void;
use std::os::fd::AsRawFd;

use dlm_proto::{LockFlags, LockRequest, LockStatus, Mode, Request};
use dlm_tests::{Lockspace, Session, block, cookies};

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
