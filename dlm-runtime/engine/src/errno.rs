//! The numbers with which calls are refused.

use core::fmt;

/// The reason why a call was refused: a positive error number of Linux, or [`Errno::STOPPED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)+) => {
        impl Errno {
            $(
                #[doc = concat!($text, ".")]
                pub const $name: Self = Self($number);
            )+

            /// The name, or `None` for a number that the engine never returns.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "Operation not permitted";
    ENOENT = 2, "No such lock, orphan or lockspace";
    EBADF = 9, "The session is closed";
    EAGAIN = 11, "No result is queued, or an orphan has another mode";
    EFAULT = 14, "The buffer ends before the result does";
    EBUSY = 16, "An operation is in flight, or locks are left in the lockspace";
    EEXIST = 17, "The lockspace exists";
    ENODEV = 19, "No lockspace has this minor number";
    EINVAL = 22, "The request makes no sense";
    EBADE = 52, "A request of a foreign version";
    ENOBUFS = 105, "No such node";
    ENOTCONN = 107, "The node is not a member of a cluster";
    STOPPED = 0x1_0000, "Private to the engine: a kernel would hold up this call, as the lockspace \
        is stopped. Call again when `Engine::stopped` is false";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}
