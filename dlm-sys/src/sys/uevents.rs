//! The calls for hearing of devices that go.

use core::ffi::{c_int, c_ushort};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{BPF_ABS, BPF_B, BPF_JEQ, BPF_JMP, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

use super::call::{answer, of_c_library};
use super::{Fd, retry};
use crate::errno::Errno;
use crate::uevent::UDEV_PREFIX;

/// The group of the kernel's own messages.
const KERNEL: u32 = 1;
/// The group of udev's.
const UDEV: u32 = 2;

/// The place where udev's messages have the hash of the subsystem, in network order, and what it is
/// for "misc" (MurmurHash2, seed 0).
const SUBSYSTEM_AT: u32 = 24;
const MISC: u32 = 0x4b1a_4e75;

/// `struct sockaddr_nl`, whose padding libc keeps to itself.
#[repr(C)]
struct Address {
    family: c_ushort,
    pad: c_ushort,
    port: u32,
    groups: u32,
}

const _: () = assert!(size_of::<Address>() == size_of::<libc::sockaddr_nl>());

/// The start of each message that is kept.
const REMOVAL: &[u8] = b"remove@/";

/// The longest start that is looked for: steps can jump over 255 others.
const LONGEST: usize = 256;

/// Keeps messages that begin with these bytes, at most 256.
fn keep_those_with(start: &[u8]) -> Vec<sock_filter> {
    keep_those_with_word(start, None)
}

/// Keeps messages that begin with these bytes, at most 256, and have a word in a place.
fn keep_those_with_word(start: &[u8], word: Option<(u32, u32)>) -> Vec<sock_filter> {
    let start = start.get(..LONGEST).unwrap_or(start);
    let words = start.chunks_exact(4);
    let rest = words.remainder();
    let mut left = words.len() + rest.len() + usize::from(word.is_some());
    let mut at = 0;
    let mut steps = Vec::with_capacity(2 * left + 2);
    let mut compare = |width: u32, at: u32, value: u32| {
        left -= 1;
        // Over the other comparisons and what keeps the message.
        let over = u8::try_from(2 * left + 1).unwrap_or(u8::MAX);
        steps.push(step(BPF_LD | width | BPF_ABS, 0, at));
        steps.push(step(BPF_JMP | BPF_JEQ, over, value));
    };
    for word in words {
        compare(BPF_W, at, word.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)));
        at += 4;
    }
    for byte in rest {
        compare(BPF_B, at, u32::from(*byte));
        at += 1;
    }
    if let Some((at, value)) = word {
        compare(BPF_W, at, value);
    }
    steps.push(step(BPF_RET, 0, u32::MAX));
    steps.push(step(BPF_RET, 0, 0));
    steps
}

#[allow(clippy::cast_possible_truncation, reason = "codes are below 256")]
const fn step(code: u32, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf, k }
}

/// A socket that does not block, on which the kernel's messages of devices that go can be read from
/// now on, one with each `read`: of all, or only of the one with this path below `/sys`.
pub(crate) fn listen_for_removals(path: Option<&[u8]>) -> Result<Fd, Errno> {
    let start = match path {
        // With the byte that ends it: names can begin with another one's.
        Some(path) => [b"remove@", path, &[0]].concat(),
        None => REMOVAL.to_vec(),
    };
    listen(KERNEL, keep_those_with(&start))
}

/// As [`listen_for_removals`], for the message that the device with this path has come.
pub(crate) fn listen_for_addition(path: &[u8]) -> Result<Fd, Errno> {
    listen(KERNEL, keep_those_with(&[b"add@", path, &[0]].concat()))
}

/// As [`listen_for_removals`], for udev's messages that it is done with a misc device.
pub(crate) fn listen_to_udev() -> Result<Fd, Errno> {
    listen(UDEV, keep_those_with_word(UDEV_PREFIX, Some((SUBSYSTEM_AT, MISC))))
}

