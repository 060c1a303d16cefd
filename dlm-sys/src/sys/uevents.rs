//! The calls for hearing of devices that go.

use core::ffi::{c_int, c_ushort};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

use super::{Fd, last_errno, retry};
use crate::errno::Errno;

/// The group of the kernel's own messages; udev's is another one.
const KERNEL: u32 = 1;

/// `struct sockaddr_nl`, whose padding libc keeps to itself.
#[repr(C)]
struct Address {
    family: c_ushort,
    pad: c_ushort,
    port: u32,
    groups: u32,
}

const _: () = assert!(size_of::<Address>() == size_of::<libc::sockaddr_nl>());

/// Which messages a socket keeps: those that begin with `remove@/`.
const REMOVALS: [sock_filter; 6] = [
    load_word(0),
    skip_unless_equal(*b"remo", 3),
    load_word(4),
    skip_unless_equal(*b"ve@/", 1),
    keep_bytes(u32::MAX),
    keep_bytes(0),
];

const fn load_word(at: u32) -> sock_filter {
    step(BPF_LD | BPF_W | BPF_ABS, 0, at)
}

const fn skip_unless_equal(word: [u8; 4], steps: u8) -> sock_filter {
    step(BPF_JMP | BPF_JEQ, steps, u32::from_be_bytes(word))
}

const fn keep_bytes(count: u32) -> sock_filter {
    step(BPF_RET, 0, count)
}

#[allow(clippy::cast_possible_truncation, reason = "codes are below 256")]
const fn step(code: u32, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf, k }
}

/// A socket that does not block, on which the kernel's messages of devices that go can be read from
/// now on, one with each `read`.
pub(crate) fn listen_for_removals() -> Result<Fd, Errno> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let protocol = libc::NETLINK_KOBJECT_UEVENT;
    // SAFETY: `socket` takes three integers and touches no memory of ours.
    let open = || unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) } as isize;
    let fd = retry(open)?;
    // `socket` returned it as a c_int.
    let socket = Fd(c_int::try_from(fd).map_err(|_| Errno::EBADF)?);
    // First the filter, so that nothing else is ever queued.
    keep_removals(&socket)?;
    // The kernel chooses the port.
    let family = c_ushort::try_from(libc::AF_NETLINK).map_err(|_| Errno::EINVAL)?;
    let address = Address { family, pad: 0, port: 0, groups: KERNEL };
    let (pointer, len) = ((&raw const address).cast(), length_of(&address)?);
    // SAFETY: `pointer` and `len` describe `address`, which has the layout of a netlink address and
    // lives across the call; the kernel only reads it.
    match unsafe { libc::bind(socket.0, pointer, len) } {
        0 => Ok(socket),
        _ => Err(last_errno()),
    }
}

fn keep_removals(socket: &Fd) -> Result<(), Errno> {
    let mut steps = REMOVALS;
    let len = c_ushort::try_from(steps.len()).map_err(|_| Errno::EINVAL)?;
    let program = sock_fprog { len, filter: steps.as_mut_ptr() };
    let (pointer, len) = ((&raw const program).cast(), length_of(&program)?);
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: `pointer` and `len` describe `program`, and that describes `steps`; both live across
    // the call. The kernel only reads them, and refuses steps that make no sense.
    match unsafe { libc::setsockopt(socket.0, level, name, pointer, len) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn length_of<T>(value: &T) -> Result<libc::socklen_t, Errno> {
    size_of_val(value).try_into().map_err(|_| Errno::EINVAL)
}

/// The user namespace that owns another namespace.
pub(crate) fn owner_of(namespace: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: this request takes no argument, so `ioctl` touches no memory of ours.
    let ask = || unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) } as isize;
    let fd = c_int::try_from(retry(ask)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has opened this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with the filter.
    fn keeps(message: &[u8]) -> bool {
        let mut accumulator = 0;
        let mut at = 0;
        loop {
            let sock_filter { code, jf, k, .. } = REMOVALS[at];
            at += 1;
            match u32::from(code) {
                0x20 => {
                    let from = usize::try_from(k).unwrap();
                    let Some(word) = message.get(from..from + 4) else { return false };
                    accumulator = u32::from_be_bytes(word.try_into().unwrap());
                }
                0x15 if accumulator == k => {}
                0x15 => at += usize::from(jf),
                0x06 => return k != 0,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn the_filter_keeps_removals_only() {
        assert!(keeps(b"remove@/devices/virtual/misc/dlm_x\0ACTION=remove\0"));
        let others: [&[u8]; 6] =
            [b"add@/devices", b"remote@/x", b"reme@/xx", b"removed@/", b"remove", b""];
        for other in others {
            assert!(!keeps(other), "{}", other.escape_ascii());
        }
    }
}
