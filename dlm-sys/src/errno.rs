//! Error numbers of the operating system.

use core::fmt;

/// An error number. Unknown ones are kept. `{:?}` is its name in `errno.h`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident $text:literal,)+) => {
        impl Errno {
            $(
                #[doc = concat!($text, ".")]
                pub const $name: Self = Self(libc::$name);
            )+

            /// The name of the number, as in `errno.h`, if it is one that the DLM is known to use.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( libc::$name => Some(stringify!($name)), )+
                    _ => None,
                }
            }

            const fn text(self) -> &'static str {
                match self.0 {
                    $( libc::$name => $text, )+
                    _ => "unknown error",
                }
            }
        }
    };
}

impl Errno {
    /// Whether it tells that the process or the machine has run out of something: the same call may go
    /// through a moment later.
    pub(crate) const fn is_shortage(self) -> bool {
        matches!(self, Self::EMFILE | Self::ENFILE | Self::ENOMEM)
    }
}

errnos! {
    EPERM "operation not permitted",
    ENOENT "no such file, lockspace or lock",
    EINTR "interrupted by a signal",
    EIO "input/output error",
    EBADF "bad file descriptor",
    EAGAIN "not available now",
    ENOMEM "out of memory",
    EACCES "permission denied",
    EFAULT "bad address",
    EBUSY "busy",
    EEXIST "exists already",
    ENODEV "no such device",
    EINVAL "invalid request",
    ENFILE "too many open files in the system",
    EMFILE "too many open files",
    ENOSPC "no space left",
    EDEADLK "deadlock",
    EUNATCH "protocol driver not attached",
    EBADE "invalid exchange",
    EPROTO "protocol error",
    ENOBUFS "no buffer space",
    ENOTCONN "not connected",
    ETIMEDOUT "timed out",
}

impl Errno {
    /// The number that the operating system gave.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The number, positive as in `errno.h`.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.text()),
            None => write!(f, "error number {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

#[cfg(feature = "std")]
impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

#[cfg(feature = "std")]
impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        #[expect(clippy::as_conversions, reason = "a field-less enum of the error numbers")]
        Self(errno as i32)
    }
}
