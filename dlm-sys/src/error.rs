//! Errors of devices, with their remedies.

use core::ffi::CStr;
use core::fmt;

use dlm_proto::{Command, DecodeError, EncodeError, NameError, UnsupportedVersion};

use crate::errno::Errno;

#[cfg(feature = "std")]
mod io;
mod predicates;

/// The call that was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Open the control device.
    OpenControl,
    /// Open a lockspace's device.
    OpenLockspace,
    /// Read the device version.
    ReadVersion,
    /// Write a request; which one.
    Submit(Command),
    /// Read a result.
    ReadResult,
    /// Wait for a result.
    Poll,
    /// Take the lock that keeps creations and removals of lockspaces apart
    /// ([`LOCK_FILE`](crate::LOCK_FILE)).
    SerialiseCreate,
    /// Take the lock that keeps requests for new locks apart.
    SerialiseRequests,
    /// Read `/proc/misc`.
    ListDevices,
    /// Watch a device node.
    WatchNode,
    /// Change the permissions of a device node.
    SetPermissions,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenControl => "open the DLM control device",
            Self::OpenLockspace => "open the lockspace device",
            Self::ReadVersion => "read the device version",
            Self::Submit(Command::Lock) => "write a lock request",
            Self::Submit(Command::Unlock) => "write an unlock request",
            Self::Submit(Command::CreateLockspace) => "create the lockspace",
            Self::Submit(Command::RemoveLockspace) => "remove the lockspace",
            Self::Submit(Command::Purge) => "purge orphans",
            Self::Submit(Command::Deadlock) => "cancel with deadlock status",
            Self::ReadResult => "read a result",
            Self::Poll => "wait for a result",
            Self::SerialiseCreate => "await other creations and removals of lockspaces",
            Self::SerialiseRequests => "lock the lockspace device",
            Self::ListDevices => "read /proc/misc",
            Self::WatchNode => "watch the device node",
            Self::SetPermissions => "change the permissions of the device node",
        })
    }
}

/// The reason why it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The operating system's answer.
    Os(Errno),
    /// The node is no character device of the misc major, or belongs to another minor number.
    WrongDevice,
    /// `/proc/misc` has no such lockspace.
    NoLockspace,
    /// The device exists, but its node did not appear in time.
    NodeTimeout,
    /// The name was refused before it reached the kernel.
    Name(NameError),
    /// The kernel speaks another version.
    Version(UnsupportedVersion),
    /// The request cannot be written.
    Encode(EncodeError),
    /// The kernel's record makes no sense.
    Decode(DecodeError),
    /// A return value that the command does not have.
    Return(isize),
    /// `/proc/misc` does not end: the kernel's list of misc devices is corrupt (simultaneous
    /// creations of one lockspace do that on kernels up to 6.12).
    EndlessList,
    /// The kernel has no minor number left for the device of one more lockspace. It says EEXIST.
    NoMinorLeft,
    /// Another process has kept this file locked for as long as there was patience.
    Held(&'static CStr),
    /// Minor number 0 would remove any lockspace that has no device.
    MinorZero,
}

/// A failed call on a device: what was attempted, why it failed, and by [`Error::remedy`] what may
/// help.
///
/// `{}` and `{:?}` are the sentence that says all three, and `{:#?}` the fields.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// The call that was attempted.
    pub call: Call,
    /// The reason why it failed.
    pub cause: Cause,
}

impl Error {
    /// An error from its two parts.
    #[must_use]
    pub const fn new(call: Call, cause: Cause) -> Self {
        Self { call, cause }
    }

    /// An error with the operating system's answer.
    #[must_use]
    pub const fn os(call: Call, errno: Errno) -> Self {
        Self { call, cause: Cause::Os(errno) }
    }

    /// The operating system's answer, if it was that.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self.cause {
            Cause::Os(errno) => Some(errno),
            _ => None,
        }
    }

    /// The likely reason and what to do about it, where one is known.
    #[must_use]
    pub const fn remedy(&self) -> Option<&'static str> {
        let errno = match self.cause {
            Cause::Os(errno) => errno,
            Cause::NoLockspace => {
                return Some("nobody on this node has created it: create it, or check the name");
            }
            Cause::NodeTimeout => {
                return Some("is udev running, or devtmpfs mounted on /dev?");
            }
            Cause::EndlessList => return Some("reboot this node"),
            Cause::NoMinorLeft => {
                return Some(
                    "remove lockspaces: older kernels have numbers for about 120 on a node",
                );
            }
            Cause::Held(_) => {
                return Some(
                    "it creates or removes a lockspace on this node, and may wait for the cluster or \
                     for others to close a lockspace: lslocks or /proc/locks names it",
                );
            }
            _ => return None,
        };
        match (self.call, errno) {
            (Call::OpenControl, Errno::ENOENT | Errno::ENODEV) => {
                Some("dlm module not loaded: modprobe dlm")
            }
            (Call::OpenControl | Call::OpenLockspace, Errno::EACCES | Errno::EPERM) => {
                Some("the device node is for root only: run as root or install the udev rules")
            }
            (Call::OpenLockspace, Errno::ENOENT | Errno::ENODEV) => {
                Some("the lockspace does not exist on this node, or was just removed")
            }
            (Call::SerialiseRequests, Errno::EBUSY) => Some(
                "another process has held the lock on the node for long: /proc/locks or lslocks names \
                 it; end it, or do without (concurrent_new_requests)",
            ),
            (_, Errno::EMFILE | Errno::ENFILE) => Some("raise the limit of open files"),
            (Call::Submit(command), errno) => remedy_of_write(command, errno),
            _ => None,
        }
    }
}

