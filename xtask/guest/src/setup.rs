//! Makes the machine usable: mounts, device links, modules, loopback, clock and randomness.

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

/// Where the host packs the modules, and in which order to load them.
const MODULES: &str = "/modules";
const ORDER: &str = "/modules/order";

/// Mounts the filesystems that need no module.
pub(crate) fn mount_basics() -> io::Result<()> {
    put_mount("proc", "/proc", "")?;
    put_mount("sysfs", "/sys", "")?;
    put_mount("devtmpfs", "/dev", "mode=755")?;
    put_mount("devpts", "/dev/pts", "")?;
    put_mount("tmpfs", "/dev/shm", "mode=1777")?;
    put_mount("tmpfs", "/tmp", "mode=1777")?;
    put_mount("tmpfs", "/run", "mode=755")?;
    for (target, link) in [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        // C libdlm opens /dev/misc/<name>, as udev's rules for it would have it.
        (".", "/dev/misc"),
    ] {
        symlink(target, link)?;
    }
    Ok(())
}

/// Mounts the filesystems that modules bring, and the ones a kernel may lack.
pub(crate) fn mount_module_filesystems() -> io::Result<()> {
    put_mount("configfs", "/sys/kernel/config", "")?;
    for (kind, place) in [("debugfs", "/sys/kernel/debug"), ("tracefs", "/sys/kernel/tracing")] {
        match put_mount(kind, place, "") {
            // Built without it, or switched off on the command line: tools that want it will say.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) => {}
            Err(e) if e.raw_os_error() == Some(Errno::ENODEV as i32) => {}
            other => other?,
        }
    }
    Ok(())
}

fn put_mount(kind: &str, place: &str, options: &str) -> io::Result<()> {
    // sysfs has no mkdir; its mount points exist exactly when the kernel knows the filesystem.
    if !place.starts_with("/sys/") {
        fs::create_dir_all(place)?;
    }
    mount(Some(kind), place, Some(kind), MsFlags::empty(), Some(options))
        .map_err(|e| io::Error::new(io::Error::from(e).kind(), format!("mount {place}: {e}")))
}

/// Loads every packed module, dependencies first.
pub(crate) fn load_modules() -> io::Result<()> {
    for name in fs::read_to_string(ORDER)?.lines() {
        let file = File::open(Path::new(MODULES).join(name))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(io::Error::other(format!("module {name}: {e}"))),
        }
    }
    Ok(())
}

/// Brings `lo` up by hand (one RTM_NEWLINK message); the kernel then gives it 127.0.0.1 itself.
pub(crate) fn raise_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_ACK: u16 = 1 | 4;
    const NLMSG_ERROR: u16 = 2;
    const IFF_UP: u32 = 1;
    let index = fs::read_to_string("/sys/class/net/lo/ifindex")?;
    let index: i32 = index.trim().parse().map_err(io::Error::other)?;

    let mut request = Vec::new();
    request.extend_from_slice(&32_u32.to_ne_bytes()); // whole length
    request.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST_ACK.to_ne_bytes());
    request.extend_from_slice(&[0; 8]); // sequence number, port
    request.extend_from_slice(&[0; 4]); // family, padding, type
    request.extend_from_slice(&index.to_ne_bytes());
    request.extend_from_slice(&IFF_UP.to_ne_bytes()); // flags
    request.extend_from_slice(&IFF_UP.to_ne_bytes()); // which of them to change

    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    sendto(netlink.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 256];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let error = answer.get(16..20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, error) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(e)) => Err(io::Error::from_raw_os_error(e.saturating_neg())),
        _ => Err(io::Error::other("no answer to raising the loopback device")),
    }
}

/// Sets the clock and stirs the random generator: a guest restored from a snapshot has those of
/// the moment it was saved, and two guests of the same snapshot have the same.
pub(crate) fn wake(unix_nanos: u64, entropy: &[u8]) -> io::Result<()> {
    let now = TimeSpec::from_duration(std::time::Duration::from_nanos(unix_nanos));
    clock_settime(ClockId::CLOCK_REALTIME, now)?;
    let mut random = File::options().write(true).open("/dev/urandom")?;
    random.write_all(entropy)?;
    // SAFETY: RNDRESEEDCRNG takes no argument and touches no memory of this process; the
    // descriptor is open for as long as the call lasts, as `random` outlives it.
    unsafe { reseed(random.as_raw_fd()) }?;
    Ok(())
}

nix::ioctl_none!(
    /// RNDRESEEDCRNG of `linux/random.h`: use what was mixed in from now on.
    reseed,
    b'R',
    7
);

/// Ends the machine; QEMU exits.
pub(crate) fn power_off() -> ExitCode {
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        // Then PID 1 exits, the kernel panics, and `panic=-1` ends QEMU all the same.
        Err(_) => ExitCode::FAILURE,
    }
}