/// A socket that does not block, on which one message of this group can be read with each `read`,
/// of those that the filter keeps.
fn listen(groups: u32, filter: Vec<sock_filter>) -> Result<Fd, Errno> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let protocol = libc::NETLINK_KOBJECT_UEVENT;
    // SAFETY: `socket` takes three integers and touches no memory of ours.
    let open = || unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) } as isize;
    let fd = retry(|| of_c_library(open()))?;
    // `socket` returned it as a c_int.
    let socket = Fd(c_int::try_from(fd).map_err(|_| Errno::EBADF)?);
    // First the filter, so that nothing else is ever queued.
    attach(&socket, filter)?;
    // The kernel chooses the port.
    let family = c_ushort::try_from(libc::AF_NETLINK).map_err(|_| Errno::EINVAL)?;
    let address = Address { family, pad: 0, port: 0, groups };
    let (pointer, len) = ((&raw const address).cast(), length_of(&address)?);
    // SAFETY: `pointer` and `len` describe `address`, which has the layout of a netlink address and
    // lives across the call; the kernel only reads it.
    let bound = unsafe { libc::bind(socket.0, pointer, len) } as isize;
    answer(of_c_library(bound)).map(|_| socket)
}

fn attach(socket: &Fd, mut steps: Vec<sock_filter>) -> Result<(), Errno> {
    let len = c_ushort::try_from(steps.len()).map_err(|_| Errno::EINVAL)?;
    let program = sock_fprog { len, filter: steps.as_mut_ptr() };
    let (pointer, len) = ((&raw const program).cast(), length_of(&program)?);
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: `pointer` and `len` describe `program`, and that describes `steps`; both live across
    // the call. The kernel only reads them, and refuses steps that make no sense.
    let set = unsafe { libc::setsockopt(socket.0, level, name, pointer, len) } as isize;
    answer(of_c_library(set)).map(|_| ())
}

fn length_of<T>(value: &T) -> Result<libc::socklen_t, Errno> {
    size_of_val(value).try_into().map_err(|_| Errno::EINVAL)
}

/// The user namespace that owns another namespace.
pub(crate) fn owner_of(namespace: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: this request takes no argument, so `ioctl` touches no memory of ours.
    let ask = || unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) } as isize;
    let fd = c_int::try_from(retry(|| of_c_library(ask()))?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has opened this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with the filter.
    fn keeps(steps: &[sock_filter], message: &[u8]) -> bool {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let sock_filter { code, jf, k, .. } = steps[at];
            at += 1;
            let from = usize::try_from(k).unwrap_or(usize::MAX);
            match u32::from(code) {
                0x20 => {
                    let Some(word) = message.get(from..from + 4) else { return false };
                    accumulator = u32::from_be_bytes(word.try_into().unwrap());
                }
                0x30 => {
                    let Some(byte) = message.get(from) else { return false };
                    accumulator = u32::from(*byte);
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
        let steps = keep_those_with(REMOVAL);
        assert!(keeps(&steps, b"remove@/devices/virtual/misc/dlm_x\0ACTION=remove\0"));
        let others: [&[u8]; 6] =
            [b"add@/devices", b"remote@/x", b"reme@/xx", b"removed@/", b"remove", b""];
        for other in others {
            assert!(!keeps(&steps, other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn the_filter_of_udevs_messages_looks_for_the_subsystem() {
        let steps = keep_those_with_word(UDEV_PREFIX, Some((SUBSYSTEM_AT, MISC)));
        let mut message = [UDEV_PREFIX.as_slice(), &[0; 32], b"ACTION=add"].concat();
        assert!(!keeps(&steps, &message));
        message[24..28].copy_from_slice(&MISC.to_be_bytes());
        assert!(keeps(&steps, &message));
        assert!(!keeps(&steps, &message[..27]));
        message[0] ^= 1;
        assert!(!keeps(&steps, &message));
    }

    #[test]
    fn the_filter_keeps_the_removal_of_one_device() {
        for len in 0..=64 {
            let name = "x".repeat(len);
            let start = format!("remove@/devices/virtual/misc/dlm_{name}\0");
            let steps = keep_those_with(start.as_bytes());
            assert!(keeps(&steps, format!("{start}ACTION=remove\0").as_bytes()));
            for other in ["y", "x", ""] {
                let other = format!("remove@/devices/virtual/misc/dlm_{name}{other}");
                assert!(!keeps(&steps, format!("{other}-\0ACTION=remove\0").as_bytes()));
            }
            for at in 0..start.len() {
                let mut other = start.clone().into_bytes();
                other[at] ^= 1;
                assert!(!keeps(&steps, &other));
            }
        }
    }
}