const fn remedy_of_write(command: Command, errno: Errno) -> Option<&'static str> {
    match (command, errno) {
        (_, Errno::EBADE) => Some("the kernel speaks another device version than this library"),
        (Command::CreateLockspace, Errno::ENOTCONN) => {
            Some("no cluster configured: start dlm_controld")
        }
        (Command::CreateLockspace, Errno::EUNATCH) => {
            Some("dlm_controld has died: restart this node's cluster software")
        }
        (Command::CreateLockspace, Errno::EPERM) => {
            Some("CAP_SYS_ADMIN is needed; with it, dlm_controld refused to join")
        }
        (Command::RemoveLockspace, Errno::EPERM) => Some("CAP_SYS_ADMIN is needed"),
        (Command::CreateLockspace, Errno::EEXIST) => Some(
            "the lockspace exists on this node: open it, or create without NEWEXCL; if killed \
                 programs have left it behind, drop their references (remove_all)",
        ),
        (Command::CreateLockspace, Errno::EBUSY) => Some("no minor number left for the device"),
        (Command::CreateLockspace, Errno::EPROTO) => {
            Some("another node has created the lockspace with other flags")
        }
        (Command::RemoveLockspace, Errno::EBUSY) => {
            Some("locks or orphans are left in it: release them, or remove by force")
        }
        (Command::RemoveLockspace, Errno::ENOENT) => Some("it is removed already"),
        (Command::Purge, Errno::ENOBUFS) => Some("no such node in the lockspace"),
        (Command::Lock | Command::Unlock, Errno::ENOBUFS) => {
            Some("no memory for the message to the other node: try again")
        }
        _ => None,
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(errno) => write!(f, "{errno}"),
            Self::WrongDevice => f.write_str("the node is another device than this lockspace's"),
            Self::NoLockspace => f.write_str("/proc/misc has no such lockspace"),
            Self::NodeTimeout => f.write_str("the device node did not appear in time"),
            Self::Name(name) => write!(f, "{name}"),
            Self::Version(version) => write!(f, "{version}"),
            Self::Encode(encode) => write!(f, "{encode}"),
            Self::Decode(decode) => write!(f, "the kernel's record is not understood: {decode}"),
            Self::Return(value) => write!(f, "write returned {value}, which this command cannot"),
            Self::EndlessList => f.write_str("the kernel's list of misc devices does not end"),
            Self::NoMinorLeft => f.write_str("no minor number is left for its device"),
            Self::Held(path) => {
                write!(f, "another process keeps {} locked", path.to_str().unwrap_or_default())
            }
            Self::MinorZero => {
                f.write_str("REMOVE by minor number 0 would hit any lockspace without a device")
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.cause)?;
        match self.remedy() {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            let (call, cause) = (&self.call, &self.cause);
            return f.debug_struct("Error").field("call", call).field("cause", cause).finish();
        }
        write!(f, "{self}")
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_call_the_cause_and_the_remedy() {
        let text = Error::os(Call::OpenControl, Errno::ENOENT).to_string();
        assert!(text.starts_with("open the DLM control device: "), "{text}");
        assert!(text.contains("ENOENT") && text.ends_with("modprobe dlm"), "{text}");
        let call = Call::Submit(Command::CreateLockspace);
        for (errno, word) in [
            (Errno::ENOTCONN, "start dlm_controld"),
            (Errno::EUNATCH, "died"),
            (Errno::EPERM, "CAP_SYS_ADMIN"),
            (Errno::EBADE, "version"),
        ] {
            let text = Error::os(call, errno).to_string();
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn who_waits_in_vain_for_other_creations_is_told_the_file() {
        let text = Error::new(Call::SerialiseCreate, Cause::Held(crate::LOCK_FILE)).to_string();
        assert!(text.contains("/run/dlm-rs.lock") && text.contains("lslocks"), "{text}");
    }

    #[test]
    fn an_unknown_error_number_is_shown() {
        let text = Error::os(Call::ReadResult, Errno::from_raw(9999)).to_string();
        assert_eq!(text, "read a result: error number 9999");
    }
}
